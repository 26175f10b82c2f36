"""Files and folders as loaders and caches meet them: annotations as text, names of pictures, folders to write to."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from maaf_lab.data.split import Query
from maaf_lab.errors import DataError


def read_text(path: Path) -> str:
    """A whole file as text: UTF-8, with or without a byte order mark. Raises DataError naming the line that is not UTF-8."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: expected a readable file; {error.strerror or error}") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: expected UTF-8 text, found the byte 0x{raw[error.start]:02x}. The published file "
                        f"is UTF-8: copy it again, or save it as UTF-8") from error


def why_not_writable(folder: Path, begin: str = "", end: str = ".tmp") -> str | None:
    """What keeps files from being written to a folder, which is made where it is missing; None where nothing does.

    begin, end: of the name of the file that tries it, so that what a killed process left is known.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"{begin}{uuid.uuid4().hex}{end}"
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return None


def plain_name(name: str, where: str) -> str:
    """`name`, where it can name one file inside a folder. Raises DataError for one that is empty, would leave the folder, or is
    more than a file system takes (240 bytes of UTF-8)."""
    size = len(name.encode("utf-8", "surrogatepass"))
    whole = not any(sign in "/\\\0" or "\ud800" <= sign <= "\udfff" for sign in name)
    if name.strip() in ("", ".", "..") or not whole or size > 240:
        raise DataError(f"{where}: expected the name of a file inside the folder of pictures, found {name[:100]!r}")
    return name


def one_of_each(groups: Sequence[Sequence[Query]]) -> Callable[[np.random.Generator], list[Query]]:
    """A draw for pairs of images with several descriptions: one description of each pair, every one equally likely.

    The authors' code trains so (a pair first, then one of its descriptions), so a pair that was described often counts no
    more than another. A pure function of the generator.
    """
    sizes = np.array([len(group) for group in groups], dtype=np.int64)

    def draw(random: np.random.Generator) -> list[Query]:
        return [group[choice] for group, choice in zip(groups, random.integers(0, sizes).tolist())]

    return draw
