"""The lab's own folders, wherever a notebook or a command is started."""

from __future__ import annotations

import os
from pathlib import Path

GALLERIES = Path(__file__).resolve().parents[1] / "pretrained" / "galleries"  # vectors of the shipped models' galleries

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"  # in a clone; an installed package has none


def own_folder(given: str | Path, own: str) -> Path:
    """The folder `given`; for "" the lab's folder `own`. The same for commands, notebooks and functions.

    That is in the folder that the environment variable MAAF_LAB_HOME names, or in the clone's top folder, or without a clone in
    the current folder.
    """
    if given not in ("", Path()):
        return Path(given)
    clone = NOTEBOOKS.parent if NOTEBOOKS.is_dir() else Path()
    return Path(os.environ.get("MAAF_LAB_HOME") or clone) / own


def records_folder(given: str | Path) -> Path | None:
    """The folder of finished runs that are only read: "lab" for those of the lab's notebooks, "" for none, or a folder."""
    if given in ("", Path()):
        return None
    return NOTEBOOKS / "records" if str(given) == "lab" else Path(given)
