"""Shared by the tests of CSS: objects, and a slow reader of texts, on purpose not the package's."""

import re

from maaf_lab.data.datasets.css_scenes import COLORS

PLACE = r"(?:top|middle|bottom)-(?:left|center|right)"


THING = rf"(?P<size>small |large )?(?P<color>{'|'.join(c + ' ' for c in COLORS)})?(?P<shape>cube|sphere|cylinder|object)"


ADD = re.compile(rf"add {THING} to (?P<place>{PLACE})")


REMOVE = re.compile(rf"remove (?P<place>{PLACE} )?{THING}")


CHANGE = re.compile(rf"make (?P<place>{PLACE} )?{THING} (?P<value>\w+)")


def obj(shape="cube", color="red", size="large", cell=4, shift=(0.0, 0.0)):
    row, column = divmod(cell, 3)
    return {"shape": shape, "color": color, "size": size, "pos": ((row + 0.5 + shift[0]) / 3, (column + 0.5 + shift[1]) / 3)}


def grid(objects):
    """cell name -> (size, color, shape)"""
    seen = {}
    for o in objects:
        y, x = o["pos"]
        name = f"{('top', 'middle', 'bottom')[int(y // (1 / 3))]}-{('left', 'center', 'right')[int(x // (1 / 3))]}"
        assert name not in seen
        seen[name] = (o["size"], o["color"], o["shape"])
    return seen


def holds(text, before, after):
    """Whether `after` is a right answer to `text` on `before` (grids)."""
    match = ADD.fullmatch(text) or REMOVE.fullmatch(text) or CHANGE.fullmatch(text)
    assert match, text
    words = {k: (v or "").strip() for k, v in match.groupdict().items()}

    def fits(place, thing):
        wanted = (words["size"], words["color"], words["shape"].replace("object", ""))
        return words["place"] in ("", place) and all(w in ("", t) for w, t in zip(wanted, thing))

    if match.re is ADD:
        place = words["place"]
        rest = {p: t for p, t in after.items() if p != place}
        return place not in before and place in after and rest == before and fits(place, after[place])
    if match.re is REMOVE:
        return after == {p: t for p, t in before.items() if not fits(p, t)}
    at = 0 if words["value"] in ("small", "large") else 1
    return after == {p: (*t[:at], words["value"], *t[at + 1 :]) if fits(p, t) else t for p, t in before.items()}
