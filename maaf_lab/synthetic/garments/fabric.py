"""Fabrics and prints: a color and a pattern as a square of pixels, and the motifs printed on a chest."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw

from maaf_lab.synthetic.garments.attributes import RGB, Garment
from maaf_lab.synthetic.random_stream import RandomStream

Color = tuple[int, int, int]
Pen = ImageDraw.ImageDraw


def tinted(rgb: Color, tint: np.ndarray) -> Color:
    """A color as one photo shows it: `tint` is added to its three channels."""
    r, g, b = (int(min(max(c + t, 0), 255)) for c, t in zip(rgb, tint))
    return r, g, b


def mixed(a: Color, b: Color, share: float) -> Color:
    """`share` of b in a."""
    r, g, c = (round(x * (1 - share) + y * share) for x, y in zip(a, b))
    return r, g, c


def is_dark(rgb: Color) -> bool:
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] < 75


def line_color(rgb: Color) -> Color:
    """For seams and outlines: darker than the cloth, or lighter where the cloth is dark."""
    return mixed(rgb, (165, 165, 175), 0.4) if is_dark(rgb) else mixed(rgb, (20, 18, 24), 0.45)


def fabric(g: Garment, unit: float, side: int, tint: np.ndarray, luck: np.ndarray) -> PILImage.Image:
    """A square of the garment's cloth, `side` px; `unit` is the body unit in px, `luck` 8 numbers in [0, 1)."""
    base = tinted(RGB[g.color], tint)
    if g.pattern in ("solid", "graphic"):
        return PILImage.new("RGB", (side, side), base)
    second = tinted(RGB[g.second], tint)
    size = 1.0 if g.kind != "dress" else 1.25  # dresses are drawn smaller, and their patterns must show as well
    scale = unit * size * (0.85 + 0.3 * luck[0])
    return PILImage.fromarray(_WEAVES[g.pattern](base, second, g.detail, scale, side, luck))


def _striped(base: Color, second: Color, detail: str, scale: float, side: int, luck: np.ndarray) -> np.ndarray:
    period = max(4, round(0.075 * scale))
    wide = round(period * (0.4 + 0.2 * luck[1]))
    line = np.where(((np.arange(side) + int(luck[2] * period)) % period < wide)[:, None], np.uint8(second), np.uint8(base))
    cloth = np.broadcast_to(line[:, None] if detail == "horizontal" else line[None], (side, side, 3))
    return np.ascontiguousarray(cloth)


def _plaid(base: Color, second: Color, detail: str, scale: float, side: int, luck: np.ndarray) -> np.ndarray:
    period = max(8, round(0.145 * scale))
    at = (np.arange(side) + int(luck[2] * period)) % period / period
    band = (at < 0.42) * 0.5 + ((at > 0.66) & (at < 0.74)) * 0.34
    share = (band[:, None] + band[None])[:period, :period, None]
    tile = (np.float32(base) * (1 - share) + np.float32(second) * share).astype(np.uint8)
    times = side // period + 1
    return np.tile(tile, (times, times, 1))[:side, :side]


def _polka(base: Color, second: Color, detail: str, scale: float, side: int, luck: np.ndarray) -> np.ndarray:
    step = max(8, 2 * round(0.046 * scale))
    tile = PILImage.new("RGB", (step, step), base)
    pen, r = ImageDraw.Draw(tile), step * (0.19 + 0.05 * luck[1])
    for x, y in ((0, 0), (step, 0), (0, step), (step, step), (step / 2, step / 2)):
        pen.ellipse((x - r, y - r, x + r, y + r), fill=second)
    times = side // step + 1
    return np.tile(np.asarray(tile), (times, times, 1))[:side, :side]


def _scattered(side: int, step: float, luck: np.ndarray) -> np.ndarray:
    """Points of a jittered grid: (N, 4) x, y and two more numbers in [0, 1)."""
    n = int(side / step) + 1
    grid = np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1).reshape(-1, 2).astype(float)
    noise = RandomStream(int(luck[3] * 2**31)).uniform(len(grid), 4)
    grid[:, 0] += 0.5 * (grid[:, 1] % 2)
    return np.concatenate([(grid + 0.55 * (noise[:, :2] - 0.5)) * step, noise[:, 2:]], 1)


