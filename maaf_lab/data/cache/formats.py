"""Pixels that are decoded once: the squares of a split in one memory-mapped file, as bytes or as JPEG.

Shapes: N images of a split, B of a batch, S side of the square in pixels.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image as PILImage
from torch import Tensor
from torch.utils.data import get_worker_info

from maaf_lab.errors import DataError


class PixelCache:
    """The images of a split as squares, uint8 (N, S, S, 3), in one memory-mapped file (or in memory, path None).

    key: names the contents; the same files at the same size give the same key. Safe to send to other processes: they map
    the same file.
    """

    store: ClassVar[str] = "raw"
    suffix: ClassVar[str] = ".npy"
    tag: ClassVar[str] = ""  # what the key says of the encoding

    def __init__(self, key: str, pixels: np.ndarray, path: Path | None) -> None:
        self.key, self.pixels, self.path = key, pixels, path

    @property
    def size(self) -> int:
        """S, the side of a square in pixels."""
        return self.pixels.shape[1]

    @property
    def nbytes(self) -> int:
        """What all images take, in the file or in memory."""
        return self.pixels.nbytes

    def __len__(self) -> int:
        return len(self.pixels)

    def __repr__(self) -> str:
        where = self.path or "in memory"
        return f"{type(self).__name__}({len(self):,} images of {self.size} px, {self.nbytes / 1e6:,.1f} MB, {where})"

    def image(self, index: int) -> np.ndarray:
        """One image, uint8 (S, S, 3)."""
        return np.array(self.pixels[index])

    def batch(self, indices: np.ndarray | Tensor | Sequence[int]) -> Tensor:
        """Images by index -> uint8 (B, 3, S, S), channels last in memory. Raises IndexError outside the split."""
        rows = np.asarray(indices, dtype=np.int64).reshape(-1)
        return torch.from_numpy(self.pixels[rows].view(np.ndarray)).permute(0, 3, 1, 2)

    def __getstate__(self) -> dict[str, Any]:
        return {"key": self.key, "path": self.path} if self.path else dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(self.load(**state).__dict__ if state["path"] else state)

    # What a `Store` asks of a kind of cache: how its file begins, what an image is in it, how it is opened.

    @staticmethod
    def header(n: int, size: int, ends: np.ndarray | None = None) -> bytes:
        """The file's first bytes; as long without `ends` (N,), the places where the images end, as with them."""
        out = io.BytesIO()
        np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": (n, size, size, 3)})
        return out.getvalue()

    @staticmethod
    def encode(square: np.ndarray) -> bytes:
        """uint8 (S, S, 3) -> its bytes in the file."""
        return square.tobytes()

    @classmethod
    def load(cls, path: Path, key: str) -> PixelCache:
        """Map a finished file. Raises OSError, ValueError or EOFError where it is gone or not whole."""
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        if pixels.ndim != 4 or pixels.shape[1:] != (pixels.shape[1], pixels.shape[1], 3) or pixels.dtype != np.uint8:
            raise ValueError(f"{path}: expected uint8 squares, found {pixels.dtype} {pixels.shape}")
        return cls(key, pixels, path)

    @classmethod
    def collect(cls, images: Iterable[bytes], n: int, size: int) -> PixelCache:
        """A cache in memory of encoded images; its key is yet to be told."""
        pixels = np.empty((n, size, size, 3), np.uint8)
        for i, image in enumerate(images):
            pixels[i].reshape(-1)[:] = np.frombuffer(image, np.uint8)
        return cls("", pixels, None)


