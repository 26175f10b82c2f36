"""What the README shows can be done: its Python runs, its commands parse, its make targets and notebook parameters exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from maaf_lab import cli
from maaf_lab.notebooks import declared_parameters

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
LINES = [line.split("  #")[0].strip() for kind, text in BLOCKS if kind != "python" for line in text.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("maaf-lab ")]


def test_there_is_something_to_test():
    assert len(COMMANDS) >= 6 and sum(kind == "python" for kind, _ in BLOCKS) >= 1


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_parse(line):
    name, *words = shlex.split(line)[1:]
    command = typer.main.get_command(cli.app).commands[name]
    command.make_context(name, words)  # raises for an option that does not exist


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", README)) | {line.split()[1] for line in LINES if line.startswith("make ")}
    assert {"demo", "test", "lab"} <= named <= targets


def test_papermill_lines_name_real_parameters():
    lines = [line for line in LINES if "papermill " in line]
    assert lines
    for line in lines:
        words = shlex.split(line[line.index("papermill ") :])
        known = declared_parameters(ROOT / words[1])
        assert {words[i + 1] for i, word in enumerate(words) if word == "-p"} <= set(known)


def test_files_that_are_named_exist():
    for name in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("code", [text for kind, text in BLOCKS if kind == "python"])
def test_python_runs(code):
    exec(compile(code, "README.md", "exec"), {})
