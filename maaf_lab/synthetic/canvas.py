"""Drawing tools of the synthetic datasets: a canvas in unit coordinates, smooth random fields, the noise of a camera.

Unit coordinates: x to the right, y down, the picture is the square from (0, 0) to (1, 1). A `Frame` maps a figure's own
coordinates to the picture's. Pictures are drawn larger and then scaled down, for smooth edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw

from maaf_lab.synthetic.random_stream import RandomStream

Color = tuple[int, ...]
SPLIT_NUMBERS = {"train": 0, "val": 1, "test": 2}  # of the random streams


def between(rng: RandomStream, low: float, high: float) -> float:
    """A uniform number from low to high."""
    return low + (high - low) * float(rng.uniform(1)[0])


def mix(a: Color, b: Color, share: float) -> Color:
    """The color `share` of the way from a to b."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a[:3], b[:3]))


def jitter(rng: RandomStream, color: Color, by: int = 10) -> Color:
    """A color near `color`: every channel moved by at most `by`."""
    return tuple(int(np.clip(c + d, 0, 255)) for c, d in zip(color, (rng.uniform(3) * 2 - 1) * by))


def shuffled(rng: RandomStream, items: Sequence) -> list:
    """The items in random order."""
    return [items[i] for i in rng.uniform(len(items)).argsort(kind="stable")]


def oval(x: float, y: float, rx: float, ry: float, turn: float = 0.0, start: float = 0.0, end: float = 360.0) -> np.ndarray:
    """Points of an ellipse, or of the part of it from angle `start` to `end`: (n, 2). Degrees, clockwise, 0 is right."""
    angle = np.radians(np.linspace(start, end, max(6, int(abs(end - start) / 10)) + 1))
    return turned(np.stack([rx * np.cos(angle), ry * np.sin(angle)], 1), turn) + np.array((x, y))


def turned(points: np.ndarray | Sequence[Sequence[float]], degrees: float) -> np.ndarray:
    """Points turned clockwise around the origin: (n, 2)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.asarray(points, float) @ np.array([[c, s], [-s, c]])


@dataclass(frozen=True)
class Frame:
    """A figure's origin in the picture, the length of its unit, its rotation in degrees, and whether it is mirrored."""

    x: float = 0.0
    y: float = 0.0
    unit: float = 1.0
    turn: float = 0.0
    flip: bool = False

    def place(self, points: np.ndarray | Sequence[Sequence[float]]) -> np.ndarray:
        points = np.asarray(points, float)
        if self.flip:
            points = points * (-1, 1)
        if self.turn:
            points = turned(points, self.turn)
        return points * self.unit + (self.x, self.y)


class Canvas:
    """A canvas of `pixels` a side, drawn `zoom` times larger. Colors with a fourth number (alpha) are blended."""

    def __init__(self, pixels: int, mode: str = "RGB", color: Color | int = (0, 0, 0), zoom: int | None = None) -> None:
        self.pixels, self.zoom = pixels, zoom or (3 if pixels < 128 else 2)
        self.side = pixels * self.zoom
        self.image = PILImage.new(mode, (self.side, self.side), color)
        self.frame = Frame()
        self._draw = ImageDraw.Draw(self.image, "RGBA" if mode == "RGB" else None)

    def on(self, background: PILImage.Image) -> Canvas:
        """Fill the canvas with a picture of any size."""
        self.image.paste(background.resize((self.side, self.side), PILImage.Resampling.BICUBIC))
        return self

    def points(self, points: np.ndarray | Sequence[Sequence[float]]) -> list[float]:
        """Figure coordinates -> a flat list of canvas coordinates."""
        return (self.frame.place(points) * self.side).ravel().tolist()

    def polygon(self, points: np.ndarray | Sequence[Sequence[float]], color: Color | int) -> None:
        self._draw.polygon(self.points(points), fill=color)

    def oval(self, x: float, y: float, rx: float, ry: float, color: Color | int, turn: float = 0.0) -> None:
        self.polygon(oval(x, y, rx, ry, turn), color)

    def box(self, x0: float, y0: float, x1: float, y1: float, color: Color | int) -> None:
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], color)

    def line(self, points: np.ndarray | Sequence[Sequence[float]], width: float, color: Color | int) -> None:
        """width in figure units; never thinner than half a pixel of the picture."""
        thick = max(self.zoom / 2, width * self.frame.unit * self.side)
        self._draw.line(self.points(points), fill=color, width=max(1, round(thick)), joint="curve")

    def reduced(self) -> PILImage.Image:
        """The canvas at its final size."""
        return self.image.reduce(self.zoom)

    def array(self) -> np.ndarray:
        """The canvas at its final size: uint8 (pixels, pixels[, channels])."""
        return np.asarray(self.reduced())


def soft(rng: RandomStream, colors: Sequence[Color], cells: int = 7, spread: float = 14) -> PILImage.Image:
    """A small picture of blotches in the colors, from top to bottom, that looks out of focus when enlarged."""
    ramp = np.array(colors, float)
    rows = np.linspace(0, len(colors) - 1, cells)
    low = np.minimum(rows.astype(int), len(colors) - 2) if len(colors) > 1 else np.zeros(cells, int)
    high = np.minimum(low + 1, len(colors) - 1)
    part = (rows - low)[:, None] if len(colors) > 1 else np.zeros((cells, 1))
    base = (ramp[low] * (1 - part) + ramp[high] * part)[:, None, :]
    field = base + (rng.uniform(cells, cells, 1) * 2 - 1) * spread + (rng.uniform(cells, cells, 3) * 2 - 1) * spread / 3
    return PILImage.fromarray(np.clip(field, 0, 255).astype(np.uint8))


def blotches(rng: RandomStream, pixels: int, cells: int) -> np.ndarray:
    """A smooth random field: float (pixels, pixels) with values from 0 to 1."""
    small = PILImage.fromarray((rng.uniform(cells, cells) * 255).astype(np.uint8))
    return np.asarray(small.resize((pixels, pixels), PILImage.Resampling.BICUBIC), float) / 255


def photographed(
    picture: np.ndarray, rng: RandomStream, light: float = 0.12, cast: float = 0.04, noise: int = 4, block: int = 1
) -> np.ndarray:
    """A picture (height, width, 3) with a camera's noise: brightness and color cast vary by up to the shares `light` and `cast`;
    grain of up to `noise` gray levels, in blocks of `block` pixels as in compressed video."""
    gain = (1 + between(rng, -light, light)) * (1 + (rng.uniform(3) * 2 - 1) * cast)
    table = np.clip(np.arange(256)[:, None] * gain, 0, 255).astype(np.int16)  # (256, 3)
    height, width = picture.shape[:2]
    grain = ((rng.uniform(-(-height // block), -(-width // block), 1) - 0.5) * 2 * noise).astype(np.int16)
    if block > 1:
        grain = grain.repeat(block, 0).repeat(block, 1)[:height, :width]
    out = np.stack([table[picture[..., c], c] for c in range(3)], -1) + grain
    return np.clip(out, 0, 255).astype(np.uint8)
