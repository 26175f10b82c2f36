"""The long campaign (`make faults`): the battery's lines, random values and damage, kills at random moments.

python tests/faults/campaign.py [--examples N] [--kills N] [--seed N]    examples a generator, kills a command

Prints what came of each kind of input.

clear error, worked: as expected. traceback: an error that is not the lab's. wrong: an answer of the other kind, or without a
word a result that damage has changed. hang: over 10 seconds or 2 GB. lost: after a kill the same command does not end in the
same bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import inspect
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]
os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1", MAAF_LAB_HOME=tempfile.mkdtemp(prefix="maaf-lab-campaign-"))

from faults.battery import SECONDS, Answer, Fault, Hang, Kind, Lab, judged, tried, within_limits
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from maaf_lab import cli
from maaf_lab.config import DataConfig, TrainConfig
from maaf_lab.experiments.sources import dataset_folder
from maaf_lab.synthetic.css.dataset import make_css
from maaf_lab.utils.registry import MODELS

ANY = Kind("an answer", (0, 1, 2))
COLUMNS = ("clear error", "worked", "traceback", "wrong", "hang", "lost")
HOME = Path(os.environ["MAAF_LAB_HOME"])
found: dict[str, Counter[str]] = {}


def shell(*args: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    out.reconfigure = err.reconfigure = lambda **_: None
    if sys.stdout is not sys.__stdout__:  # before a terminal of `Lab.terminal`, which keeps what is said
        out, err = sys.stdout, sys.stderr
    sys.argv = ["maaf-lab", *map(str, args)]
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
    return int(code), *(said.getvalue() if isinstance(said, io.StringIO) else "" for said in (out, err))


def note(group: str, what: str, outcome: str, why: str = "") -> None:
    found.setdefault(group, Counter())[outcome] += 1
    if outcome not in ("clear error", "worked"):
        print(f"{group}: {ascii(what)[:100]}: {outcome}: {ascii(why)[-300:]}", flush=True)


def attempt(group: str, what: str, fault: Fault, changed: Callable[[Answer], bool] = lambda answer: False) -> None:
    """Try one input in a folder of its own and count what came of it."""
    folder = Path(tempfile.mkdtemp(dir=HOME))
    answer = None
    try:
        with within_limits():
            answer = tried(Lab(folder, shell, CSS, RUN), fault.how)
        wrong = judged(answer, fault.expected)
    except Hang as hang:
        note(group, what, "hang", str(hang))
    except AssertionError as memory:
        note(group, what, "hang", str(memory))
    except Exception:
        note(group, what, "traceback", traceback.format_exc())
    else:
        outcome = "traceback" if wrong == "a traceback" else "wrong" if wrong or changed(answer) else ""
        note(group, what, outcome or ("clear error" if answer.code else "worked"), f"{wrong}: {answer.said}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def battery() -> None:
    """Every line that needs nothing but a `Lab`."""
    for path in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(f"faults.{path.stem}")
        for test in vars(module).values():
            if not inspect.isfunction(test) or set(inspect.signature(test).parameters) != {"fault", "lab"}:
                continue
            for mark in getattr(test, "pytestmark", ()):
                for line in mark.args[1] if mark.name == "parametrize" else ():
                    attempt(f"battery: {path.stem[5:]}", line.id, line.values[0])


LETTERS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=()), max_size=20)
VALUES = st.one_of(
    LETTERS, st.integers().map(str), st.floats().map(str), st.lists(st.integers(-9, 99), max_size=4).map(str), st.just("x" * 5000)
)
NAMES = [
    f"{kind.part}.{name}"
    for kind in (DataConfig, MODELS["maaf"].Config, TrainConfig)
    for name in kind.model_fields
    if (kind.part, name) not in {("train", "compile"), ("train", "checkpoint_every")}
]
COMMANDS = {
    "check": lambda lab, value: lab("check", "css", "--root", value),
    "check, dataset": lambda lab, value: lab("check", f"a{value}", "--root", lab.css),
    "search, text": lambda lab, value: lab.search(f"--text={value}"),
    "search, k": lambda lab, value: lab.search(f"--k={value}"),
    "search, run": lambda lab, value: lab("search", "--image", lab.picture(), "--gallery", lab.pictures(), f"--run=a{value}"),
    "train, device": lambda lab, value: lab.train(f"--device=a{value}"),
    "train, profile": lambda lab, value: lab.train(f"--profile=a{value}"),
    "record": lambda lab, value: lab("record", f"a{value}", "--out", lab.folder / "records"),
    "table": lambda lab, value: lab("table", f"a{value}"),
    "tables": lambda lab, value: lab("tables", f"a{value}", "--out", lab.folder / "report"),
}


def values(examples: int, number: int) -> None:
    """Random values of settings and options, of hypothesis's making."""
    how = settings(
        max_examples=examples, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )

    @seed(number)
    @how
    @given(st.sampled_from(NAMES), VALUES)
    def of_settings(name: str, value: str) -> None:
        words = f"{name}={value}"
        attempt("values of settings", words, Fault(ANY, lambda lab: lab.train("--set", words, model="maaf")))

    @seed(number)
    @how
    @given(st.sampled_from(sorted(COMMANDS)), VALUES)
    def of_options(name: str, value: str) -> None:
        attempt("values of options", f"{name} {value}", Fault(ANY, lambda lab: COMMANDS[name](lab, value)))

    of_settings()
    of_options()


