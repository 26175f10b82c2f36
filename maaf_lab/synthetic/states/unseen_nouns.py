"""The test nouns of synthetic MIT-States, from MIT-States's own list: training never shows them."""

from __future__ import annotations

import numpy as np

from maaf_lab.synthetic.canvas import Canvas, mix, oval, turned
from maaf_lab.synthetic.states.nouns import BLACK, CLOTHS, GLASS, METAL, TRAIN_NOUNS, WHITE, WOOD, WOODS, Ink, Noun


def camera(b: Canvas, i: Ink) -> None:
    b.box(-0.48, -0.2, 0.48, 0.34, i.dark)
    b.box(-0.46, -0.18, 0.46, 0.12, i.main)
    b.polygon([(-0.16, -0.18), (-0.1, -0.34), (0.12, -0.34), (0.18, -0.18)], i.main)
    b.oval(0.02, 0.08, 0.23, 0.23, BLACK)
    b.oval(0.02, 0.08, 0.17, 0.17, (70, 84, 110))
    b.oval(-0.04, 0.02, 0.05, 0.05, (200, 214, 230))
    b.box(-0.42, -0.26, -0.28, -0.18, METAL)
    b.box(0.3, -0.14, 0.42, -0.05, WHITE)


def castle(b: Canvas, i: Ink) -> None:
    b.box(-0.36, -0.06, 0.36, 0.46, i.main)
    for x in (-0.3, -0.14, 0.02, 0.18):
        b.box(x, -0.14, x + 0.1, -0.04, i.main)
    for x in (-0.48, 0.28):
        b.box(x, -0.24, x + 0.2, 0.46, i.dark)
        b.polygon([(x - 0.04, -0.22), (x + 0.1, -0.5), (x + 0.24, -0.22)], (130, 60, 66))
        b.box(x + 0.07, -0.06, x + 0.13, 0.08, BLACK)
    b.box(-0.1, 0.22, 0.1, 0.46, (70, 50, 40))
    b.oval(0, 0.22, 0.1, 0.1, (70, 50, 40))


def cheese(b: Canvas, i: Ink) -> None:
    b.polygon([(-0.5, 0.02), (0.24, -0.34), (0.5, 0.0), (0.5, 0.32), (-0.5, 0.32)], i.dark)
    b.polygon([(-0.5, 0.04), (0.5, 0.02), (0.5, 0.32), (-0.5, 0.32)], i.main)
    b.polygon([(-0.5, 0.02), (0.24, -0.34), (0.5, 0.0)], i.light)
    for x, y, r in ((-0.28, 0.18, 0.06), (-0.02, 0.14, 0.05), (0.14, 0.24, 0.05), (0.34, 0.13, 0.07), (0.2, -0.16, 0.05)):
        b.oval(x, y, r, r * 0.8, i.dark)


def clock(b: Canvas, i: Ink) -> None:
    b.oval(0, 0, 0.47, 0.47, i.dark)
    b.oval(0, 0, 0.44, 0.44, i.main)
    b.oval(0, 0, 0.36, 0.36, WHITE)
    for k in range(12):
        b.line(turned([(0, -0.33), (0, -0.27)], 30 * k), 0.025, BLACK)
    b.line([(0, 0), (-0.1, -0.14)], 0.035, BLACK)
    b.line([(0, 0), (0.16, -0.16)], 0.025, BLACK)
    b.oval(0, 0, 0.03, 0.03, (180, 40, 40))


def fish(b: Canvas, i: Ink) -> None:
    b.polygon([(0.24, 0), (0.5, -0.24), (0.44, 0), (0.5, 0.24)], i.dark)
    b.polygon([(-0.16, -0.18), (0.06, -0.34), (0.16, -0.14)], i.dark)
    b.oval(-0.08, 0, 0.4, 0.23, i.main)
    b.polygon(oval(-0.08, 0.03, 0.37, 0.19, 0, 10, 170), i.light)
    b.line(oval(-0.26, 0, 0.1, 0.17, 0, -70, 70), 0.02, i.dark)
    for x in (0.0, 0.1, 0.2):
        b.line(oval(x - 0.06, 0, 0.05, 0.09, 0, -70, 70), 0.015, i.dark)
    b.oval(-0.33, -0.05, 0.045, 0.045, WHITE)
    b.oval(-0.335, -0.05, 0.024, 0.024, BLACK)


def gate(b: Canvas, i: Ink) -> None:
    for x in (-0.48, 0.38):
        b.box(x, -0.38, x + 0.1, 0.46, (150, 140, 130))
        b.oval(x + 0.05, -0.42, 0.07, 0.07, (170, 160, 150))
    for k in range(8):
        x = -0.33 + 0.094 * k
        top = -0.34 + 0.14 * abs(k - 3.5) / 3.5
        b.line([(x, top), (x, 0.44)], 0.032, i.main)
        b.polygon([(x - 0.03, top), (x, top - 0.08), (x + 0.03, top)], i.main)
    for y in (-0.1, 0.36):
        b.box(-0.38, y, 0.38, y + 0.05, i.dark)


