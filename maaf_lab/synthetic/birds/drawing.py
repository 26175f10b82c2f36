"""One synthetic bird and its picture.

A bird is drawn from the side, in its own coordinates: the middle of the body is (0, 0), it faces right, and one unit is its
body's length. `Bird` has every attribute that a text may mention; position and light are random.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from maaf_lab.synthetic.canvas import Canvas, Frame, between, jitter, mix, oval, photographed, soft, turned
from maaf_lab.synthetic.random_stream import RandomStream

COLORS = {
    "black": (38, 36, 42),
    "white": (238, 238, 232),
    "gray": (134, 138, 144),
    "brown": (112, 72, 42),
    "tan": (204, 172, 124),
    "red": (196, 36, 34),
    "orange": (232, 126, 28),
    "yellow": (240, 206, 48),
    "green": (70, 138, 58),
    "blue": (52, 98, 190),
}
BILL_COLORS = ("black", "gray", "yellow", "orange", "red")
LEG_COLORS = ("black", "gray", "yellow", "orange", "red")
RING_COLORS = ("none", "white", "yellow", "red")
BILLS = ("short", "long", "hooked", "curved")
PATTERNS = ("plain", "spotted", "striped")
SIZES = {"small": 0.25, "medium": 0.315, "large": 0.385}  # one body length, as a share of the picture's side
PLACES = {  # pose -> the backgrounds it goes with
    "perched": ("branch",),
    "standing": ("grass", "sand"),
    "swimming": ("water",),
    "flying": ("sky",),
}
_TILT = {"perched": -34, "standing": -14, "swimming": -6, "flying": -10}


@dataclass(frozen=True)
class Bird:
    """Every attribute of a bird that a text may mention. `legs` are visible only where it is perched or standing."""

    back: str
    belly: str
    head: str
    wing: str
    tail: str
    bill: str  # its shape
    bill_color: str
    legs: str
    ring: str
    pattern: str  # of the belly
    bars: bool  # white bars on the wing
    crest: bool
    neck: str
    tail_length: str
    size: str
    pose: str
    facing: str
    place: str

    @property
    def legs_show(self) -> bool:
        return self.pose in ("perched", "standing")


def draw_bird(bird: Bird, pixels: int, rng: RandomStream) -> np.ndarray:
    """The picture: uint8 (pixels, pixels, 3). The same bird, pixels and rng give the same bytes."""
    canvas = Canvas(pixels)
    _background(canvas, bird.place, rng)
    unit = SIZES[bird.size] * between(rng, 0.95, 1.05)
    high = {"perched": 0.47, "standing": 0.5, "swimming": 0.6, "flying": 0.52}[bird.pose] + (0.05 if bird.neck == "long" else 0)
    side = 1 if bird.facing == "right" else -1
    ahead = 0.48 + {"short": 0.36, "long": 0.72, "hooked": 0.37, "curved": 0.66}[bird.bill]
    behind = 1.1 if bird.tail_length == "long" else 0.7
    x, y = 0.5 + between(rng, -0.03, 0.03) - side * unit * (ahead - behind) / 2, high + between(rng, -0.04, 0.04)
    stage = Frame(x, y, unit, between(rng, -4, 4), bird.facing == "left")
    canvas.frame = stage
    tilt = _TILT[bird.pose] + between(rng, -4, 4)
    color = {name: jitter(rng, value, 9) for name, value in COLORS.items()}
    if bird.legs_show:
        _ground(canvas, bird, stage, color, rng)
    _figure(canvas, bird, tilt, color, rng)
    if bird.pose == "swimming":
        _water(canvas, stage, rng)
    return photographed(canvas.array(), rng)


def _background(canvas: Canvas, place: str, rng: RandomStream) -> None:
    light = between(rng, -14, 14)
    tones = {
        "branch": [[(150, 172, 140), (112, 148, 98), (88, 120, 76)], [(176, 196, 206), (150, 178, 168), (118, 142, 110)]],
        "grass": [[(168, 186, 162), (120, 156, 84), (98, 138, 62)], [(190, 200, 176), (142, 160, 92), (120, 142, 74)]],
        "sand": [[(196, 206, 210), (206, 190, 158), (192, 172, 136)], [(176, 186, 182), (188, 176, 150), (178, 160, 130)]],
        "water": [[(150, 178, 190), (96, 138, 160), (78, 122, 148)], [(168, 186, 180), (118, 148, 144), (94, 128, 128)]],
        "sky": [[(132, 174, 220), (168, 200, 230), (200, 218, 232)], [(190, 202, 212), (204, 212, 218), (216, 220, 222)]],
    }[place]
    colors = [tuple(c + light for c in tone) for tone in rng.pick(tones)]
    canvas.on(soft(rng, colors, 9, 8 if place == "sky" else 16))
    if place == "grass":
        for x, y, h in rng.uniform(60, 3):
            top, shade = 0.62 + 0.42 * y, mix((96, 136, 56), (60, 98, 40), h)
            tip = (x + (h - 0.5) * 0.05, top - 0.05 - 0.05 * y)
            canvas.polygon([(x - 0.006, top + 0.05), tip, (x + 0.006, top + 0.05)], shade)
    elif place == "sand":
        for x, y, h in rng.uniform(40, 3):
            canvas.oval(x, 0.6 + 0.4 * y, 0.004 + 0.01 * h * y, 0.003 + 0.004 * h * y, (120, 104, 84, 130))
    elif place == "water":
        for x, y, h in rng.uniform(26, 3):
            wide = 0.04 + 0.1 * y
            canvas.oval(x, 0.25 + 0.75 * y, wide, 0.003 + 0.004 * y, (226, 236, 238, int(40 + 60 * h)))
    elif place == "branch":
        for x, y, h in rng.uniform(9, 3):
            canvas.oval(x, y, 0.05 + 0.05 * h, 0.03 + 0.04 * h, (*mix((70, 112, 56), (150, 186, 110), h), 90), 180 * h)


def _ground(canvas: Canvas, bird: Bird, stage: Frame, color: dict, rng: RandomStream) -> None:
    """What the bird stands on, and its legs."""
    foot = 0.5 if bird.pose == "perched" else 0.72
    feet = [(-0.1, foot), (0.1, foot + 0.01)]
    if bird.pose == "perched":
        bend = rng.uniform(5) * 0.16 - 0.08
        sag = (2.5 * bend[0], bend[1], 0, bend[3], 2.5 * bend[4])
        path = [(x, foot + 0.06 + b) for x, b in zip((-4.5, -1.5, 0.0, 1.5, 4.5), sag)]
        bark = jitter(rng, (96, 76, 58), 10)
        canvas.line(path, 0.15, mix(bark, (20, 16, 12), 0.45))
        canvas.line([(x, y - 0.03) for x, y in path], 0.09, bark)
        at = between(rng, 0.8, 1.6) * rng.pick((-1, 1))
        canvas.line([(at, foot + 0.08), (at * 1.25, foot - 0.32)], 0.05, bark)
        for d in (0, 0.16, 0.3):
            canvas.oval(at * 1.25 + d * 0.4, foot - 0.36 + d, 0.15, 0.06, jitter(rng, (92, 142, 60), 16), -30 + 100 * d)
    else:
        canvas.frame = Frame(stage.x, stage.y, stage.unit, 0, stage.flip)
        canvas.oval(0.02, foot + 0.03, 0.55, 0.06, (30, 34, 20, 70))
        canvas.frame = stage
    legs = color[bird.legs]
    for i, (x, y) in enumerate(feet):
        shade = mix(legs, (0, 0, 0), 0.22 if i == 0 else 0)
        canvas.line([(x * 0.9 - 0.06, 0.16), (x - 0.03, (y + 0.2) / 2), (x, y)], 0.055, shade)
        for toe in (-0.1, 0.05, 0.13):
            canvas.line([(x, y), (x + toe, y + 0.045)], 0.04, shade)


def _figure(canvas: Canvas, bird: Bird, tilt: float, color: dict, rng: RandomStream) -> None:
    back, belly, head = color[bird.back], color[bird.belly], color[bird.head]
    thick = 0.29

    def body(points: np.ndarray | list) -> np.ndarray:
        return turned(points, tilt)

    if bird.pose == "flying":
        _raised_wing(canvas, body, mix(color[bird.wing], (0, 0, 0), 0.3), False, rng, far=True)
    tail, length = color[bird.tail], 1.15 if bird.tail_length == "long" else 0.72
    for k, spread in enumerate((0.1, 0.03, -0.05)):
        fan = [(-0.3, -0.1), (-length + 0.05 * k, -0.02 - spread), (-length + 0.05 * k, 0.05 - spread), (-0.3, 0.1)]
        canvas.polygon(body(fan), mix(tail, (0, 0, 0) if bird.tail != "black" else (120, 120, 130), 0.1 * k))
    # The body: back above, belly below, each a little lighter where the light falls.
    canvas.polygon(body(oval(0, 0, 0.52, thick)), mix(back, (0, 0, 0), 0.14))
    canvas.polygon(body(oval(0.0, -0.02, 0.48, thick - 0.05)), back)
    under = np.concatenate([oval(0, 0, 0.52, thick, 0, -16, 172), oval(0, 0.03, 0.5, 0.05, 0, 172, 344)])
    canvas.polygon(body(under), mix(belly, (0, 0, 0), 0.12))
    canvas.polygon(body(under * (0.95, 0.88) + (0.01, 0.012)), belly)
    _pattern(canvas, body, bird, color, rng)
    # Neck and head.
    start = body([(0.36, -0.1)])[0]
    middle = start + ((0.16, -0.62) if bird.neck == "long" else (0.12, -0.17))
    across = np.array([(0.09, 0.03), (-0.09, -0.03)]) if bird.neck == "long" else np.array([(0.15, 0.16), (-0.2, -0.02)])
    top = np.array([(0.09, 0.0), (-0.1, 0.02)]) if bird.neck == "long" else np.array([(0.17, 0.05), (-0.18, 0.02)])
    low = start + ((0.02, 0.06) if bird.neck == "long" else (0, 0))
    canvas.polygon([low + across[0] * 1.5, middle + top[0], middle + top[1], low + across[1] * 1.5], head)
    _head(canvas, bird, middle, head, color, rng)
    if bird.pose == "flying":
        _raised_wing(canvas, body, color[bird.wing], bird.bars, rng, far=False)
    else:
        _folded_wing(canvas, body, color[bird.wing], bird.bars)


def _pattern(canvas: Canvas, body, bird: Bird, color: dict, rng: RandomStream) -> None:
    mark = color["white" if bird.belly == "black" else "brown" if bird.belly in ("white", "tan", "yellow") else "black"]
    if bird.pattern == "spotted":
        for i in range(11):
            x, y = -0.25 + 0.075 * i, 0.1 + 0.09 * (i % 3 - 1) + 0.03 * float(rng.uniform(1)[0])
            if (x / 0.5) ** 2 + (y / 0.27) ** 2 < 0.85:
                canvas.polygon(body(oval(x, y, 0.03, 0.028)), mark)
    elif bird.pattern == "striped":
        for i in range(7):
            x = -0.24 + 0.1 * i
            deep = 0.25 * np.sqrt(max(0.02, 1 - (x / 0.52) ** 2))
            canvas.line(body([(x + 0.05, -0.01 if x > 0.2 else 0.05), (x, deep * 0.6), (x - 0.02, deep)]), 0.034, mark)


def _head(canvas: Canvas, bird: Bird, at: np.ndarray, head: tuple, color: dict, rng: RandomStream) -> None:
    x, y = at
    bill, dark = color[bird.bill_color], mix(color[bird.bill_color], (0, 0, 0), 0.3)
    if bird.crest:
        for k, (dx, dy) in enumerate(((-0.3, -0.26), (-0.24, -0.36), (-0.14, -0.4))):
            feather = [(x - 0.16 + 0.05 * k, y - 0.04), (x + dx, y + dy), (x + 0.04 + 0.04 * k, y - 0.16)]
            canvas.polygon(feather, mix(head, (0, 0, 0), 0.08))
    shapes = {
        "short": [(0.13, -0.06), (0.36, 0.02), (0.13, 0.08)],
        "long": [(0.13, -0.06), (0.72, 0.03), (0.13, 0.07)],
        "hooked": [(0.12, -0.1), (0.29, -0.09), (0.37, 0.0), (0.35, 0.13), (0.29, 0.05), (0.13, 0.08)],
        "curved": [(0.13, -0.07), (0.38, -0.03), (0.56, 0.09), (0.66, 0.27), (0.5, 0.13), (0.34, 0.06), (0.13, 0.07)],
    }
    canvas.polygon(np.array(shapes[bird.bill]) + at, bill)
    if bird.bill in ("short", "long"):
        tip = shapes[bird.bill][1]
        canvas.line(np.array([(0.14, 0.015), (tip[0] * 0.95, tip[1])]) + at, 0.014, dark)
    canvas.oval(x, y, 0.205, 0.195, mix(head, (0, 0, 0), 0.08))
    canvas.oval(x, y - 0.015, 0.185, 0.17, head)
    eye = (x + 0.07, y - 0.03)
    if bird.ring != "none":
        canvas.oval(*eye, 0.078, 0.078, color[bird.ring])
    canvas.oval(*eye, 0.048, 0.048, (12, 10, 12) if bird.head != "black" or bird.ring != "none" else (70, 52, 30))
    canvas.oval(eye[0] + 0.014, eye[1] - 0.016, 0.015, 0.015, (250, 250, 250))


def _folded_wing(canvas: Canvas, body, wing: tuple, bars: bool) -> None:
    edge = mix(wing, (0, 0, 0) if sum(wing) > 200 else (150, 150, 160), 0.3)
    shape = [(0.28, -0.1), (0.2, -0.2), (0.0, -0.235), (-0.3, -0.16), (-0.66, 0.02), (-0.42, 0.06), (-0.1, 0.1), (0.14, 0.05)]
    shape = np.array(shape) * (1, 0.85) + (0, 0.05)
    canvas.polygon(body(shape), edge)
    canvas.polygon(body(shape * (0.95, 0.9) + (0.0, -0.001)), wing)
    for y, end in ((-0.01, -0.56), (0.04, -0.44), (0.085, -0.28)):
        canvas.line(body([(-0.02, y), ((end - 0.02) / 2, y + 0.005), (end, y + 0.035)]), 0.016, edge)
    if bars:
        for x in (0.08, -0.07):
            canvas.line(body([(x + 0.04, -0.11), (x, -0.02), (x + 0.01, 0.09)]), 0.052, (245, 245, 240))


def _raised_wing(canvas: Canvas, body, wing: tuple, bars: bool, rng: RandomStream, far: bool) -> None:
    lean = -0.12 if far else 0.0
    edge = mix(wing, (0, 0, 0) if sum(wing) > 200 else (150, 150, 160), 0.3)
    tip = np.array((-0.42 - lean, -1.0 + 0.1 * far))
    root = np.array([(0.26, -0.12), (-0.3, -0.06)]) - (lean, 0)
    front = [root[0], (0.24 - lean, -0.46), (0.02 - lean, -0.8), tip]
    trail = []
    for k in range(1, 7):
        at = tip + (root[1] - tip) * k / 6.5
        trail += [at - np.array((0.1, 0.03)), at + np.array((0.02, 0.03))]
    canvas.polygon(body([*front, *trail, root[1]]), edge)
    inner = np.array([*front, *trail, root[1]])
    canvas.polygon(body((inner - (-0.05, -0.45)) * 0.9 + (-0.03, -0.43)), wing)
    if far:
        return
    for k in range(1, 6):
        at = tip + (root[1] - tip) * k / 6.5
        canvas.line(body([at * 0.45 + np.array((0.18, -0.4)) * 0.55, at]), 0.016, edge)
    if bars:
        for k in (0.0, 0.14):
            canvas.line(body([(0.2 - k, -0.44 + k), (0.0 - k, -0.34 + k), (-0.2 - k, -0.3 + k)]), 0.055, (245, 245, 240))


def _water(canvas: Canvas, stage: Frame, rng: RandomStream) -> None:
    canvas.frame = Frame(stage.x, stage.y, stage.unit, 0, stage.flip)
    tone = jitter(rng, (96, 134, 154), 8)
    canvas.polygon(
        np.concatenate(
            [
                [(-1.0, 0.24)],
                [(x, 0.21 + 0.025 * (i % 2)) for i, x in enumerate(np.linspace(-0.8, 0.8, 13))],
                [(1.0, 0.24)],
                oval(0, 0.24, 1.0, 0.24, 0, 0, 180),
            ]
        ),
        (*tone, 235),
    )
    for k, wide in enumerate((0.7, 0.9, 1.1)):
        shift = between(rng, -0.1, 0.1)
        canvas.line(oval(shift, 0.25 + 0.05 * k, wide, 0.05 + 0.04 * k, 0, 20, 160), 0.025, (226, 236, 240, 130))


def settled(bird: Bird) -> Bird:
    """The bird without invisible attributes: white bars on white wings, a ring in the head's color."""
    return replace(bird, bars=bird.bars and bird.wing != "white", ring="none" if bird.ring == bird.head else bird.ring)


def random_bird(rng: RandomStream) -> Bird:
    """A bird with random attributes; its background fits its pose."""
    plumage, pose = tuple(COLORS), rng.pick(tuple(PLACES))
    back = rng.pick(plumage)
    wing = back if rng.chance(0.4) else rng.pick(plumage)
    return settled(
        Bird(
            back=back,
            belly=rng.pick([c for c in plumage if c != back]),
            head=back if rng.chance(0.3) else rng.pick(plumage),
            wing=wing,
            tail=wing if rng.chance(0.4) else rng.pick(plumage),
            bill=rng.pick(BILLS),
            bill_color=rng.pick(BILL_COLORS),
            legs=rng.pick(LEG_COLORS),
            ring=rng.pick(RING_COLORS),
            pattern=rng.pick(PATTERNS),
            bars=rng.chance(0.4),
            crest=rng.chance(0.3),
            neck="long" if rng.chance(0.25) else "short",
            tail_length="long" if rng.chance(0.4) else "short",
            size=rng.pick(tuple(SIZES)),
            pose=pose,
            facing=rng.pick(("left", "right")),
            place=rng.pick(PLACES[pose]),
        )
    )
