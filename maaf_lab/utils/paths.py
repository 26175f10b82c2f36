"""Where the lab's own folders are, wherever a notebook or a command is started."""

from __future__ import annotations

import os
from pathlib import Path

GALLERIES = Path(__file__).resolve().parents[1] / "pretrained" / "galleries"  # vectors of the shipped models' galleries

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"  # of a clone; a package alone has none


def own_folder(given: str | Path, own: str) -> Path:
    """A folder as given; "" for the lab's own one of that name. The same for commands, notebooks and functions.

    It is in the folder that the environment variable MAAF_LAB_HOME names, else in the clone's top folder, else (no clone) in
    the current folder.
    """
    if given not in ("", Path()):
        return Path(given)
    clone = NOTEBOOKS.parent if NOTEBOOKS.is_dir() else Path()
    return Path(os.environ.get("MAAF_LAB_HOME") or clone) / own


def records_folder(given: str | Path) -> Path | None:
    """Finished runs that are only read: "lab" for those that come with the lab's notebooks, "" for none, else a folder."""
    if given in ("", Path()):
        return None
    return NOTEBOOKS / "records" if str(given) == "lab" else Path(given)
