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
