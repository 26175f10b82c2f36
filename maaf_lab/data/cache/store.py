"""The folder that keeps squares: how it is searched, and how a finished build is put into place.

    manifest-{list}.bin     of a list of images at one size: a line of JSON with the key, then a RECORD an image
    pixels-{key}.npy        the squares, named by the contents of the files that they were made from (.jpegs for JPEG)
    {list}.*.partial        a build: pixels and journal (see build)
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from maaf_lab.data.cache.build import RECORD, VERSION, Listing, alone, fill
from maaf_lab.data.cache.formats import PixelCache
from maaf_lab.errors import DataError
from maaf_lab.utils.files import why_not_writable

FORGET_AFTER = 7 * 86_400  # seconds after which the remains of a build that nobody went on with are removed


class Store:
    """A cache folder as one `listing` sees it."""

    def __init__(self, folder: Path, listing: Listing) -> None:
        self.folder, self.listing, self.name = folder, listing, listing.name(folder)
        self.manifest = folder / f"manifest-{self.name}.bin"

    def find(self, stats: np.ndarray) -> PixelCache | None:
        """The cache of these very files, or None where it has to be built. stats: (N, 3) as from `Listing.stats`."""
        key, old = self._read()
        if old is None:
            return None
        if np.array_equal(old["stat"], stats):
            return self._open(key)
        new = self.listing.refreshed(old, stats)
        cache = self._open(self.listing.key(new))
        if cache is not None:
            with contextlib.suppress(OSError):  # a folder that cannot be written: hashed again next time
                self._write_manifest(cache.key, new)
        return cache

    def why_not_writable(self) -> str | None:
        """What keeps a build from writing to the folder, or None."""
        return why_not_writable(self.folder, end=".partial")

    def in_memory(self, progress: bool) -> PixelCache:
        """All images decoded into memory, for a folder that cannot be written."""
        records = np.zeros(len(self.listing.paths), RECORD)

        def images() -> Iterator[bytes]:
            for i, (digest, image) in enumerate(self.listing.encoded(0, progress)):
                records["sha256"][i] = np.frombuffer(digest, np.uint8)
                yield image

        cache = self.listing.kind.collect(images(), len(records), self.listing.size)
        cache.key = self.listing.key(records)
        return cache

    def build(self, stats: np.ndarray, progress: bool) -> PixelCache:
        """Decode what an earlier build did not, put the whole into place, open it. Waits for another process that builds it.

        A build that is stopped, or meets unreadable images, leaves what it has for the next one; on a full disk it leaves
        nothing. Raises DataError for the last two.
        """
        def wait() -> None:
            if progress:
                tqdm.write(f"{self.listing.title} -> {self.listing.size} px: another process is building this cache; waiting")

        try:
            with alone(self.folder / f"{self.name}.journal.partial", wait) as (journal, shared):
                partial, keep = Path(journal.name.removesuffix(".journal.partial") + ".pixels.partial"), False
                try:
                    found = self.find(stats)
                    return found or self._finish(partial, fill(self.listing, partial, journal, stats, progress))
                except OSError:
                    raise
                except BaseException:
                    keep = shared and os.fstat(journal.fileno()).st_size > 0
                    raise
                finally:
                    for file in () if keep else (partial, Path(journal.name)):
                        with contextlib.suppress(OSError):
                            file.unlink()
        except OSError as error:
            raise DataError(f"{self.folder}: could not write {self.listing.need} ({error.strerror or error}). "
                            f"Make room, pass another cache_dir, or keep the pixels as JPEG (store \"jpeg\").") from error

    def _open(self, key: str) -> PixelCache | None:
        try:
            cache = self.listing.kind.load(self._pixels(key), key)
        except (OSError, ValueError, EOFError):  # gone, or damaged from outside: built again
            return None
        return cache if (len(cache), cache.size) == (len(self.listing.paths), self.listing.size) else None

    def _pixels(self, key: str) -> Path:
        return self.folder / f"pixels-{key}{self.listing.kind.suffix}"

    def _read(self) -> tuple[str, np.ndarray | None]:
        try:
            with open(self.manifest, "rb") as file:
                key = json.loads(file.readline())["key"]
                records = np.frombuffer(file.read(), RECORD)
        except (OSError, ValueError, KeyError, TypeError):
            return "", None
        return (key, records) if isinstance(key, str) and len(records) == len(self.listing.paths) else ("", None)

    def _write_manifest(self, key: str, records: np.ndarray) -> None:
        head = {"key": key, "images": len(records), "size": self.listing.size, "store": self.listing.kind.store,
                "version": VERSION}
        temporary = self.manifest.with_name(f"{self.manifest.name}.{uuid.uuid4().hex}.partial")
        try:
            with open(temporary, "wb") as file:
                file.write(json.dumps(head).encode() + b"\n")
                file.write(records.tobytes())
            os.replace(temporary, self.manifest)
        finally:
            temporary.unlink(missing_ok=True)

    def _finish(self, partial: Path, records: np.ndarray) -> PixelCache:
        """Move a finished build into place; the pixels of older contents of the same images go."""
        key, (old, _) = self.listing.key(records), self._read()
        self._write_manifest(key, records)  # first: a kill here leaves a finished partial, which the next build moves
        if self._open(key) is None:
            os.replace(partial, self._pixels(key))
        self._sweep(old if old != key else "")
        cache = self._open(key)
        if cache is None:
            raise DataError(f"{self._pixels(key)} was just written and cannot be read back: pass another cache_dir")
        return cache

    def _sweep(self, superseded: str) -> None:
        for partial in self.folder.glob("*.partial"):  # of builds that were stopped
            with contextlib.suppress(OSError):
                if time.time() - partial.stat().st_mtime > FORGET_AFTER:
                    partial.unlink()
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if superseded and all(_key_in(m) != superseded for m in self.folder.glob("manifest-*.bin")):
                self._pixels(superseded).unlink()


def _key_in(manifest: Path) -> str:
    with open(manifest, "rb") as file:
        return json.loads(file.readline())["key"]


def default_folder(paths: Sequence[Path]) -> Path:
    """`.cache` beside the folder `images` that holds the paths, or in the folder that holds them all."""
    common = Path(os.path.commonpath([os.path.abspath(where) for where in {os.path.dirname(path) for path in paths}]))
    return (common.parent if common.name == "images" else common) / ".cache"
