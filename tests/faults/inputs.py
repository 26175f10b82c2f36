"""Inputs of the campaign: every line of the battery, random values of settings and options, files that are spoilt at random."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import random
import sys
from pathlib import Path

from faults.battery import Answer, Fault, Lab
from faults.jobs import css, run
from faults.tally import ANY, attempt
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from maaf_lab import cli
from maaf_lab.config import DataConfig, TrainConfig
from maaf_lab.utils.registry import MODELS


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


def lab(folder: Path) -> Lab:
    return Lab(folder, shell, css(), run())


def battery() -> None:
    """Every line that needs nothing but a `Lab`."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        module = importlib.import_module(f"faults.{path.stem}")
        for test in list(vars(module).values()):  # a test may import into it
            if not inspect.isfunction(test) or set(inspect.signature(test).parameters) != {"fault", "lab"}:
                continue
            for mark in getattr(test, "pytestmark", ()):
                for line in mark.args[1] if mark.name == "parametrize" else ():
                    attempt(f"battery: {path.stem[5:]}", line.id, line.values[0], lab)


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
        attempt("values: settings", words, Fault(ANY, lambda lab: lab.train("--set", words, model="maaf")), lab)

    @seed(number)
    @how
    @given(st.sampled_from(sorted(COMMANDS)), VALUES)
    def of_options(name: str, value: str) -> None:
        attempt("values: options", f"{name} {value}", Fault(ANY, lambda lab: COMMANDS[name](lab, value)), lab)

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
    first = numbers(shell("evaluate", run())[1])
    files = sorted(path.name for path in run().iterdir() if path.is_file() and path.suffix != ".csv")
    for n in range(examples):
        chance = random.Random(f"{number}-{n}")
        name = chance.choice(files)

        def run_again(lab: Lab, name: str = name, chance: random.Random = chance) -> Answer:
            copy = lab.run_copy()
            damaged(copy / name, chance)
            return lab("evaluate", copy, "--data-root", css())

        attempt(
            "damage: a run", f"{name} {n}", Fault(ANY, run_again), lab, lambda got: not got.code and numbers(got.said) != first
        )
        data = chance.choice((*DATA, f"images/css_test_{chance.randrange(50):06}.png"))

        def data_again(lab: Lab, data: str = data, chance: random.Random = chance) -> Answer:
            copy = lab.css_copy()
            damaged(copy / data, chance)
            return lab("check", "css", "--root", copy)

        attempt("damage: a dataset", f"{data} {n}", Fault(ANY, data_again), lab)


def numbers(said: str) -> str:
    return next((line.partition(": ")[2] for line in said.splitlines() if "R1 " in line), "")
