"""The folder that keeps squares: how it is searched, and how a finished build is put into place.

manifest-{list}.bin     of a list of images at one size: a line of JSON with the key, then a RECORD an image
pixels-{key}.npy        the squares, named by the contents of the files that they were made from (.jpegs for JPEG)
{list}.*.partial        a build: pixels and journal (see build); {list}.lock is held by the process that builds
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from maaf_lab.data.cache.build import RECORD, VERSION, Listing, fill
from maaf_lab.data.cache.formats import PixelCache
from maaf_lab.errors import DataError, SaveError
from maaf_lab.utils.files import locked, write_atomically

FORGET_AFTER = 7 * 86_400  # seconds after which the remains of an abandoned build are removed


class Store:
    """A cache folder as one `listing` sees it."""

    def __init__(self, folder: Path, listing: Listing) -> None:
        self.folder, self.listing, self.name = folder, listing, listing.name(folder)
        self.manifest = folder / f"manifest-{self.name}.bin"

    def find(self, stats: np.ndarray) -> PixelCache | None:
        """The cache of these very files, or None where it has to be built. stats: (N, 3) as from `Listing.stats`."""
        key, old = _read(self.manifest)
        if len(old) != len(stats):
            return None
        if np.array_equal(old["stat"], stats):
            return self._open(key)
        new = self.listing.refreshed(old, stats)
        cache = self._open(self.listing.key(new))
        if cache is not None:
            with contextlib.suppress(OSError, SaveError):  # a folder that cannot be written: hashed again next time
                self._write_manifest(cache.key, new)
        return cache

    def in_memory(self, stats: np.ndarray, progress: bool) -> PixelCache:
        """All images decoded into memory, for a folder that cannot be written."""
        out = io.BytesIO()
        key = self.listing.key(fill(self.listing, out, io.BytesIO(), stats, progress))
        return self.listing.kind.in_memory(key, np.frombuffer(out.getbuffer(), np.uint8), len(stats), self.listing.size)

    def build(self, stats: np.ndarray, progress: bool) -> PixelCache:
        """Decode what an earlier build did not, put the whole into place, open it. Waits for another process that builds it.

        A build that is stopped, or meets unreadable images, leaves what it has for the next one; on a full disk it leaves
        nothing. Raises DataError for the last two.
        """

        def held() -> None:
            if progress:
                tqdm.write(f"{self.listing.title} -> {self.listing.size} px: another process is building this cache; waiting")

        try:
            with locked(self.folder / f"{self.name}.lock", held) as alone:
                return self.find(stats) or self._built(stats, progress, alone)
        except (OSError, SaveError) as error:
            raise DataError(
                f"{self.folder}: could not write {self.listing.need} ({getattr(error, 'strerror', None) or error}). "
                f'Make room, pass another cache_dir, or keep the pixels as JPEG (store "jpeg").'
            ) from error

    def _built(self, stats: np.ndarray, progress: bool, alone: bool) -> PixelCache:
        """alone: whether no other process builds the same. If one may, or an earlier build's files are another user's, this
        build has files of its own, which are not gone on with."""
        alone = alone and all(os.access(file, os.W_OK) for file in self.folder.glob(f"{self.name}.*.partial"))
        stem, keep = self.name if alone else f"{self.name}-{uuid.uuid4().hex}", False
        pixels, journal = partial = [self.folder / f"{stem}.{part}.partial" for part in ("pixels", "journal")]
        try:
            for file in partial:
                file.touch()
            with open(pixels, "r+b") as out, open(journal, "r+b") as notes:
                records = fill(self.listing, out, notes, stats, progress, self.folder)
            return self._finish(pixels, records)
        except BaseException as error:
            keep = alone and not isinstance(error, OSError | SaveError) and journal.stat().st_size > 0
            raise
        finally:
            for file in () if keep else partial:
                with contextlib.suppress(OSError):
                    file.unlink()

    def _open(self, key: str) -> PixelCache | None:
        try:
            cache = self.listing.kind.load(self._pixels(key), key)
        except (OSError, ValueError, EOFError):  # gone, or damaged from outside: built again
            return None
        return cache if (len(cache), cache.size) == (len(self.listing.paths), self.listing.size) else None

    def _pixels(self, key: str) -> Path:
        return self.folder / f"pixels-{key}{self.listing.kind.suffix}"

    def _write_manifest(self, key: str, records: np.ndarray) -> None:
        head = {
            "key": key,
            "images": len(records),
            "size": self.listing.size,
            "store": self.listing.kind.store,
            "version": VERSION,
        }
        data = json.dumps(head).encode() + b"\n" + records.tobytes()
        write_atomically(self.manifest, lambda beside: beside.write_bytes(data) and None)

    def _finish(self, pixels: Path, records: np.ndarray) -> PixelCache:
        """Move a finished build into place; the pixels of older contents of the same images go."""
        key, (old, _) = self.listing.key(records), _read(self.manifest)
        self._write_manifest(key, records)  # first: a kill here leaves a finished build, which the next one moves
        if self._open(key) is None:
            os.replace(pixels, self._pixels(key))
        self._sweep(old if old != key else "")
        cache = self._open(key)
        if cache is None:
            raise DataError(f"{self._pixels(key)} was just written and cannot be read back: pass another cache_dir")
        return cache

    def _sweep(self, superseded: str) -> None:
        with contextlib.suppress(OSError):
            for left in (*self.folder.glob("*.partial"), *self.folder.glob("manifest-*.tmp")):  # of what was stopped
                if time.time() - left.stat().st_mtime > FORGET_AFTER:
                    left.unlink()
        with contextlib.suppress(OSError):
            if superseded and all(_read(manifest)[0] != superseded for manifest in self.folder.glob("manifest-*.bin")):
                self._pixels(superseded).unlink()


def _read(manifest: Path) -> tuple[str, np.ndarray]:
    """Key and records (N,); none of either where it is missing or damaged."""
    try:
        with open(manifest, "rb") as file:
            return str(json.loads(file.readline())["key"]), np.frombuffer(file.read(), RECORD)
    except (OSError, ValueError, KeyError, TypeError):
        return "", np.zeros(0, RECORD)


def default_folder(paths: Sequence[Path]) -> Path:
    """`.cache` beside the folder `images` that holds the paths, or in the folder that holds them all."""
    common = Path(os.path.commonpath([os.path.abspath(where) for where in {os.path.dirname(path) for path in paths}]))
    return (common.parent if common.name == "images" else common) / ".cache"
