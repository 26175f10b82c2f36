"""Image files -> pixels: decode any format as RGB, find damaged files, cut to a square.

Only regular files are opened, and what all threads decode at one time is bounded.

Shapes: H, W of a file; S side of the square in pixels.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags
from PIL import Image as PILImage

from maaf_lab.errors import DataError
from maaf_lab.utils.files import open_regular

WITHOUT_IMAGES = (
    "Copy them again, or go on without them: --set data.missing=skip (evaluate: --missing skip; Python: missing='skip')"
)
LONGEST = 100  # the longer side of an image, in shorter sides
LARGE = 4_000_000  # pixels: a quick square of a larger JPEG is made from a reduced one
STRIP = 12_000_000  # pixels: a larger image is made smaller in strips
AT_ONCE = 100_000_000  # pixels that all threads together decode at one time; a larger image is decoded alone
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_NOT_READ = {"EPS", "BUFR", "GRIB", "HDF5", "WMF", "MPEG", "IPTC"}  # other programs' formats, of which Pillow has the names
_TURNS = {
    2: PILImage.Transpose.FLIP_LEFT_RIGHT,
    3: PILImage.Transpose.ROTATE_180,
    4: PILImage.Transpose.FLIP_TOP_BOTTOM,
    5: PILImage.Transpose.TRANSPOSE,
    6: PILImage.Transpose.ROTATE_270,
    7: PILImage.Transpose.TRANSVERSE,
    8: PILImage.Transpose.ROTATE_90,
}


def decode(path: str | Path, data: bytes | None = None) -> np.ndarray:
    """An image file -> uint8 (height, width, 3) RGB.

    Rotated as its EXIF says, where that can be read; transparency over white; the first frame of an animation; 16-bit gray scaled
    to 8 bits; CMYK and palettes converted. data: the file's bytes, where they are already in memory. Raises DataError naming a
    file that is missing, no regular file, cut short, no image, of 32-bit floats, which have no agreed range, more than 100 times
    as long as wide, or of more megapixels than Pillow opens (179).
    """
    with _opened(path, data) as image:
        image.load()
        return np.array(_as_rgb(_upright(image)), dtype=np.uint8)


def square(path: str | Path, size: int, data: bytes | BinaryIO | None = None, *, quick: bool = False) -> np.ndarray:
    """An image file -> uint8 (size, size, 3): `to_square(decode(path, data), size)`, in little memory also for a huge image.

    data: as in `decode`, or the opened file. quick: a JPEG of more than 4 megapixels is read at a half, a quarter or an eighth of
    its size, still at least 4 times the square's: its values may differ by a few steps of 255. Raises DataError as `decode` does.
    """
    with _opened(path, data) as image:
        width, height = image.size
        if quick and image.format in ("JPEG", "MPO") and width * height > LARGE:
            box = (image.draft(None, (4 * size, 4 * size)) or (None, None))[1]
            small = image.convert("RGB").resize(_cover(width, height, size), PILImage.Resampling.BILINEAR, box)
            turn = _turn(image)
            return to_square(np.asarray(small if turn is None else small.transpose(turn)), size)
        image.load()
        upright = _upright(image)
        if width * height <= STRIP:
            return to_square(np.asarray(_as_rgb(upright)), size)
        return to_square(np.asarray(_smaller(upright, _cover(*upright.size, size))), size)


@contextlib.contextmanager
def _opened(path: str | Path, data: bytes | BinaryIO | None = None) -> Iterator[PILImage.Image]:
    """An image whose pixels are still to be read; every error becomes a DataError that names the file."""
    try:
        with contextlib.ExitStack() as stack:
            if isinstance(data, bytes):
                data = io.BytesIO(data)
            image = PILImage.open(data or stack.enter_context(open_regular(path)))
            stack.enter_context(image)
            width, height = image.size
            if max(width, height) > LONGEST * min(width, height):
                raise DataError(
                    f"{path}: expected an image at most {LONGEST} times as long as wide, found {width:,} x {height:,} pixels; "
                    "cut it"
                )
            stack.enter_context(_room.of(width * height))
            yield image
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except PILImage.DecompressionBombError as error:
        most, found = 2 * PILImage.MAX_IMAGE_PIXELS, re.search(r"\d+", str(error))
        raise DataError(
            f"{path}: too large: {int(found[0]) if found else most + 1:,} pixels, at most {most:,}; save it smaller"
        ) from error
    except Exception as error:  # Pillow raises many kinds for damaged files
        size = len(data) if isinstance(data, bytes) else (os.path.getsize(path) if os.path.isfile(path) else 0)
        raise DataError(
            f"{path}: cannot be read as an image ({size:,} bytes; {_why(error)}); copy or download it again"
        ) from error


class _Room:
    """Lets threads in while together they take at most `most`; one that takes more is let in alone."""

    def __init__(self, most: int) -> None:
        self.most, self.taken, self.changed = most, 0, threading.Condition()

    @contextlib.contextmanager
    def of(self, amount: int) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: not self.taken or self.taken + amount <= self.most)
            self.taken += amount
        try:
            yield
        finally:
            with self.changed:
                self.taken -= amount
                self.changed.notify_all()


_room = _Room(AT_ONCE)


def _why(error: Exception) -> str:
    if isinstance(error, PILImage.UnidentifiedImageError):
        return "no image format known here"
    return str(error) or type(error).__name__


def _turn(image: PILImage.Image) -> PILImage.Transpose | None:
    """How a loaded image is to be turned. Pillow raises many kinds for odd metadata; they say nothing about the pixels."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:
        return None


