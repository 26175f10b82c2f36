"""Builds of a cache that can be stopped at any moment, in any way, and resume.

A build has two files: the images so far, and a journal with a record of each complete one. Pixels are on the disk before their
record is written, and a record has the hash of its image file and a checksum of its own. So the records left by a stopped build
can be trusted once the image files have been checked.

Shapes: N images of a split, S side of the square in pixels.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from maaf_lab.data.cache.formats import PixelCache
from maaf_lab.data.images import WITHOUT_IMAGES, square
from maaf_lab.errors import DataError
from maaf_lab.utils.files import open_regular
from maaf_lab.utils.parallel import in_threads
from maaf_lab.utils.wording import first_names

VERSION = 1  # of `square`; raise it whenever the same file gives other pixels
# Of an image: bytes, mtime and ctime of its file, the hash of its contents, and the end of its pixels in the file of pixels.
RECORD = np.dtype([("stat", "<i8", 3), ("sha256", "u1", 32), ("end", "<i8")])
SEALED = np.dtype([("record", RECORD), ("crc32", "<u4")])  # in a journal: a torn record fails the check
SAVE_EVERY = 1.0  # seconds of work that a kill may cost
MAKE_ROOM = 'Make room, pass another cache_dir, or keep the pixels as JPEG (store "jpeg").'


@dataclass(frozen=True)
class Listing:
    """What to cache: image files, the side of their squares, the kind of cache. title: for messages. progress: show bars."""

    title: str
    paths: list[Path]
    size: int
    kind: type[PixelCache]
    progress: bool

    @property
    def need(self) -> str:
        """For messages: how much there is to store."""
        raw = f"{len(self.paths) * self.size * self.size * 3 / 1e6:,.0f} MB of pixels"
        return raw if self.kind.store == "raw" else f"{raw} as {self.kind.store}"

    @cached_property
    def stats(self) -> np.ndarray:
        """(N, 3) int64: bytes, mtime and ctime in ns of each file. Raises DataError naming the missing ones."""
        stats, missing = np.zeros((len(self.paths), 3), np.int64), []
        for i, path in enumerate(self.paths):
            try:
                s = os.stat(path)
                stats[i] = s.st_size, s.st_mtime_ns, s.st_ctime_ns
            except OSError:
                missing.append(path.name)
        if missing:
            raise DataError(
                f"{self.title}: {len(missing):,} of {len(self.paths):,} images missing under {self.paths[0].parent} "
                f"(first: {first_names(missing)}). {WITHOUT_IMAGES}."
            )
        return stats

    def name(self, folder: Path) -> str:
        """The list's name in a cache folder, made of paths relative to it: a dataset may move together with its cache."""
        names, near = hashlib.sha256(f"{VERSION} {self.size}{self.kind.tag} ".encode()), {}
        for path in self.paths:
            where, name = os.path.split(path)
            if where not in near:
                near[where] = os.path.relpath(where or ".", folder)
            names.update(os.fsencode(f"{near[where]}/{name}\0"))
        return names.hexdigest()[:16]

    def key(self, records: np.ndarray) -> str:
        """The name of the pixels, made of their files' contents in order, their size and their encoding."""
        contents = records["sha256"].tobytes().hex(" ", 32)
        return hashlib.sha256(f"{VERSION} {self.size}{self.kind.tag} {contents}".encode()).hexdigest()[:20]

    @staticmethod
    def files(records: np.ndarray) -> str:
        """`PixelCache.files`: what the image files hold, at whatever size and in whatever encoding they are kept."""
        return f"sha256:{hashlib.sha256(records['sha256'].tobytes()).hexdigest()[:12]}"

    def refreshed(self, records: np.ndarray) -> np.ndarray:
        """Current records of the first files. Only files whose stats differ are hashed; zeros for one that cannot be read."""

        def digest(i: int) -> bytes:
            try:
                with open_regular(self.paths[i]) as file:
                    return hashlib.file_digest(file, "sha256").digest()
            except (OSError, DataError):
                return bytes(32)

        new = records.copy()
        new["stat"] = self.stats[: len(records)]
        changed = np.flatnonzero((records["stat"] != new["stat"]).any(1))
        for i, now in zip(changed, in_threads(digest, changed)):
            new["sha256"][i] = np.frombuffer(now, np.uint8)
        return new

    def encoded(self, start: int) -> Iterator[tuple[bytes, bytes]]:
        """(sha256 of the file, its square encoded) of all images from `start`. One DataError counts all damaged files."""

        def one(path: Path) -> tuple[bytes, bytes, str]:
            try:
                with open_regular(path) as file:
                    pixels = square(path, self.size, file)
                    file.seek(0)
                    return hashlib.file_digest(file, "sha256").digest(), self.kind.encode(pixels), ""
            except (OSError, DataError) as error:
                return b"", b"", str(error).removeprefix(f"{path}: ")

        rest, bad = self.paths[start:], []
        desc = f"{self.title} -> {self.size} px" + (f" (the last {len(rest):,})" if start else "")
        for path, (digest, image, why) in zip(rest, in_threads(one, rest, desc, progress=self.progress)):
            if why:
                bad.append(f"{path.name}: {why}")
            elif not bad:
                yield digest, image
        if bad:
            raise DataError(
                f"{self.title}: {len(bad):,} of {len(self.paths):,} images damaged under {self.paths[0].parent} "
                f"(first: {'; '.join(bad[:3])}). {WITHOUT_IMAGES}."
            )


