"""Flat drawings of CSS scenes on white: TIRG's 2D variant. Cubes are squares, spheres circles, cylinders triangles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw

from maaf_lab.data.datasets.css_scenes import shape_of

_RGB = {
    "gray": (87, 87, 87),
    "red": (220, 38, 38),
    "blue": (42, 75, 215),
    "green": (29, 125, 20),
    "brown": (129, 74, 25),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
    "yellow": (245, 214, 40),
}
_RADIUS = {"small": 0.07, "large": 0.12}  # as a share of the picture's side
LEAST_PIXELS = 8
_FINER = 4  # drawn this many times larger and averaged, so that edges are smooth


def flat(objects: Sequence[Mapping[str, Any]], pixels: int = 64) -> np.ndarray:
    """One scene, entries of `objects_img`, seen from above -> uint8 (pixels, pixels, 3). `pos` = (y, x) is an object's middle."""
    side = pixels * _FINER
    image = PILImage.new("RGB", (side, side), "white")
    pen = ImageDraw.Draw(image)
    for obj in objects:
        y, x = (float(v) * side for v in obj["pos"])
        r, color, shape = _RADIUS[obj["size"]] * side, _RGB[obj["color"]], shape_of(obj)
        if shape == "sphere":
            pen.ellipse((x - r, y - r, x + r, y + r), fill=color)
        elif shape == "cube":
            pen.rectangle((x - r, y - r, x + r, y + r), fill=color)
        else:
            pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=color)
    return np.asarray(image.reduce(_FINER))
