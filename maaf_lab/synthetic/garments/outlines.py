"""Outlines of garments: from words to polygons, in body units.

Body units: x from the middle (right is positive), y down from the neck, 1 about the width of a picture that a shirt fills.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from maaf_lab.synthetic.garments.attributes import Garment

Points = np.ndarray  # (N, 2) x, y

# Where the hem of a kind hangs, by length.
HEMS = {
    "dress": {"short": 0.76, "medium": 1.05, "long": 1.44},
    "shirt": {"medium": 0.66, "long": 0.83},
    "toptee": {"short": 0.45, "medium": 0.63, "long": 0.83},
    "jacket": {"short": 0.48, "medium": 0.66, "long": 0.9},
    "pants": {"short": 0.32, "medium": 0.58, "long": 0.86},
    "skirt": {"short": 0.36, "medium": 0.58, "long": 0.86},
}
BODY = {"dress": 0.61, "shirt": 0.96, "toptee": 0.96, "jacket": 0.94, "pants": 0.98, "skirt": 0.98}  # of the picture's side
# Short garments are photographed a little larger and lower, as shops do; the proportions still tell the length.
CLOSER = {
    "dress": {"short": 1.22, "medium": 1.08},
    "toptee": {"short": 1.12, "medium": 1.03},
    "jacket": {"short": 1.04},
    "pants": {"short": 1.14, "medium": 1.06},
    "skirt": {"short": 1.16, "medium": 1.08},
}
LOWER = {
    "dress": {"short": 0.1, "medium": 0.035},
    "toptee": {"short": 0.12, "medium": 0.04},
    "jacket": {"short": 0.1, "medium": 0.06},
    "pants": {"short": 0.2, "medium": 0.1},
    "skirt": {"short": 0.17, "medium": 0.08},
    "shirt": {"medium": 0.03},
}
TOP = {"dress": 0.075, "shirt": 0.12, "toptee": 0.12, "jacket": 0.09, "pants": 0.08, "skirt": 0.08}  # y of the neck or waist
_ARM = {"short": 0.19, "elbow": 0.36, "long": 0.56}
_WAIST = {
    "dress": (0.115, 0.128, 0.15),
    "shirt": (0.135, 0.168, 0.21),
    "toptee": (0.122, 0.15, 0.205),
    "jacket": (0.135, 0.165, 0.205),
}  # half widths, by fit
_HIP = {
    "dress": (0.15, 0.19, 0.25),
    "shirt": (0.15, 0.178, 0.235),
    "toptee": (0.142, 0.178, 0.265),
    "jacket": (0.155, 0.19, 0.24),
}
_FLARE = (-0.012, 0.16, 0.4)  # how much a dress widens from hip to floor, by fit
_FIT = {"tight": 0, "regular": 1, "loose": 2}


@dataclass
class Cut:
    """The pieces of a garment, each (N, 2) in body units.

    back: the inside that shows through the neckline. sleeves, body: what the fabric covers. straps: bands to draw as lines
    with their width. neckline, seams, hems: lines on top. folds: soft strokes (line, strength). landmarks: named points.
    """

    body: list[Points] = field(default_factory=list)
    sleeves: list[Points] = field(default_factory=list)
    back: Points | None = None
    straps: list[tuple[Points, float]] = field(default_factory=list)
    neckline: Points | None = None
    collar: list[Points] = field(default_factory=list)
    seams: list[Points] = field(default_factory=list)
    hems: list[Points] = field(default_factory=list)
    folds: list[tuple[Points, float]] = field(default_factory=list)
    waist: tuple[float, float] = (0.4, 0.15)  # y, half width: where a belt sits
    chest: float = 0.22  # y of the middle of the chest
    hem: float = 0.6
    hem_width: float = 0.2
    front: float = 0.05  # y where buttons begin


def arc(a: tuple[float, float], control: tuple[float, float], b: tuple[float, float], n: int = 9) -> Points:
    """A curve from a to b that is drawn toward `control`: (n, 2)."""
    t = np.linspace(0, 1, n)[:, None]
    return (1 - t) ** 2 * np.array(a) + 2 * t * (1 - t) * np.array(control) + t**2 * np.array(b)


def mirror(points: Points) -> Points:
    """The other side, in reverse order, so that right and left join to one outline."""
    return points[::-1] * (-1, 1)


def cut(g: Garment, wave: np.ndarray) -> Cut:
    """The pieces of a garment. wave: 12 numbers from -1 to 1 that make one garment hang differently from the next."""
    if g.kind == "pants":
        return _pants(g, wave)
    return _skirt(g, wave) if g.kind == "skirt" else _top(g, wave)


def _top(g: Garment, wave: np.ndarray) -> Cut:
    fit, kind = _FIT[g.fit], g.kind
    hem = HEMS[kind][g.length] * (1 + 0.012 * wave[0])
    waist, hip = _WAIST[kind][fit], _HIP[kind][fit]
    dress = kind == "dress"
    chest = (0.15 if dress else 0.168) + 0.012 * fit  # half width under the arms
    shoulder = (0.185 if kind != "dress" else 0.165) + 0.008 * fit
    edge = hip + max(hem - 0.58, 0) * _FLARE[fit] if dress else hip
    if not dress and hem < 0.58:
        edge = waist + (hip - waist) * (hem - 0.40) / 0.2
    c = Cut(waist=(0.39, waist), hem=hem, hem_width=edge)
    top, neckline, c.back = _shoulders(g, c, chest, shoulder)
    side = [arc((chest, 0.22), (chest - 0.004, 0.3), (waist, 0.39), 6)]
    if hem > 0.6 and dress:
        side += [
            arc((waist, 0.39), (hip * 0.96, 0.46), (hip, 0.58), 6)[1:],
            arc((hip, 0.58), (hip + (edge - hip) * 0.42, 0.58 + (hem - 0.58) * 0.5), (edge, hem), 6)[1:],
        ]
    else:
        side += [arc((waist, 0.39), (waist + (edge - waist) * 0.6, 0.39 + (hem - 0.39) * 0.45), (edge, hem), 7)[1:]]
    sag = 0.012 + (0.03 * fit if dress else 0.008 * fit)
    bottom = _wavy(edge, hem, sag, wave, 0.010 * fit if dress else 0.003)
    right = np.concatenate([top, *side])
    c.body.append(np.concatenate([neckline, right, bottom, mirror(right)]))
    c.neckline = neckline
    c.hems.append(bottom - (0, 0.022))
    if dress or (g.belt and kind != "shirt"):
        c.seams.append(arc((waist, 0.39), (0, 0.41), (-waist, 0.39)))
    _drape(g, c, wave, waist, edge, hem, fit)
    return c


def _shoulders(g: Garment, c: Cut, chest: float, shoulder: float) -> tuple[Points, Points, Points | None]:
    """Right edge from the neck to under the arm, the neckline from left to right, and the back that shows inside it."""
    bare, armpit = g.sleeve == "none", (chest, 0.22)
    if g.neck == "strapless":
        corner = (chest - 0.012, 0.15)
        right = arc((0, 0.175), (0.08, 0.09), corner)
        line = np.concatenate([mirror(right), right[1:]])
        back = np.concatenate([arc((-corner[0], 0.15), (0, 0.19), (corner[0], 0.15)), line[::-1]])
        return arc(corner, (chest - 0.006, 0.19), armpit, 4), line, back
    if g.neck == "halter":
        line = np.concatenate([arc((-0.05, 0.0), (-0.035, 0.09), (0, 0.16)), arc((0, 0.16), (0.035, 0.09), (0.05, 0.0))[1:]])
        c.straps.append((arc((-0.055, 0.004), (0, -0.045), (0.055, 0.004)), 0.02))
        return arc((0.072, 0.0), (0.075, 0.17), armpit), line, None
    if g.straps == "thin":
        corner, depth = (0.1, 0.125), {"v": 0.25, "scoop": 0.185}[g.neck]
        low = {"v": (0.035, 0.2), "scoop": (0.085, 0.19)}[g.neck]
        right = arc((0, depth), low, corner)
        for x in (-1, 1):
            c.straps.append((arc((x * 0.1, 0.128), (x * 0.1, 0.05), (x * 0.082, 0.0), 5), 0.011))
        line = np.concatenate([mirror(right), right[1:]])
        back = np.concatenate([arc((-0.1, 0.125), (0, 0.15), (0.1, 0.125)), line[::-1]])
        return arc(corner, (0.105, 0.2), armpit, 6), line, back
    wide = {"round": 0.075, "scoop": 0.1, "v": 0.078, "boat": 0.135, "collar": 0.066}[g.neck]
    depth = {"round": 0.075, "scoop": 0.165, "v": 0.215, "boat": 0.035, "collar": 0.05}[g.neck]
    if g.kind == "jacket":
        wide, depth = {"v": (0.075, 0.34), "round": (0.075, 0.06), "collar": (0.07, 0.06)}[g.neck]
    lift = 0.045 * wide / shoulder
    corner = (wide, lift)
    control = {"v": (0.035, depth * 0.55), "boat": (wide * 0.6, depth)}.get(g.neck, (wide * 0.98, depth))
    right = arc((0, depth), control, corner)
    line = np.concatenate([mirror(right), right[1:]])
    back = np.concatenate([arc((-wide, lift), (0, lift + 0.028), (wide, lift)), line[::-1]])
    if bare:
        outer = min(wide + (0.062 if g.straps == "wide" else 0.075), shoulder)
        end = (outer, 0.045 * outer / shoulder + 0.004)
        top = np.concatenate([np.array([corner]), arc(end, (outer * 0.93, 0.19), armpit)])
    else:
        top = np.concatenate([np.array([corner]), arc((shoulder, 0.05), (shoulder * 0.84, 0.13), armpit, 7)])
        for x in (-1, 1):
            sleeve, cuff, fold = _sleeve(g, shoulder, chest)
            c.sleeves.append(sleeve * (x, 1))
            c.hems.append(cuff * (x, 1))
            c.folds += [(line * (x, 1), strength) for line, strength in fold]
        seam = arc((shoulder, 0.05), (shoulder * 0.84, 0.13), armpit, 7)
        c.seams += [seam, mirror(seam)]
    if g.neck == "collar" or (g.kind == "jacket" and g.neck == "v"):
        back = np.concatenate([arc((-wide * 0.75, lift - 0.024), (0, lift - 0.04), (wide * 0.75, lift - 0.024)), line[::-1]])
        c.collar = _collar(g, wide, lift, depth)
        c.front = depth + 0.03
    else:
        c.front = depth + 0.02
    return top, line, back


def _sleeve(g: Garment, shoulder: float, chest: float) -> tuple[Points, Points, list[tuple[Points, float]]]:
    """The right sleeve, a line above its cuff, and its folds."""
    length, angle = _ARM[g.sleeve], 0.44
    along, across = np.array((np.sin(angle), np.cos(angle))), np.array((-np.cos(angle), np.sin(angle)))
    width = (0.068, 0.085, 0.112)[_FIT[g.fit]] + (0.036 if g.sleeve == "short" else 0.014 if g.sleeve == "elbow" else 0.0)
    tip, pit = np.array((shoulder, 0.05)), np.array((chest, 0.235))
    end = tip + along * length
    inner = end + across * width
    if g.sleeve == "short":
        inner = end + across * min(width, 0.14)
    top = arc(tuple(tip), tuple(tip + along * length * 0.35 + (0.022, -0.006)), tuple(end), 7)
    low = arc(tuple(inner), tuple((inner + pit) / 2 + (0.006, -0.012)), tuple(pit), 6)
    piece = np.concatenate([top, low, np.array([[chest - 0.02, 0.2], [shoulder * 0.8, 0.1]])])
    cuff = np.stack([end, inner]) - along * 0.02
    folds = []
    if length > 0.3:
        for at, tilt in ((0.52, 0.035), (0.62, -0.03)):
            start = tip + along * length * at + across * width * 0.2
            folds.append((np.stack([start, start + across * width * 0.8 + along * tilt]), -0.8))
    return piece, cuff, folds


def _collar(g: Garment, wide: float, lift: float, depth: float) -> list[Points]:
    if g.kind == "jacket" and g.neck == "v":  # lapels
        right = np.array(
            [
                (wide * 0.75, lift - 0.026),
                (wide + 0.035, lift + 0.02),
                (wide + 0.055, 0.15),
                (wide + 0.03, 0.165),
                (wide + 0.035, 0.195),
                (0.0, depth),
                (wide * 0.75, 0.12),
            ]
        )
    else:
        right = np.array(
            [(wide * 0.75, lift - 0.026), (wide + 0.026, lift + 0.01), (wide + 0.016, lift + 0.105), (0.004, depth + 0.006)]
        )
    return [right, right * (-1, 1)]


def _wavy(edge: float, hem: float, sag: float, wave: np.ndarray, height: float) -> Points:
    """A hem from right to left: hanging a little in the middle, and waving where the cloth is wide."""
    x = np.linspace(edge, -edge, 25)
    u = x / edge
    y = hem + sag * (1 - u**2) + height * np.sin(u * (7 + 2 * wave[1]) * 1.6 + 3 * wave[2])
    return np.stack([x, y], 1)


def _drape(g: Garment, c: Cut, wave: np.ndarray, waist: float, edge: float, hem: float, fit: int) -> None:
    """Folds: from under the arms to the waist, and down the skirt."""
    for x in (-1, 1):
        c.folds.append((arc((x * 0.15, 0.235), (x * 0.09, 0.28), (x * 0.05, 0.36 + 0.02 * wave[3])), -0.7))
        if fit == 0:
            c.folds.append((arc((x * waist, 0.35), (x * 0.06, 0.37), (x * 0.02, 0.345 + 0.01 * wave[4])), -0.6))
        c.folds.append((arc((x * waist * 0.9, 0.42), (x * waist * 0.7, 0.5), (x * edge * 0.75, min(hem, 0.62))), -0.6))
    if g.kind == "dress" or fit == 2:
        n = (3, 5, 7)[fit]
        for k in range(n):
            u = (k + 0.5) / n * 2 - 1 + 0.1 * wave[5 + k % 6]
            start, end = 0.41 + 0.05 * abs(wave[(k + 3) % 12]), hem - 0.02 - 0.1 * abs(wave[(k + 7) % 12]) * (g.kind == "dress")
            if g.kind != "dress":
                start = 0.3
            middle = (u * (waist + edge) * 0.42, (start + end) / 2)
            c.folds.append((arc((u * waist * 0.85, start), middle, (u * edge * 0.92, end)), -0.9 if k % 2 else 0.7))


def _skirt(g: Garment, wave: np.ndarray) -> Cut:
    fit, hem, waist = _FIT[g.fit], HEMS["skirt"][g.length] * (1 + 0.015 * wave[0]), 0.15
    hip = (0.205, 0.225, 0.25)[fit]
    edge = hip + (hem - 0.2) * (-0.04, 0.12, 0.3)[fit]
    right = np.concatenate(
        [
            arc((waist, 0.0), (hip * 0.97, 0.08), (hip, 0.2), 6),
            arc((hip, 0.2), (hip + (edge - hip) * 0.45, 0.2 + (hem - 0.2) * 0.5), (edge, hem), 6)[1:],
        ]
    )
    bottom = _wavy(edge, hem, 0.02 + 0.015 * fit, wave, 0.011 * fit)
    top = arc((-waist, 0.0), (0, 0.02), (waist, 0.0))
    c = Cut(waist=(0.025, waist + 0.006), hem=hem, hem_width=edge, front=0.06, neckline=top)
    c.body.append(np.concatenate([top, right, bottom, mirror(right)]))
    c.back = np.concatenate([arc((-waist, 0), (0, -0.022), (waist, 0)), top[::-1]])
    c.seams.append(arc((waist + 0.012, 0.05), (0, 0.075), (-waist - 0.012, 0.05)))
    c.hems.append(bottom - (0, 0.022))
    n = (2, 5, 8)[fit]
    for k in range(n):
        u = (k + 0.5) / n * 2 - 1 + 0.08 * wave[4 + k % 6]
        end = hem - 0.02 - 0.08 * abs(wave[(k + 5) % 12])
        c.folds.append((arc((u * waist * 0.9, 0.07), (u * hip * 0.95, 0.2), (u * edge * 0.93, end)), -0.9 if k % 2 else 0.7))
    return c


def _pants(g: Garment, wave: np.ndarray) -> Cut:
    fit, hem, waist, hip = _FIT[g.fit], HEMS["pants"][g.length] * (1 + 0.012 * wave[0]), 0.145, 0.2
    share = (hem - 0.25) / 0.61
    outer = hip + (np.array((-0.06, 0.0, 0.075))[fit]) * share
    inner = outer - (0.175 - (0.09, 0.03, -0.045)[fit] * share)
    right = np.concatenate(
        [
            arc((waist, 0.0), (hip * 0.98, 0.09), (hip, 0.22), 6),
            arc((hip, 0.22), (hip + (outer - hip) * 0.3, 0.22 + (hem - 0.22) * 0.5), (outer, hem), 5)[1:],
            np.array([(max(inner, 0.022), hem + 0.006)]),
            np.array([(0.01, 0.27), (0.0, 0.262)]),
        ]
    )
    top = arc((-waist, 0.0), (0, 0.02), (waist, 0.0))
    c = Cut(waist=(0.025, waist + 0.006), hem=hem, hem_width=outer, neckline=top)
    c.body.append(np.concatenate([top, right, mirror(right)]))
    c.back = np.concatenate([arc((-waist, 0), (0, -0.022), (waist, 0)), top[::-1]])
    c.seams += [
        arc((waist + 0.012, 0.05), (0, 0.075), (-waist - 0.012, 0.05)),
        np.array([(0, 0.062), (0, 0.262)]),
        arc((0.035, 0.065), (0.04, 0.15), (0.0, 0.19), 5),
    ]
    for x in (-1, 1):
        c.seams.append(arc((x * 0.09, 0.066), (x * 0.12, 0.13), (x * 0.178, 0.12), 5))
        c.hems.append(np.array([(x * outer, hem - 0.02), (x * max(inner, 0.022), hem - 0.014)]))
        middle = (outer + max(inner, 0.022)) / 2
        if hem > 0.5:
            c.folds.append((np.array([(x * (hip - 0.09), 0.25), (x * middle, hem - 0.03)]), 0.8))
        c.folds += [
            (arc((x * 0.01, 0.25), (x * 0.07, 0.25), (x * 0.13, 0.22 + 0.02 * wave[3])), -0.8),
            (arc((x * 0.03, 0.3), (x * 0.07, 0.29), (x * 0.12, 0.3)), -0.5),
        ]
        if fit == 2:
            c.folds.append((np.array([(x * (hip - 0.04), 0.26), (x * (middle + 0.05), hem - 0.02)]), -0.9))
    return c