DATA = ("made.json", "css_toy_dataset_novel2_small.dup.npy")


def damaged(path: Path, chance: random.Random) -> None:
    """Cut, flipped, zeroed, doubled, emptied or replaced."""
    content = bytearray(path.read_bytes())
    at, length = chance.randrange(len(content) or 1), chance.choice((1, 4, 100, 1000))
    kind = chance.randrange(6)
    if kind == 0:
        content = content[:at]
    elif kind == 1:
        content[at : at + 1] = bytes([content[at] ^ (1 << chance.randrange(8))]) if content else b"\1"
    elif kind == 2:
        content[at : at + length] = bytes(len(content[at : at + length]))
    elif kind == 3:
        content[at:at] = content[at : at + length]
    elif kind == 4:
        content.clear()
    else:
        content[:] = chance.choice(
            (b"null", b"[]", b"{}", b'{"a": ' * 5000, b"PK\3\4 half", b"\x93NUMPY\1\0", chance.randbytes(99))
        )
    path.write_bytes(content)


def damage(examples: int, number: int) -> None:
    """Files of a run and of a dataset that are spoilt at random, then read again."""
    first = numbers(shell("evaluate", RUN)[1])
    files = sorted(path.name for path in RUN.iterdir() if path.is_file() and path.suffix != ".csv")
    for n in range(examples):
        chance = random.Random(f"{number}-{n}")
        name = chance.choice(files)

        def run_again(lab: Lab, name: str = name, chance: random.Random = chance) -> Answer:
            copy = lab.run_copy()
            damaged(copy / name, chance)
            return lab("evaluate", copy, "--data-root", CSS)

        attempt("damage: a run", f"{name} {n}", Fault(ANY, run_again), lambda got: not got.code and numbers(got.said) != first)
        data = chance.choice((*DATA, f"images/css_test_{chance.randrange(50):06}.png"))

        def data_again(lab: Lab, data: str = data, chance: random.Random = chance) -> Answer:
            copy = lab.css_copy()
            damaged(copy / data, chance)
            return lab("check", "css", "--root", copy)

        attempt("damage: a dataset", f"{data} {n}", Fault(ANY, data_again))


def numbers(said: str) -> str:
    return next((line.partition(": ")[2] for line in said.splitlines() if "R1 " in line), "")


def kills(count: int, number: int) -> None:
    """Commands that are killed at a random moment and started again, as often as it takes."""
    train = ("train", "--model", "maaf", "--dataset", "css", "--profile", "smoke", "--steps", "40", "--device", "cpu")
    commands: dict[str, Callable[[Path], tuple[object, ...]]] = {
        "kills: make": lambda to: ("make", "css", "--out", to / "css", "--size", "tiny", "--pixels", "56"),
        "kills: train and evaluate": lambda to: (*train, "--data-root", CSS, "--runs-root", to),
    }
    for group, words in commands.items():
        whole = HOME / group.replace(" ", "-")
        start = time.monotonic()
        child(words(whole), 300)
        took, expected = time.monotonic() - start, digests(whole)
        for n in range(count):
            chance, to = random.Random(f"{number}-{group}-{n}"), Path(tempfile.mkdtemp(dir=HOME))
            child(words(to), chance.uniform(0.3, 1.0) * took)
            again = child(words(to), 300)
            same = digests(to) == expected
            outcome = "worked" if again == 0 and same else "lost"
            note(group, str(n), outcome, f"exit code {again}, {'the same' if same else 'other'} bytes")
            shutil.rmtree(to)


def child(words: tuple[object, ...], seconds: float) -> int | None:
    """The exit code of maaf-lab WORDS, killed with its children after some seconds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "maaf_lab", *map(str, words)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path[:2])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def digests(folder: Path) -> dict[str, str]:
    """What a command is asked for; not times, logs of seconds and caches."""
    kept = (path for path in folder.rglob("*") if path.suffix in (".png", ".npy", ".safetensors", ".parquet"))
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def table() -> str:
    """A line a group, and their sums."""
    rows = [*sorted(found.items()), ("all", sum(found.values(), Counter()))]
    wide = max(len(name) for name, _ in rows)
    head = f"{'':<{wide}}  {'inputs':>7}" + "".join(f"{column:>13}" for column in COLUMNS)
    lines = [f"{n:<{wide}}  {sum(c.values()):>7,}" + "".join(f"{c[column]:>13,}" for column in COLUMNS) for n, c in rows]
    return "\n".join([head, *lines])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in (("--examples", 200), ("--kills", 50), ("--seed", 0)):
        parser.add_argument(option, type=int, default=default)
    asked = parser.parse_args()
    try:
        os.chdir(HOME)
        CSS = make_css(HOME / "data" / "css-tiny", "tiny", 56, 0, progress=False)
        where = ("--data-root", dataset_folder("css", CSS), "--runs-root", HOME / "runs", "--profile", "smoke", "--steps", "2")
        code, said, why = shell("train", "--model", "text_only", "--dataset", "css", *where, "--set", "train.warmup_steps=1")
        assert code == 0, why
        RUN = Path(said.splitlines()[-1])
        battery()
        values(asked.examples, asked.seed)
        damage(asked.examples, asked.seed)
        kills(asked.kills, asked.seed)
        print(f"\nlimit {SECONDS} s\n{table()}")
    finally:
        shutil.rmtree(HOME, ignore_errors=True)
    sys.exit(any(sum(found.values(), Counter())[column] for column in COLUMNS[2:]))
