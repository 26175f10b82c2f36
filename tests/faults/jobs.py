"""Commands that the campaign kills and starves: what each begins with, how it is called, and what has to be there in the end."""

from __future__ import annotations

import csv
import hashlib
import importlib
import io
import json
import os
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from faults.tally import HOME

from maaf_lab import cli
from maaf_lab.data.cache import build, pixel_cache
from maaf_lab.data.registry import load
from maaf_lab.errors import LabError
from maaf_lab.notebooks import execute
from maaf_lab.notebooks.run import main as notebooks
from maaf_lab.retrieval import folder_gallery
from maaf_lab.retrieval.gallery_store import read_lines
from maaf_lab.utils.registry import SYNTHETIC

for _module in (  # what commands import when they need it: once here, not in each process
    *("accelerate", "filelock", "ipykernel.kernelspec", "nbclient", "pandas", "papermill", "pyarrow.dataset", "pyarrow.parquet"),
    *("maaf_lab.experiments.train", "maaf_lab.paper.report", "maaf_lab.plots.tables"),
):
    importlib.import_module(_module)

DATA, RUNS, SAID, MARK = HOME / "data", HOME / "runs", HOME / "said.txt", "MAAF_LAB_CAMPAIGN"
LIMIT = 180  # seconds for a command
WHOLE = 1_800  # for one without a fault, which is measured: the machine may be busy
SMOKE = ("--profile", "smoke", "--steps", "2")


@dataclass(frozen=True)
class Job:
    """A command on a folder. prepare: fills the empty folder; run: the command, in a process of its own; told: what it says where
    it goes on without room, "" where it does not."""

    name: str
    prepare: Callable[[Path], object]
    run: Callable[[Path], object]
    told: str = ""


def shell(*words: object) -> None:
    sys.argv = ["maaf-lab", *map(str, words)]
    cli.main()


def css() -> Path:
    return DATA / "css-tiny"


def run(number: int = 0) -> Path:
    """One of two finished runs, of this seed."""
    return next((RUNS / str(number)).glob("css-text_only-*"))


def inputs() -> None:
    """Draw and train what the jobs begin with."""
    for name, pixels in (("css", 56), ("fashion200k", 256)):
        shell_of(
            lambda name=name, pixels=pixels: shell(
                "make", name, "--out", DATA / f"{name}-tiny", "--size", "tiny", "--pixels", pixels
            )
        )
    for seed in (0, 1):
        words = ("--model", "text_only", "--dataset", "css", "--data-root", css(), "--runs-root", RUNS / str(seed), *SMOKE)
        shell_of(lambda seed=seed, words=words: shell("train", *words, "--seed", seed, "--set", "train.warmup_steps=1"))
    shell_of(lambda: shell("record", run(1), "--out", HOME / "records"))


def shell_of(how: Callable[[], object]) -> None:
    code, said = finished(started(how))
    if code:
        raise RuntimeError(f"the campaign's own inputs could not be made: {said[-2000:]}")


def _none(at: Path) -> None:
    pass


def _copy_of(source: Path, name: str) -> Callable[[Path], object]:
    return lambda at: shutil.copytree(source, at / name, ignore=shutil.ignore_patterns(".cache"))


def _records(at: Path) -> None:
    shutil.copytree(run(), at / "run")
    shutil.copytree(HOME / "records", at / "records")


def two_notebooks(at: Path) -> None:
    cells = [f"import time\nfor n in range(20):\n    time.sleep(0.01)\nprint('cell {n}', {n} ** 9)" for n in range(3)]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell, id=f"cell{n}") for n, cell in enumerate(cells)])
    nb.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for name in ("a", "b"):
        nbformat.write(nb, at / f"{name}.ipynb")


def _cached(at: Path, store: str) -> None:
    build.SAVE_EVERY = 0.03  # so that much of the time is between two records
    pixel_cache(load("fashion200k", at / "data", "train"), 112, store=store)


def _searched(at: Path) -> None:
    folder_gallery.SAVE_EVERY = 64
    shell("search", "--image", css() / "images" / "css_test_000000.png", "--gallery", at / "pictures", "--run", "css-laptop")


def jobs() -> dict[str, list[Job]]:
    """By the name of their group; several of a group take turns."""
    maaf = ("--model", "maaf", "--dataset", "css", "--profile", "smoke", "--steps", 24, "--device", "cpu")
    often = ("--set", "train.checkpoint_every=3", "--data-root", css())
    return {
        "make": [
            Job(
                f"make {name}",
                _none,
                lambda at, name=name: shell("make", name, "--out", at / name, "--size", "tiny", "--pixels", 32),
            )
            for name in SYNTHETIC
        ],
        "pixel cache": [
            Job(f"pixel cache, {store}", _copy_of(DATA / "fashion200k-tiny", "data"), lambda at, store=store: _cached(at, store))
            for store in ("raw", "jpeg")
        ],
        "train": [Job("train", _none, lambda at: shell("train", *maaf, *often, "--runs-root", at / "runs"))],
        "evaluate": [Job("evaluate", _copy_of(run(), "run"), lambda at: shell("evaluate", at / "run", "--data-root", css()))],
        "record": [Job("record", _records, lambda at: shell("record", at / "run", "--out", at / "records"))],
        "tables": [  # the one with the fewest runs
            Job(
                "tables",
                _none,
                lambda at: shell("tables", "S4", *SMOKE, "--data-root", DATA, "--runs-root", at / "runs", "--out", at / "report"),
            )
        ],
        "search": [Job("search", _copy_of(css() / "images", "pictures"), _searched, told="cannot be written")],
        "notebook": [
            Job("notebook, in place", two_notebooks, lambda at: notebooks(["--run", str(at / "a.ipynb"), str(at / "b.ipynb")])),
            Job("notebook, elsewhere", two_notebooks, lambda at: execute(at / "a.ipynb", at / "out")),
        ],
    }


