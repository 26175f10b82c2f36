"""A notebook's parameters: what its cell declares, and the refusal of whatever does not fit.

Cells are read by Python's own parser. `papermill.inspect_notebook` reads lines by a regular expression: it loses a parameter
whose text holds `=`, cuts one at `#`, and passes over what is no parameter; and `check_parameters` would wait for its import.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from maaf_lab.arguments import checked
from maaf_lab.errors import ConfigError
from maaf_lab.notebooks.files import NotebookError, read
from maaf_lab.utils.wording import did_you_mean

PARAMETERS_TAG = "parameters"
_INJECTED = "# Parameters"  # the first line of the cell that papermill writes


@checked
def declared_parameters(notebook: str | Path) -> dict[str, Any]:
    """The names and default values of a notebook's `parameters` cell; empty where it has none.

    Raises NotebookError where the cell holds anything but `name = literal`, or where two cells carry the tag.
    """
    path = Path(notebook)
    tagged = [cell for cell in read(path).cells if PARAMETERS_TAG in cell.metadata.get("tags", [])]
    if not tagged:
        return {}
    if len(tagged) > 1:
        raise NotebookError(f"{path.name}: {len(tagged)} cells are tagged '{PARAMETERS_TAG}'; keep one")
    values = _assignments(tagged[0].source)
    if values is None:
        raise NotebookError(
            f"{path.name}: the cell tagged '{PARAMETERS_TAG}' must hold `name = literal` lines only (numbers, strings, True, "
            f"None, lists); move everything else to another cell. Found:\n{tagged[0].source}"
        )
    return values


def check_parameters() -> None:
    """First line of the code cell after a notebook's `parameters` cell: refuses what papermill injected in between.

    papermill puts the values given with `-p` into a cell of their own, whatever their names are. This looks up that cell
    and the parameters cell in the kernel's history, and compares names and types. Without an injected cell (run by hand,
    or with the defaults), or outside a kernel, there is nothing to check.
    Raises ConfigError naming the unknown and the known names, or the value whose type does not fit.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    history = list(shell.user_ns.get("In", []))[:-1] if shell else []  # without the cell that calls
    injected = max((i for i, source in enumerate(history) if source.startswith(_INJECTED)), default=None)
    if injected is None:
        return
    declared: dict[str, Any] = {}
    for source in history[:injected]:  # all of them: cells may have been run again by hand, in any order
        declared |= _assignments(source) or {}
    if declared:
        refuse("this notebook", declared, _assigned_names(history[injected]), _assignments(history[injected]) or {})


def refuse(title: str, declared: Mapping[str, Any], names: Iterable[str], values: Mapping[str, Any]) -> None:
    unknown = sorted(set(names) - set(declared))
    if unknown:
        known = ", ".join(f"{name} = {value!r}" for name, value in declared.items()) or "none (it has no parameters cell)"
        close = did_you_mean(unknown[0], declared)
        raise ConfigError(
            f"{title} has no parameter {', '.join(map(repr, unknown))}; its parameters and defaults: {known}{close}"
        )
    for name, value in values.items():
        if not _fits(value, declared[name]):
            raise ConfigError(
                f"{title}: parameter {name!r} takes {type(declared[name]).__name__} (its default is {declared[name]!r}); "
                f"found {value!r}, {type(value).__name__}"
            )


def _fits(value: Any, default: Any) -> bool:
    if default is None:  # says nothing about its type
        return True
    if isinstance(default, float) and type(value) is int:
        return True
    if isinstance(default, (list, tuple)):  # papermill has no tuples
        return isinstance(value, (list, tuple))
    return type(value) is type(default)


def _assignments(source: str) -> dict[str, Any] | None:
    """What a cell of `name = literal` lines assigns; None if it is anything else."""
    values: dict[str, Any] = {}
    try:
        body = ast.parse(source).body
        for node in body:
            target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else getattr(node, "target", None)
            if not isinstance(node, (ast.Assign, ast.AnnAssign)) or not isinstance(target, ast.Name) or node.value is None:
                return None
            values[target.id] = _literal(node.value)
    except (SyntaxError, ValueError):
        return None
    return values


def _literal(node: ast.expr) -> Any:
    """A literal's value; also `float('nan')` and its like, which is how papermill spells those."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float" and len(node.args) == 1:
        return float(ast.literal_eval(node.args[0]))
    return ast.literal_eval(node)


def _assigned_names(source: str) -> list[str]:
    return [node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
