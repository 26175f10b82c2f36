"""Garments of synthetic Fashion IQ and Fashion200k before drawing: attributes, random garments, small changes of them.

A `Garment` is plain words. `settle` replaces words that do not go together (a strapless top has no sleeves, and so on), so that
every garment can be drawn with every word visible. All randomness comes from `RandomStream`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from maaf_lab.synthetic.random_stream import RandomStream

RGB = {
    "black": (30, 30, 34),
    "white": (244, 243, 240),
    "grey": (143, 145, 150),
    "red": (203, 32, 42),
    "maroon": (108, 22, 42),
    "pink": (240, 150, 182),
    "orange": (238, 126, 42),
    "yellow": (246, 212, 66),
    "green": (48, 142, 72),
    "olive": (116, 116, 58),
    "teal": (24, 142, 142),
    "light blue": (152, 198, 232),
    "blue": (44, 90, 196),
    "navy": (30, 40, 88),
    "purple": (118, 62, 156),
    "brown": (112, 72, 46),
    "beige": (222, 202, 168),
}
COLORS = tuple(RGB)
PATTERNS = ("solid", "striped", "plaid", "floral", "polka dot", "animal", "graphic")
DIRECTIONS = ("horizontal", "vertical")  # the detail of a striped garment
MOTIFS = ("star", "heart", "text", "skull", "cat", "sun", "tree", "flag")  # the detail of a graphic one
SLEEVES = ("none", "short", "elbow", "long")
LENGTHS = ("short", "medium", "long")
FITS = ("tight", "regular", "loose")
SWITCHES = ("buttons", "belt", "logo", "ruffles", "pocket")
KINDS = ("dress", "shirt", "toptee", "jacket", "pants", "skirt")

_COVER = {"solid": 0.0, "striped": 0.5, "plaid": 0.45, "floral": 0.3, "polka dot": 0.2, "animal": 0.3, "graphic": 0.15}
_NECK_SHOWS = {"none": 0.0, "collar": 0.0, "round": 0.1, "boat": 0.3, "scoop": 0.8, "v": 1.0, "halter": 1.4, "strapless": 2.0}
_SLEEVE_SHOWS = {"none": 0.8, "short": 0.3, "elbow": 0.1, "long": 0.0}


@dataclass(frozen=True, slots=True)
class Garment:
    """One garment. `second` is "" where the pattern has one color; `detail` a direction, a motif or ""; `neck` is "none" for
    pants and skirts; `straps` is "none" unless there are no sleeves and the neckline hangs on straps."""

    kind: str
    color: str
    second: str
    pattern: str
    detail: str
    sleeve: str
    length: str
    neck: str
    fit: str
    straps: str
    buttons: bool
    belt: bool
    logo: bool
    ruffles: bool
    pocket: bool


ATTRIBUTES = tuple(field.name for field in fields(Garment))[1:]

_COLOR_SHARES = dict(zip(COLORS, (15, 12, 8, 8, 3, 7, 4, 4, 6, 3, 4, 5, 9, 6, 5, 4, 4)))
_WORDS = {  # in the order of the numbers below
    "pattern": PATTERNS,
    "sleeve": SLEEVES,
    "length": LENGTHS,
    "neck": ("round", "scoop", "v", "boat", "collar", "halter", "strapless"),
    "fit": FITS,
    "straps": ("thin", "wide"),
    "switch": SWITCHES,
}
# How often each word of each attribute is chosen, in percent of a kind of garment.
_PERCENT = {
    "dress": "46 13 4 16 10 8 3,  55 20 10 15,  38 36 26,  20 17 25 8 6 10 14,  34 36 30,  50 50,  12 28 0 18 0",
    "shirt": "30 14 16 6 2 2 34,  7 55 8 30,    0 76 24,   42 4 14 0 40 0 0,    24 46 30,  0 100,  62 0 22 0 24",
    "toptee": "40 13 5 12 6 6 20, 36 30 14 20,  18 56 26,  26 18 24 8 10 7 7,   36 34 30,  50 50,  24 11 8 16 6",
    "jacket": "66 8 14 5 2 5 0,   8 6 16 70,    30 44 26,  22 0 44 0 34 0 0,    30 42 28,  0 100,  55 24 0 0 60",
    "pants": "64 12 8 7 3 6 0,    0 0 0 0,      26 24 50,  0 0 0 0 0 0 0,       38 32 30,  0 0,    0 34 0 0 40",
    "skirt": "48 13 12 13 8 6 0,  0 0 0 0,      38 36 26,  0 0 0 0 0 0 0,       34 34 32,  0 0,    14 26 0 24 14",
}
_SHARES = {  # kind -> attribute -> word -> percent
    kind: {name: dict(zip(words, map(int, part.split()))) for (name, words), part in zip(_WORDS.items(), row.split(","))}
    for kind, row in _PERCENT.items()
}
# How often a small change is of each attribute.
_CHANGES = {
    "color": 34,
    "pattern": 22,
    "detail": 8,
    "second": 6,
    "sleeve": 18,
    "length": 11,
    "neck": 12,
    "fit": 9,
    "straps": 5,
    "buttons": 6,
    "belt": 7,
    "logo": 5,
    "ruffles": 6,
    "pocket": 5,
}


def sample(kind: str, rng: RandomStream) -> Garment:
    """A random garment of a kind, with the kind's own frequencies."""
    rest = {name: False for name in SWITCHES}
    drawn = {name: _draw(kind, name, rng) for name in ("color", "pattern", "sleeve", "length", "neck", "fit", "straps")}
    garment = Garment(kind=kind, second="", detail="", **drawn, **rest)
    garment = replace(garment, **{name: bool(_draw(kind, name, rng)) for name in SWITCHES})
    return settle(garment, rng)