# --- processes --------------------------------------------------------------------------------------------------------


def started(how: Callable[[], object]) -> int:
    """Call in a forked process, the leader of its session; what it says goes to `SAID`.

    Forked, because torch and the lab are imported then: nothing is written meanwhile, and importing is most of a command's time.
    The process that forks has only imported: it has no thread of Python's or torch's.
    """
    if pid := os.fork():
        while os.getsid(pid) != pid:  # then a signal to its group reaches it
            time.sleep(0.001)
        return pid
    code = 1
    try:
        os.setsid()
        os.environ[MARK] = str(HOME)
        said = os.open(SAID, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND)
        for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), said, said)):
            os.dup2(file, number)
        try:
            found = how()
            code = found if isinstance(found, int) else 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except LabError as error:  # of a Python call; the command says it in these words too
            print(f"maaf-lab: {error}", file=sys.stderr)
            code = 2
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def patience(took: float) -> float:
    """How many seconds a command may take after a fault, if it took so many without."""
    return max(LIMIT, 4 * took)


def finished(pid: int, seconds: float = LIMIT) -> tuple[int | None, str]:
    """-> the exit code, None for a process that was still running, and killed; and what it said."""
    end = time.monotonic() + seconds
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None and time.monotonic() < end:
        time.sleep(0.02)
    code = None
    if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        os.killpg(pid, signal.SIGKILL)
    elif (status := os.waitpid(pid, 0)[1]) is not None:
        return os.waitstatus_to_exitcode(status), SAID.read_text(errors="backslashreplace")
    os.waitpid(pid, 0)
    return code, SAID.read_text(errors="backslashreplace")


def left_running(sessions: set[int], seconds: float = 15) -> list[str]:
    """Processes of ended commands that are still there after some seconds."""
    end = time.monotonic() + seconds
    while (left := list(_running(sessions))) and time.monotonic() < end:
        time.sleep(0.2)
    return left


def _running(sessions: set[int]) -> Iterator[str]:
    mark = f"{MARK}={HOME}".encode()
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and int(folder.name) != os.getpid():
                state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if state != "Z" and (int(session) in sessions or mark in (folder / "environ").read_bytes().split(b"\0")):
                    yield (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
        except OSError:
            pass


# --- what is there ----------------------------------------------------------------------------------------------------

TIMES = {"train_seconds", "evaluate_seconds", "seconds", "finished", "commit", "state"}
VARYING = re.compile(rb"\b([0-9a-f]{8}|[0-9a-f]{32})\b|\d+(\.\d+)? (s|min|seconds|minutes)\b")  # papermill's ids; times
LEFT = re.compile(r"\.(tmp|part|partial)$")  # an empty lock file may stay where a process was killed: it locks nothing


def digests(folder: Path) -> dict[str, str]:
    """A hash of each file but locks, without what is of a time: seconds, and the times of other files that caches remember."""
    return {
        path.relative_to(folder).as_posix(): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def _digest(path: Path) -> str:
    content: Any = path.read_bytes()
    if path.suffix == ".json":
        content = json.dumps(_timeless(json.loads(content))).encode()
    elif path.name == "log.csv":
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        content = json.dumps([_timeless(row) for row in rows]).encode()
    elif path.suffix == ".vectors":
        lines, vectors = read_lines(path, _width(content))
        content = repr([(line.name, line.why) for line in lines]).encode() + vectors.tobytes()
    elif path.suffix in (".bin", ".pt"):
        content = b""
    elif path.suffix in (".html", ".ipynb"):
        content = VARYING.sub(b"", content)
    return hashlib.sha256(content).hexdigest()[:12]


def _width(content: bytes) -> int:
    entries = json.loads(content.split(b"\n", 2)[1])
    count = sum(not entry[3] for entry in entries)
    return len(content.split(b"\n", 2)[2]) // 4 // count


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in TIMES}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def leftovers(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if LEFT.search(path.name)]


def differences(found: dict[str, str], expected: dict[str, str]) -> str:
    """Which files are missing, too many or other; "" for none."""
    names = {
        "missing": expected.keys() - found.keys(),
        "too many": found.keys() - expected.keys(),
        "other bytes": {name for name in found.keys() & expected.keys() if found[name] != expected[name]},
    }
    return "; ".join(f"{what}: {', '.join(sorted(which)[:5])}" for what, which in names.items() if which)
