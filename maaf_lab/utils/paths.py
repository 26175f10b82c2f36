"""The lab's own folders, wherever a notebook or a command is started."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from maaf_lab.errors import ConfigError

GALLERIES = Path(__file__).resolve().parents[1] / "pretrained" / "galleries"  # vectors of the shipped models' galleries

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"  # in a clone; an installed package has none


LONGEST_PATH = 1000  # bytes; systems take 1,024 to 4,096, with the names of the files below it


def given_path(path: Path) -> Path:
    """A path that somebody gave, if the system can take it, whether something is there or not; else ConfigError."""
    try:
        if len(os.fsencode(path)) > LONGEST_PATH:
            raise ValueError(f"it is longer than {LONGEST_PATH:,} bytes")
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # whoever opens it says what that costs
    except (OSError, ValueError) as error:  # names that are too long, or no text; loops of links
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"expected the path of a file or a folder, found {str(path)[:80]!r}: {why}") from error
    return path


def typed_path(text: str) -> Path:
    """A path as a person types it, with ~ for the home folder. ConfigError as `given_path`."""
    path = Path(text)
    with contextlib.suppress(RuntimeError):  # ~ of a user that is not there
        path = path.expanduser()
    return given_path(path)


def own_folder(given: str | Path, own: str) -> Path:
    """The folder `given`; for "" the lab's folder `own`. The same for commands, notebooks and functions.

    That is in the folder that the environment variable MAAF_LAB_HOME names, or in the clone's top folder, or without a clone in
    the current folder.
    """
    if given != "":
        return given_path(Path(given))
    clone = NOTEBOOKS.parent if NOTEBOOKS.is_dir() else Path()
    return Path(os.environ.get("MAAF_LAB_HOME") or clone) / own


def records_folder(given: str | Path) -> Path | None:
    """The folder of finished runs that are only read: "lab" for those of the lab's notebooks, "" for none, or a folder."""
    if given == "":
        return None
    return NOTEBOOKS / "records" if str(given) == "lab" else given_path(Path(given))
