"""The squares of a split, decoded once: found again, or built, or kept in memory."""

from __future__ import annotations

import warnings
from pathlib import Path

from maaf_lab.data.cache.build import Listing
from maaf_lab.data.cache.formats import STORES, PixelCache
from maaf_lab.data.cache.store import Store, default_folder
from maaf_lab.data.split import Split
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.utils.files import why_not_writable


def pixel_cache(
    split: Split, size: int, cache_dir: str | Path | None = None, progress: bool = True, store: str = "raw"
) -> PixelCache:
    """Every image of `split` as a `to_square(decode(...), size)`, decoded once and found again by the files' contents.

    A manifest remembers each file's name, bytes, mtime and ctime: files that agree are not read again. Files that do not are
    hashed, and the cache is built anew if any content changed. (What it cannot see: a change within the clock tick of the file
    system in which it was built, or by one who can set ctime.) A build is written beside and moved into place when whole; one
    that was stopped, in whatever way, goes on where it stopped. A second process that wants the same waits for the first.
    cache_dir: by default `.cache` beside the folder `images`; where that cannot be written, the cache stays in memory, with a
    warning. store: "raw" (the pixels, fastest) or "jpeg" (a fraction of the disk; see `JpegCache`).
    Raises ConfigError for nonsense, DataError listing all files that are missing or unreadable, or when a given `cache_dir`
    cannot be written or has no room.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ConfigError(f"pixel_cache: expected size as a whole number of at least 1, found {size!r}")
    if store not in STORES:
        raise ConfigError(f"pixel_cache: expected store as one of {', '.join(map(repr, STORES))}; found {store!r}")
    if not split.images:
        raise DataError(f"{split.title}: no images to cache")
    paths = [image.path if isinstance(image.path, Path) else Path(image.path) for image in split.images]  # no copies
    folder = Path(cache_dir) if cache_dir is not None else default_folder(paths)
    listing = Listing(split.title, paths, size, STORES[store])
    stats, kept = listing.stats(), Store(folder, listing)
    found = kept.find(stats)
    if found is not None:
        return found
    why = why_not_writable(folder, end=".partial")
    if why is None:
        return kept.build(stats, progress)
    if cache_dir is not None:
        raise DataError(f"{folder}: expected a folder to write {listing.need} to; {why}. Pass another cache_dir.")
    warnings.warn(
        f"{folder} cannot be written ({why}): {listing.need} stay in memory and are decoded again next time. "
        f"Pass cache_dir to keep them.",
        stacklevel=2,
    )
    return kept.in_memory(stats, progress)
