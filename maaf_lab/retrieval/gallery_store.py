"""The vectors that a `FolderGallery` keeps on disk, by default in the folder's own .cache:

    gallery-{model}-{pixels}px-{folder}.vectors     the whole gallery
    gallery-{model}-{pixels}px-{folder}.{n}.part    the images embedded so far; removed when the gallery is whole

Each file is a line with the hash of the rest, a line of JSON with an entry [name, bytes, mtime in ns, why it is broken, ctime in
ns, hash of its ends and middle] per image file, and the float32 vectors of the entries that are not broken. (Entries of version
0.1.0 have the first four.) Shapes: N images, D width.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from maaf_lab.data.cache.build import VERSION as PIXELS_VERSION
from maaf_lab.errors import DataError, SaveError
from maaf_lab.models.base import ComposedModel
from maaf_lab.utils.files import open_regular, why_not_writable, write_atomically

VERSION = 1  # of the kept files
KEEP = "To keep them, make that folder writable, or (in Python) pass another one as `kept`."
FORGET_AFTER = 86_400  # seconds after which the half-written file of a killed process is removed


class Line(NamedTuple):
    """An image file and its vector (D,), None where it is broken. lasting: false where it may be readable the next time.
    sample: of `sampled`, "" where it is not known."""

    name: str
    size: int
    mtime_ns: int
    why: str
    vector: np.ndarray | None
    lasting: bool = True
    ctime_ns: int = 0
    sample: str = ""

    @property
    def entry(self) -> tuple[str, int, int, str, int, str]:
        """What is kept beside the vector."""
        return (*self[:4], self.ctime_ns, self.sample)


def sampled(path: Path) -> str:
    """16 hex digits of the beginning, middle and end of a file, 4 kB each; "" where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            for start in (0, size // 2, max(0, size - 4096)):
                file.seek(start)
                digest.update(file.read(4096))
    except (OSError, DataError):
        return ""
    return digest.hexdigest()[:16]


def model_key(model: ComposedModel) -> str:
    """10 hex digits of a model's settings and weights; models that embed differently have different digits."""
    key = hashlib.sha256(f"{type(model).__name__} {json.dumps(model.config.to_dict(), sort_keys=True)}".encode())
    for name, tensor in model.state_dict().items():
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        key.update(f" {name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        key.update(flat.view(torch.uint8).numpy())
    return key.hexdigest()[:10]


class Store:
    """The kept files of a folder, a model and a size. Nothing here raises: vectors that cannot be written stay in memory."""

    def __init__(self, folder: Path, kept_in: Path, model: ComposedModel, pixels: int) -> None:
        self.kept_in, self.width, self.lost = kept_in, model.config.width, False
        try:  # relative, so that a folder can move together with its .cache
            where = os.path.relpath(folder.resolve(), kept_in.resolve())
        except ValueError:  # another drive
            where = str(folder.resolve())
        tag = hashlib.sha256(os.fsencode(f"{VERSION} {PIXELS_VERSION} {pixels} {where}")).hexdigest()[:8]
        self.stem = f"gallery-{model_key(model)}-{pixels}px-{tag}"
        self.whole = kept_in / f"{self.stem}.vectors"

    def read(self) -> tuple[list[Line], np.ndarray, dict[str, Line]]:
        """The lines and vectors of the last whole gallery, and all lines by name, those of later parts included."""
        if self.lost:
            return [], np.empty((0, self.width), np.float32), {}
        whole, vectors = read_lines(self.whole, self.width)
        known = {line.name: line for line in whole}
        for part in self._parts():
            known.update((line.name, line) for line in read_lines(part, self.width)[0])
        return whole, vectors, known

    def why_not_writable(self) -> str | None:
        """Why files cannot be written here, or None if they can."""
        return why_not_writable(self.kept_in, f"{self.stem}.")

    def give_up(self, why: object, level: int = 3) -> None:
        """Write nothing more, and warn once."""
        if not self.lost:
            warnings.warn(
                f"{self.kept_in} cannot be written ({why}): new vectors stay in memory and are computed again the next time. "
                f"{KEEP}",
                stacklevel=level,
            )
        self.lost = True

    def add(self, lines: Sequence[Line]) -> None:
        """Write the images that were embedded since the last part, if there are any."""
        lines = [line for line in lines if line.lasting]
        if any(not line.why for line in lines):
            last = max((int(part.suffixes[-2][1:]) for part in self._parts()), default=0)
            self._write(self.kept_in / f"{self.stem}.{last + 1:06d}.part", lines)

    def finish(self, lines: Sequence[Line], vectors: np.ndarray) -> np.ndarray:
        """Write the whole gallery; -> its vectors, mapped from the file where there is one."""
        if not self._write(self.whole, lines):
            return vectors
        self.sweep()
        found = read_lines(self.whole, self.width)[1]
        return found if len(found) == len(vectors) else vectors  # or another process wrote meanwhile

    def sweep(self) -> None:
        """Remove parts, which the whole gallery includes, and files that killed processes left."""
        for file in self._parts() + list(self.kept_in.glob(f"{self.stem}.*.tmp")):
            with contextlib.suppress(OSError):
                if file.suffix == ".part" or time.time() - file.stat().st_mtime > FORGET_AFTER:
                    file.unlink()

    def _parts(self) -> list[Path]:
        return sorted(self.kept_in.glob(f"{self.stem}.[0-9][0-9][0-9][0-9][0-9][0-9].part"))

    def _write(self, path: Path, lines: Sequence[Line]) -> bool:
        if not self.lost:
            try:
                write_atomically(path, lambda beside: write_lines(beside, lines))
            except (SaveError, OSError) as error:
                self.give_up(error.__cause__ or error, 5)
        return not self.lost


def write_lines(path: Path, lines: Sequence[Line]) -> None:
    """Write a file as described at the top of this module."""
    entries = json.dumps([line.entry for line in lines]).encode()
    entries += b" " * (-(len(entries) + 66) % 64) + b"\n"  # 65 bytes stand before: vectors begin at a multiple of 64
    vectors = [np.ascontiguousarray(line.vector, "<f4") for line in lines if line.vector is not None]
    digest = hashlib.sha256(entries)
    for vector in vectors:
        digest.update(vector)
    with open(path, "wb") as file:
        file.write(digest.hexdigest().encode() + b"\n" + entries)
        for vector in vectors:
            file.write(vector)


def read_lines(path: Path, width: int) -> tuple[list[Line], np.ndarray]:
    """The lines that `write_lines` wrote and their vectors (N, D), mapped; none where the file is missing or damaged."""
    try:
        with open_regular(path, links=False) as file:
            expected, digest = file.readline(65).strip(), hashlib.sha256()
            digest.update(entries := file.readline())
            begin = file.tell()
            while block := file.read(1 << 20):
                digest.update(block)
            if digest.hexdigest().encode() != expected:
                raise ValueError("damaged")
            size = file.tell() - begin
        entries = [_checked(entry) for entry in json.loads(entries)]
        n = sum(not entry[3] for entry in entries)
        if size != 4 * n * width:
            raise ValueError(f"expected {n} vectors of {width}")
        vectors = np.memmap(path, "<f4", "r", begin, (n, width)) if n else np.empty((0, width), np.float32)
        rows = iter(np.asarray(vectors))
        return [Line(*e[:4], None if e[3] else next(rows), True, *e[4:]) for e in entries], vectors
    except (OSError, ValueError, TypeError, RecursionError, DataError):
        return [], np.empty((0, width), np.float32)


def _checked(entry: Any) -> list[Any]:
    """An entry of a file, which may be somebody else's. Raises ValueError where it is none."""
    kinds = (str, int, int, str, int, str)
    if isinstance(entry, list) and len(entry) in (4, 6) and all(map(isinstance, entry, kinds)):
        return entry
    raise ValueError(f"expected {len(kinds)} values, found {entry!r:.100}")
