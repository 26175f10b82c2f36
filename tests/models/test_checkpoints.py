"""Checkpoints are whole or the one before, hold no code, and a trained model is loaded as it was."""

import os
import subprocess
import sys

import pytest
import torch

from maaf_lab.errors import RunError, SaveError
from maaf_lab.models.checkpoints import load_model, load_state, save_state

FULL = """
import resource, signal, sys
from pathlib import Path
import torch
from maaf_lab.errors import SaveError
from maaf_lab.models.checkpoints import save_state
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
save_state(path, {"step": 1, "value": torch.ones(10)})
before = path.read_bytes()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    save_state(path, {"step": 2, "value": torch.ones(1_000_000)})
except SaveError as error:
    assert path.read_bytes() == before, "the old checkpoint changed"
    assert [p.name for p in path.parent.iterdir()] == [path.name], "a half file was left"
    print("found:", error)
"""


def test_a_file_that_the_system_cuts_short(tmp_path):
    """No patch: the operating system refuses to write more than 200 kB."""
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "state" / "checkpoint.pt")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "found: could not save checkpoint.pt" in done.stdout and "the one before it is whole" in done.stdout
    assert load_state(tmp_path / "state" / "checkpoint.pt")["step"] == 1


def test_a_write_that_fails_says_when_there_was_nothing_before(tmp_path):
    with pytest.raises(SaveError, match=r"could not save state\.pt .*there was none before it"):
        save_state(tmp_path / "state.pt", {"step": lambda: 0})
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_with_code_in_it_is_not_loaded(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    torch.save({"step": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        load_state(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "ran").exists()


def test_a_trained_model_is_loaded_as_it_was(straight, css_vocabulary):
    model = load_model(straight.folder)
    state = load_state(straight.folder / "state" / "checkpoint.pt")["model"]
    assert not model.training and model.config == straight.config.model and model.vocabulary == css_vocabulary
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    with pytest.raises(RunError, match=r"model\.safetensors"):
        load_model(straight.folder / "state")
