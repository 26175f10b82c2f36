"""Cars and people of synthetic street scenes, and the picture of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maaf_lab.synthetic.canvas import Canvas, Frame, jitter, mix, photographed
from maaf_lab.synthetic.random_stream import RandomStream
from maaf_lab.synthetic.streets.views import background, car_length, person_height, view

CAR_KINDS = ("car", "suv", "van", "truck")
CAR_HEIGHTS = dict(zip(CAR_KINDS, (0.36, 0.43, 0.52, 0.55)))  # in car lengths
PERSON_KINDS = ("man", "woman")
CAR_COLORS = {
    "white": (236, 236, 236),
    "black": (40, 42, 46),
    "silver": (164, 170, 176),
    "red": (190, 34, 36),
    "blue": (40, 82, 168),
    "yellow": (236, 196, 44),
    "green": (46, 112, 66),
}
SHIRTS = {
    "red": (206, 40, 44),
    "blue": (48, 92, 190),
    "white": (240, 240, 240),
    "black": (36, 36, 40),
    "yellow": (242, 206, 50),
    "green": (58, 140, 72),
    "pink": (236, 132, 172),
}
EXTRAS = ("", "", "umbrella", "bag")
_SKIN = ((226, 182, 148), (196, 146, 108), (142, 98, 70), (240, 204, 176))
_HAIR = ((44, 32, 24), (96, 64, 36), (20, 18, 18), (168, 130, 76))


@dataclass(frozen=True)
class Thing:
    """A car or a person on a spot of its view. look: seed of what no text mentions (skin, hair, trousers)."""

    kind: str  # of CAR_KINDS or PERSON_KINDS
    color: str
    spot: int
    extra: str = ""  # what a person carries
    facing: str = "right"
    look: int = 0

    @property
    def is_car(self) -> bool:
        return self.kind in CAR_KINDS


def draw_scene(things: Sequence[Thing], seed: int, number: int, pixels: int, rng: RandomStream) -> np.ndarray:
    """The view `number` with things in it: uint8 (pixels, pixels, 3). rng: light, grain, and a camera that shakes a little."""
    canvas, spots = Canvas(pixels), view(seed, number).spots
    canvas.image.paste(background(seed, number, pixels))
    for thing in sorted(things, key=lambda t: (spots[t.spot].y, t.spot)):
        spot = spots[thing.spot]
        if thing.is_car:
            canvas.frame = Frame(spot.x, spot.y, car_length(spot.y), 0, thing.facing == "left")
            _car(canvas, thing)
        else:
            canvas.frame = Frame(spot.x, spot.y, person_height(spot.y), 0, thing.facing == "left")
            _person(canvas, thing)
    most = max(1, pixels // 112)
    down, right = (int(v) for v in rng.uniform(2) * (2 * most + 1))
    shaken = np.pad(canvas.array(), ((most, most), (most, most), (0, 0)), mode="edge")
    return photographed(shaken[down : down + pixels, right : right + pixels], rng, light=0.07, cast=0.02, noise=4, block=4)


def _car(canvas: Canvas, thing: Thing) -> None:
    """A side view; one unit is the car's length, the origin the ground in its middle."""
    paint = jitter(RandomStream(thing.look, 1), CAR_COLORS[thing.color], 8)
    dark, light, glass = mix(paint, (0, 0, 0), 0.3), mix(paint, (255, 255, 255), 0.25), (58, 76, 92)
    tall = CAR_HEIGHTS[thing.kind]
    canvas.oval(0.02, 0.0, 0.54, 0.06, (10, 10, 12, 110))
    if thing.kind == "truck":
        canvas.box(-0.5, -tall, 0.16, -0.1, light)
        canvas.box(-0.5, -0.16, 0.5, -0.08, dark)
        canvas.polygon([(0.18, -0.1), (0.18, -0.44), (0.36, -0.44), (0.46, -0.27), (0.5, -0.26), (0.5, -0.1)], paint)
        canvas.polygon([(0.24, -0.27), (0.24, -0.4), (0.34, -0.4), (0.42, -0.27)], glass)
        for x in (-0.36, -0.14):
            canvas.line([(x, -tall + 0.04), (x, -0.18)], 0.012, mix(light, (0, 0, 0), 0.14))
    else:
        bonnet = {"car": (0.26, -0.25), "suv": (0.3, -0.27), "van": (0.38, -0.29)}[thing.kind]
        rear = {"car": -0.28, "suv": -0.44, "van": -0.47}[thing.kind]
        front = {"car": 0.08, "suv": 0.12, "van": 0.26}[thing.kind]
        trunk = -0.24 if thing.kind == "car" else -tall + 0.08
        canvas.polygon(
            [
                (-0.5, -0.08),
                (-0.5, trunk),
                (-0.43, trunk - 0.02),
                (rear, -tall),
                (front, -tall),
                bonnet,
                (0.47, -0.22),
                (0.5, -0.17),
                (0.5, -0.08),
            ],
            paint,
        )
        canvas.box(-0.5, -0.14, 0.5, -0.075, dark)
        low = rear - (0.08 if thing.kind == "car" else -0.03)
        canvas.polygon([(low, -0.25), (rear + 0.03, -tall + 0.035), (-0.1, -tall + 0.035), (-0.1, -0.25)], glass)
        canvas.polygon([(-0.06, -0.25), (-0.06, -tall + 0.035), (front - 0.01, -tall + 0.035), (bonnet[0] - 0.05, -0.25)], glass)
        canvas.line([(-0.4, -tall + 0.012), (front - 0.02, -tall + 0.012)], 0.02, light)
    canvas.box(0.45, -0.2, 0.5, -0.15, (250, 240, 190))
    canvas.box(-0.5, -0.22, -0.47, -0.16, (200, 30, 30))
    for x in (-0.29, 0.29):
        canvas.oval(x, -0.075, 0.1, 0.1, (24, 24, 26))
        canvas.oval(x, -0.075, 0.05, 0.05, (158, 160, 164))


