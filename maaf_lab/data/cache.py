"""Pixels that are decoded once: the squares of a split in one memory-mapped file, found again by the files' contents.

Shapes: N images of a split, B of a batch, S side of the square in pixels.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maaf_lab.data.check import first_names, in_threads
from maaf_lab.data.images import decode, to_square
from maaf_lab.data.split import Split
from maaf_lab.errors import ConfigError, DataError

VERSION = 1  # of decode and to_square; raise it whenever the same file gives other pixels


class PixelCache:
    """The images of a split as squares, uint8 (N, S, S, 3), in one memory-mapped file (or in memory, path None).

    key: names the contents; the same files at the same size give the same key. Safe to send to other processes: they map
    the same file.
    """

    def __init__(self, key: str, pixels: np.ndarray, path: Path | None) -> None:
        self.key, self.pixels, self.path = key, pixels, path

    @property
    def size(self) -> int:
        return self.pixels.shape[1]

    def __len__(self) -> int:
        return len(self.pixels)

    def __repr__(self) -> str:
        where = self.path or "in memory"
        return f"PixelCache({len(self):,} images of {self.size} px, {self.pixels.nbytes / 1e6:,.1f} MB, {where})"

    def image(self, index: int) -> np.ndarray:
        """One image, uint8 (S, S, 3)."""
        return np.array(self.pixels[index])

    def batch(self, indices: np.ndarray | Tensor | Sequence[int]) -> Tensor:
        """Images by index -> uint8 (B, 3, S, S), channels last in memory. Raises IndexError outside the split."""
        rows = np.asarray(indices, dtype=np.int64).reshape(-1)
        return torch.from_numpy(self.pixels[rows].view(np.ndarray)).permute(0, 3, 1, 2)

    def __getstate__(self) -> dict[str, Any]:
        return {"key": self.key, "path": self.path, "pixels": None if self.path else self.pixels}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.key, self.path = state["key"], state["path"]
        self.pixels = np.load(self.path, mmap_mode="r", allow_pickle=False) if self.path else state["pixels"]


def pixel_cache(split: Split, size: int, cache_dir: str | Path | None = None, progress: bool = True) -> PixelCache:
    """Every image of `split` as a `to_square(decode(...), size)`, decoded once and found again by the files' contents.

    A manifest remembers each file's name, bytes, mtime and ctime: files that agree are not read again. Files that do not are
    hashed, and the cache is built anew if any content changed. (What it cannot see: a change within the clock tick of the file
    system in which it was built, or by one who can set ctime.) A build is written beside and moved into place when whole.
    cache_dir: by default `.cache` beside the folder `images`; where that cannot be written, the cache stays in memory, with a
    warning. Raises DataError listing all files that are missing or unreadable, or when a given `cache_dir` cannot be written.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ConfigError(f"pixel_cache: expected size as a whole number of at least 1, found {size!r}")
    if not split.images:
        raise DataError(f"{split.title}: no images to cache")
    paths = [Path(image.path) for image in split.images]
    folder = Path(cache_dir) if cache_dir is not None else _default_folder(paths)
    store = _Store(folder, paths, size)
    stats = _stats(split, paths)
    found = store.find(stats)
    if found is not None:
        return found
    need = f"{len(paths) * size * size * 3 / 1e6:,.0f} MB of pixels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"pixels-{uuid.uuid4().hex}.partial"
        partial.touch(exist_ok=False)
    except OSError as error:
        if cache_dir is not None:
            raise DataError(f"{folder}: expected a folder to write {need} to; "
                            f"{error.strerror or error}. Pass another cache_dir.") from error
        warnings.warn(f"{folder} cannot be written ({error.strerror or error}): {need} stay in memory and are decoded again "
                      f"next time. Pass cache_dir to keep them.", stacklevel=2)
        pixels = np.empty((len(paths), size, size, 3), np.uint8)
        digests = _fill(split, paths, size, progress, pixels.__setitem__)
        return PixelCache(_key(digests, size), pixels, None)
    try:
        digests = _write(split, paths, size, progress, partial)
        return store.keep(partial, stats, digests)
    except OSError as error:
        raise DataError(f"{folder}: could not write {need} ({error.strerror or error}). "
                        f"Make room, or pass another cache_dir.") from error
    finally:
        partial.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Store:
    """A cache folder as one list of images at one size sees it: a manifest, and pixel files named by their contents."""

    folder: Path
    paths: list[Path]
    size: int

    @property
    def manifest(self) -> Path:
        names = "\0".join(os.path.relpath(path, self.folder) for path in self.paths)  # relative: a folder may move with its cache
        return self.folder / f"manifest-{hashlib.sha256(f'{VERSION} {self.size} {names}'.encode()).hexdigest()[:16]}.json"

    def pixels_file(self, key: str) -> Path:
        return self.folder / f"pixels-{key}.npy"

    def open(self, key: str) -> PixelCache | None:
        path = self.pixels_file(key)
        try:
            pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):  # gone, or damaged from outside: built again
            return None
        if pixels.shape != (len(self.paths), self.size, self.size, 3) or pixels.dtype != np.uint8:
            return None
        return PixelCache(key, pixels, path)

    def read(self) -> dict[str, Any] | None:
        try:
            found = json.loads(self.manifest.read_text())
            if isinstance(found["key"], str) and len(found["stats"]) == len(found["digests"]) == len(self.paths):
                return found
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def find(self, stats: list[list[int]]) -> PixelCache | None:
        """The cache of these very files, or None where it has to be built."""
        old = self.read()
        if old is None:
            return None
        if old["stats"] == stats:
            return self.open(old["key"])
        try:
            digests = [digest if was == now else _sha256(path.read_bytes())
                       for path, was, now, digest in zip(self.paths, old["stats"], stats, old["digests"])]
        except OSError:
            return None
        cache = self.open(_key(digests, self.size))
        if cache is not None:
            with contextlib.suppress(OSError):  # a folder that cannot be written: hashed again next time
                self._write_manifest(cache.key, stats, digests)
        return cache

    def keep(self, built: Path, stats: list[list[int]], digests: list[str]) -> PixelCache:
        """Move a finished build into place; the pixels of older contents of the same images go."""
        key, old = _key(digests, self.size), self.read()
        if self.open(key) is None:  # another build of the same files may have been quicker
            os.replace(built, self.pixels_file(key))
        self._write_manifest(key, stats, digests)
        self._sweep(old["key"] if old and old["key"] != key else None)
        cache = self.open(key)
        if cache is None:
            raise DataError(f"{self.pixels_file(key)} was just written and cannot be read back: pass another cache_dir")
        return cache

    def _write_manifest(self, key: str, stats: list[list[int]], digests: list[str]) -> None:
        temporary = self.manifest.with_name(f"{self.manifest.name}.{os.getpid()}.partial")
        temporary.write_text(json.dumps({"key": key, "size": self.size, "stats": stats, "digests": digests}))
        os.replace(temporary, self.manifest)

    def _sweep(self, superseded: str | None) -> None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            for partial in self.folder.glob("*.partial"):  # of builds that were killed
                if time.time() - partial.stat().st_mtime > 86_400:
                    partial.unlink()
            if superseded and all(json.loads(m.read_text())["key"] != superseded for m in self.folder.glob("manifest-*.json")):
                self.pixels_file(superseded).unlink()


