"""How squares are stored: raw or as JPEG, in one memory-mapped file or in memory.

A file ends with a CRC-32 of each stored image, which is compared when the image is first read. (Files of version 0.1.0 have none;
their images are not compared.)

Shapes: N images of a split, B of a batch, S side of the square in pixels.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image as PILImage
from torch import Tensor
from torch.utils.data import get_worker_info

from maaf_lab.errors import DataError
from maaf_lab.utils.parallel import cores, lasting_threads


class PixelCache:
    """The images of a split as squares, uint8 (N, S, S, 3), in one memory-mapped file (or in memory, path None).

    key: the same for the same image files at the same size. size: S. nbytes: of all images, in the file or in memory. Safe to
    send to other processes: they map the same file.
    files: "sha256:" and 12 digits of the hash of all image files, in order; the same at every size ("" in other processes).
    """

    store: ClassVar[str] = "raw"
    suffix: ClassVar[str] = ".npy"
    tag: ClassVar[str] = ""  # of the encoding, in the key
    files: str = ""

    def __init__(self, key: str, pixels: np.ndarray, path: Path | None, checks: np.ndarray | None = None) -> None:
        """checks: (N,) uint32, the CRC-32 of each image as it is stored."""
        self.key, self.pixels, self.path = key, pixels, path
        self.size, self.nbytes = pixels.shape[1], pixels.nbytes
        self._checks, self._sound = checks, np.zeros(len(pixels), bool)

    def __len__(self) -> int:
        return len(self.pixels)

    def __repr__(self) -> str:
        where = self.path or "in memory"
        return f"{type(self).__name__}({len(self):,} images of {self.size} px, {self.nbytes / 1e6:,.1f} MB, {where})"

    def image(self, index: int) -> np.ndarray:
        """One image, uint8 (S, S, 3)."""
        return self.batch([index])[0].permute(1, 2, 0).numpy()

    def batch(self, indices: np.ndarray | Tensor | Sequence[int]) -> Tensor:
        """Images by index -> uint8 (B, 3, S, S), channels last in memory. Raises IndexError outside the split, DataError for an
        image that was damaged after it was stored."""
        rows = self._compared(indices)
        return torch.from_numpy(self.pixels[rows].view(np.ndarray)).permute(0, 3, 1, 2)

    def _compared(self, indices: np.ndarray | Tensor | Sequence[int]) -> np.ndarray:
        """The indices as int64 (B,), where all these images are stored as they were written; else DataError."""
        rows = np.asarray(indices, dtype=np.int64).reshape(-1)
        if self._checks is not None:
            for row in np.unique(rows[~self._sound[rows]]):  # IndexError outside the split
                if zlib.crc32(self._stored(row)) != self._checks[row]:
                    raise self._damaged(row, "its checksum differs")
                self._sound[row] = True
        return rows

    def _stored(self, row: int) -> np.ndarray:
        """One image as it is stored."""
        return self.pixels[row]

    def _damaged(self, row: int, why: object) -> DataError:
        return DataError(
            f"{self.path or 'cache'}: image {int(row) % len(self):,} is damaged ({why}); delete the file, it is built again from "
            "the originals"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"key": self.key, "path": self.path} if self.path else dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(self.load(**state).__dict__ if state["path"] else state)

    @staticmethod
    def header(n: int, size: int, ends: np.ndarray | None = None) -> bytes:
        """The file's header. ends: (N,) offsets where the images end; None for a header of the same length."""
        out = io.BytesIO()
        np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": (n, size, size, 3)})
        return out.getvalue()

    @staticmethod
    def encode(square: np.ndarray) -> bytes:
        """uint8 (S, S, 3) -> its bytes in the file."""
        return square.tobytes()

    @classmethod
    def load(cls, path: Path, key: str) -> PixelCache:
        """Map a finished file. Raises OSError, ValueError or EOFError where it is missing or damaged."""
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(pixels, np.memmap):
            raise ValueError(f"{path}: expected one array")
        if pixels.ndim != 4 or pixels.shape[2:] != (pixels.shape[1], 3) or pixels.dtype != np.uint8:
            raise ValueError(f"{path}: expected uint8 squares, found {pixels.dtype} {pixels.shape}")
        end = pixels.offset + pixels.nbytes
        return cls(key, pixels, path, _checks(np.memmap(path, np.uint8, "r"), end, len(pixels)))

    @classmethod
    def in_memory(cls, key: str, file: np.ndarray, n: int, size: int) -> PixelCache:
        """From the bytes of a finished file of `n` images, uint8."""
        begin = len(cls.header(n, size))
        return cls(key, file[begin : begin + n * size * size * 3].reshape(n, size, size, 3), None)


