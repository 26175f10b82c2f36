"""Ordered maps over threads and processes: in order, never far ahead, and nothing is left running."""

import tempfile
import threading
import time
from itertools import islice
from math import sqrt

import pytest
import torch

from maaf_lab.errors import ConfigError
from maaf_lab.utils.parallel import in_processes, in_threads, torch_device


def test_threads_answer_in_order():
    assert list(in_threads(lambda i: time.sleep(0.01 * (5 - i)) or i, range(5))) == list(range(5))
    assert list(in_threads(str, [])) == []


def test_processes_answer_in_order():
    items = [float(i) for i in range(20)]
    assert list(in_processes(sqrt, items, "", progress=False, workers=2, chunk=3)) == [sqrt(i) for i in items]
    assert list(in_processes(sqrt, [], "", progress=False)) == []


def test_never_far_ahead_of_the_one_who_asks():
    begun = []
    results = in_threads(begun.append, range(1000), workers=2, ahead=5)
    assert not begun  # nothing before the first is wanted
    list(islice(results, 3))
    time.sleep(0.1)
    assert len(begun) <= 3 + 5
    before = threading.active_count()
    results.close()
    assert len(begun) <= 3 + 5 and threading.active_count() <= before - 1  # its threads have ended


def test_a_failure_ends_the_rest():
    begun = []

    def fail(i):
        begun.append(i)
        if i == 3:
            raise OSError("no")
        return i

    results = in_threads(fail, range(1000), workers=2, ahead=10)
    with pytest.raises(OSError, match="no"):
        list(results)
    assert len(begun) < 30


def test_the_bar_shows_only_on_request(capsys):
    list(in_threads(str, range(3), "reading"))
    assert capsys.readouterr().err == ""
    list(in_threads(str, range(3), "reading", progress=True))
    assert "reading: 100%" in capsys.readouterr().err


def test_a_device_is_what_was_asked_for_or_an_error_that_lists_what_is_there(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: None)
    assert torch_device("cpu") == torch.device("cpu") == torch_device(torch.device("cpu"))
    with pytest.raises(ConfigError, match=r"expected one that is here \(cpu\), found 'cuda'"):
        torch_device("cuda")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    for name in ("cpu", "cuda", "cuda:0", "cuda:1"):
        assert torch_device(name) == torch.device(name)
    for name in ("cuda:2", "cdua", "meta", "CPU", "mps"):
        with pytest.raises(ConfigError, match=rf"\(cpu, cuda, cuda:0, cuda:1\), found '{name}'; leave it out"):
            torch_device(name)


def test_processes_and_a_long_path_for_temporary_files(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/tmp/" + "x" * 90)
    with pytest.raises(ConfigError, match=r"TMPDIR: expected a path of at most 70 bytes.*found one of 95"):
        list(in_processes(sqrt, [1.0] * 20, "", progress=False, workers=2, chunk=2))
