"""The battery's frame: bad inputs in tables, one line each, tried through the lab's public face in one process.

To add a line, write it into the table of its subject in tests/faults/test_*.py (a new subject: a new file like this):

    from faults.battery import ERROR, TOLD, WORKS, faults

    @faults(
        ("a text that is no image", ERROR("image"), lambda lab: lab("search", "--image", lab.file("a.png", "x"), ...)),
        ("a dataset without a name", ERROR, lambda lab: maaf_lab.open_dataset("", lab.folder)),
    )
    def test_pictures(fault, lab):
        fault(lab)

A line is: what is wrong (its name in the report); the expected kind of answer, with words (a regular expression) that it has to
say where that matters; and how: a function that makes the input in `lab.folder`, which is empty, and gives it to the lab.

ERROR   the command's one message and exit code 2, or a LabError from a library call
REFUSED exit code 1 or 2: the same, or a report of `check` that says what is wrong
TOLD    exit code 0 or 1, and the words are said; for `check`, whose report is its answer, and for what is left out
WORKS   exit code 0, or a library call that returns

Whatever is expected, a line fails on a traceback (also one that `main` caught as its last net), after 10 seconds, where it takes
more than 2 GB of memory, and where its answer is longer than some screens or steers the terminal. What could take the machine's
memory or stop the whole process is tried in a child with limits: `lab.child(...)` in place of `lab(...)`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from maaf_lab.errors import LabError

SECONDS, GIGABYTES, LETTERS = 10, 2, 8000
DEFECT = "defect of the lab"  # what `main` says of an error that nobody expected
Line = tuple[str, "Kind", Callable[["Lab"], Any]]


@dataclass(frozen=True)
class Answer:
    """What a command said and its exit code."""

    code: int
    said: str


@dataclass(frozen=True)
class Kind:
    """A kind of answer. codes: the exit codes that belong to it; words: what has to be said."""

    name: str
    codes: tuple[int, ...]
    words: str = ""

    def __call__(self, words: str) -> Kind:
        return replace(self, words=words)


ERROR, REFUSED, TOLD, WORKS = Kind("clear error", (2,)), Kind("refused", (1, 2)), Kind("told", (0, 1)), Kind("works", (0,))


class Hang(BaseException):
    """Took longer than a line may; no `except Exception` holds it up."""


@dataclass(frozen=True)
class Fault:
    """A line of a table; called with a `Lab`, it is tried and judged."""

    expected: Kind
    how: Callable[[Lab], Any]

    def __call__(self, lab: Lab) -> None:
        with within_limits():
            answer = tried(lab, self.how)
        wrong = judged(answer, self.expected)
        assert not wrong, f"{wrong}:\n{answer.said[-3000:]}"


def faults(*lines: Line) -> pytest.MarkDecorator:
    """The table over a test function: its argument `fault` is each line in turn."""
    return pytest.mark.parametrize(
        "fault", [pytest.param(Fault(expected, how), id=_plain(what)) for what, expected, how in lines]
    )


def tried(lab: Lab, how: Callable[[Lab], Any]) -> Answer:
    """The answer of a command, or what a library call comes to. Every error but the lab's own is a defect, and is raised."""
    try:
        answer = how(lab)
    except LabError as error:
        return Answer(2, f"maaf-lab: {error}")
    return answer if isinstance(answer, Answer) else Answer(0, "")