def fill(listing: Listing, out: BinaryIO, journal: BinaryIO, folder: Path | None = None) -> np.ndarray:
    """Write the file of all images to `out`, resuming after its journal's last record; -> the records (N,) of all images.

    folder: of both files, None in memory. Raises OSError where its disk is full; DataError where it has too little room, or for
    damaged images.
    """
    n, kind = len(listing.paths), listing.kind
    begin = len(kind.header(n, listing.size))
    kept = _unchanged(listing, journal, begin, out.seek(0, os.SEEK_END))
    done = saved = len(kept)
    records = np.zeros(n, RECORD)
    records["stat"], records[:done] = listing.stats, kept
    checks = np.zeros(n, "<u4")
    checks[:done] = _checksums(out, begin, kept["end"])
    end = int(records["end"][done - 1]) if done else begin
    out.truncate(end)
    out.seek(end)
    journal.truncate(done * SEALED.itemsize)
    journal.seek(0, os.SEEK_END)
    if folder is not None:
        _check_room(listing, folder, n - done)

    def save() -> None:
        nonlocal saved
        _sync(out)
        journal.write(_sealed(records[saved:done]))
        journal.flush()
        saved = done

    clock = time.monotonic()
    try:
        for digest, image in listing.encoded(done) if done < n else ():
            out.write(image)
            end, checks[done] = end + len(image), zlib.crc32(image)
            records["sha256"][done], records["end"][done] = np.frombuffer(digest, np.uint8), end
            done += 1
            if time.monotonic() - clock >= SAVE_EVERY:
                save()
                clock = time.monotonic()
    finally:
        save()
    out.write(checks.tobytes())
    out.seek(0)
    out.write(kind.header(n, listing.size, records["end"]))
    _sync(out)
    return records


def _checksums(file: BinaryIO, begin: int, ends: np.ndarray) -> list[int]:
    """CRC-32 of each image in a file of pixels; begin: of the first one."""
    file.seek(begin)
    return [zlib.crc32(file.read(length)) for length in np.diff(ends, prepend=begin)]


def _sync(file: BinaryIO) -> None:
    file.flush()
    with contextlib.suppress(io.UnsupportedOperation):  # in memory
        os.fsync(file.fileno())


def _unchanged(listing: Listing, journal: BinaryIO, begin: int, size: int) -> np.ndarray:
    """Records of the first images that an earlier build wrote and whose files have not changed since.

    begin, size: the first image's offset in the file of pixels, and that file's length.
    """
    journal.seek(0)
    data = journal.read(len(listing.paths) * SEALED.itemsize)
    found = np.frombuffer(data, SEALED, len(data) // SEALED.itemsize)
    records = found["record"].copy()
    now = listing.refreshed(records)
    good = np.frombuffer(_sealed(records), SEALED)["crc32"] == found["crc32"]
    good &= (now["sha256"] == records["sha256"]).all(1)
    good &= (np.diff(records["end"], prepend=begin) > 0) & (records["end"] <= size)
    return now[: np.logical_and.accumulate(good).sum()]


def _sealed(records: np.ndarray) -> bytes:
    sealed = np.zeros(len(records), SEALED)
    sealed["record"] = records
    sealed["crc32"] = [zlib.crc32(record) for record in records.view(f"V{RECORD.itemsize}")]
    return sealed.tobytes()


def _check_room(listing: Listing, folder: Path, images: int) -> None:
    """Raises DataError before hours of decoding, not after. (A black image is the smallest in any encoding.)"""
    least = images * len(listing.kind.encode(np.zeros((listing.size, listing.size, 3), np.uint8)))
    free = shutil.disk_usage(folder).free
    if least > free:
        raise DataError(
            f"{folder}: expected at least {least / 1e6:,.0f} MB of free space for {listing.title}, found "
            f"{free / 1e6:,.0f} MB. {MAKE_ROOM}"
        )
