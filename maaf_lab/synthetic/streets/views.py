"""The fixed viewpoints of synthetic street scenes: parking lots, streets and plazas, with the spots where things can be.

A view is seen from above: far things are high in the picture and small. Views depend on the seed alone; all splits share them,
as the published frames come from a few cameras.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image as PILImage

from maaf_lab.synthetic.canvas import Canvas, Frame, between, jitter, mix, soft
from maaf_lab.synthetic.random_stream import RandomStream

VIEWS = 9
_KINDS = ("lot", "street", "plaza")
_WALLS = ((176, 128, 104), (196, 182, 158), (150, 160, 170), (206, 196, 186), (160, 138, 120), (184, 148, 116))
_NEAR = 0.115  # of a landmark, in picture sides


@dataclass(frozen=True)
class Spot:
    """A spot for one thing: where it touches the ground, what it is for ("car" or "person"), landmarks beside it."""

    x: float
    y: float
    holds: str
    landmarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class View:
    """One camera. `door` and `trees` and `lamps` are landmarks: x of the building's entrance, (x, y) of the others."""

    number: int
    kind: str
    door: float
    trees: tuple[tuple[float, float], ...]
    lamps: tuple[tuple[float, float], ...]
    crossing: float
    seed: int
    spots: tuple[Spot, ...]


def depth(y: float) -> float:
    """0 at the far end of the ground, 1 at the picture's lower edge."""
    return (y - 0.36) / 0.64


def car_length(y: float) -> float:
    return 0.085 + 0.15 * depth(y)


def person_height(y: float) -> float:
    return 0.085 + 0.135 * depth(y)


@lru_cache(maxsize=64)
def view(seed: int, number: int) -> View:
    """The view with this number, 0 to VIEWS - 1, for a dataset's seed."""
    rng = RandomStream(seed, 7, number)
    kind, door, crossing = _KINDS[number % 3], between(rng, 0.2, 0.8), between(rng, 0.25, 0.75)
    trees: tuple[tuple[float, float], ...] = ()
    if kind == "lot":
        cars = [(x, 0.525) for x in _row(rng, 6)] + [(x, 0.7) for x in _row(rng, 5)] + [(x, 0.9) for x in _row(rng, 4)]
        people = [(x, 0.425) for x in _row(rng, 5)] + [(x, 0.61) for x in _row(rng, 4)] + [(x, 0.79) for x in _row(rng, 4)]
        people += [(x, 0.985) for x in _row(rng, 3)]
        trees = ((0.05 if door > 0.5 else 0.95, 0.44), (1 - door, 0.42))
        lamps: tuple[tuple[float, float], ...] = ((between(rng, 0.3, 0.7), 0.62),)
    elif kind == "street":
        cars = [(x, 0.53) for x in _row(rng, 5)] + [(x, 0.66) for x in _row(rng, 4)] + [(x, 0.8) for x in _row(rng, 4)]
        people = [(x, 0.455) for x in _row(rng, 6)] + [(x, 0.95) for x in _row(rng, 5)]
        people += [(crossing - 0.03, 0.6), (crossing + 0.02, 0.73), (crossing - 0.02, 0.85)]
        trees = ((1 - door, 0.45), (rng.pick((0.08, 0.92)), 0.92))
        lamps = ((between(rng, 0.1, 0.9), 0.46),)
    else:
        cars = [(x, 0.46) for x in _row(rng, 6)]
        people = [(x, 0.57) for x in _row(rng, 6)] + [(x, 0.71) for x in _row(rng, 5)] + [(x, 0.86) for x in _row(rng, 5)]
        people += [(x, 0.98) for x in _row(rng, 4)]
        trees = ((rng.pick((0.1, 0.9)), 0.62), (rng.pick((0.06, 0.94)), 0.88))
        lamps = ((between(rng, 0.3, 0.7), 0.6),)
    marks = [("the entrance", door, 0.42), *(("the tree", *at) for at in trees), *(("the lamp post", *at) for at in lamps)]

    def spot(x: float, y: float, holds: str) -> Spot:
        near = [name for name, mx, my in marks if np.hypot(x - mx, (y - my) * 1.5) < _NEAR]
        if kind == "street" and holds == "person" and 0.5 < y < 0.9:
            near.append("the crosswalk")
        return Spot(round(x, 4), y, holds, tuple(near))

    spots = tuple([spot(*at, "car") for at in cars] + [spot(*at, "person") for at in people])
    return View(number, kind, door, trees, lamps, crossing, seed, spots)


def _row(rng: RandomStream, n: int) -> list[float]:
    """n places from left to right, none too near to its neighbors."""
    return [(i + 0.5 + between(rng, -0.1, 0.1)) / n for i in range(n)]


@lru_cache(maxsize=32)
def background(seed: int, number: int, pixels: int) -> PILImage.Image:
    """The empty view, at the canvas's size."""
    v, rng = view(seed, number), RandomStream(seed, 8, number)
    canvas = Canvas(pixels)
    asphalt, paving = jitter(rng, (112, 114, 118), 8), jitter(rng, (186, 178, 166), 8)
    ground = paving if v.kind == "plaza" else asphalt
    canvas.on(soft(rng, [ground, mix(ground, (255, 255, 255), 0.08)], 12, 5))
    _house(canvas, v, rng)
    if v.kind == "lot":
        _lot(canvas, v, paving)
    elif v.kind == "street":
        _street(canvas, v, paving, asphalt)
    else:
        _plaza(canvas, v, paving, asphalt)
    for x, y in v.lamps:
        tall = 2.1 * person_height(y)
        canvas.line([(x, y), (x, y - tall)], 0.012, (70, 74, 80))
        canvas.line([(x, y - tall), (x + 0.04, y - tall - 0.005)], 0.01, (70, 74, 80))
        canvas.oval(x + 0.045, y - tall + 0.005, 0.018, 0.01, (244, 236, 200))
    for x, y in v.trees:
        _tree(canvas, x, y, rng)
    return canvas.image