def _floral(base: Color, second: Color, detail: str, scale: float, side: int, luck: np.ndarray) -> np.ndarray:
    cloth = PILImage.new("RGB", (side, side), base)
    pen, leaf = ImageDraw.Draw(cloth), mixed(mixed(base, second, 0.55), (60, 120, 60), 0.45)
    heart = mixed(second, (255, 215, 90) if not is_dark(second) else (250, 240, 220), 0.75)
    for x, y, u, v in _scattered(side, 0.098 * scale, luck).tolist():
        r, turn = scale * (0.018 + 0.007 * u), 6.28 * v
        lx, ly = x + 2.4 * r * cos(turn), y + 2.4 * r * sin(turn)
        pen.line((x, y, lx, ly), fill=leaf, width=max(1, int(r * 0.75)))
        for k in range(5):
            a = turn + 2 * pi * k / 5
            px, py = x + r * cos(a), y + r * sin(a)
            pen.ellipse((px - r * 0.78, py - r * 0.78, px + r * 0.78, py + r * 0.78), fill=second)
        pen.ellipse((x - r * 0.55, y - r * 0.55, x + r * 0.55, y + r * 0.55), fill=heart)
    return np.asarray(cloth)


def _animal(base: Color, second: Color, detail: str, scale: float, side: int, luck: np.ndarray) -> np.ndarray:
    """Leopard spots: broken rings around a darker middle."""
    cloth = PILImage.new("RGB", (side, side), base)
    pen, middle = ImageDraw.Draw(cloth), mixed(base, second, 0.3)
    for x, y, u, v in _scattered(side, 0.056 * scale, luck).tolist():
        rx, ry, start = scale * (0.016 + 0.006 * u), scale * (0.014 + 0.006 * v), 360 * u
        box = (x - rx, y - ry, x + rx, y + ry)
        pen.ellipse(box, fill=middle)
        pen.arc(box, start, start + 130 + 60 * v, fill=second, width=max(2, int(rx * 0.5)))
        pen.arc(box, start + 195, start + 310, fill=second, width=max(2, int(rx * 0.5)))
    return np.asarray(cloth)


_WEAVES: dict[str, Callable[..., np.ndarray]] = {
    "striped": _striped,
    "plaid": _plaid,
    "polka dot": _polka,
    "floral": _floral,
    "animal": _animal,
}


# --- motifs: each in a box from -1 to 1 around (x, y), r px to a side -----------------------------------------------------


def draw_motif(pen: Pen, name: str, x: float, y: float, r: float, ink: Color, cloth: Color, luck: np.ndarray) -> None:
    """Print a motif of half width `r` px around (x, y)."""
    _PRINTS[name](pen, x, y, r, ink, cloth, luck)


def _shape(pen: Pen, x: float, y: float, r: float, points: list[tuple[float, float]], fill: Color) -> None:
    pen.polygon([(x + r * u, y + r * v) for u, v in points], fill=fill)


def _disc(pen: Pen, x: float, y: float, r: float, fill: Color, squash: float = 1.0) -> None:
    pen.ellipse((x - r, y - r * squash, x + r, y + r * squash), fill=fill)


def _star(pen: Pen, x: float, y: float, r: float, ink: Color, cloth: Color, luck: np.ndarray) -> None:
    points = [((1, 0.42)[k % 2] * sin(pi * k / 5), -(1, 0.42)[k % 2] * cos(pi * k / 5)) for k in range(10)]
    _shape(pen, x, y, r, points, ink)
    if luck[4] < 0.5:
        _shape(pen, x, y, r * 0.55, points, cloth)


def _heart(pen: Pen, x: float, y: float, r: float, ink: Color, cloth: Color, luck: np.ndarray) -> None:
    t = np.linspace(0, 2 * pi, 40)
    points = np.stack(
        [np.sin(t) ** 3, -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16], 1
    ).tolist()
    _shape(pen, x, y, r, points, ink)


_GLYPHS = "A25755 E74647 H55755 I72227 L44447 M57755 O75557 P75744 S74717 T72222 U55557 Y55222"
_LETTERS = {glyph[0]: tuple(map(int, glyph[1:])) for glyph in _GLYPHS.split()}  # 3 x 5 pixels, one number per row
_SAYINGS = "HELLO SMILE PALM MOTEL HOTEL LIME PLUM TULIP OASIS SALT TIME HOPE HOME PLAY MILE ISLE"


