"""The nouns of synthetic MIT-States: flat drawings with distinct silhouettes.

A drawing fills about the square from (-0.5, -0.5) to (0.5, 0.5) of its own coordinates, y down. `Ink` has the tones of one of
the noun's colors, chosen at random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from maaf_lab.synthetic.canvas import Canvas, Color, mix, oval, turned

BLACK, WHITE, GLASS, METAL, WOOD = (34, 34, 38), (244, 244, 240), (176, 206, 220), (176, 182, 190), (150, 104, 62)


@dataclass(frozen=True)
class Ink:
    main: Color

    @property
    def dark(self) -> Color:
        return mix(self.main, (0, 0, 0), 0.28)

    @property
    def light(self) -> Color:
        return mix(self.main, (255, 255, 255), 0.35)


@dataclass(frozen=True)
class Noun:
    """draw: draws it on a canvas. stuff: its material, which decides its possible states. colors: its possible colors."""

    draw: Callable[[Canvas, Ink], None]
    stuff: str
    colors: tuple[Color, ...]


def _round(b: Canvas, i: Ink, r: float = 0.45) -> None:
    b.oval(0, 0, r, r, i.dark)
    b.oval(-0.02, -0.02, r - 0.03, r - 0.03, i.main)
    b.oval(-0.14, -0.16, 0.12, 0.1, i.light, -40)


def apple(b: Canvas, i: Ink) -> None:
    for x in (-0.16, 0.16):
        b.oval(x, 0.06, 0.28, 0.4, i.dark)
    for x in (-0.15, 0.13):
        b.oval(x, 0.05, 0.25, 0.37, i.main)
    b.oval(-0.2, -0.1, 0.08, 0.13, i.light, 20)
    b.line([(0, -0.26), (0.03, -0.4), (0.08, -0.48)], 0.05, (92, 62, 38))
    b.polygon(oval(0.2, -0.4, 0.14, 0.06, -20), (86, 142, 60))


def banana(b: Canvas, i: Ink) -> None:
    for k, color in ((0.0, i.dark), (0.03, i.main)):
        outer, inner = oval(0, -0.42, 0.55 - k, 0.78 - k, 0, 14, 166), oval(0, -0.42, 0.5 + k / 2, 0.48 + k, 0, 166, 14)
        b.polygon(np.concatenate([outer, inner]), color)
    b.line(oval(0, -0.42, 0.5, 0.63, 0, 35, 145), 0.018, i.light)
    b.box(0.47, -0.36, 0.56, -0.2, (104, 84, 40))


def ball(b: Canvas, i: Ink) -> None:
    _round(b, i)
    b.polygon(np.concatenate([oval(0, 0, 0.42, 0.14, -20, 0, 180), oval(0, -0.02, 0.42, 0.02, -20, 180, 0)]), WHITE)
    b.oval(0.02, -0.28, 0.12, 0.07, WHITE, 10)


def boat(b: Canvas, i: Ink) -> None:
    b.polygon([(-0.5, 0.16), (0.5, 0.16), (0.34, 0.42), (-0.36, 0.42)], i.main)
    b.polygon([(-0.5, 0.16), (0.5, 0.16), (0.48, 0.22), (-0.47, 0.22)], i.dark)
    b.line([(0, 0.16), (0, -0.48)], 0.04, WOOD)
    b.polygon([(0.04, -0.46), (0.42, 0.08), (0.04, 0.08)], WHITE)
    b.polygon([(-0.04, -0.38), (-0.34, 0.08), (-0.04, 0.08)], (222, 222, 214))


def book(b: Canvas, i: Ink) -> None:
    b.polygon([(-0.36, -0.4), (0.3, -0.46), (0.4, 0.4), (-0.26, 0.46)], i.dark)
    b.polygon([(-0.24, 0.4), (0.37, 0.34), (0.38, 0.4), (-0.24, 0.45)], WHITE)
    b.polygon([(-0.36, -0.4), (0.3, -0.46), (0.37, 0.33), (-0.26, 0.39)], i.main)
    b.polygon([(-0.36, -0.4), (-0.28, -0.41), (-0.18, 0.385), (-0.26, 0.39)], i.dark)
    b.polygon([(-0.16, -0.28), (0.2, -0.31), (0.21, -0.19), (-0.15, -0.16)], i.light)
    b.line([(-0.08, -0.05), (0.2, -0.07)], 0.025, i.light)


def bottle(b: Canvas, i: Ink) -> None:
    shape = [(-0.07, -0.5), (0.07, -0.5), (0.07, -0.26), (0.19, -0.08), (0.19, 0.5), (-0.19, 0.5), (-0.19, -0.08), (-0.07, -0.26)]
    b.polygon(shape, i.dark)
    b.polygon(np.array(shape) * (0.86, 0.97), i.main)
    b.box(-0.09, -0.5, 0.09, -0.42, (190, 160, 110))
    b.box(-0.19, 0.04, 0.19, 0.3, WHITE)
    b.line([(-0.11, -0.08), (-0.11, 0.02)], 0.04, i.light)
    b.line([(-0.11, 0.33), (-0.11, 0.45)], 0.04, i.light)


def bowl(b: Canvas, i: Ink) -> None:
    b.polygon(oval(0, -0.12, 0.5, 0.48, 0, 0, 180), i.main)
    b.polygon(np.concatenate([oval(0, -0.12, 0.5, 0.48, 0, 0, 70), oval(0, -0.12, 0.36, 0.47, 0, 70, 0)]), i.dark)
    b.oval(0, -0.12, 0.5, 0.12, i.light)
    b.oval(0, -0.1, 0.43, 0.085, i.dark)
    b.box(-0.16, 0.34, 0.16, 0.4, i.dark)


def bread(b: Canvas, i: Ink) -> None:
    b.box(-0.46, -0.1, 0.46, 0.34, i.dark)
    for x in (-0.26, 0.0, 0.26):
        b.oval(x, -0.1, 0.24, 0.2, i.dark)
    b.box(-0.43, -0.1, 0.43, 0.31, i.main)
    for x in (-0.26, 0.0, 0.26):
        b.oval(x, -0.1, 0.2, 0.17, i.main)
        b.line([(x - 0.1, -0.16), (x + 0.08, -0.06)], 0.03, i.light)


def bucket(b: Canvas, i: Ink) -> None:
    b.line(oval(0, -0.22, 0.38, 0.26, 0, 180, 360), 0.03, (90, 92, 96))
    b.polygon([(-0.4, -0.22), (0.4, -0.22), (0.29, 0.46), (-0.29, 0.46)], i.main)
    b.polygon([(0.2, -0.22), (0.4, -0.22), (0.29, 0.46), (0.15, 0.46)], i.dark)
    b.oval(0, -0.22, 0.4, 0.1, i.light)
    b.oval(0, -0.21, 0.34, 0.07, i.dark)
    b.line([(-0.36, 0.0), (0.36, 0.0)], 0.025, i.dark)


def cake(b: Canvas, i: Ink) -> None:
    b.box(-0.44, 0.05, 0.44, 0.42, i.main)
    b.oval(0, 0.42, 0.44, 0.07, i.dark)
    b.box(-0.3, -0.22, 0.3, 0.08, i.light)
    lower = [(0.44 - 0.088 * k, 0.22 if k % 2 else 0.13) for k in range(11)]
    upper = [(0.3 - 0.075 * k, -0.08 if k % 2 else -0.16) for k in range(9)]
    b.polygon([(-0.44, 0.05), (0.44, 0.05), (0.44, 0.14), *lower], WHITE)
    b.polygon([(-0.3, -0.22), (0.3, -0.22), (0.3, -0.16), *upper], WHITE)
    for x in (-0.18, 0.0, 0.18):
        b.line([(x, -0.22), (x, -0.4)], 0.04, (220, 90, 120))
        b.oval(x, -0.44, 0.025, 0.05, (250, 190, 60))


def car(b: Canvas, i: Ink) -> None:
    roof = [(-0.34, -0.04), (-0.2, -0.26), (0.16, -0.26), (0.32, -0.03)]
    b.polygon([(-0.5, 0.2), (-0.5, 0.0), *roof, (0.5, 0.04), (0.5, 0.2)], i.main)
    b.box(-0.5, 0.12, 0.5, 0.2, i.dark)
    b.polygon([(-0.27, -0.03), (-0.16, -0.21), (-0.02, -0.21), (-0.02, -0.03)], GLASS)
    b.polygon([(0.02, -0.03), (0.02, -0.21), (0.14, -0.21), (0.25, -0.03)], GLASS)
    for x in (-0.28, 0.28):
        b.oval(x, 0.2, 0.12, 0.12, BLACK)
        b.oval(x, 0.2, 0.06, 0.06, METAL)


def chair(b: Canvas, i: Ink) -> None:
    b.box(-0.3, -0.5, -0.22, 0.5, i.dark)
    b.box(0.18, -0.5, 0.26, 0.1, i.dark)
    for y in (-0.46, -0.3, -0.14):
        b.box(-0.3, y, 0.26, y + 0.09, i.main)
    b.polygon([(-0.32, 0.02), (0.28, 0.02), (0.36, 0.16), (-0.24, 0.16)], i.main)
    b.polygon([(-0.24, 0.16), (0.36, 0.16), (0.36, 0.21), (-0.24, 0.21)], i.dark)
    for x in (-0.22, 0.28):
        b.box(x, 0.2, x + 0.07, 0.5, i.main)


def coin(b: Canvas, i: Ink) -> None:
    b.oval(0.03, 0.02, 0.45, 0.45, i.dark)
    b.oval(0, 0, 0.45, 0.45, i.main)
    b.oval(0, 0, 0.37, 0.37, i.dark)
    b.oval(0, 0, 0.345, 0.345, i.main)
    b.polygon([p for k in range(5) for p in (turned([(0, -0.24)], 72 * k)[0], turned([(0, -0.1)], 72 * k + 36)[0])], i.light)


def door(b: Canvas, i: Ink) -> None:
    b.box(-0.33, -0.5, 0.33, 0.5, mix(i.dark, (0, 0, 0), 0.3))
    b.box(-0.28, -0.46, 0.28, 0.5, i.main)
    for y0, y1 in ((-0.38, -0.06), (0.06, 0.4)):
        for x0, x1 in ((-0.22, -0.03), (0.03, 0.22)):
            b.box(x0, y0, x1, y1, i.dark)
            b.box(x0 + 0.03, y0 + 0.03, x1, y1, i.light)
    b.oval(0.24, 0.0, 0.035, 0.035, (220, 190, 90))


def envelope(b: Canvas, i: Ink) -> None:
    b.box(-0.5, -0.32, 0.5, 0.32, i.dark)
    b.box(-0.48, -0.3, 0.48, 0.3, i.main)
    b.polygon([(-0.48, -0.3), (0.48, -0.3), (0, 0.08)], i.light)
    b.line([(-0.48, -0.3), (0, 0.08), (0.48, -0.3)], 0.02, i.dark)
    b.oval(0, 0.08, 0.08, 0.08, (180, 36, 40))


def hat(b: Canvas, i: Ink) -> None:
    b.oval(0, 0.22, 0.5, 0.14, i.dark)
    b.oval(0, 0.2, 0.48, 0.12, i.main)
    b.polygon([(-0.27, 0.2), (-0.22, -0.3), (-0.08, -0.36), (0.0, -0.3), (0.08, -0.36), (0.22, -0.3), (0.27, 0.2)], i.main)
    b.polygon([(-0.27, 0.2), (-0.255, 0.04), (0.255, 0.04), (0.27, 0.2)], BLACK)


def house(b: Canvas, i: Ink) -> None:
    b.box(-0.36, -0.08, 0.36, 0.46, i.main)
    b.polygon([(-0.48, -0.06), (0, -0.48), (0.48, -0.06)], (150, 70, 56))
    b.box(0.2, -0.46, 0.3, -0.22, (120, 70, 60))
    b.box(-0.08, 0.14, 0.1, 0.46, WOOD)
    for x in (-0.28, 0.17):
        b.box(x, 0.04, x + 0.14, 0.2, GLASS)
        b.line([(x + 0.07, 0.04), (x + 0.07, 0.2)], 0.015, WHITE)


def key(b: Canvas, i: Ink) -> None:
    b.oval(-0.3, 0, 0.2, 0.2, i.dark)
    b.oval(-0.31, -0.01, 0.18, 0.18, i.main)
    b.oval(-0.33, 0, 0.07, 0.07, (84, 80, 76))
    b.box(-0.14, -0.05, 0.5, 0.05, i.main)
    b.box(-0.14, 0.03, 0.5, 0.055, i.dark)
    b.box(0.3, 0.04, 0.36, 0.18, i.main)
    b.box(0.42, 0.04, 0.49, 0.22, i.main)


def knife(b: Canvas, i: Ink) -> None:
    b.polygon([(-0.1, -0.08), (0.36, -0.08), (0.5, 0.04), (0.4, 0.08), (-0.1, 0.08)], i.main)
    b.polygon([(-0.1, 0.04), (0.46, 0.04), (0.4, 0.08), (-0.1, 0.08)], i.light)
    b.polygon([(-0.5, -0.06), (-0.1, -0.08), (-0.1, 0.08), (-0.5, 0.1)], (74, 48, 34))
    for x in (-0.4, -0.22):
        b.oval(x, 0.01, 0.025, 0.025, METAL)


def shirt(b: Canvas, i: Ink) -> None:
    b.polygon(
        [
            (-0.16, -0.4),
            (-0.28, -0.36),
            (-0.5, -0.08),
            (-0.36, 0.04),
            (-0.26, -0.08),
            (-0.26, 0.46),
            (0.26, 0.46),
            (0.26, -0.08),
            (0.36, 0.04),
            (0.5, -0.08),
            (0.28, -0.36),
            (0.16, -0.4),
        ],
        i.main,
    )
    b.polygon(oval(0, -0.41, 0.16, 0.12, 0, 0, 180), i.dark)
    for s in (-1, 1):
        b.line([(0.26 * s, -0.08), (0.25 * s, 0.12)], 0.02, i.dark)


def shoe(b: Canvas, i: Ink) -> None:
    b.polygon([(-0.46, -0.2), (-0.1, -0.26), (0.08, -0.02), (0.4, 0.06), (0.5, 0.2), (-0.46, 0.2)], i.main)
    b.box(-0.48, 0.18, 0.5, 0.27, WHITE)
    b.polygon([(-0.46, -0.2), (-0.36, -0.21), (-0.34, 0.18), (-0.46, 0.18)], i.dark)
    for k in range(3):
        b.line([(-0.12 + 0.07 * k, -0.14 + 0.06 * k), (0.0 + 0.07 * k, -0.2 + 0.07 * k)], 0.03, WHITE)


def tree(b: Canvas, i: Ink) -> None:
    b.polygon([(-0.07, 0.5), (-0.04, 0.02), (0.04, 0.02), (0.08, 0.5)], (104, 76, 52))
    for x, y, r in ((0, -0.2, 0.28), (-0.22, -0.06, 0.2), (0.22, -0.08, 0.2), (0.02, -0.0, 0.22)):
        b.oval(x, y, r, r * 0.95, i.dark)
    for x, y, r in ((-0.02, -0.23, 0.24), (-0.23, -0.1, 0.15), (0.19, -0.12, 0.15)):
        b.oval(x, y, r, r * 0.9, i.main)
    b.oval(-0.1, -0.32, 0.1, 0.07, i.light, -20)


GREENS, WOODS = ((74, 130, 60), (96, 140, 58)), ((150, 104, 62), (118, 78, 48), (176, 132, 84))
CLOTHS = ((66, 104, 176), (190, 62, 62), (90, 140, 100), (210, 180, 120), (130, 100, 150))
TRAIN_NOUNS = {
    "apple": Noun(apple, "food", ((196, 44, 40), (120, 170, 60))),
    "ball": Noun(ball, "toy", ((210, 60, 50), (60, 110, 200), (240, 180, 50))),
    "banana": Noun(banana, "food", ((238, 206, 70), (226, 196, 60))),
    "boat": Noun(boat, "wood", ((150, 60, 50), (60, 90, 140), *WOODS)),
    "book": Noun(book, "paper", CLOTHS),
    "bottle": Noun(bottle, "ceramic", ((60, 120, 80), (90, 130, 170), (140, 90, 50))),
    "bowl": Noun(bowl, "ceramic", ((90, 130, 170), (206, 200, 190), (190, 120, 80))),
    "bread": Noun(bread, "food", ((196, 140, 80), (214, 166, 104))),
    "bucket": Noun(bucket, "metal", (METAL, (80, 120, 170))),
    "cake": Noun(cake, "food", ((190, 120, 80), (226, 170, 150), (120, 76, 56))),
    "car": Noun(car, "machine", ((190, 50, 46), (60, 100, 170), (220, 220, 216))),
    "chair": Noun(chair, "wood", WOODS),
    "coin": Noun(coin, "metal", ((210, 172, 80), METAL, (176, 116, 76))),
    "door": Noun(door, "wood", (*WOODS, (80, 120, 110))),
    "envelope": Noun(envelope, "paper", ((226, 214, 186), (206, 180, 140))),
    "hat": Noun(hat, "cloth", CLOTHS),
    "house": Noun(house, "building", ((214, 196, 160), (180, 190, 196), (206, 160, 130))),
    "key": Noun(key, "metal", ((210, 172, 80), METAL)),
    "knife": Noun(knife, "metal", (METAL, (196, 200, 206))),
    "shirt": Noun(shirt, "cloth", CLOTHS),
    "shoe": Noun(shoe, "cloth", CLOTHS),
    "tree": Noun(tree, "plant", GREENS),
}
