"""Files that are written: whole or absent, an error of their own, and no model behind them."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from maaf_lab.errors import LabError, SaveError, TrainingError
from maaf_lab.rankings import COLUMNS, Rankings
from maaf_lab.utils.files import write_atomically, write_json, write_text


def test_a_second_file_takes_the_place_of_the_first(tmp_path):
    write_text(tmp_path / "note.txt", "first\n")
    write_text(tmp_path / "note.txt", "second\n")
    assert (tmp_path / "note.txt").read_text() == "second\n" and len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_saved_is_no_failure_of_training(tmp_path):
    def full(beside):
        beside.write_bytes(b"half")
        raise OSError(28, os.strerror(28))

    with pytest.raises(SaveError, match=r"could not save a\.npy .*No space left.*there was none before it\. Make room") as caught:
        write_atomically(tmp_path / "gallery" / "a.npy", full)
    assert isinstance(caught.value, LabError) and not isinstance(caught.value, TrainingError)
    write_json(tmp_path / "report.json", [1])
    with pytest.raises(SaveError, match=r"could not save report\.json .*the one before it is whole"):
        write_atomically(tmp_path / "report.json", full)
    assert (tmp_path / "report.json").read_text() == "[\n  1\n]\n" and not list(tmp_path.rglob("*.tmp"))


def test_rankings_that_cannot_be_saved(tmp_path, monkeypatch):
    frame = pd.DataFrame([[0, "a", "is red", "b", "", 1, np.array(["b"]), np.array([0.5])]], columns=COLUMNS)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, os.strerror(28))))
    with pytest.raises(SaveError, match=r"could not save rankings\.parquet"):
        Rankings(frame, "protocol").save(tmp_path / "rankings.parquet")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", ["rankings", "utils.files"])
def test_imports_that_need_no_torch(module):
    """Who reads the ranks of a run, or writes a file, waits for no network: neither torch nor a system is loaded."""
    code = (f"import sys, maaf_lab.{module}; "
            "print([n for n in sys.modules if n.split('.')[0] == 'torch' or n.startswith('maaf_lab.models')])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
