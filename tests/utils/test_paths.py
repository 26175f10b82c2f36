"""The lab's folders are found from wherever a notebook is started."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maaf_lab.paper.figures import open_figures
from maaf_lab.paper.table_experiment import open_table
from maaf_lab.synthetic.css.dataset import make_css
from maaf_lab.utils import paths
from maaf_lab.utils.paths import own_folder, records_folder

CLONE = Path(__file__).resolve().parents[2]


def test_an_empty_name_is_the_labs_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAAF_LAB_HOME")
    assert own_folder("", "data") == CLONE / "data" and own_folder(Path("."), "data") == Path(".") == records_folder(Path("."))
    assert (
        own_folder("some", "data") == Path("some")
        and own_folder(tmp_path, "data") == tmp_path
        and own_folder(".", "data") == Path(".")
    )
    assert records_folder("") is None and records_folder("lab") == CLONE / "notebooks" / "records"
    assert records_folder("some") == Path("some")
    table, figures = open_table("3", data_root="", runs_root="", records="lab"), open_figures(records="lab", out="")
    assert table.data_root == CLONE / "data" and table.records == str(CLONE / "notebooks" / "records")
    assert figures.out == CLONE / "figures" and figures.records == CLONE / "notebooks" / "records"
    assert open_table("3").records == "" and open_figures().records is None
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "none")
    assert own_folder("", "data") == Path("data"), "a package without its clone: where one stands"
    monkeypatch.setenv("MAAF_LAB_HOME", str(tmp_path / "mine"))
    assert own_folder("", "data") == tmp_path / "mine" / "data" and own_folder("some", "data") == Path("some")


def test_tests_have_a_home_of_their_own():
    """And so has whatever a test starts: a user's data, runs and figures are neither read nor written."""
    home = Path(os.environ["MAAF_LAB_HOME"])
    assert CLONE not in (home, *home.parents) and Path.cwd() == home.resolve()
    for own in ("data", "runs", "figures"):
        assert own_folder("", own) == home / own


def _filled(clone, tiny_css):
    """What a user may have in a clone: other sizes and seeds, damaged and half-finished things. Returns every file's bytes."""
    make_css(clone / "data" / "css", "tiny", 16, 5, progress=False)
    (clone / "data" / "css" / ".cache").mkdir()
    shutil.copytree(tiny_css, clone / "data" / "mit_states-tiny")  # another dataset's set under this one's name
    files = {
        "data/css/.cache/manifest.json": "{",
        "data/css-tiny/made.json.part": "{}",
        "data/css-tiny/images/x.png": "no image",
        "data/fashion_iq-tiny/made.json": '{"dataset": "fashion_iq", "origin": "synthetic fashion_iq v0", "counts": {}}',
        "data/fashion_iq/captions/cap.dress.val.json": "[]",
        "runs/css-laptop/config.json": "{}",
        "runs/fashion_iq-tirg-815bb2bbab/metrics.json": '{"metrics": {}}',
        "runs/galleries/css-laptop-0000000000.npy": "old",
        "report/index.html": "mine",
        "report/report.json": "[{",
        "figures/figure3.png": "mine",
        ".cache/manifest.json": "{",
    }
    with np.load(CLONE / "notebooks" / "records" / "figures.npz") as figures:
        kept = {key.split("/")[0] for key in figures.files}
    for name, text in {**files, **{f"runs/figures/{name}.npz": "damaged" for name in kept}}.items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(text)
    return _files(clone)


def _files(clone):
    return {
        path.relative_to(clone): path.read_bytes()
        for folder in ("data", "runs", "figures", "report", ".cache")
        for path in (clone / folder).rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_notebooks_print_what_is_committed_whatever_a_user_keeps(tmp_path, tiny_css):
    """As `make test` compares them, in a clone that is full of other things; and those are left as they are."""
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("maaf_lab", "notebooks"):
        shutil.copytree(CLONE / name, clone / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(CLONE / name, clone)
    before = _filled(clone, tiny_css)
    compared = [f"notebooks/{name}.ipynb" for name in ("data_tour", "figure3_positions", "explore_modifiers")]
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "--nbval-sanitize-with", "notebooks/sanitize.cfg", *compared],
        cwd=clone,
        env={**os.environ, "PYTHONPATH": str(clone)},
        text=True,
        capture_output=True,
        timeout=900,
    )
    assert told.returncode == 0, told.stdout[-4000:]
    assert _files(clone) == before


@pytest.mark.slow
def test_papermill_runs_a_notebook_from_any_folder(tmp_path):
    """With its defaults: the records are found, nothing is trained, nothing is written but the result."""
    source, done = CLONE / "notebooks" / "tableS1_tokens.ipynb", tmp_path / "here" / "done.ipynb"
    done.parent.mkdir()
    told = subprocess.run(
        [sys.executable, "-m", "papermill", source, done, "--no-progress-bar"],
        cwd=done.parent,
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert told.returncode == 0, told.stderr[-2000:]
    assert "7x7+14x14" in done.read_text() and [path.name for path in done.parent.iterdir()] == ["done.ipynb"]