def vary(garment: Garment, changes: int, rng: RandomStream) -> Garment:
    """A garment of the same kind that differs in about `changes` attributes, and in at least one."""
    new = garment
    touched: set[str] = set()
    while len(touched) < changes or new == garment:
        name = weighted(_CHANGES, rng)
        if name in touched and new != garment:
            continue
        changed = settle(replace(new, **{name: _draw(garment.kind, name, rng, new)}), rng)
        if getattr(changed, name) != getattr(garment, name):
            touched.add(name)
            new = changed
    return new


def settle(garment: Garment, rng: RandomStream) -> Garment:
    """The garment with words that do not go together replaced, at random where there is a choice."""
    g, kind = garment, garment.kind
    if kind in ("pants", "skirt"):
        g = replace(g, sleeve="none", neck="none", straps="none", logo=False)
    if kind == "pants":
        g = replace(g, ruffles=False, buttons=False)
    if g.sleeve != "none" and g.neck in ("halter", "strapless"):
        g = replace(g, neck=rng.pick(("round", "scoop", "v")))
    if g.sleeve != "none" or g.neck not in ("round", "scoop", "v") or kind == "jacket":
        g = replace(g, straps="none")
    elif g.straps == "none":
        g = replace(g, straps=_draw(kind, "straps", rng))
    if g.straps == "thin" and g.neck == "round":
        g = replace(g, neck="scoop")
    if kind == "jacket":
        g = replace(g, logo=False)
    elif kind != "skirt" and g.neck not in ("collar", "v"):
        g = replace(g, buttons=False)
    if g.pattern == "graphic":
        g = replace(g, buttons=False, logo=False, pocket=False)
    if g.logo or (g.sleeve == "none" and kind in ("shirt", "toptee") and g.neck in ("halter", "strapless")):
        g = replace(g, pocket=False)
    if g.neck in ("halter", "strapless") or g.straps == "thin" or g.pattern != "solid":
        g = replace(g, logo=False)
    if g.belt and kind == "toptee" and g.length == "short":
        g = replace(g, belt=False)
    second = "" if g.pattern == "solid" else g.second if g.second in contrasts(g.color) else rng.pick(contrasts(g.color))
    details: Sequence[str] = {"striped": DIRECTIONS, "graphic": MOTIFS}.get(g.pattern, ("",))
    return replace(g, second=second, detail=g.detail if g.detail in details else rng.pick(details))


def differences(a: Garment, b: Garment) -> tuple[str, ...]:
    """Names of the attributes in which two garments differ."""
    return tuple(name for name in ATTRIBUTES if getattr(a, name) != getattr(b, name))


def contrasts(color: str) -> tuple[str, ...]:
    """Colors that stand out on a garment of `color`."""
    return _CONTRASTS[color]


def covers(garment: Garment) -> float:
    """About the share of the garment that has the second color."""
    return _COVER[garment.pattern]


def lightness(garment: Garment) -> float:
    """How light the whole garment looks, 0 (black) to 1 (white): its two colors, weighted by their shares."""
    share = _COVER[garment.pattern]
    return (1 - share) * luminance(garment.color) + (share * luminance(garment.second) if share else 0.0)


def luminance(color: str) -> float:
    """How light a named color looks, 0 to 1."""
    r, g, b = RGB[color]
    return (0.299 * r + 0.587 * g + 0.114 * b) / 255


def takes_light_trim(color: str) -> bool:
    """Whether belts and buttons on a garment of this color are light; they are dark otherwise."""
    return luminance(color) < 0.5


def reveals(garment: Garment) -> float:
    """How revealing the garment is, on a rough scale from 0 to about 4."""
    return (
        _NECK_SHOWS[garment.neck]
        + _SLEEVE_SHOWS[garment.sleeve]
        + 0.4 * (garment.straps == "thin")
        + 0.7 * (2 - LENGTHS.index(garment.length))
        + 0.3 * (garment.fit == "tight")
    )


def weighted(shares: dict[Any, float], rng: RandomStream) -> Any:
    """A random key, with probability proportional to its share."""
    at = rng.uniform()[()] * sum(shares.values())
    for key, share in shares.items():
        at -= share
        if at < 0:
            return key
    return next(key for key, share in reversed(shares.items()) if share)


def _draw(kind: str, name: str, rng: RandomStream, other: Garment | None = None) -> Any:
    """A word for one attribute; with `other`, one that differs from it where there is a choice."""
    shares: dict[Any, float]
    if name == "color":
        shares = _COLOR_SHARES
    elif name in SWITCHES:
        p = _SHARES[kind]["switch"][name]
        shares = {True: p, False: 100 - p}
        if other is not None:
            return not getattr(other, name) if p else False
    elif name == "second":
        return rng.pick(contrasts(other.color)) if other is not None and other.second else ""
    elif name == "detail":
        options = {"striped": DIRECTIONS, "graphic": MOTIFS}.get(other.pattern, ("",)) if other is not None else ("",)
        return rng.pick(options)
    else:
        shares = {word: share for word, share in _SHARES[kind][name].items() if share} or {"none": 1}
    if other is not None and len(shares) > 1:
        shares = {key: share for key, share in shares.items() if key != getattr(other, name)}
    return weighted(shares, rng)


def _far(a: str, b: str) -> bool:
    distance = sum((x - y) ** 2 for x, y in zip(RGB[a], RGB[b])) ** 0.5
    return distance > 140 and abs(luminance(a) - luminance(b)) > 0.18


_CONTRASTS = {a: tuple(b for b in COLORS if _far(a, b)) for a in COLORS}