def _text(pen: Pen, x: float, y: float, r: float, ink: Color, cloth: Color, luck: np.ndarray) -> None:
    rows, tall, sayings = 2 + (luck[4] < 0.5), r * 0.62 / 5, _SAYINGS.split()
    for row in range(rows):
        saying = sayings[int(luck[5 + row] * len(sayings))]
        cell = 2 * r / (4 * len(saying) - 1)
        top = y + (row - rows / 2) * r * 0.82
        for k, letter in enumerate(saying):
            for line, bits in enumerate(_LETTERS[letter]):
                for column in range(3):
                    if bits >> (2 - column) & 1:
                        left, up = x - r + (4 * k + column) * cell, top + line * tall
                        pen.rectangle((left, up, left + cell, up + tall), fill=ink)


def _skull(pen: Pen, x: float, y: float, r: float, ink: Color, cloth: Color, luck: np.ndarray) -> None:
    _disc(pen, x, y - 0.22 * r, 0.82 * r, ink, 0.9)
    pen.rectangle((x - 0.45 * r, y + 0.2 * r, x + 0.45 * r, y + 0.92 * r), fill=ink)
    for side in (-1, 1):
        _disc(pen, x + side * 0.36 * r, y - 0.15 * r, 0.23 * r, cloth, 1.15)
    _shape(pen, x, y, r, [(0, 0.12), (0.12, 0.36), (-0.12, 0.36)], cloth)
    for at in (-0.24, 0, 0.24):
        pen.line((x + at * r, y + 0.55 * r, x + at * r, y + 0.92 * r), fill=cloth, width=max(1, int(0.09 * r)))


def _cat(pen: Pen, x: float, y: float, r: float, ink: Color, cloth: Color, luck: np.ndarray) -> None:
    _disc(pen, x, y + 0.15 * r, 0.8 * r, ink, 0.85)
    for side in (-1, 1):
        _shape(pen, x, y, r, [(side * 0.8, 0.1), (side * 0.78, -0.95), (side * 0.15, -0.45)], ink)
        _disc(pen, x + side * 0.33 * r, y + 0.02 * r, 0.16 * r, cloth)
        for tilt in (0.22, 0.42):
            pen.line(
                (x + side * 0.25 * r, y + 0.4 * r, x + side * 1.05 * r, y + tilt * r),
                fill=cloth if tilt > 0.3 else ink,
                width=max(1, int(0.06 * r)),
            )
    _shape(pen, x, y, r, [(-0.12, 0.28), (0.12, 0.28), (0, 0.44)], cloth)


def _sun(pen: Pen, x: float, y: float, r: float, ink: Color, cloth: Color, luck: np.ndarray) -> None:
    for k in range(12):
        a = 2 * pi * k / 12
        low, high = a - 0.2, a + 0.2
        _shape(pen, x, y, r, [(cos(a), sin(a)), (0.62 * cos(high), 0.62 * sin(high)), (0.62 * cos(low), 0.62 * sin(low))], ink)
    _disc(pen, x, y, 0.52 * r, ink)


def _tree(pen: Pen, x: float, y: float, r: float, ink: Color, cloth: Color, luck: np.ndarray) -> None:
    pen.rectangle((x - 0.12 * r, y + 0.5 * r, x + 0.12 * r, y + r), fill=ink)
    for top, low, wide in ((-1.0, -0.3, 0.45), (-0.55, 0.15, 0.62), (-0.1, 0.62, 0.8)):
        _shape(pen, x, y, r, [(0, top), (wide, low), (-wide, low)], ink)


def _flag(pen: Pen, x: float, y: float, r: float, ink: Color, cloth: Color, luck: np.ndarray) -> None:
    for k in range(4):
        top = y + (-0.7 + 0.4 * k) * r
        pen.rectangle((x - r, top, x + r, top + 0.2 * r), fill=ink)
    pen.rectangle((x - r, y - 0.7 * r, x - 0.05 * r, y + 0.1 * r), fill=ink)
    for u in (-0.75, -0.3):
        for v in (-0.48, -0.12):
            _disc(pen, x + u * r, y + v * r, 0.1 * r, cloth)


_PRINTS: dict[str, Callable[..., None]] = {
    "star": _star,
    "heart": _heart,
    "text": _text,
    "skull": _skull,
    "cat": _cat,
    "sun": _sun,
    "tree": _tree,
    "flag": _flag,
}
