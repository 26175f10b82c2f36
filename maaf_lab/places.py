"""Where the lab's own folders stand, wherever a notebook or a command is started from."""

from __future__ import annotations

from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"  # of a clone; a package alone has none


def place(given: str | Path, own: str) -> Path:
    """A folder as given; "" for the lab's own one of that name, in a clone's top folder (without a clone: where one stands)."""
    if str(given) not in ("", "."):
        return Path(given)
    return (NOTEBOOKS.parent if NOTEBOOKS.is_dir() else Path()) / own


def records_place(given: str | Path) -> Path | None:
    """Finished runs that are only read: "lab" for those that come with the lab's notebooks, "" for none, else a folder."""
    if str(given) in ("", "."):
        return None
    return NOTEBOOKS / "records" if str(given) == "lab" else Path(given)