class JpegCache(PixelCache):
    """The same squares as JPEG (quality 95, no chroma subsampling), decoded by `batch` in threads: about a seventh of the disk
    for photographs of 224 px. Values differ from the raw ones by a few steps, so a run's numbers may differ slightly.

    The file: `MAGIC`, N and S (int64), the N images' ends (int64 offsets), the images one after another, their N checksums.
    """

    store: ClassVar[str] = "jpeg"
    suffix: ClassVar[str] = ".jpegs"
    tag: ClassVar[str] = " jpeg 95"
    MAGIC: ClassVar[bytes] = b"MAAFJPG1"

    def __init__(self, key: str, data: np.ndarray, path: Path | None) -> None:
        """data: the bytes of the file. Raises ValueError where it is damaged."""
        magic, n, size = struct.unpack("<8sqq", data[:24].tobytes().ljust(24))
        if magic != self.MAGIC or not 0 < n <= len(data) // 8 or size < 1:
            raise ValueError(f"{path}: expected a cache of JPEG images, found {len(data):,} other bytes")
        bounds = np.concatenate([[24 + 8 * n], data[24 : 24 + 8 * n].view("<i8")])  # (N + 1,)
        if (np.diff(bounds) <= 0).any():
            raise ValueError(f"{path}: the table of images does not fit the file")
        self._checks, self._sound = _checks(data, int(bounds[-1]), n), np.zeros(n, bool)
        self.key, self.data, self.path, self.size, self.nbytes = key, data, path, size, data.nbytes
        self.starts, self.ends = bounds[:-1], bounds[1:]  # (N,) of each image in `data`

    def __len__(self) -> int:
        return len(self.ends)

    def batch(self, indices: np.ndarray | Tensor | Sequence[int]) -> Tensor:
        """As `PixelCache.batch`."""
        rows = self._compared(indices)
        images = list(zip(self.starts[rows].tolist(), self.ends[rows].tolist()))
        out = np.empty((len(rows), self.size, self.size, 3), np.uint8)

        def decode(places: range) -> None:
            for place in places:
                start, end = images[place]
                try:
                    out[place] = PILImage.open(io.BytesIO(self.data[start:end]), formats=("JPEG",))
                except Exception as error:  # Pillow raises many kinds for damaged files
                    raise self._damaged(rows[place], error) from error

        parts = 1 if get_worker_info() else min(16, cores(), len(rows))  # a loader's processes already share the cores
        if parts <= 1:
            decode(range(len(rows)))
        else:
            list(lasting_threads().map(decode, [range(part, len(rows), parts) for part in range(parts)]))
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    def _stored(self, row: int) -> np.ndarray:
        return self.data[self.starts[row] : self.ends[row]]

    @staticmethod
    def header(n: int, size: int, ends: np.ndarray | None = None) -> bytes:
        ends = np.zeros(n) if ends is None else ends
        return JpegCache.MAGIC + struct.pack("<qq", n, size) + ends.astype("<i8").tobytes()

    @staticmethod
    def encode(square: np.ndarray) -> bytes:
        out = io.BytesIO()
        PILImage.fromarray(square).save(out, "JPEG", quality=95, subsampling=0)
        return out.getvalue()

    @classmethod
    def load(cls, path: Path, key: str) -> JpegCache:
        return cls(key, np.memmap(path, np.uint8, mode="r"), path)

    @classmethod
    def in_memory(cls, key: str, file: np.ndarray, n: int, size: int) -> JpegCache:
        return cls(key, file, None)


def _checks(data: np.ndarray, end: int, n: int) -> np.ndarray | None:
    """The checksums after the images of a file, None for one without. data: all its bytes. Raises ValueError for another rest."""
    rest = len(data) - end
    if rest not in (0, 4 * n):
        raise ValueError(f"expected {n} checksums at the end of the file, found {rest} bytes")
    return np.frombuffer(data[end:].tobytes(), "<u4") if rest else None


STORES: dict[str, type[PixelCache]] = {kind.store: kind for kind in (PixelCache, JpegCache)}
