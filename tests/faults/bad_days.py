"""A disk that is full at a random moment, and a user who may read everything and write nothing but a folder of their own."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from faults.battery import ERROR, REFUSED, WORKS, Answer, Kind
from faults.jobs import (
    HOME,
    LIMIT,
    SMOKE,
    WHOLE,
    Job,
    css,
    differences,
    digests,
    finished,
    jobs,
    leftovers,
    patience,
    run,
    started,
    two_notebooks,
)
from faults.tally import answered, note

FULL = r"No space left|room|free space|disk"
MEGABYTES = 96

# --- a full disk ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of its own in a file, else in memory. Raises OSError where nothing may be mounted."""
    disk, file = HOME / "disk", HOME / "disk.img"
    disk.mkdir()
    with open(file, "wb") as image:
        image.truncate(MEGABYTES * 2**20)
    tries = (
        (("mkfs.ext4", "-q", "-F", "-m", "0", file), ("mount", "-o", "loop", file, disk)),
        (("mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "none", disk),),
    )
    for commands in tries:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            for words in commands:
                subprocess.run(words, check=True, capture_output=True)
            break
    else:
        raise OSError("nothing can be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(("umount", disk), check=True)


def full_disks(count: int, number: int, only: str = "") -> None:
    """Each job as often, with a part of the room that it needs."""
    with contextlib.ExitStack() as stack:
        try:
            disk = stack.enter_context(small_disk())
        except OSError as error:
            print(f"full disks: not tried, {error}", flush=True)
            return
        for group, alike in jobs().items():
            if re.search(only, group):
                for job in alike[:count]:
                    _starved(job, disk, max(1, count // len(alike)), number)


def _starved(job: Job, disk: Path, count: int, number: int) -> None:
    here = disk / "here"

    def fresh() -> None:
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        job.prepare(here)

    fresh()
    before, begun, start = _free(disk), digests(here), time.monotonic()
    code, said = finished(started(lambda: job.run(here)), WHOLE)
    limit = patience(time.monotonic() - start)
    if code != 0:
        raise RuntimeError(f"{job.name}: exit code {code}: {said[-2000:]}")
    needed, expected = max(before - _free(disk), 200_000), digests(here)  # more than a file that is replaced adds
    for n in range(count):
        fresh()
        left = int(random.Random(f"{number}-{job.name}-{n}").uniform(0, 0.95) * needed)
        filler = disk / "filler"
        _fill(filler, _free(disk) - left)
        code, said = finished(started(lambda: job.run(here)), limit)
        outcome, why = _told(job, code, said, digests(here), begun, expected)
        if outcome in ("clear error", "worked") and (tmp := [name for name in leftovers(here) if name.endswith(".tmp")]):
            outcome, why = "lost", f"left over: {tmp}"
        filler.unlink()
        if outcome in ("clear error", "worked"):
            again, said = finished(started(lambda: job.run(here)), limit)
            if again != 0 or (why := differences(digests(here), expected)) or (why := ", ".join(leftovers(here))):
                outcome, why = "lost", f"with room again: exit code {again}, {why}: {said}"
        note("full disks", f"{job.name} {n}: {left:,} of {needed:,} bytes", outcome, why)


def _fill(path: Path, size: int) -> None:
    with open(path, "wb") as file, contextlib.suppress(OSError):  # of the last part: the file system needs some room itself
        for start in range(0, size, 2**16):
            os.posix_fallocate(file.fileno(), start, 2**16)


def _free(disk: Path) -> int:
    os.sync()
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


def _told(
    job: Job, code: int | None, said: str, found: dict[str, str], begun: dict[str, str], expected: dict[str, str]
) -> tuple[str, str]:
    """What came of a job without room. What was there has to stay as it was, or be what it will be."""
    if code is None:
        return "hang", said
    outcome, why = answered(lambda: Answer(code, said), REFUSED(FULL) if code else WORKS(job.told if found != expected else ""))
    if harmed := [name for name in begun if found.get(name) not in (begun[name], expected.get(name))]:
        return "lost", f"harmed: {harmed[:5]}: {said}"
    return outcome, why


# --- no rights --------------------------------------------------------------------------------------------------------

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *(
    f"--{kind}=-all,+dac_read_search" for kind in ("inh-caps", "ambient-caps", "bounding-set")
))  # fmt: skip  # may read all, as the clone and Python may stand in somebody's home; may write nothing


def no_rights() -> None:
    """Runs, data, pictures, notebooks and the package belong to somebody else; `own` is the user's only folder."""
    theirs, own = HOME / "theirs", HOME / "own"
    for name, source in (("run", run()), ("css", css()), ("pictures", css() / "images"), ("records", HOME / "records")):
        shutil.copytree(source, theirs / name, ignore=shutil.ignore_patterns(".cache"))
    two_notebooks(theirs)
    for path in (theirs, *theirs.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    as_user: tuple[str, ...] = ()
    if os.getuid() == 0:
        if subprocess.run((*NOBODY, "true"), capture_output=True).returncode:
            print("no rights: not tried, setpriv cannot give up root's rights here", flush=True)
            return
        as_user = NOBODY
    explore = "import maaf_lab; print(type(maaf_lab.explore_{}({}data_root={!r})).__name__)"
    trained = ("train", "--model", "text_only", "--dataset", "css", *SMOKE, "--set", "train.warmup_steps=1", "--data-root")
    look = (
        "search",
        "--image",
        theirs / "pictures" / "css_test_000000.png",
        "--gallery",
        theirs / "pictures",
        "--run",
        "css-laptop",
    )
    lines: tuple[tuple[str, Kind, tuple[object, ...]], ...] = (
        ("check", WORKS("complete"), ("check", "css", "--root", theirs / "css")),
        ("make", ERROR("writ|Permission denied"), ("make", "css", "--out", theirs / "new", "--size", "tiny")),
        (
            "make into the data",
            ERROR("writ|Permission denied|holds"),
            ("make", "css", "--out", theirs / "css" / "x", "--size", "tiny"),
        ),
        ("train in runs of somebody else", ERROR("Permission denied|writ"), (*trained, theirs / "css", "--runs-root", theirs)),
        ("train in own runs", WORKS("stay in memory"), (*trained, theirs / "css", "--runs-root", own / "runs")),
        (
            "evaluate a run of somebody else",
            ERROR("Permission denied|could not save"),
            ("evaluate", theirs / "run", "--data-root", theirs / "css"),
        ),
        (
            "record into somebody's records",
            ERROR("Permission denied|can be written"),
            ("record", theirs / "run", "--out", theirs / "records"),
        ),
        ("record into own records", WORKS, ("record", theirs / "run", "--out", own / "records")),
        ("search in pictures of somebody else", WORKS("cannot be written"), look),
        ("search with a run of somebody else", WORKS("cannot be written"), (*look[:-1], theirs / "run")),
        (
            "tables into a report of somebody else",
            ERROR("Permission denied|can be written"),
            ("tables", "1", *SMOKE, "--data-root", HOME / "data", "--runs-root", own / "runs", "--out", theirs / "report"),
        ),
        (
            "tables into an own report",
            WORKS("done"),
            ("tables", "1", *SMOKE, "--data-root", HOME / "data", "--runs-root", own / "runs", "--out", own / "report"),
        ),
        ("explore_attention", WORKS("Explorer"), ("-c", explore.format("attention", "", str(theirs / "css")))),
        (
            "explore_retrieval",
            WORKS("Explorer"),
            ("-c", explore.format("retrieval", f"{str(theirs / 'run')!r}, ", str(theirs / "css"))),
        ),
        ("explore_modifiers", WORKS("Explorer"), ("-c", "import maaf_lab; print(type(maaf_lab.explore_modifiers()).__name__)")),
        (
            "a notebook of somebody else, in place",
            REFUSED("could not save|Permission denied"),
            ("-m", "maaf_lab.notebooks", "--run", theirs / "a.ipynb"),
        ),
        (
            "a notebook of somebody else, elsewhere",
            WORKS,
            ("-c", f"import maaf_lab.notebooks as n; n.execute({str(theirs / 'a.ipynb')!r}, {str(own / 'out')!r})"),
        ),
        ("settings", WORKS, ("settings", "maaf")),
    )
    before = digests(theirs)
    for name, expected, words in lines:
        outcome, why = answered(lambda words=words: _as(as_user, own, *words), expected, seconds=3 * LIMIT)
        note("no rights", name, outcome, why)
    if why := differences(digests(theirs), before):
        note("no rights", "what belongs to somebody else", "lost", why)


def _as(as_user: tuple[str, ...], own: Path, *words: object) -> Answer:
    own.mkdir(exist_ok=True)
    if as_user:
        os.chown(own, 65534, 65534)
    command = [] if str(words[0]).startswith("-") else ["-m", "maaf_lab"]
    around = {**os.environ, "HOME": str(own), "TMPDIR": str(own), "MAAF_LAB_HOME": str(own)}
    done = subprocess.run(
        [*as_user, sys.executable, *command, *map(str, words)], cwd=own, env=around, timeout=3 * LIMIT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    said = done.stdout.decode(errors="backslashreplace")
    return Answer(done.returncode, said[-7000:])
