"""Image files -> pixels: decode any format as RGB, find damaged files, cut to a square.

Shapes: H, W of a file; S side of the square in pixels.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from PIL import ImageOps

from maaf_lab.errors import DataError

_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


def decode(path: str | Path, data: bytes | None = None) -> np.ndarray:
    """An image file -> uint8 (height, width, 3) RGB.

    Rotated as its EXIF says; transparency over white; the first frame of an animation; 16-bit gray scaled to 8 bits; CMYK and
    palettes converted. data: the file's bytes, where they are already in memory. Raises DataError naming a file that is missing,
    cut short, no image, or of 32-bit floats, which have no agreed range.
    """
    try:
        with PILImage.open(io.BytesIO(data) if data is not None else path) as image:
            image.load()
            image = ImageOps.exif_transpose(image)
            return np.array(_as_rgb(image), dtype=np.uint8)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except Exception as error:  # Pillow raises many kinds for damaged files
        size = len(data) if data is not None else (os.path.getsize(path) if os.path.isfile(path) else 0)
        raise DataError(
            f"{path}: cannot be read as an image ({size:,} bytes; {_why(error)}); copy or download it again"
        ) from error


def _why(error: Exception) -> str:
    if isinstance(error, PILImage.UnidentifiedImageError):
        return "no image format known here"
    return str(error) or type(error).__name__


def _as_rgb(image: PILImage.Image) -> PILImage.Image:
    if image.mode == "F":
        raise DataError("mode F (32-bit floats) has no agreed range")
    if image.mode.startswith("I"):  # 16-bit gray; Pillow cuts, not scales, when it converts
        values = np.asarray(image).astype(np.int64)
        return PILImage.fromarray((np.clip(values, 0, 65535) / 257).round().astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return PILImage.alpha_composite(PILImage.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def damage(path: str | Path) -> str | None:
    """Why an image file cannot be used, or None.

    PNG and JPEG files that begin and end as they should are taken for whole; any other file is decoded. (Damage in the middle of
    a file is found when its pixels are cached, or by a dataset's check.)
    """
    try:
        with open(path, "rb") as file:
            begin = file.read(8)
            file.seek(0, os.SEEK_END)
            file.seek(max(len(begin), file.tell() - len(_PNG_END)))
            end = file.read()
        if (begin == b"\x89PNG\r\n\x1a\n" and end == _PNG_END) or (begin[:3] == b"\xff\xd8\xff" and end[-2:] == b"\xff\xd9"):
            return None
        decode(path)
    except FileNotFoundError:
        return "missing"
    except (OSError, DataError) as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def damage_inside(path: str | Path) -> str | None:
    """As `damage`, but every file is decoded."""
    if not os.path.exists(path):  # also False for a name that is too long for the file system
        return "missing"
    try:
        decode(path)
    except DataError as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def to_square(image: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) -> (S, S, 3): shorter side to `size`, antialiased bilinear, then a center crop (torchvision's).

    An image whose shorter side is `size` is only cropped, not resampled.
    """
    height, width = image.shape[:2]
    if min(height, width) != size:
        long = int(size * max(height, width) / min(height, width))
        new = (size, long) if width <= height else (long, size)  # (width, height)
        image = np.asarray(PILImage.fromarray(image).resize(new, PILImage.Resampling.BILINEAR))
        height, width = image.shape[:2]
    top, left = round((height - size) / 2), round((width - size) / 2)
    return np.ascontiguousarray(image[top : top + size, left : left + size])