def laptop(b: Canvas, i: Ink) -> None:
    b.polygon([(-0.34, -0.4), (0.34, -0.4), (0.34, 0.12), (-0.34, 0.12)], i.dark)
    b.box(-0.3, -0.36, 0.3, 0.08, (70, 110, 160))
    b.polygon([(-0.3, 0.08), (0.1, -0.36), (0.3, -0.36), (0.3, 0.08)], (96, 138, 186))
    b.polygon([(-0.34, 0.12), (0.34, 0.12), (0.5, 0.34), (-0.5, 0.34)], i.main)
    b.polygon([(-0.31, 0.15), (0.31, 0.15), (0.37, 0.25), (-0.37, 0.25)], i.dark)
    b.box(-0.5, 0.34, 0.5, 0.38, mix(i.dark, (0, 0, 0), 0.2))


def mirror(b: Canvas, i: Ink) -> None:
    b.oval(0, -0.12, 0.3, 0.38, i.main)
    b.oval(0, -0.12, 0.25, 0.33, GLASS)
    b.polygon([(-0.2, 0.04), (0.06, -0.4), (0.14, -0.36), (-0.12, 0.12)], (214, 234, 242))
    b.polygon([(-0.05, 0.24), (0.05, 0.24), (0.07, 0.5), (-0.07, 0.5)], i.main)


def orange(b: Canvas, i: Ink) -> None:
    b.oval(0, 0.02, 0.42, 0.42, i.dark)
    b.oval(-0.02, 0, 0.39, 0.39, i.main)
    b.oval(-0.14, -0.14, 0.1, 0.08, i.light, -40)
    b.oval(0.02, -0.32, 0.05, 0.03, (80, 110, 50))
    b.polygon(oval(0.16, -0.4, 0.15, 0.06, -15), (80, 136, 60))


def plate(b: Canvas, i: Ink) -> None:
    b.oval(0, 0.02, 0.5, 0.44, i.dark)
    b.oval(0, 0, 0.5, 0.43, i.main)
    b.oval(0, 0, 0.38, 0.32, i.light)
    b.oval(0, 0.01, 0.34, 0.285, i.main)


def table(b: Canvas, i: Ink) -> None:
    for x in (-0.42, 0.36):
        b.box(x, -0.04, x + 0.07, 0.46, i.dark)
    for x in (-0.3, 0.24):
        b.box(x, -0.04, x + 0.06, 0.3, mix(i.dark, (0, 0, 0), 0.25))
    b.polygon([(-0.36, -0.26), (0.36, -0.26), (0.5, -0.06), (-0.5, -0.06)], i.main)
    b.box(-0.5, -0.06, 0.5, 0.02, i.dark)
    b.line([(-0.38, -0.16), (0.38, -0.16)], 0.012, i.dark)


def tomato(b: Canvas, i: Ink) -> None:
    b.oval(0, 0.06, 0.46, 0.37, i.dark)
    for x in (-0.2, 0.2, 0.0):
        b.oval(x, 0.04, 0.24, 0.34, i.main)
    b.oval(-0.2, -0.08, 0.09, 0.06, i.light, -30)
    for k in range(5):
        leaf = turned([(-0.03, 0), (0, -0.22), (0.03, 0)], -120 + 60 * k) + np.array((0, -0.26))
        b.polygon(leaf, (70, 130, 56))
    b.line([(0, -0.26), (0.03, -0.4)], 0.04, (70, 120, 50))


def wheel(b: Canvas, i: Ink) -> None:
    b.oval(0, 0, 0.48, 0.48, BLACK)
    b.oval(0, 0, 0.37, 0.37, i.dark)
    b.oval(0, 0, 0.33, 0.33, (60, 62, 66))
    for k in range(6):
        b.line(turned([(0, 0), (0, -0.35)], 60 * k + 10), 0.07, i.main)
    b.oval(0, 0, 0.1, 0.1, i.light)


def window(b: Canvas, i: Ink) -> None:
    b.box(-0.4, -0.46, 0.4, 0.42, i.main)
    b.box(-0.48, 0.4, 0.48, 0.48, i.dark)
    for x in (-0.34, 0.03):
        for y in (-0.4, 0.01):
            b.box(x, y, x + 0.31, y + 0.36, GLASS)
            b.polygon([(x, y + 0.25), (x + 0.2, y), (x + 0.29, y), (x, y + 0.34)], (206, 228, 238))


TEST_NOUNS = {
    "camera": Noun(camera, "machine", ((70, 72, 80), (120, 110, 100))),
    "castle": Noun(castle, "building", ((176, 170, 160), (196, 176, 140))),
    "cheese": Noun(cheese, "food", ((238, 196, 80), (240, 214, 130))),
    "clock": Noun(clock, "metal", ((200, 164, 80), METAL)),
    "fish": Noun(fish, "food", ((110, 140, 160), (220, 130, 70), (150, 160, 110))),
    "gate": Noun(gate, "metal", ((70, 74, 84), METAL)),
    "laptop": Noun(laptop, "machine", (METAL, (90, 94, 102))),
    "mirror": Noun(mirror, "ceramic", (*WOODS, (200, 164, 80))),
    "orange": Noun(orange, "food", ((240, 146, 40), (246, 160, 56))),
    "plate": Noun(plate, "ceramic", ((226, 224, 214), (150, 180, 200), (214, 170, 140))),
    "table": Noun(table, "wood", WOODS),
    "tomato": Noun(tomato, "food", ((206, 50, 40), (216, 76, 44))),
    "wheel": Noun(wheel, "metal", (METAL, (150, 90, 60))),
    "window": Noun(window, "ceramic", (WOOD, WHITE, CLOTHS[0])),
}
NOUNS = {**TRAIN_NOUNS, **TEST_NOUNS}
