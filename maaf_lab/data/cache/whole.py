"""Which image files decode without an error, found out once: for `missing="skip"`, which must leave out all that do not.

whole-{list}.bin in the cache folder   bytes, mtime and ctime (int64) of each image of a list; zeros for one that is damaged
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from maaf_lab.data.cache.build import Listing
from maaf_lab.data.cache.formats import PixelCache
from maaf_lab.data.cache.store import default_folder
from maaf_lab.errors import DataError, SaveError
from maaf_lab.utils.files import open_regular, write_atomically
from maaf_lab.utils.parallel import in_threads

SHOW_FROM = 1000  # files to decode from which a bar is shown


def damaged_files(title: str, paths: Sequence[Path], look: Callable[[Path], str | None]) -> dict[int, str]:
    """Index -> why, of the files that cannot be used. look: path -> why, or None; not called for files known to be whole."""
    if not paths:
        return {}
    folder = default_folder(list(paths))
    file = folder / f"whole-{Listing(title, list(paths), 0, PixelCache, False).name(folder)}.bin"
    stats = np.zeros((len(paths), 3), np.int64)
    for i, path in enumerate(paths):
        with contextlib.suppress(OSError):
            s = os.stat(path)
            stats[i] = s.st_size, s.st_mtime_ns, s.st_ctime_ns
    known = _read(file, stats)
    todo = np.flatnonzero((known != stats).any(1) | ~stats.any(1)).tolist()
    answers = in_threads(look, [paths[i] for i in todo], f"decoding {title}", progress=len(todo) >= SHOW_FROM)
    bad = {i: why for i, why in zip(todo, answers) if why}
    stats[list(bad)] = 0
    if not np.array_equal(known, stats) and not folder.is_symlink():
        with contextlib.suppress(OSError, SaveError):  # looked at again the next time
            write_atomically(file, lambda beside: beside.write_bytes(stats.tobytes()) and None)
    return bad


def _read(file: Path, like: np.ndarray) -> np.ndarray:
    """What is known, zeros where there is no such file."""
    with contextlib.suppress(OSError, ValueError, DataError), open_regular(file, links=False) as found:
        if not file.parent.is_symlink():
            return np.frombuffer(found.read(), np.int64).reshape(like.shape)
    return np.zeros_like(like)
