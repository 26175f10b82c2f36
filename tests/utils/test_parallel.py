"""Ordered maps over threads and processes: in order, never far ahead, and nothing is left running."""

import threading
import time
from itertools import islice
from math import sqrt

import pytest

from maaf_lab.utils.parallel import in_processes, in_threads


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
