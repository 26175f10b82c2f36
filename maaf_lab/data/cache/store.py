"""A folder of caches: finding the squares of a split, or building them.

manifest-{list}.bin     of a list of images at one size: a line of JSON with the key, then a RECORD for each image
pixels-{key}.npy        the squares, named after the contents of their image files (.jpegs for JPEG)
{list}.*.partial        a build's pixels and journal (see `build`); {list}.lock is held by the process that builds

The folder may have come with somebody else's data. So a key is only a key where it looks like one, nothing is read or written
through a link, a `.cache` that is a link is not used, and some images are decoded and compared whenever a cache is opened. Whose
the files are says nothing: a group shares its caches, and whoever unpacks an archive owns all that is in it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import stat
import time
import uuid
import warnings
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from maaf_lab.data.cache.build import MAKE_ROOM, RECORD, Listing, fill
from maaf_lab.data.cache.formats import STORES, PixelCache
from maaf_lab.data.images import square
from maaf_lab.data.split import Split
from maaf_lab.errors import ConfigError, DataError, SaveError
from maaf_lab.utils.files import locked, open_regular, remove_leftovers, why_not_writable, write_atomically

FORGET_AFTER = 7 * 86_400  # seconds after which the files of an abandoned build are removed


def pixel_cache(
    split: Split, size: int, cache_dir: str | Path | None = None, progress: bool = True, store: str = "raw"
) -> PixelCache:
    """Every image of `split` as `to_square(decode(...), size)`, decoded once and found again by the files' contents.

    A manifest has each file's name, bytes, mtime and ctime: files that agree are not read again, others are hashed, and the cache
    is rebuilt if any content changed. (Not noticed: a change within the file system's clock tick of the build, or with a forged
    ctime.) A cache is built in files of its own and moved into place when complete; a stopped build resumes, however it was
    stopped. A second process that wants the same cache waits for the first.
    cache_dir: by default `.cache` beside the folder `images`; where that cannot be written, the cache stays in memory, with a
    warning. store: "raw" (the pixels, fastest) or "jpeg" (a fraction of the disk; see `JpegCache`).
    Raises ConfigError for an invalid size or store; DataError naming files that are missing or damaged, or where a given
    `cache_dir` cannot be written or has no room.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ConfigError(f"pixel_cache: expected size as a whole number of at least 1, found {size!r}")
    if store not in STORES:
        raise ConfigError(f"pixel_cache: expected store as one of {', '.join(map(repr, STORES))}; found {store!r}")
    if not split.images:
        raise DataError(f"{split.title}: no images to cache")
    paths = [image.path if isinstance(image.path, Path) else Path(image.path) for image in split.images]  # no copies
    folder = Path(cache_dir) if cache_dir is not None else default_folder(paths)
    listing = Listing(split.title, paths, size, STORES[store], progress)
    kept = Store(folder, listing)
    if cache_dir is None and folder.is_symlink():
        why = "it is a link, which may lead anywhere"
    elif (found := kept.find()) is not None and (cache_dir is not None or _agrees(found, paths)):
        return found
    elif (why := why_not_writable(folder, end=".partial")) is None:
        try:
            if found is not None:
                warnings.warn(f"{found.path}: expected the pixels of the images, found others; built again", stacklevel=2)
                kept.forget(found)
            return kept.build()
        except PermissionError as error:
            why = f"another user's files are in the way: {error}"
    if cache_dir is not None:
        raise DataError(f"{folder}: expected a folder to write {listing.need} to; {why}. Pass another cache_dir.")
    warnings.warn(
        f"{folder} cannot be written ({why}): {listing.need} stay in memory and are decoded again next time. "
        f"Pass cache_dir to keep them.",
        stacklevel=2,
    )
    out = io.BytesIO()
    records = fill(listing, out, io.BytesIO())
    made = listing.kind.in_memory(listing.key(records), np.frombuffer(out.getbuffer(), np.uint8), len(paths), size)
    made.files = listing.files(records)
    return made


def image_files(split: Split, size: int, store: str = "raw") -> str:
    """`pixel_cache(split, size, store=store).files` without decoding anything: only what no cache knows is read.

    Raises DataError naming files that are missing.
    """
    paths = [Path(image.path) for image in split.images]
    folder, listing = default_folder(paths), Listing(split.title, paths, size, STORES[store], False)
    _, known = _read(Store(folder, listing).manifest) if not folder.is_symlink() else ("", np.zeros(0, RECORD))
    return listing.files(listing.refreshed(known if len(known) == len(paths) else np.zeros(len(paths), RECORD)))


