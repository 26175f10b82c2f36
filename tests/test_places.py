"""The lab's folders are found from wherever a notebook is started."""

import subprocess
import sys
from pathlib import Path

import pytest

from maaf_lab import places
from maaf_lab.figures import open_figures
from maaf_lab.places import place, records_place
from maaf_lab.workbench import open_table

CLONE = Path(__file__).resolve().parent.parent


def test_an_empty_name_is_the_labs_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert place("", "data") == CLONE / "data" and place(Path(""), "runs") == CLONE / "runs"
    assert place("some", "data") == Path("some") and place(tmp_path, "data") == tmp_path
    assert records_place("") is None and records_place("lab") == CLONE / "notebooks" / "records"
    assert records_place("some") == Path("some")
    table, figures = open_table("3", data_root="", runs_root="", records="lab"), open_figures(records="lab", out="")
    assert table.data_root == CLONE / "data" and table.records == str(CLONE / "notebooks" / "records")
    assert figures.out == CLONE / "figures" and figures.records == CLONE / "notebooks" / "records"
    assert open_table("3").records == "" and open_figures().records is None
    monkeypatch.setattr(places, "NOTEBOOKS", tmp_path / "none")
    assert place("", "data") == Path("data"), "a package without its clone: where one stands"


@pytest.mark.slow
def test_papermill_runs_a_notebook_from_any_folder(tmp_path):
    """With its defaults: the records are found, nothing is trained, nothing is written but the result."""
    source, done = CLONE / "notebooks" / "tableS1_tokens.ipynb", tmp_path / "here" / "done.ipynb"
    done.parent.mkdir()
    told = subprocess.run([sys.executable, "-m", "papermill", source, done, "--no-progress-bar"], cwd=done.parent, text=True,
                          capture_output=True, timeout=300)
    assert told.returncode == 0, told.stderr[-2000:]
    assert "7x7+14x14" in done.read_text() and [path.name for path in done.parent.iterdir()] == ["done.ipynb"]