def _person(canvas: Canvas, thing: Thing) -> None:
    """One unit is the person's height, the origin between the feet."""
    rng = RandomStream(thing.look, 2)
    skin, hair = rng.pick(_SKIN), rng.pick(_HAIR)
    legs = jitter(rng, rng.pick(((44, 52, 80), (60, 56, 54), (96, 88, 76))), 8)
    shirt = SHIRTS[thing.color]
    shade, wide = mix(shirt, (0, 0, 0), 0.25), 1.25  # wider than life, so that a small picture shows it
    canvas.oval(0.05, 0.0, 0.2, 0.045, (10, 10, 12, 110))
    for x, foot in ((-0.05, -0.1), (0.05, 0.1)):
        canvas.line([(x * wide, -0.5), (x * wide + foot * 0.4, -0.25), (foot * wide, -0.02)], 0.1, legs)
    if thing.kind == "woman":
        canvas.polygon([(-0.1 * wide, -0.55), (0.1 * wide, -0.55), (0.19 * wide, -0.25), (-0.19 * wide, -0.25)], shirt)
        canvas.oval(-0.02, -0.85, 0.11, 0.14, hair)
    canvas.line([(-0.12 * wide, -0.76), (-0.19 * wide, -0.56), (-0.14 * wide, -0.42)], 0.07, shade)
    canvas.polygon([(-0.14 * wide, -0.8), (0.14 * wide, -0.8), (0.11 * wide, -0.46), (-0.11 * wide, -0.46)], shirt)
    canvas.line([(0.12 * wide, -0.76), (0.2 * wide, -0.6), (0.24 * wide, -0.5)], 0.07, shade)
    canvas.oval(0.01, -0.88, 0.085, 0.1, skin)
    canvas.oval(-0.015, -0.925, 0.088, 0.065, hair)
    if thing.extra == "umbrella":
        cloth = rng.pick(((180, 40, 120), (50, 60, 150), (40, 130, 130)))
        canvas.line([(0.24, -0.5), (0.22, -1.15)], 0.03, (60, 60, 60))
        canvas.polygon(
            [
                (-0.28, -0.98),
                (-0.12, -1.16),
                (0.12, -1.24),
                (0.34, -1.2),
                (0.54, -1.08),
                (0.64, -0.94),
                (0.4, -1.0),
                (0.2, -0.97),
                (-0.04, -1.02),
            ],
            cloth,
        )
    elif thing.extra == "bag":
        canvas.box(0.16, -0.46, 0.36, -0.24, (130, 84, 40))
        canvas.line([(0.2, -0.46), (0.26, -0.53), (0.32, -0.46)], 0.025, (90, 56, 28))
