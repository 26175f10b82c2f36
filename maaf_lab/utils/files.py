"""Files that are whole or absent, locks, text files whose errors name the line, names and folders that can be written."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from maaf_lab.errors import DataError, SaveError


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """`write` fills a temporary file beside `path`, which then replaces `path` in one step.

    Whatever happens while writing (a kill, a full disk), `path` is the old file or the new one, whole. A failed write raises
    SaveError and leaves no temporary file behind.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)  # a link of that name would be written through
        write(beside)
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except Exception as error:
        kept = "the one before it is whole" if path.exists() else "there was none before it"
        why = _full(path.parent) or error  # torch and others say of a full disk what went wrong inside
        raise SaveError(
            f"could not save {path.name} in {path.parent} ({why}); {kept}. Make room or choose another folder, then start again."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)  # also after Ctrl-C


def _full(folder: Path) -> str:
    """That the folder's disk is full, where it is; asked while what was written of a file is still there."""
    with contextlib.suppress(OSError):
        if (free := shutil.disk_usage(folder).free) < 100_000:
            return f"its disk is full: {free:,} bytes free"
    return ""


def remove_leftovers(folder: Path, age: float = 0) -> None:
    """Remove what processes that were killed in `write_atomically` left in a folder, if it is older than `age` seconds.

    Age 0 is for a folder that only the holder of a lock writes to; elsewhere somebody may be writing.
    """
    for left in folder.glob("*.*.tmp"):
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            if left.name.split(".")[-2].isdecimal() and time.time() - left.stat().st_mtime >= age:
                left.unlink()


def make_folder(folder: Path) -> Path:
    """A folder, with those above it, made where it is missing. Raises SaveError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RecursionError) as error:  # pathlib goes up through thousands of missing folders by recursion
        why = getattr(error, "strerror", None) or "too deep"
        raise SaveError(f"{folder}: expected a folder that can be written to; {why}. Choose another one") from error
    return folder


def write_text(path: Path, text: str) -> None:
    """Write a small text file, atomically."""
    write_atomically(path, lambda beside: beside.write_text(text, encoding="utf-8") and None)


def write_json(path: Path, value: Any) -> None:
    """Write plain values as JSON, atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


@contextlib.contextmanager
def locked(path: Path, held: Callable[[], None]) -> Iterator[bool]:
    """Hold the lock file at `path`, for one process or thread at a time, then remove it. A killed process releases it.

    held: called where another process has the lock, before waiting for it; it may raise instead. Yields False, without a lock,
    where the file system has no locks or another user's lock file cannot be opened.
    """
    from filelock import FileLock, Timeout  # not needed for reading

    lock = FileLock(path, mode=0o666, fallback_to_soft=False)  # for all users of a shared folder; no lock that outlives a kill
    try:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if _has_locks(path.parent):
                held()
                lock.acquire()
    except OSError:
        pass
    own = None
    with contextlib.suppress(OSError):
        own = os.stat(path).st_ino
    try:
        yield lock.is_locked
    finally:
        if lock.is_locked:
            with contextlib.suppress(OSError):  # some systems cannot remove an open file
                if os.stat(path).st_ino == own:  # not the lock of somebody who came after this file was removed
                    path.unlink()  # while it is held: a process that opened it before sees that it is gone, and starts again
            lock.release()


def _has_locks(folder: Path) -> bool:
    """Whether files can be locked in a folder: some file systems say "held by another" of every lock."""
    from filelock import FileLock, Timeout

    path = folder / f"{uuid.uuid4().hex}.lock"  # that nobody else knows
    try:
        with FileLock(path, blocking=False, fallback_to_soft=False):
            return True
    except (OSError, Timeout):
        return False
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def open_regular(path: str | Path, links: bool = True) -> BinaryIO:
    """Open a file to read bytes. links: false where a link is not followed. Raises OSError; DataError for a folder, and for a
    pipe or a device, which may have no end."""
    mode = os.stat(path, follow_symlinks=links).st_mode
    if not stat.S_ISREG(mode):
        found = "a folder" if stat.S_ISDIR(mode) else "a link" if stat.S_ISLNK(mode) else "a pipe or a device"
        raise DataError(f"{path}: expected a file, found {found}; put the file itself there")
    return open(path, "rb")


def read_text(path: Path) -> str:
    """A whole file as text: UTF-8, with or without a byte order mark. Raises DataError naming the line that is not UTF-8."""
    try:
        with open_regular(path) as file:
            raw = file.read()
    except OSError as error:
        raise DataError(f"{path}: expected a readable file; {error.strerror or error}") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: expected UTF-8 text, found the byte 0x{raw[error.start]:02x}. The published file "
            f"is UTF-8: copy it again, or save it as UTF-8"
        ) from error


def parse_json(text: str) -> Any:
    """Plain values from JSON. Raises ValueError for damage, and where one object has a key twice: the second would win unsaid;
    RecursionError for thousands of brackets."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"the key {next(n for n in names if names.count(n) > 1)[:80]!r} stands twice in one object")
        return found

    return json.loads(text, object_pairs_hook=once)


def why_not_writable(folder: Path, begin: str = "", end: str = ".tmp") -> str | None:
    """Why files cannot be written to a folder, or None if they can. A missing folder is made.

    begin, end: of the test file's name, so that the leftover of a killed process can be recognized.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"{begin}{uuid.uuid4().hex}{end}"
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return None


def plain_name(name: str, where: str) -> str:
    """`name`, if it names one file inside a folder. Raises DataError where it is empty, leads out of the folder or is longer
    than file systems allow (240 bytes of UTF-8)."""
    size = len(name.encode("utf-8", "surrogatepass"))
    whole = not any(sign in "/\\\0" or "\ud800" <= sign <= "\udfff" for sign in name)
    if name.strip() in ("", ".", "..") or not whole or size > 240:
        raise DataError(f"{where}: expected the name of a file inside its folder, found {name[:100]!r}")
    return name