def _house(canvas: Canvas, v: View, rng: RandomStream) -> None:
    canvas.box(0, 0, 1, 0.12, jitter(rng, (170, 196, 218), 10))
    wall = jitter(rng, _WALLS[(v.number * 2 + v.number // 3) % len(_WALLS)], 8)
    split = between(rng, 0.35, 0.65)
    other = jitter(rng, rng.pick(_WALLS), 8)
    canvas.box(0, between(rng, 0.03, 0.1), split, 0.385, wall)
    canvas.box(split, between(rng, 0.0, 0.1), 1, 0.385, mix(wall, other, 0.6))
    panes = 4 + rng.below(4)
    for i in range(2 * panes):
        x = (i + 0.25) / (2 * panes)
        for y in (0.14, 0.245):
            if abs(x + 0.25 / panes - v.door) > 0.1 or y < 0.2:
                canvas.box(x, y, x + 0.25 / panes, y + 0.06, (86, 108, 128))
                canvas.box(x, y, x + 0.25 / panes, y + 0.02, (130, 152, 170))
    canvas.box(v.door - 0.05, 0.25, v.door + 0.05, 0.385, (70, 56, 50))
    canvas.box(v.door - 0.04, 0.265, v.door - 0.004, 0.385, (150, 178, 190))
    canvas.box(v.door + 0.004, 0.265, v.door + 0.04, 0.385, (150, 178, 190))
    canvas.box(v.door - 0.07, 0.225, v.door + 0.07, 0.252, rng.pick(((150, 40, 40), (40, 90, 60), (40, 60, 120))))


def _lot(canvas: Canvas, v: View, paving: tuple) -> None:
    canvas.box(0, 0.38, 1, 0.44, paving)
    canvas.box(0, 0.44, 1, 0.447, mix(paving, (0, 0, 0), 0.4))
    for y, n in ((0.525, 6), (0.7, 5), (0.9, 4)):
        deep = 0.42 * car_length(y)
        for i in range(n + 1):
            canvas.line([(i / n - 0.004, y + 0.015), (i / n + 0.004, y - deep)], 0.006, (226, 226, 220))
        canvas.line([(0, y - deep), (1, y - deep)], 0.005, (214, 200, 110))


def _street(canvas: Canvas, v: View, paving: tuple, asphalt: tuple) -> None:
    canvas.box(0, 0.38, 1, 0.475, paving)
    canvas.box(0, 0.475, 1, 0.484, mix(paving, (0, 0, 0), 0.4))
    canvas.box(0, 0.875, 1, 1, mix(paving, (255, 255, 255), 0.06))
    canvas.box(0, 0.867, 1, 0.877, mix(paving, (0, 0, 0), 0.35))
    for i in range(12):
        canvas.box(i / 12 + 0.015, 0.692, i / 12 + 0.055, 0.7, (228, 222, 170))
    for i in range(7):
        y = 0.49 + 0.055 * i
        canvas.box(v.crossing - 0.07 - 0.02 * depth(y), y, v.crossing + 0.07 + 0.02 * depth(y), y + 0.028, (224, 224, 220))


def _plaza(canvas: Canvas, v: View, paving: tuple, asphalt: tuple) -> None:
    canvas.box(0, 0.38, 1, 0.48, asphalt)
    canvas.box(0, 0.48, 1, 0.488, (90, 88, 86))
    line = mix(paving, (0, 0, 0), 0.14)
    for k in range(-8, 18):
        canvas.line([(0.5 + (k / 10 - 0.5) * 0.8, 0.488), (0.5 + (k / 10 - 0.5) * 1.9, 1.0)], 0.004, line)
    for y in (0.52, 0.57, 0.635, 0.715, 0.81, 0.92):
        canvas.line([(0, y), (1, y)], 0.004, line)
    if v.number % 2:
        x = 0.3 if v.lamps[0][0] > 0.5 else 0.7
        canvas.oval(x, 0.645, 0.11, 0.035, (128, 124, 120))
        canvas.oval(x, 0.64, 0.095, 0.027, (110, 156, 178))
        canvas.oval(x, 0.62, 0.02, 0.03, (214, 230, 236))
    else:
        for x in (0.25, 0.75):
            canvas.box(x - 0.06, 0.625, x + 0.06, 0.64, (120, 82, 52))
            canvas.box(x - 0.05, 0.64, x - 0.04, 0.66, (60, 56, 52))
            canvas.box(x + 0.04, 0.64, x + 0.05, 0.66, (60, 56, 52))


def _tree(canvas: Canvas, x: float, y: float, rng: RandomStream) -> None:
    unit = 1.9 * person_height(y)
    canvas.frame = Frame(x, y, unit)
    canvas.oval(0.1, 0.0, 0.4, 0.07, (20, 24, 20, 70))
    canvas.polygon([(-0.05, 0), (-0.03, -0.5), (0.03, -0.5), (0.05, 0)], (92, 70, 52))
    green = jitter(rng, (72, 116, 58), 14)
    crown = ((0, -0.72, 0.36, 0.0), (-0.2, -0.62, 0.24, 0.06), (0.2, -0.64, 0.24, 0.05), (-0.06, -0.86, 0.22, 0.16))
    for dx, dy, r, light in crown:
        canvas.oval(dx, dy, r, r * 0.85, mix(green, (220, 236, 150), light))
    canvas.frame = Frame()