def _upright(image: PILImage.Image) -> PILImage.Image:
    turn = _turn(image)
    return image if turn is None else image.transpose(turn)


def _as_rgb(image: PILImage.Image) -> PILImage.Image:
    if image.mode == "F":
        raise ValueError("mode F (32-bit floats) has no agreed range")
    if image.mode.startswith("I"):  # 16-bit gray; Pillow cuts, not scales, when it converts
        values = np.asarray(image).astype(np.int64)
        return PILImage.fromarray((np.clip(values, 0, 65535) / 257).round().astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return PILImage.alpha_composite(PILImage.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _smaller(image: PILImage.Image, new: tuple[int, int]) -> PILImage.Image:
    """`_as_rgb(image)` resized in strips, with the values of one call: Pillow too resizes one side, rounds, then the other."""
    width, height = image.size
    upright = height > 2 * width  # strips from top to bottom: Pillow 13 shortens the columns of such an image first
    thin = PILImage.new("RGB", (width, new[1]) if upright else (new[0], height))
    end, step = (width, STRIP // 4 // height) if upright else (height, STRIP // 4 // width)
    for start in range(0, end, max(1, step)):
        stop = min(start + max(1, step), end)
        box = (start, 0, stop, height) if upright else (0, start, width, stop)
        size = (stop - start, new[1]) if upright else (new[0], stop - start)
        thin.paste(_as_rgb(image.crop(box)).resize(size, PILImage.Resampling.BILINEAR), box[:2])
    return thin.resize(new, PILImage.Resampling.BILINEAR)


def damage(path: str | Path) -> str | None:
    """Why an image file cannot be used, or None.

    PNG and JPEG files that begin and end as they should are taken for whole; any other file is decoded. (Damage in the middle of
    a file is found by `damage_inside`, and when its pixels are cached.)
    """
    try:
        with open_regular(path) as file:
            begin = file.read(8)
            file.seek(0, os.SEEK_END)
            file.seek(max(len(begin), file.tell() - len(_PNG_END)))
            end = file.read()
    except FileNotFoundError:
        return "missing"
    except (OSError, DataError) as error:
        return str(error).removeprefix(f"{path}: ")
    if (begin == b"\x89PNG\r\n\x1a\n" and end == _PNG_END) or (begin[:3] == b"\xff\xd8\xff" and end[-2:] == b"\xff\xd9"):
        return None
    return damage_inside(path)


def damage_inside(path: str | Path) -> str | None:
    """As `damage`, but every file is decoded."""
    if not os.path.exists(path):  # also False for a name that is too long for the file system
        return "missing"
    try:
        with _opened(path) as image:
            image.load()
            _as_rgb(image.crop((0, 0, 1, 1)))
    except DataError as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def _cover(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height with `size` as the shorter one."""
    long = int(size * max(height, width) / min(height, width))
    return (size, long) if width <= height else (long, size)


def to_square(image: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) -> (S, S, 3): shorter side to `size`, antialiased bilinear, then a center crop (torchvision's).

    An image whose shorter side is `size` is only cropped, not resampled.
    """
    height, width = image.shape[:2]
    if min(height, width) != size:
        new = _cover(width, height, size)
        image = np.asarray(PILImage.fromarray(image).resize(new, PILImage.Resampling.BILINEAR))
        height, width = image.shape[:2]
    top, left = round((height - size) / 2), round((width - size) / 2)
    return np.array(image[top : top + size, left : left + size])


@cache
def suffixes() -> frozenset[str]:
    """Suffixes of the image files that Pillow reads by itself: ".png", ".jpg", ".avif" and many more."""
    known = PILImage.registered_extensions().items()
    return frozenset(suffix for suffix, kind in known if kind in PILImage.OPEN and kind not in _NOT_READ)


def suffix(name: str) -> str:
    """A file name's suffix in small letters, without what sites put after it: ".jpg" of "large.JPG?1545404551"; "" for none."""
    found = re.search(r".(\.\w+)(?:[?!:&@#;].*)?$", name, re.DOTALL)
    return found[1].lower() if found else ""
