"""Files that are written: whole or absent, an error of their own, and no model behind them."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock, Timeout

from maaf_lab.errors import LabError, SaveError, TrainingError
from maaf_lab.retrieval.rankings import COLUMNS, Rankings
from maaf_lab.utils.files import locked, remove_leftovers, write_atomically, write_json, write_text


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


def test_a_full_disk_is_named_where_the_error_does_not(tmp_path, monkeypatch):
    def write(beside):
        raise RuntimeError("enforce fail at inline_container.cc:672")  # torch's

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 512))
    with pytest.raises(SaveError, match=r"could not save checkpoint\.pt in .* \(its disk is full: 512 bytes free\)"):
        write_atomically(tmp_path / "checkpoint.pt", write)


def test_ctrl_c_while_writing_leaves_no_half_file(tmp_path):
    def stop(beside):
        beside.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.npy", stop)
    assert not list(tmp_path.iterdir())


def test_rankings_that_cannot_be_saved(tmp_path, monkeypatch):
    frame = pd.DataFrame([[0, "a", "is red", "b", "", 1, np.array(["b"]), np.array([0.5])]], columns=COLUMNS)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, os.strerror(28))))
    with pytest.raises(SaveError, match=r"could not save rankings\.parquet"):
        Rankings(frame, "protocol").save(tmp_path / "rankings.parquet")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", ["retrieval.rankings", "utils.files"])
def test_imports_that_need_no_torch(module):
    """Who reads the ranks of a run, or writes a file, waits for no network: neither torch nor a system is loaded."""
    code = (
        f"import sys, maaf_lab.{module}; "
        "print([n for n in sys.modules if n.split('.')[0] == 'torch' or n.startswith('maaf_lab.models')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- locks --------------------------------------------------------------------------------------------------------------


def test_a_lock_is_for_one_and_leaves_no_file(tmp_path):
    path, waiting, order = tmp_path / "lock", threading.Event(), []

    def second():
        with locked(path, waiting.set) as have:
            order.append(("second", have))

    thread = threading.Thread(target=second)
    with locked(path, lambda: pytest.fail("nobody else has it")) as have:
        thread.start()
        assert have and waiting.wait(60) and path.stat().st_mode & 0o777 == 0o666  # of any user of a shared folder
        order.append(("first", have))
    thread.join(60)
    assert order == [("first", True), ("second", True)] and not list(tmp_path.iterdir())


def test_who_waited_locks_the_file_that_is_there_now(tmp_path):
    path, waiting, taken = tmp_path / "lock", threading.Event(), []

    def second():
        with locked(path, waiting.set) as have:
            with pytest.raises(Timeout):
                FileLock(path).acquire(blocking=False)
            taken.append(have)

    thread = threading.Thread(target=second)
    with locked(path, lambda: pytest.fail("nobody else has it")):
        thread.start()
        assert waiting.wait(60)
        path.unlink()
        path.touch()
    thread.join(60)
    assert taken == [True]


def test_who_will_not_wait_goes_away(tmp_path):
    def refuse():
        raise SaveError("in use")

    with locked(tmp_path / "lock", refuse), pytest.raises(SaveError), locked(tmp_path / "lock", refuse):
        pass


@pytest.mark.skipif(os.name == "nt", reason="another way of killing there")
def test_a_lock_that_was_removed_leaves_the_next_one_alone(tmp_path):
    path = tmp_path / "lock"
    with locked(path, lambda: pytest.fail("nobody has it")):
        path.unlink()  # somebody tidies up
        second = FileLock(path)
        second.acquire(blocking=False)
    assert path.exists(), "it is the second one's"
    second.release()


def test_a_killed_process_holds_no_lock(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from maaf_lab.utils.files import locked\n"
        "with locked(Path(sys.argv[1]), None):\n print('held', flush=True)\n time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"held\n"
    with pytest.raises(Timeout):
        FileLock(tmp_path / "lock").acquire(blocking=False)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with locked(tmp_path / "lock", lambda: pytest.fail("nobody has it")) as have:
        assert have
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_locked(tmp_path):
    (tmp_path / "file").touch()
    with locked(tmp_path / "file" / "lock", lambda: pytest.fail("nobody has it")) as have:
        assert not have


NO_LOCKS = ("ENOSYS", "ENOLCK", "EOPNOTSUPP", "EACCES", "EIO", "EINVAL", "EPERM", "EAGAIN", "ESTALE")


@pytest.mark.parametrize("name", NO_LOCKS)
def test_a_file_system_without_locks_is_no_lock_that_is_held(tmp_path, monkeypatch, name):
    """NFS without its lock service, SMB, Lustre without flock: each answers in its own way."""

    def flock(file, operation):
        if not operation & fcntl.LOCK_UN:
            raise OSError(getattr(errno, name), name)

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path / "lock", lambda: pytest.fail("held, it was said")) as alone:
        assert not alone


def test_leftovers_of_killed_processes_are_removed_and_nothing_else(tmp_path):
    old, new = tmp_path / "checkpoint.pt.4711.tmp", tmp_path / "metrics.json.4712.tmp"
    other = [tmp_path / name for name in ("notes.tmp", "a.b.tmp", "checkpoint.pt", "4711.txt")]
    for path in (old, new, *other):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    remove_leftovers(tmp_path, age=3600)
    assert not old.exists() and new.exists()
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(other)