class JpegCache(PixelCache):
    """The same squares as JPEG (quality 95, colours at full resolution), decoded by `batch` in threads: about a seventh of the
    disk for photographs of 224 px. Values are within a few steps of the raw ones, so a run's numbers may differ slightly.

    The file: `MAGIC`, N and S (int64), N ends of images (int64, counted from the file's start), the images one after another.
    """

    store: ClassVar[str] = "jpeg"
    suffix: ClassVar[str] = ".jpegs"
    tag: ClassVar[str] = " jpeg 95"
    MAGIC: ClassVar[bytes] = b"MAAFJPG1"

    def __init__(self, key: str, data: np.ndarray, ends: np.ndarray, size: int, path: Path | None) -> None:
        self.key, self.data, self.ends, self.side, self.path = key, data, ends, size, path

    @property
    def size(self) -> int:
        """S, the side of a square in pixels."""
        return self.side

    @property
    def nbytes(self) -> int:
        """What all images take, in the file or in memory."""
        return self.data.nbytes

    def __len__(self) -> int:
        return len(self.ends)

    def _decoded(self, index: int) -> np.ndarray:
        start = int(self.ends[index - 1]) if index else len(self.MAGIC) + 16 + 8 * len(self)
        data = io.BytesIO(self.data[start:int(self.ends[index])])
        try:
            return np.asarray(PILImage.open(data, formats=("JPEG",)))  # (S, S, 3)
        except Exception as error:  # Pillow raises many kinds for damaged files
            raise DataError(f"{self.path or 'cache'}: image {index:,} is damaged ({error}); delete the file, it is built again "
                            "from the originals") from error

    def image(self, index: int) -> np.ndarray:
        """One image, uint8 (S, S, 3)."""
        return self.batch([index]).permute(0, 2, 3, 1)[0].numpy()

    def batch(self, indices: np.ndarray | Tensor | Sequence[int]) -> Tensor:
        """Images by index -> uint8 (B, 3, S, S), channels last in memory. Raises IndexError outside the split."""
        rows = np.asarray(indices, dtype=np.int64).reshape(-1)
        outside = rows[(rows < -len(self)) | (rows >= len(self))]
        if len(outside):
            raise IndexError(f"index {outside[0]} is out of bounds for {len(self):,} images")
        rows = rows % len(self)
        out = np.empty((len(rows), self.size, self.size, 3), np.uint8)

        def some(places: np.ndarray) -> None:
            for place in places:
                out[place] = self._decoded(int(rows[place]))

        parts = np.array_split(np.arange(len(rows)), min(_workers(), max(len(rows), 1)))
        if len(parts) == 1:
            some(parts[0])
        else:
            list(_pool().map(some, parts))
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    @staticmethod
    def header(n: int, size: int, ends: np.ndarray | None = None) -> bytes:
        """The file's first bytes; as long without `ends` (N,), the places where the images end, as with them."""
        ends = np.zeros(n) if ends is None else ends
        return JpegCache.MAGIC + struct.pack("<qq", n, size) + ends.astype("<i8").tobytes()

    @staticmethod
    def encode(square: np.ndarray) -> bytes:
        """uint8 (S, S, 3) -> its bytes in the file."""
        out = io.BytesIO()
        PILImage.fromarray(square).save(out, "JPEG", quality=95, subsampling=0)
        return out.getvalue()

    @classmethod
    def load(cls, path: Path, key: str) -> JpegCache:
        """Map a finished file. Raises OSError or ValueError where it is gone or not whole."""
        data = np.memmap(path, np.uint8, mode="r")
        begin = len(cls.MAGIC) + 16
        if len(data) < begin or data[:len(cls.MAGIC)].tobytes() != cls.MAGIC:
            raise ValueError(f"{path}: expected a cache of JPEG images")
        n, size = struct.unpack("<qq", data[len(cls.MAGIC):begin].tobytes())
        if not 0 < n <= len(data) // 8 or size < 1:
            raise ValueError(f"{path}: expected {n:,} images of {size} px, found {len(data):,} bytes")
        ends = np.memmap(path, "<i8", mode="r", offset=begin, shape=(n,))
        if ends[-1] != len(data) or (np.diff(ends, prepend=begin + 8 * n) <= 0).any():
            raise ValueError(f"{path}: the table of images does not fit the file")
        return cls(key, data, ends, size, path)

    @classmethod
    def collect(cls, images: Iterable[bytes], n: int, size: int) -> JpegCache:
        """A cache in memory of encoded images; its key is yet to be told."""
        parts = [cls.header(n, size), *images]
        ends = np.cumsum([len(part) for part in parts])[1:]
        return cls("", np.frombuffer(b"".join(parts), np.uint8), ends, size, None)


STORES: dict[str, type[PixelCache]] = {kind.store: kind for kind in (PixelCache, JpegCache)}


# --- threads that decode JPEG: made when first used, and anew in a forked process, where the parent's do not run -------------

_threads: list[ThreadPoolExecutor] = []


def _workers() -> int:
    if get_worker_info() is not None:  # the loader's processes share the cores already
        return 1
    return min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _pool() -> ThreadPoolExecutor:
    if not _threads:
        _threads.append(ThreadPoolExecutor(_workers(), "pixels"))
    return _threads[0]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.clear)
