"""Odd paths in every command and in Python: too long, too deep, below a file, no text, not to be written to."""

from faults.battery import ERROR, REFUSED, faults

import maaf_lab
from maaf_lab.data import registry as datasets
from maaf_lab.notebooks import execute
from maaf_lab.paper.table_experiment import open_table
from maaf_lab.plots.samples import samples_figure
from maaf_lab.plots.save import save
from maaf_lab.utils.paths import NOTEBOOKS

LONG, DEEP, HALF = "x" * 5000, "a" * 200 + "/b" * 900, "half \ud83d"
READ = {  # a command -> how it is given a path that it reads
    "check": lambda lab, path: lab("check", "css", "--root", path),
    "check triplets": lambda lab, path: lab("check", "triplets", "--root", path),
    "train": lambda lab, path: lab("train", "--model", "maaf", "--dataset", "css", "--data-root", path, "--profile", "smoke"),
    "evaluate": lambda lab, path: lab("evaluate", path),
    "evaluate, data": lambda lab, path: lab("evaluate", lab.run, "--data-root", path),
    "record": lambda lab, path: lab("record", path, "--out", lab.folder / "records"),
    "record, arrays": lambda lab, path: lab("record", f"{path}.npz", "--out", lab.folder / "records"),
    "search, image": lambda lab, path: lab("search", "--image", path, "--gallery", lab.pictures(), "--run", "css-laptop"),
    "search, gallery": lambda lab, path: lab("search", "--image", lab.picture(), "--gallery", path, "--run", "css-laptop"),
    "search, run": lambda lab, path: lab("search", "--image", lab.picture(), "--gallery", lab.pictures(), "--run", path),
    "ledger": lambda lab, path: maaf_lab.ledger(path),
    "explore": lambda lab, path: maaf_lab.explore(path),
    "load": lambda lab, path: datasets.load("css", path, "train"),
    "open_table": lambda lab, path: open_table("1", profile="smoke", data_root=path, runs_root=path).wanted()[0][0](),
}
WRITTEN = {  # and one that it writes
    "make": lambda lab, path: lab("make", "css", "--out", path, "--size", "tiny", "--pixels", "16"),
    "make css2d": lambda lab, path: lab("make", "css2d", "--out", path),
    "train": lambda lab, path: lab.train("--runs-root", path),
    "record": lambda lab, path: lab("record", lab.run, "--out", path),
    "save": lambda lab, path: save(samples_figure(one_sample()), path, "a"),
    "execute": lambda lab, path: execute(NOTEBOOKS / "table1_css.ipynb", path, {}),
}
FOLDERS = {
    "no folder can be made in /proc": lambda lab: "/proc/none/css",
    "5,000 letters": lambda lab: LONG,
    "900 folders deep": lambda lab: DEEP,
    "half a character": lambda lab: HALF,
    "below a file": lambda lab: lab.file("file") / "below",
    "below a picture": lambda lab: lab.picture("other.png") / "below",
    "a loop of links": lambda lab: loop(lab),
}


def loop(lab):
    (lab.folder / "loop").symlink_to(lab.folder / "loop")
    return lab.folder / "loop"


def one_sample():
    return [{"source": [[0]], "target": [[0]], "text": "is red"}]


def lines(commands, expected):
    return [
        (f"{command}: {what}", expected, lambda lab, give=give, path=path: give(lab, path(lab)))
        for command, give in commands.items()
        for what, path in FOLDERS.items()
    ]


@faults(*lines(READ, REFUSED))
def test_read(fault, lab):
    fault(lab)


@faults(*lines(WRITTEN, ERROR))
def test_written(fault, lab):
    fault(lab)


def trained_on(lab, root, profile="smoke", model="text_only"):
    return lab("train", "--model", model, "--dataset", "css", "--data-root", root, "--profile", profile, "--steps", 2)


def iq_folder(lab):
    lab.file("iq/captions/cap.dress.train.json", "[]")
    return lab.folder / "iq"


@faults(
    ("an unknown profile, without data", ERROR("unknown profile 'smok'.*'smoke'"), lambda lab: trained_on(lab, "no", "smok")),
    ("an unknown system, without data", ERROR("unknown system 'maf'"), lambda lab: trained_on(lab, "no", model="maf")),
    (
        "a typing error in --data-root",
        ERROR(r"/cs: no such folder. Did you mean 'css'\?.*make css --profile smoke"),
        lambda lab: trained_on(lab, lab.css_copy().parent / "cs"),
    ),
    ("a file as --data-root", ERROR("/css: expected the folder .* found a file"), lambda lab: trained_on(lab, lab.file("css"))),
    (
        "another dataset as --data-root",
        ERROR(r"/iq: expected css \(.*\), found fashion_iq: name the folder of css"),
        lambda lab: trained_on(lab, iq_folder(lab)),
    ),
    ("an empty folder as --data-root", ERROR(r"/pictures: expected .*found 0.png"), lambda lab: trained_on(lab, lab.pictures())),
    (
        "evaluate on a typing error",
        ERROR("/nowhere: no such folder.*--profile smoke"),
        lambda lab: lab("evaluate", lab.run, "--data-root", lab.folder / "nowhere"),
    ),
    *(
        (
            f"an empty word: {' '.join(words)}",
            ERROR("expected a value, found an empty word"),
            lambda lab, words=words: lab(*(lab.run if word == "RUN" else word for word in words)),
        )
        for words in (
            ("record", "RUN", "--out", ""),
            ("record", "RUN", "--out="),
            ("check", "fashion_iq", "--root", ""),
            ("evaluate", ""),
            ("train", "--model", "maaf", "--dataset", "css", "--data-root", ""),
            ("search", "--image", "", "--gallery", "x"),
            ("tables", "--records", ""),
            ("make", "css", "--out", ""),
        )
    ),
)
def test_told_of_the_folder_that_was_typed(fault, lab):
    fault(lab)
