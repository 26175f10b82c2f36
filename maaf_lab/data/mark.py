"""`made.json`: what the lab writes last into a folder of synthetic data, and by which it knows one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maaf_lab.utils.files import parse_json

MARK = "made.json"  # only in folders that `maaf_lab.synthetic` wrote; see `synthetic/folder.py`


def read_mark(path: Path) -> Any:
    """The content of a `made.json`. Raises OSError, or ValueError where it is no JSON."""
    mark = parse_json(path.read_text(encoding="utf-8"))
    if isinstance(mark, dict) and str(origin := mark.get("origin")).startswith("made "):  # written by an earlier version
        mark["origin"] = origin.replace("made ", "synthetic ", 1)
    return mark


def is_drawn(folder: Path) -> bool:
    """Whether the folder has a complete synthetic dataset."""
    return (folder / MARK).is_file()


def are_counts(counts: Any) -> bool:
    """Whether it is {split: [images, queries]}."""
    return isinstance(counts, dict) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, int) for n in pair) for pair in counts.values()
    )