def judged(answer: Answer, expected: Kind) -> str:
    """What is wrong with an answer, "" for nothing."""
    if "Traceback (most recent call last)" in answer.said or DEFECT in answer.said:
        return "a traceback"
    if raw := re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", answer.said.replace("\x1b[A", "")):  # a bar goes up a line
        return f"the control character {raw[0]!r}"
    if answer.code not in expected.codes:
        return f"expected {expected.name}, exit code {expected.codes}; found exit code {answer.code}"
    if answer.code == 2 and not re.search(r"^maaf-lab: |\bUsage: ", answer.said, re.MULTILINE):
        return "an error without a message of the lab"
    if not re.search(expected.words, answer.said, re.IGNORECASE):
        return f"does not say {expected.words!r}"
    return f"an answer of {len(answer.said):,} letters" if len(answer.said) > LETTERS else ""


@contextlib.contextmanager
def within_limits(seconds: float = SECONDS, gigabytes: float = GIGABYTES) -> Iterator[None]:
    """Ends what takes too long, and fails for what took too much memory (where the system tells the peak: Linux)."""

    def ring(*_: object) -> None:
        raise Hang(f"took more than {seconds} s")

    before, start = signal.signal(signal.SIGALRM, ring), _memory("VmRSS")
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    taken = (_memory("VmHWM") - start) / 2**20
    assert taken < gigabytes, f"took {taken:.1f} GB of memory"


def _memory(name: str) -> int:
    """In kilobytes; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        return int(found[1]) if found else 0
    return 0


def _plain(what: str) -> str:
    """The name of a test: no line breaks, control characters or walls of text."""
    return ascii(what)[1:-1][:100]


@dataclass
class Lab:
    """What a line works with: the command, an empty folder, and inputs that it may harm.

    shell: the console script in this process. css: a tiny CSS folder and run: a finished run on it, which nobody may change.
    """

    folder: Path
    shell: Callable[..., tuple[int, str, str]]
    css: Path
    run: Path

    def __call__(self, *args: object) -> Answer:
        """maaf-lab ARGS in this process."""
        code, out, err = self.shell(*args)
        return Answer(int(code), out + err)

    def terminal(self, encoding: str, *args: object) -> Answer:
        """maaf-lab ARGS in this process, before a terminal that shows the characters of an encoding alone."""
        with (
            io.TextIOWrapper(io.BytesIO(), encoding=encoding) as screen,
            contextlib.redirect_stdout(screen),
            contextlib.redirect_stderr(screen),
        ):
            code, *_ = self.shell(*args)
            screen.flush()
            return Answer(int(code), screen.buffer.getvalue().decode(encoding))

    def child(self, *args: object, seconds: float = SECONDS, gigabytes: float = 4, **env: str) -> Answer:
        """maaf-lab ARGS in a process of its own. gigabytes: of addresses, of which torch alone takes more than one."""

        def limits() -> None:
            resource.setrlimit(resource.RLIMIT_AS, (int(gigabytes * 2**30),) * 2)

        words = [sys.executable, "-m", "maaf_lab", *map(str, args)]
        around = {**os.environ, "OMP_NUM_THREADS": "1", **env}
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=around, preexec_fn=limits, start_new_session=True
        )
        try:
            said, _ = process.communicate(timeout=seconds)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        return Answer(process.returncode, said.decode(errors="backslashreplace"))

    def train(self, *more: object, model: str = "text_only", steps: int = 2, warmup: int = 1) -> Answer:
        """`maaf-lab train` for two steps on tiny CSS."""
        where = ("--dataset", "css", "--data-root", self.css, "--runs-root", self.folder / "runs", "--profile", "smoke")
        return self("train", "--model", model, *where, "--steps", steps, "--set", f"train.warmup_steps={warmup}", *more)

    def file(self, name: str, content: str | bytes = b"") -> Path:
        """A file in the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def picture(self, name: str = "picture.png", seed: int = 0, side: int = 60) -> Path:
        """A picture in the folder, of random points."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PILImage.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)).save(path)
        return path

    def pictures(self, count: int = 3, name: str = "pictures") -> Path:
        """A folder of pictures."""
        for i in range(count):
            self.picture(f"{name}/{i}.png", i)
        return self.folder / name

    def search(self, *more: object, image: Path | None = None, gallery: Path | None = None) -> Answer:
        """`maaf-lab search` with a shipped model."""
        image, gallery = image or self.picture("query.png", 9), gallery or self.pictures()
        return self("search", "--image", image, "--gallery", gallery, "--run", "css-laptop", *more)

    def css_copy(self) -> Path:
        """A copy of the tiny CSS folder."""
        return Path(shutil.copytree(self.css, self.folder / "css", ignore=shutil.ignore_patterns(".cache")))

    def run_copy(self) -> Path:
        """A copy of a finished run."""
        return Path(shutil.copytree(self.run, self.folder / "runs" / self.run.name))
