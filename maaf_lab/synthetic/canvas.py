"""What the drawn sets share: a canvas in unit coordinates, soft random fields, and the wear that a camera adds.

Unit coordinates: x to the right, y down, the picture is the square from (0, 0) to (1, 1). A `Frame` puts a figure, which is
described around its own origin, into the picture. Everything is drawn larger and then reduced, so edges are smooth.
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


def between(dice: RandomStream, low: float, high: float) -> float:
    """A uniform number from low to high."""
    return low + (high - low) * float(dice.uniform(1)[0])


def mix(a: Color, b: Color, share: float) -> Color:
    """The colour that lies `share` of the way from a to b."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a[:3], b[:3]))


def jitter(dice: RandomStream, color: Color, by: int = 10) -> Color:
    """A colour near `color`: every channel moved by at most `by`."""
    return tuple(int(np.clip(c + d, 0, 255)) for c, d in zip(color, (dice.uniform(3) * 2 - 1) * by))


def shuffled(dice: RandomStream, items: Sequence) -> list:
    """The items in random order."""
    return [items[i] for i in dice.uniform(len(items)).argsort(kind="stable")]


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
    """Where a figure's origin lies in the picture, how long its unit is, how it is turned, and whether it looks the other way."""

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
    """A canvas of `pixels` a side, drawn `zoom` times larger. Colours with a fourth number are laid over what is there."""

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


def soft(dice: RandomStream, colors: Sequence[Color], cells: int = 7, spread: float = 14) -> PILImage.Image:
    """A small picture of blotches around the colours from top to bottom; enlarged, it looks out of focus."""
    ramp = np.array(colors, float)
    rows = np.linspace(0, len(colors) - 1, cells)
    low = np.minimum(rows.astype(int), len(colors) - 2) if len(colors) > 1 else np.zeros(cells, int)
    high = np.minimum(low + 1, len(colors) - 1)
    part = (rows - low)[:, None] if len(colors) > 1 else np.zeros((cells, 1))
    base = (ramp[low] * (1 - part) + ramp[high] * part)[:, None, :]
    field = base + (dice.uniform(cells, cells, 1) * 2 - 1) * spread + (dice.uniform(cells, cells, 3) * 2 - 1) * spread / 3
    return PILImage.fromarray(np.clip(field, 0, 255).astype(np.uint8))


def blotches(dice: RandomStream, pixels: int, cells: int) -> np.ndarray:
    """A smooth random field: float (pixels, pixels) with values from 0 to 1."""
    small = PILImage.fromarray((dice.uniform(cells, cells) * 255).astype(np.uint8))
    return np.asarray(small.resize((pixels, pixels), PILImage.Resampling.BICUBIC), float) / 255


def photographed(
    picture: np.ndarray, dice: RandomStream, light: float = 0.12, cast: float = 0.04, noise: int = 4, block: int = 1
) -> np.ndarray:
    """What a camera adds to a picture (height, width, 3): brightness and colour cast within `light` and `cast` (shares), and
    grain of up to `noise` grey levels in blocks of so many pixels, as compressed video has it."""
    gain = (1 + between(dice, -light, light)) * (1 + (dice.uniform(3) * 2 - 1) * cast)
    table = np.clip(np.arange(256)[:, None] * gain, 0, 255).astype(np.int16)  # (256, 3)
    height, width = picture.shape[:2]
    grain = ((dice.uniform(-(-height // block), -(-width // block), 1) - 0.5) * 2 * noise).astype(np.int16)
    if block > 1:
        grain = grain.repeat(block, 0).repeat(block, 1)[:height, :width]
    out = np.stack([table[picture[..., c], c] for c in range(3)], -1) + grain
    return np.clip(out, 0, 255).astype(np.uint8)
