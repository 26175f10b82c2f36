"""A disk that is full in the middle of a file: what stood there stays whole, nothing half is left, and the error is the lab's."""

import contextlib
import resource
import shutil
import signal
from pathlib import Path

import nbformat
import numpy as np
import pytest
from faults.battery import ERROR, judged

from maaf_lab import notebooks
from maaf_lab.data.text import Vocabulary
from maaf_lab.errors import LabError, SaveError
from maaf_lab.experiments.records import save_arrays
from maaf_lab.experiments.runs import Run, save_copy, save_record
from maaf_lab.plots.samples import samples_figure
from maaf_lab.plots.save import save
from maaf_lab.retrieval.gallery_rounding import save_gallery
from maaf_lab.training import fit
from maaf_lab.utils.files import write_json


@contextlib.contextmanager
def full_disk():
    """Writing beyond the first 4,096 bytes of a file fails, as on a full disk."""
    before, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def notebook(folder, cells=1):
    code = [nbformat.v4.new_code_cell(f"# {'x' * 6000}\nprint({n} + 1)") for n in range(cells)]
    nbformat.write(nbformat.v4.new_notebook(cells=code), folder / "a.ipynb")
    return folder / "a.ipynb"


def figure():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    return samples_figure([{"source": pixels, "target": pixels, "text": "is red"}])


def copied(lab):
    run, to = Run(lab.run), lab.folder / "copy"
    shutil.copytree(lab.run, to)
    return lambda: save_copy(run, to)


WRITERS = {  # what is written -> what writes it once more, after its files are there
    "a notebook, cleaned": lambda lab: (path := notebook(lab.folder), lambda: notebooks.clean(path))[1],
    "a notebook, refreshed": lambda lab: (path := notebook(lab.folder), lambda: notebooks.refresh(path))[1],
    "a page": lambda lab: (path := notebook(lab.folder), lab.file("a.html", "old"), lambda: notebooks.to_html(path))[2],
    "an executed notebook": lambda lab: (
        path := notebook(lab.folder),
        lab.file("out/a.ipynb", "old"),
        lambda: notebooks.execute(path, lab.folder / "out", progress=False),
    )[2],
    "a figure": lambda lab: (lab.file("a.png", "old"), lab.file("a.svg", "old"), lambda: save(figure(), lab.folder, "a"))[2],
    "figures' arrays": lambda lab: lambda: save_arrays(lab.file("a.npz", "old"), {"a": np.random.default_rng(0).random(9000)}),
    "a gallery": lambda lab: lambda: save_gallery(np.random.default_rng(0).random((900, 32)), lab.file("a.npz", "old")),
    "a vocabulary": lambda lab: lambda: Vocabulary([f"word{n}" for n in range(900)]).save(lab.file("vocabulary.json", "old")),
    "JSON": lambda lab: lambda: write_json(lab.file("report.json", "old"), ["x" * 9000]),
    "a record": lambda lab: (lab.file("records/note", "old"), lambda: save_record(Run(lab.run), lab.folder / "records"))[1],
    "a copy of a run": copied,
}


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("what", WRITERS)
def test_what_was_there_stays_whole(lab, what):
    write = WRITERS[what](lab)
    before = files(lab.folder)
    with full_disk(), pytest.raises(LabError, match=r"could not be run|could not save|left as it was"):
        write()
    after = files(lab.folder)
    assert not before or {name: after[name] for name in before if name in after} == before
    assert set(before) <= set(after) and not [name for name in after if name.endswith(".tmp")]
    write()  # and when there is room it is written
    assert files(lab.folder) != before or what == "a copy of a run"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to a device that is always full")
def test_the_training_curve_on_a_full_disk():
    with pytest.raises(SaveError, match=r"training curve could not be written .*No space left.*goes on from its last checkpoint"):
        fit._append(Path("/dev/full"), "1,2.0\n")


def test_an_error_while_training_begins_a_line(lab, monkeypatch):
    def full(*_):
        raise SaveError("could not save checkpoint.pt")

    monkeypatch.setattr(fit, "save_state", full)
    assert not judged(lab.train("--set", "train.checkpoint_every=1"), ERROR("could not save checkpoint"))
