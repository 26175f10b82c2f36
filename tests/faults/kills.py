"""Commands that are ended at a random moment and started again: the same files in the end, nothing left over."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time

from faults.battery import DEFECT
from faults.jobs import HOME, WHOLE, Job, differences, digests, finished, jobs, left_running, leftovers, patience, started
from faults.tally import note

HERE = HOME / "here"  # always the same folder: notebooks and settings name it
DAY = 86_400


def fresh(job: Job) -> None:
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    job.prepare(HERE)


def uninterrupted(job: Job) -> tuple[float, dict[str, str]]:
    """-> the seconds that a job takes and what is there in the end. Raises RuntimeError where that is not always the same."""
    seen = []
    for _ in range(2):
        fresh(job)
        start = time.monotonic()
        code, said = finished(started(lambda: job.run(HERE)), WHOLE)
        seen.append((time.monotonic() - start, digests(HERE)))
        if code != 0:
            raise RuntimeError(f"{job.name}: exit code {code}: {said[-2000:]}")
    if why := differences(seen[1][1], seen[0][1]):
        raise RuntimeError(f"{job.name}: twice the same command, and not the same files: {why}")
    return seen[1]


def kills(count: int, number: int, only: str = "") -> None:
    """Each group of jobs `count` times. Most are killed; some are asked to end, some get Ctrl-C."""
    for group, alike in jobs().items():
        if not re.search(only, group):
            continue
        known = [uninterrupted(job) for job in alike[:count]]
        for n in range(count):
            job, (took, expected) = alike[n % len(alike)], known[n % len(alike)]
            outcome, why = _killed(job, took, expected, random.Random(f"{number}-{group}-{n}"))
            note(f"kills: {group}", f"{job.name} {n}", outcome, why)


def _killed(job: Job, took: float, expected: dict[str, str], chance: random.Random) -> tuple[str, str]:
    sent = chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
    for attempt in range(20):
        fresh(job)
        moment = chance.uniform(0, took) * 0.9**attempt
        pid = started(lambda: job.run(HERE))
        time.sleep(moment)
        (os.killpg if sent == signal.SIGINT else os.kill)(pid, sent)
        code, said = finished(pid, patience(took))
        if code != 0:
            break  # else it had ended before
    when = f"{signal.Signals(sent).name} after {moment:.2f} of {took:.2f} s"
    if code is None:
        return "hang", f"{when}: {said}"
    if sent == signal.SIGINT and (DEFECT in said):
        return "traceback", f"{when}: {said}"
    for path in HERE.rglob("*.tmp"):  # a half file may be another process's: it is removed when it is old
        os.utime(path, (time.time() - DAY,) * 2)
    second = started(lambda: job.run(HERE))
    code, said = finished(second, patience(took))
    if code is None:
        return "hang", f"{when}, then it did not end: {said}"
    if "Traceback (most recent call last)" in said or DEFECT in said:
        return "traceback", f"{when}, then {said}"
    if code:
        return "lost", f"{when}, then exit code {code}: {said}"
    if why := differences(digests(HERE), expected):
        return "lost", f"{when}, then {why}"
    if left := leftovers(HERE):
        return "lost", f"{when}, then left over: {', '.join(left[:5])}"
    if left := left_running({pid, second}):
        return "lost", f"{when}, then still running: {left}"
    return "worked", ""