class Store:
    """A cache folder, for one `listing`."""

    def __init__(self, folder: Path, listing: Listing) -> None:
        self.folder, self.listing, self.name = folder, listing, listing.name(folder)
        self.manifest = folder / f"manifest-{self.name}.bin"

    def find(self) -> PixelCache | None:
        """The cache of the files as they are now, or None where it has to be built."""
        key, old = _read(self.manifest)
        if len(old) != len(self.listing.stats):
            return None
        if np.array_equal(old["stat"], self.listing.stats):
            return self._open(key, old)
        new = self.listing.refreshed(old)
        cache = self._open(self.listing.key(new), new)
        if cache is not None:
            with contextlib.suppress(OSError, SaveError):  # a folder that cannot be written: hashed again next time
                self._write_manifest(cache.key, new)
        return cache

    def forget(self, cache: PixelCache) -> None:
        """Remove a cache. Raises PermissionError where it is another user's."""
        for file in (self.manifest, self._pixels(cache.key)):
            file.unlink(missing_ok=True)

    def build(self) -> PixelCache:
        """Decode what no earlier build has decoded, move the result into place, open it. Waits for another process's build.

        A build that is stopped, or finds damaged images, leaves its files for the next one; on a full disk it leaves none.
        Raises DataError for damaged images and for a full disk, PermissionError where another user's files are in the way.
        """

        def held() -> None:
            if self.listing.progress:
                tqdm.write(f"{self.listing.title} -> {self.listing.size} px: another process is building this cache; waiting")

        lock = self.folder / f"{self.name}.lock"
        try:
            _remove_links(lock, *self.folder.glob(f"{self.name}.*.partial"))
            with locked(lock, held) as alone:
                return self.find() or self._built(alone)
        except (OSError, SaveError) as error:
            if isinstance(cause := error.__cause__ or error, PermissionError):
                raise PermissionError(str(cause)) from error
            why = getattr(error, "strerror", None) or error
            raise DataError(f"{self.folder}: could not write {self.listing.need} ({why}). {MAKE_ROOM}") from error

    def _built(self, alone: bool) -> PixelCache:
        """alone: whether no other process builds the same. If one may, or an earlier build's files are another user's, this
        build has files of its own, which no later one resumes."""
        alone = alone and all(os.access(file, os.W_OK) for file in self.folder.glob(f"{self.name}.*.partial"))
        stem, keep = self.name if alone else f"{self.name}-{uuid.uuid4().hex}", False
        pixels, journal = partial = [self.folder / f"{stem}.{part}.partial" for part in ("pixels", "journal")]
        try:
            for file in partial:
                file.touch()
            with open(pixels, "r+b") as out, open(journal, "r+b") as notes:
                records = fill(self.listing, out, notes, self.folder)
            return self._finish(pixels, records)
        except BaseException as error:
            keep = alone and not isinstance(error, OSError | SaveError) and journal.stat().st_size > 0
            raise
        finally:
            for file in () if keep else partial:
                with contextlib.suppress(OSError):
                    file.unlink()

    def _finish(self, pixels: Path, records: np.ndarray) -> PixelCache:
        """Move a finished build into place and remove the pixels of older contents of the same images."""
        key, (old, _) = self.listing.key(records), _read(self.manifest)
        self._write_manifest(key, records)  # first: a kill here leaves a finished build, which the next one moves
        if self._open(key, records) is None:
            os.replace(pixels, self._pixels(key))
        self._sweep(old if old != key else "")
        cache = self._open(key, records)
        if cache is None:
            raise DataError(f"{self._pixels(key)} was just written and cannot be read back: pass another cache_dir")
        return cache

    def _open(self, key: str, records: np.ndarray) -> PixelCache | None:
        try:
            open_regular(self._pixels(key), links=False).close()
            cache = self.listing.kind.load(self._pixels(key), key)
            cache.files = self.listing.files(records)
        except (OSError, ValueError, EOFError, DataError):  # missing or damaged: built again
            return None
        return cache if (len(cache), cache.size) == (len(self.listing.paths), self.listing.size) else None

    def _pixels(self, key: str) -> Path:
        return self.folder / f"pixels-{key}{self.listing.kind.suffix}"

    def _write_manifest(self, key: str, records: np.ndarray) -> None:
        data = json.dumps({"key": key}).encode() + b"\n" + records.tobytes()
        write_atomically(self.manifest, lambda beside: beside.write_bytes(data) and None)

    def _sweep(self, superseded: str) -> None:
        """Remove the files of abandoned builds, and the pixels `superseded` where no manifest names them."""
        remove_leftovers(self.folder, age=3600)
        with contextlib.suppress(OSError):
            for left in self.folder.glob("*.partial"):
                if time.time() - left.stat().st_mtime > FORGET_AFTER:
                    left.unlink()
        with contextlib.suppress(OSError):
            if superseded and all(_read(manifest)[0] != superseded for manifest in self.folder.glob("manifest-*.bin")):
                self._pixels(superseded).unlink()


def _read(manifest: Path) -> tuple[str, np.ndarray]:
    """Key and records (N,); an empty key and no records where it is missing or damaged."""
    try:
        with open_regular(manifest, links=False) as file:
            key = json.loads(file.readline(100))["key"]
            if re.fullmatch("[0-9a-f]{20}", key):  # else it would be a path to anywhere
                return key, np.frombuffer(file.read(), RECORD)
    except (OSError, ValueError, KeyError, TypeError, DataError):
        pass
    return "", np.zeros(0, RECORD)


COMPARED, ALIKE = 8, 8  # images of a cache; steps of 255 by which JPEG and other versions of Pillow may differ on average


def _agrees(cache: PixelCache, paths: list[Path]) -> bool:
    """Whether some images, others each time, are those of their files. Damage is told by whoever reads the image or the file."""
    for i in random.SystemRandom().sample(range(len(paths)), min(COMPARED, len(paths))):
        with contextlib.suppress(OSError, DataError):
            kept, made = cache.image(i).astype(int), square(paths[i], cache.size).astype(int)
            if np.abs(kept - made).mean() > ALIKE:
                return False
    return True


def _remove_links(*paths: Path) -> None:
    """Remove what is written in place where it has another name too, so that no other file is written."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                path.unlink()


def default_folder(paths: list[Path]) -> Path:
    """`.cache` beside the folder `images` that holds the paths, or in the folder that holds them all."""
    common = Path(os.path.commonpath([os.path.abspath(where) for where in {os.path.dirname(path) for path in paths}]))
    return (common.parent if common.name == "images" else common) / ".cache"
