"""What a `FolderGallery` keeps on disk, by default in the folder's own .cache:

    gallery-{model}-{pixels}px-{folder}.vectors     the whole gallery
    gallery-{model}-{pixels}px-{folder}.{n}.part    what a call embedded so far; gone when the gallery is whole

Each file is a line with the hash of the rest, a line of JSON with an entry [name, bytes, mtime in ns, why it is broken] per
image file, and the float32 vectors of the entries that are not broken. Shapes: N images, D width.
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
from typing import NamedTuple

import numpy as np
import torch

from maaf_lab.data.cache.build import VERSION as PIXELS_VERSION
from maaf_lab.errors import SaveError
from maaf_lab.models.base import ComposedModel
from maaf_lab.utils.files import why_not_writable, write_atomically

VERSION = 1  # of the kept files
FORGET_AFTER = 86_400  # seconds after which a half-written file of a process that was killed is removed


class Line(NamedTuple):
    """What is known of a file. vector (D,), None where it is broken. lasting: false where it may be whole the next time."""

    name: str
    size: int
    mtime_ns: int
    why: str
    vector: np.ndarray | None
    lasting: bool = True


def model_key(model: ComposedModel) -> str:
    """10 hex digits of a model's settings and weights: models that embed differently have different ones."""
    key = hashlib.sha256(f"{type(model).__name__} {json.dumps(model.config.to_dict(), sort_keys=True)}".encode())
    for name, tensor in model.state_dict().items():
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        key.update(f" {name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        key.update(flat.view(torch.uint8).numpy())
    return key.hexdigest()[:10]


class Store:
    """The kept files of a folder, a model and a size. Nothing here raises: what cannot be written stays in memory."""

    def __init__(self, folder: Path, place: Path, model: ComposedModel, pixels: int) -> None:
        self.place, self.width, self.lost = place, model.config.width, False
        try:  # relative, so that a folder may move together with its .cache
            where = os.path.relpath(folder.resolve(), place.resolve())
        except ValueError:  # another drive
            where = str(folder.resolve())
        tag = hashlib.sha256(os.fsencode(f"{VERSION} {PIXELS_VERSION} {pixels} {where}")).hexdigest()[:8]
        self.stem = f"gallery-{model_key(model)}-{pixels}px-{tag}"
        self.whole = place / f"{self.stem}.vectors"

    def read(self) -> tuple[list[Line], np.ndarray, dict[str, Line]]:
        """The lines and vectors of the last whole gallery, and what is known by name, parts of a later one included."""
        whole, vectors = read_lines(self.whole, self.width)
        known = {line.name: line for line in whole}
        for part in self._parts():
            known.update((line.name, line) for line in read_lines(part, self.width)[0])
        return whole, vectors, known

    def why_not_writable(self) -> str | None:
        """What keeps files from being written here, or None."""
        return why_not_writable(self.place, f"{self.stem}.")

    def give_up(self, why: object, level: int = 3) -> None:
        """Write no more, and say so once."""
        if not self.lost:
            warnings.warn(
                f"{self.place} cannot be written ({why}): what is new stays in memory and is computed again next time. "
                "Pass another `kept` to keep it.",
                stacklevel=level,
            )
        self.lost = True

    def add(self, lines: Sequence[Line]) -> None:
        """Keep what was embedded so far, where there is any."""
        lines = [line for line in lines if line.lasting]
        if any(not line.why for line in lines):
            last = max((int(part.suffixes[-2][1:]) for part in self._parts()), default=0)
            self._write(self.place / f"{self.stem}.{last + 1:06d}.part", lines)

    def finish(self, lines: Sequence[Line], vectors: np.ndarray) -> np.ndarray:
        """Keep the whole gallery; -> its vectors, mapped from the file where there is one."""
        if not self._write(self.whole, lines):
            return vectors
        self.sweep()
        found = read_lines(self.whole, self.width)[1]
        return found if len(found) == len(vectors) else vectors  # or another process wrote meanwhile

    def sweep(self) -> None:
        """Remove parts, which the whole has, and what killed processes left."""
        for file in self._parts() + list(self.place.glob(f"{self.stem}.*.tmp")):
            with contextlib.suppress(OSError):
                if file.suffix == ".part" or time.time() - file.stat().st_mtime > FORGET_AFTER:
                    file.unlink()

    def _parts(self) -> list[Path]:
        return sorted(self.place.glob(f"{self.stem}.[0-9][0-9][0-9][0-9][0-9][0-9].part"))

    def _write(self, path: Path, lines: Sequence[Line]) -> bool:
        if not self.lost:
            try:
                write_atomically(path, lambda beside: write_lines(beside, lines))
            except (SaveError, OSError) as error:
                self.give_up(error.__cause__ or error, 5)
        return not self.lost


def write_lines(path: Path, lines: Sequence[Line]) -> None:
    """A file as this module describes it."""
    entries = json.dumps([line[:4] for line in lines]).encode()
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
    """What `write_lines` wrote, vectors (N, D) mapped; nothing where the file is missing or is not what was written."""
    try:
        with open(path, "rb") as file:
            expected, digest = file.readline(65).strip(), hashlib.sha256()
            digest.update(entries := file.readline())
            begin = file.tell()
            while block := file.read(1 << 20):
                digest.update(block)
            if digest.hexdigest().encode() != expected:
                raise ValueError("damaged")
            size = file.tell() - begin
        entries = json.loads(entries)
        n = sum(not why for *_, why in entries)
        if size != 4 * n * width:
            raise ValueError(f"expected {n} vectors of {width}")
        vectors = np.memmap(path, "<f4", "r", begin, (n, width)) if n else np.empty((0, width), np.float32)
        rows = iter(np.asarray(vectors))
        return [Line(*entry, None if entry[3] else next(rows)) for entry in entries], vectors
    except (OSError, ValueError, KeyError, TypeError):
        return [], np.empty((0, width), np.float32)
