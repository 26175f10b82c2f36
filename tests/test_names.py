"""Files, modules and names that the README and the docstrings put in backticks are there."""

import ast
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import maaf_lab
from maaf_lab.config import DataConfig

TOP = Path(maaf_lab.__file__).parent
ROOT = Path(__file__).parent.parent
ROOMS = {path.stem for path in TOP.iterdir() if path.is_dir() and (path / "__init__.py").is_file()}
SETTINGS = {f"data.{name}" for name in DataConfig.model_fields}  # a room's name and a part of the settings


def _readme():
    """The README, of its changelog's tables only what is there now: the last column."""
    text, changes = (ROOT / "README.md").read_text(encoding="utf-8").split("## Changes")
    now = [line.rsplit("|", 2)[1] if line.startswith("|") else line for line in changes.splitlines()]
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL) + "\n".join(now)


def _docstrings():
    for path in sorted(TOP.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (text := ast.get_docstring(node)):
                yield path.relative_to(TOP).as_posix(), text


TEXTS = [("README.md", _readme()), *_docstrings()]
NAMED = sorted({(where, name) for where, text in TEXTS for name in re.findall(r"`([^`\n]+)`", text)})
MODULES = [
    (where, found[0].removeprefix("maaf_lab."))
    for where, name in NAMED
    if (found := re.match(rf"(maaf_lab\.\w+|({'|'.join(ROOMS)})\.[a-zA-Z_]\w*)[\w.]*(?<!\.)", name)) and found[0] not in SETTINGS
]
FILES = [
    (where, name)
    for where, name in NAMED
    if re.fullmatch(r"[\w./-]+/[\w.-]*", name) and name.split("/")[0] in ROOMS | {"maaf_lab"}
]


def resolved(name):
    """The module, or what stands in a module, of a dotted name below maaf_lab."""
    found = maaf_lab
    for part in name.split("."):
        try:
            found = import_module(f"{found.__name__}.{part}") if isinstance(found, ModuleType) else getattr(found, part)
        except ModuleNotFoundError:
            found = getattr(found, part)
    return found


def test_there_is_something_to_test():
    assert len(MODULES) > 30 and len(FILES) > 20 and ("README.md", "paper/tables.py") in FILES
    with pytest.raises(AttributeError):
        resolved("paper.no_such_module")


@pytest.mark.parametrize(("where", "name"), MODULES)
def test_modules_and_names_exist(where, name):
    resolved(name)


@pytest.mark.parametrize(("where", "name"), FILES)
def test_files_exist(where, name):
    assert any((folder / name.removeprefix("maaf_lab/")).exists() for folder in (TOP, ROOT)), f"{where} names {name}"
