"""The adjectives of synthetic MIT-States: the effect of a state on the picture of any noun.

A `Subject` is a noun drawn large: its colors, its outline, and its box. An effect paints on it, reshapes it, or both; `small` and
`large` only change its size. Random fields are computed at low resolution and enlarged, which is fast.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw

from maaf_lab.synthetic.canvas import Canvas, Color, between, blotches, mix
from maaf_lab.synthetic.random_stream import RandomStream

SIZES = {"small": 0.3, "large": 0.9}  # of the noun, in picture sides; all other states have
USUAL = 0.6


class Subject:
    """canvas: the noun's colors (also beyond its outline). alpha: its outline, an "L" picture. box: left, top, right, bottom."""

    def __init__(self, canvas: Canvas, alpha: PILImage.Image, color: Color, rng: RandomStream) -> None:
        self.canvas, self.alpha, self.color, self.rng = canvas, alpha, color, rng
        side = canvas.side
        found = alpha.getbbox() or (0, 0, side, side)
        self.box = tuple(v / side for v in found)
        self.mid = ((self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2)
        self.wide, self.high = self.box[2] - self.box[0], self.box[3] - self.box[1]

    def tint(self, cover: np.ndarray, color: Color) -> None:
        """Blend in `color` by `cover` (n, n), from 0 to 1."""
        mask = PILImage.fromarray((np.clip(cover, 0, 1) * 255).astype(np.uint8)).resize((self.canvas.side,) * 2)
        self.canvas.image.paste(color, (0, 0), mask)

    def field(self, cells: int) -> np.ndarray:
        """A smooth random field over the picture, coarse: (96, 96), 0 to 1."""
        return blotches(self.rng, 96, cells)

    def down(self) -> np.ndarray:
        """0 at the top of the noun, 1 at its bottom: (96, 1)."""
        return np.clip(((np.arange(96) + 0.5) / 96 - self.box[1]) / self.high, 0, 1)[:, None]

    def somewhere(self) -> tuple[float, float]:
        """A point in the noun's box."""
        return between(self.rng, self.box[0], self.box[2]), between(self.rng, self.box[1], self.box[3])

    def shape(self) -> ImageDraw.ImageDraw:
        """A pen on the outline: 255 adds to it, 0 takes away."""
        return ImageDraw.Draw(self.alpha)

    def flat(self, points: np.ndarray | list) -> list[float]:
        return (np.asarray(points, float) * self.canvas.side).ravel().tolist()


def _step(field: np.ndarray, at: float, soft: float = 0.06) -> np.ndarray:
    return np.clip((field - at) / soft + 0.5, 0, 1)


def rusty(s: Subject) -> None:
    rough = 0.55 * s.field(8) + 0.45 * s.field(26)
    s.tint(0.9 * _step(rough, 0.42), (150, 74, 30))
    s.tint(0.85 * _step(rough, 0.53), (98, 46, 22))
    s.tint(0.9 * _step(s.field(34), 0.8), (206, 118, 50))


def dirty(s: Subject) -> None:
    mud = 0.6 * s.field(6) + 0.4 * s.field(22) + 0.16 * s.down() - 0.08
    s.tint(0.8 * _step(mud, 0.48, 0.12), (92, 74, 48))
    for _ in range(36):
        x, y = s.somewhere()
        r = between(s.rng, 0.002, 0.008)
        s.canvas.oval(x, y, r, r, (62, 48, 30))


def mossy(s: Subject) -> None:
    moss = 0.6 * s.field(7) + 0.4 * s.field(28) + 0.25 * (0.5 - s.down())
    s.tint(_step(moss, 0.46), (84, 120, 44))
    s.tint(0.9 * _step(moss + 0.2 * s.field(36), 0.66), (130, 160, 66))


def moldy(s: Subject) -> None:
    for _ in range(11):
        x, y = s.somewhere()
        r = between(s.rng, 0.025, 0.06)
        s.canvas.oval(x, y, r * 1.25, r * 1.2, (226, 232, 222, 220))
        s.canvas.oval(x, y, r, r, (134, 164, 146, 235))
        for _ in range(7):
            dx, dy = (float(v) * 2 - 1 for v in s.rng.uniform(2))
            s.canvas.oval(x + dx * r * 0.7, y + dy * r * 0.7, 0.006, 0.006, (70, 104, 92))


def burnt(s: Subject) -> None:
    char = 0.55 * s.field(7) + 0.35 * s.field(24) + 0.3 * np.abs(s.down() - 0.5)
    s.tint(0.55 + 0 * char, (60, 42, 30))
    s.tint(0.95 * _step(char, 0.42, 0.16), (20, 17, 16))
    s.tint(0.95 * _step(s.field(40), 0.9), (236, 110, 30))


def frozen(s: Subject) -> None:
    s.tint(0.55 + 0.35 * s.field(9), (196, 224, 242))
    s.tint(0.9 * _step(s.field(30), 0.66), (250, 253, 255))
    tall = np.asarray(s.alpha) > 128
    pen, side = s.shape(), s.canvas.side
    for k in range(9):
        x = s.box[0] + s.wide * (k + 0.5 + between(s.rng, -0.3, 0.3)) / 9
        column = np.flatnonzero(tall[:, min(side - 1, int(x * side))])
        if len(column):
            low, long = column[-1] / side, between(s.rng, 0.05, 0.15)
            drop = [(x - 0.016, low - 0.01), (x + 0.016, low - 0.01), (x + 0.002, min(0.99, low + long))]
            pen.polygon(s.flat(drop), fill=255)
            s.canvas.polygon(drop, (214, 236, 250))
    for _ in range(5):
        x, y = s.somewhere()
        for turn in (0, 60, 120):
            dx, dy = 0.035 * np.cos(np.radians(turn)), 0.035 * np.sin(np.radians(turn))
            s.canvas.line([(x - dx, y - dy), (x + dx, y + dy)], 0.007, (255, 255, 255))


def wet(s: Subject) -> None:
    s.tint(np.full((4, 4), 0.25), (16, 34, 62))
    pen = s.shape()
    for k in range(46):
        x, y = s.somewhere()
        r = between(s.rng, 0.008, 0.02)
        if k < 9:  # falling below the noun
            x, y = s.box[0] + s.wide * between(s.rng, 0.1, 0.9), min(0.97, s.box[3] + between(s.rng, 0.0, 0.1))
            pen.polygon(s.flat([(x - r, y), (x, y - 2.6 * r), (x + r, y), (x, y + 1.1 * r)]), fill=255)
        s.canvas.polygon(
            [(x - r, y), (x, y - 2.6 * r), (x + r, y), (x + 0.7 * r, y + 0.8 * r), (x - 0.7 * r, y + 0.8 * r)],
            (150, 206, 246, 235),
        )
        s.canvas.oval(x - 0.3 * r, y, 0.3 * r, 0.4 * r, (255, 255, 255))


def painted(s: Subject) -> None:
    bright = ((236, 60, 150), (40, 190, 200), (250, 200, 30), (130, 70, 210), (60, 200, 90), (250, 120, 30))
    one, two = s.rng.pick(bright[:3]), s.rng.pick(bright[3:])
    rows = 7
    for k in range(rows):
        y = s.box[1] + s.high * (k + 0.4) / rows
        x0, x1 = s.box[0] - 0.02 + between(s.rng, 0, 0.2) * s.wide, s.box[2] + 0.02 - between(s.rng, 0, 0.2) * s.wide
        color = one if k % 3 else two
        bend = between(s.rng, -0.02, 0.02)
        s.canvas.line([(x0, y), ((x0 + x1) / 2, y + bend), (x1, y - bend)], 0.85 * s.high / rows, (*color, 235))
        for d in (-0.25, 0.1, 0.3):
            hair = y + d * s.high / rows
            s.canvas.line([(x0, hair), (x1, hair - bend)], 0.004, (*mix(color, (255, 255, 255), 0.5), 200))
        x = between(s.rng, x0, x1)
        s.canvas.line([(x, y), (x, y + 1.2 * s.high / rows)], 0.018, color)


def shiny(s: Subject) -> None:
    s.tint(np.full((4, 4), 0.18), (255, 255, 255))
    for at, width in ((0.22, 0.09), (0.36, 0.03), (0.72, 0.05)):
        x = s.box[0] + at * (s.wide + 0.5 * s.high)
        s.canvas.line([(x, s.box[1] - 0.05), (x - 0.5 * s.high, s.box[3] + 0.05)], width * s.wide, (255, 255, 255, 165))
    pen = s.shape()
    for at in ((0.2, 0.2), (0.75, 0.3), (0.5, 0.7)):
        x, y = s.box[0] + at[0] * s.wide, s.box[1] + at[1] * s.high
        r = between(s.rng, 0.05, 0.09)
        star = [
            (x, y - r),
            (x + 0.16 * r, y - 0.16 * r),
            (x + r, y),
            (x + 0.16 * r, y + 0.16 * r),
            (x, y + r),
            (x - 0.16 * r, y + 0.16 * r),
            (x - r, y),
            (x - 0.16 * r, y - 0.16 * r),
        ]
        s.canvas.polygon(star, (255, 255, 250))
        pen.polygon(s.flat(star), fill=255)


def old(s: Subject) -> None:
    gray = s.canvas.image.convert("L").convert("RGB")
    s.canvas.image.paste(PILImage.blend(s.canvas.image, gray, 0.75))
    s.tint(0.3 + 0.3 * s.field(8), (170, 150, 116))
    for _ in range(12):
        x, y = s.somewhere()
        dx, dy = between(s.rng, -0.08, 0.08), between(s.rng, -0.04, 0.04)
        s.canvas.line([(x, y), (x + dx, y + dy)], 0.004, (96, 84, 68))
    x, y, pen = s.box[0] - 0.03, s.box[1] - 0.03, s.shape()
    thick = max(1, s.canvas.side // 160)
    web = [[(x, y), (x + 0.3 * np.cos(a), y + 0.3 * np.sin(a))] for a in np.linspace(0.05, 1.5, 6)]
    web += [[(x + r * np.cos(a), y + r * np.sin(a)) for a in np.linspace(0.05, 1.5, 6)] for r in (0.08, 0.15, 0.22, 0.28)]
    for thread in web:
        s.canvas.line(thread, 0.004, (240, 240, 236))
        pen.line(s.flat(thread), fill=255, width=thick)


def cracked(s: Subject) -> None:
    x0, y0 = s.mid[0] + between(s.rng, -0.06, 0.06), s.mid[1] + between(s.rng, -0.06, 0.06)
    for k in range(6):
        a = 2 * np.pi * (k + between(s.rng, 0, 0.8)) / 6
        path = [(x0, y0)]
        for _ in range(5):
            a += between(s.rng, -0.7, 0.7)
            path.append((path[-1][0] + 0.09 * np.cos(a), path[-1][1] + 0.09 * np.sin(a)))
        s.canvas.line(path, 0.014, (24, 22, 24))
        s.canvas.line(np.array(path) + 0.006, 0.004, (250, 250, 250, 170))
        b = a + 1
        s.canvas.line([path[2], (path[2][0] + 0.08 * np.cos(b), path[2][1] + 0.08 * np.sin(b))], 0.009, (24, 22, 24))


def wrinkled(s: Subject) -> None:
    for k in range(15):
        x, y = s.somewhere()
        a, r = between(s.rng, 0, np.pi), between(s.rng, 0.06, 0.16)
        path = np.array([(x + t * r * np.cos(a) + 0.02 * np.sin(5 * t + k), y + t * r * np.sin(a)) for t in (-1, -0.4, 0.2, 1)])
        s.canvas.line(path, 0.014, (*mix(s.color, (0, 0, 0), 0.55), 220))
        s.canvas.line(path + 0.011, 0.01, (*mix(s.color, (255, 255, 255), 0.6), 220))


def torn(s: Subject) -> None:
    pen, (left, top, right, bottom) = s.shape(), s.box
    for side, deep in ((0, 0.5), (1, 0.45), (2, 0.35), (1, 0.3)):
        at = between(s.rng, 0.25, 0.75)
        x, y = ((left, top + at * s.high), (left + at * s.wide, bottom), (right, top + at * s.high))[side]
        dx, dy = ((1, 0), (0, -1), (-1, 0))[side]
        long, half = deep * (s.wide if dx else s.high), 0.09
        rag = [(x - 0.02 * dx, y - 0.02 * dy)]
        steps = [0.0, 0.25, 0.5, 0.75, 1.0]
        edge = [(u, half * (1 - u) * (1 if k % 2 else 0.55)) for k, u in enumerate(steps)]
        upper = [(x + dx * long * u + abs(dy) * w, y + dy * long * u + abs(dx) * w) for u, w in edge]
        lower = [(x + dx * long * u - abs(dy) * w, y + dy * long * u - abs(dx) * w) for u, w in edge[::-1]]
        s.canvas.line([*upper, *lower], 0.022, mix(s.color, (255, 255, 255), 0.65))
        pen.polygon(s.flat([*rag, *upper, *lower]), fill=0)


def bent(s: Subject) -> None:
    n = s.canvas.side
    at = np.arange(n) / n
    if s.wide >= s.high:
        bow = 2.4 / max(s.wide, 0.2) * ((at - s.mid[0]) ** 2 - (s.wide / 4) ** 2)
        move = np.clip(at[:, None] - bow[None, :] * s.wide, 0, 1 - 1e-6)
        rows, columns = (move * n).astype(np.int64), np.broadcast_to(np.arange(n), (n, n))
    else:
        bow = 2.4 / max(s.high, 0.2) * ((at - s.mid[1]) ** 2 - (s.high / 4) ** 2)
        move = np.clip(at[None, :] - bow[:, None] * s.high, 0, 1 - 1e-6)
        rows, columns = np.broadcast_to(np.arange(n)[:, None], (n, n)), (move * n).astype(np.int64)
    s.canvas.image.paste(PILImage.fromarray(np.asarray(s.canvas.image)[rows, columns]))
    s.alpha.paste(PILImage.fromarray(np.asarray(s.alpha)[rows, columns]))


def broken(s: Subject) -> None:
    """Three pieces along two ragged lines, turned and pushed apart."""
    xs = [s.box[0] + s.wide * share for share in (0.36, 0.68)]
    ys = np.linspace(s.box[1] - 0.2, s.box[3] + 0.2, 12)
    lines = [[(x + between(s.rng, -0.045, 0.045) + 0.12 * (y - s.mid[1]), y) for y in ys] for x in xs]
    edges = [[(-1, ys[0]), (-1, ys[-1])], lines[0], lines[1], [(2, ys[0]), (2, ys[-1])]]
    _pieces(s, edges, ((-0.075, 0.03, -16), (0.0, -0.03, 4), (0.08, 0.05, 18)))


def cut(s: Subject) -> None:
    """One straight cut; the smaller part lies beside the larger, and both cut faces are pale."""
    x, lean = s.box[0] + s.wide * 0.62, 0.1
    line = [(x + lean, s.box[1] - 0.3), (x - lean, s.box[3] + 0.3)]
    s.canvas.line(line, 0.13, mix(s.color, (255, 250, 225), 0.8))
    s.canvas.line(line, 0.09, mix(s.color, (255, 250, 225), 0.6))
    edges = [[(-1, line[0][1]), (-1, line[1][1])], line, [(2, line[0][1]), (2, line[1][1])]]
    _pieces(s, edges, ((-0.05, 0.0, 0), (0.1, 0.02, 14)))


def _pieces(s: Subject, edges: list, moves: tuple[tuple[float, float, float], ...]) -> None:
    """Cut the subject along lines from top to bottom; move (right, down) and turn each piece about the noun's middle."""
    side = s.canvas.side
    whole, outline = s.canvas.image.copy(), s.alpha.copy()
    s.alpha.paste(0, (0, 0, side, side))
    for (left, right), (dx, dy, turn) in zip(pairwise(edges), moves):
        mask = PILImage.new("L", (side, side), 0)
        ImageDraw.Draw(mask).polygon(s.flat([*left, *right[::-1]]), fill=255)
        piece = PILImage.new("L", (side, side), 0)
        piece.paste(outline, (0, 0), mask)
        found = piece.getbbox()
        if not found:
            continue
        room = int(0.2 * max(found[2] - found[0], found[3] - found[1])) + 2  # for the turn
        part = (found[0] - room, found[1] - room, found[2] + room, found[3] + room)
        at = (part[0] + round(dx * side), part[1] + round(dy * side))
        piece, colors = (p.crop(part).rotate(-turn, PILImage.Resampling.BILINEAR) for p in (piece, whole))
        s.canvas.image.paste(colors, at, piece)
        s.alpha.paste(255, at, piece)


EFFECTS: dict[str, Callable[[Subject], None]] = {
    f.__name__: f
    for f in (bent, broken, burnt, cracked, cut, dirty, frozen, moldy, mossy, old, painted, rusty, shiny, torn, wet, wrinkled)
}