def _default_folder(paths: Sequence[Path]) -> Path:
    common = Path(os.path.commonpath([os.path.abspath(path.parent) for path in paths]))
    return (common.parent if common.name == "images" else common) / ".cache"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _key(digests: Sequence[str], size: int) -> str:
    return _sha256(f"{VERSION} {size} {' '.join(digests)}".encode())[:20]


def _stats(split: Split, paths: Sequence[Path]) -> list[list[int]]:
    stats, missing = [], []
    for path in paths:
        try:
            s = os.stat(path)
            stats.append([s.st_size, s.st_mtime_ns, s.st_ctime_ns])
        except OSError:
            missing.append(path.name)
    if missing:
        raise DataError(f"{split.title}: {len(missing):,} of {len(paths):,} images missing under {paths[0].parent} (first: "
                        f"{first_names(missing)}). Load the split with missing=\"skip\", or run the dataset's check.")
    return stats


def _write(split: Split, paths: Sequence[Path], size: int, progress: bool, file: Path) -> list[str]:
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), size, size, 3)}
    with open(file, "wb") as out:
        np.lib.format.write_array_header_1_0(out, header)
        digests = _fill(split, paths, size, progress, lambda i, square: out.write(square.tobytes()))
        out.flush()
        os.fsync(out.fileno())
    return digests


def _fill(split: Split, paths: Sequence[Path], size: int, progress: bool, put: Any) -> list[str]:
    """Decode all images in order and `put(i, square)` each; -> sha256 of each file. All bad files are named in one error."""
    def one(path: Path) -> tuple[str, np.ndarray | None, str]:
        try:
            data = path.read_bytes()
            return _sha256(data), to_square(decode(path, data), size), ""
        except (OSError, DataError) as error:
            return "", None, str(error).removeprefix(f"{path}: ")

    digests, bad = [], []
    for i, (digest, square, why) in enumerate(in_threads(one, paths, f"{split.title} -> {size} px", progress)):
        if square is None:
            bad.append(f"{paths[i].name}: {why}")
        elif not bad:
            put(i, square)
        digests.append(digest)
    if bad:
        raise DataError(f"{split.title}: {len(bad):,} of {len(paths):,} images unreadable under {paths[0].parent} "
                        f"(first: {'; '.join(bad[:3])}). Get them again, or load the split with missing=\"skip\".")
    return digests
