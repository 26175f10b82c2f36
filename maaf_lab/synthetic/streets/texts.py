"""Changes between two frames of a synthetic street scene, and sentences on them in the style of Spot-the-Diff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from maaf_lab.synthetic.canvas import shuffled
from maaf_lab.synthetic.random_stream import RandomStream
from maaf_lab.synthetic.streets.things import CAR_COLORS, CAR_HEIGHTS, CAR_KINDS, EXTRAS, PERSON_KINDS, SHIRTS, Thing
from maaf_lab.synthetic.streets.views import Spot, View, car_length, person_height

Scene = tuple[Thing, ...]
SEEN = 0.6  # the least visible share of a thing that changes
FAR = 0.22  # the shortest move of a thing, in picture sides


@dataclass(frozen=True)
class Change:
    """One thing that differs: before is None where it is new, after where it is gone; both are set where it moved."""

    before: Thing | None
    after: Thing | None


def random_thing(view: View, spot: int, rng: RandomStream) -> Thing:
    facing, look = rng.pick(("left", "right")), rng.below(1_000_000)
    if view.spots[spot].holds == "car":
        kind = "car" if rng.chance(0.5) else rng.pick(CAR_KINDS[1:])
        return Thing(kind, rng.pick(tuple(CAR_COLORS)), spot, "", facing, look)
    return Thing(rng.pick(PERSON_KINDS), rng.pick(tuple(SHIRTS)), spot, rng.pick(EXTRAS), facing, look)


def random_scene(view: View, rng: RandomStream) -> Scene:
    """A scene with a thing on about a third of its spots."""
    share = 0.25 + 0.2 * float(rng.uniform(1)[0])
    taken = shuffled(rng, range(len(view.spots)))[: max(4, round(share * len(view.spots)))]
    return tuple(random_thing(view, spot, rng) for spot in sorted(taken))


def changed(scene: Scene, view: View, count: int, rng: RandomStream) -> tuple[Scene, list[Change]]:
    """-> the scene after `count` visible changes (fewer where they do not fit) to different things, and the changes."""
    now, changes, touched = list(scene), [], set()
    for _ in range(20 * count):
        if len(changes) == count:
            break
        free = [i for i in range(len(view.spots)) if i not in {t.spot for t in now} and i not in touched]
        old = [t for t in now if t.spot not in touched]
        kind = rng.pick(("gone", "new", "moved"))
        if kind == "gone" and len(old) > 3:
            change = Change(rng.pick(old), None)
        elif kind == "new" and free and len(now) < 0.6 * len(view.spots):
            change = Change(None, random_thing(view, rng.pick(free), rng))
        elif kind == "moved" and old:
            thing = rng.pick(old)
            there = [
                i
                for i in free
                if view.spots[i].holds == view.spots[thing.spot].holds and _distance(view.spots[i], view.spots[thing.spot]) > FAR
            ]
            if not there:
                continue
            change = Change(thing, replace(thing, spot=rng.pick(there)))
        else:
            continue
        later = [t for t in now if t != change.before] + ([change.after] if change.after else [])
        trial = [*changes, change]
        seen = all(
            (c.before is None or seen_share(c.before, scene, view) >= SEEN)
            and (c.after is None or seen_share(c.after, later, view) >= SEEN)
            for c in trial
        )
        if seen:
            now, changes = later, trial
            touched |= {t.spot for t in (change.before, change.after) if t}
    return tuple(sorted(now, key=lambda t: t.spot)), changes


def box(thing: Thing, spot: Spot) -> tuple[float, float, float, float]:
    """A thing's box: left, top, right, bottom in picture sides."""
    if thing.is_car:
        n = car_length(spot.y)
        return spot.x - 0.5 * n, spot.y - CAR_HEIGHTS[thing.kind] * n, spot.x + 0.5 * n, spot.y
    n = person_height(spot.y)
    wide = 0.36 if thing.extra else 0.26
    return spot.x - wide * n, spot.y - n, spot.x + wide * n, spot.y


def seen_share(thing: Thing, scene: Sequence[Thing], view: View) -> float:
    """The visible share of a thing's box, in the picture and not behind a nearer thing's box (of an 8 x 8 grid of points)."""
    x0, y0, x1, y1 = box(thing, view.spots[thing.spot])
    boxes = [box(t, view.spots[t.spot]) for t in scene if view.spots[t.spot].y > view.spots[thing.spot].y]
    boxes = [b for b in boxes if b[0] < x1 and b[2] > x0 and b[1] < y1]
    if not boxes and x0 >= 0 and x1 <= 1:
        return 1.0
    points = [(x0 + (i + 0.5) / 8 * (x1 - x0), y0 + (j + 0.5) / 8 * (y1 - y0)) for i in range(8) for j in range(8)]
    return sum(0 <= x <= 1 and not any(a <= x <= c and b <= y <= d for a, b, c, d in boxes) for x, y in points) / 64


def sentence(change: Change, before: Scene, after: Scene, view: View, rng: RandomStream) -> str:
    """One sentence on one change; it names the thing so that it fits no other, where possible."""
    old, new = change.before, change.after
    if old is None:
        name, where = _named(new, after, view, rng)
        forms = (
            "there is a {} {} now",
            "a {} has appeared {}",
            "there is now a {} {}",
            "a {} is {} that was not there before",
            "a new {} is {}",
            "a {} appeared {}",
            "there is a {} {} that was not there before",
        )
        return " ".join(rng.pick(forms).format(name, where or rng.pick(places(view.spots[new.spot]))).split())
    name, where = _named(old, before, view, rng)
    unique = sum(fits((name, where), other, view) for other in before) == 1
    if new is None:
        forms = [
            "the {} {} is gone",
            "the {} {} is no longer there",
            "the {} {} is missing",
            "the {} {} has left",
            "the {} {} is not there anymore",
            "{} {} is gone now",
            "the {} {} is no longer in the picture",
        ]
        if not any(fits((name, where), other, view) for other in after):
            forms.append("there is no longer a {} {}")
        if not unique:
            forms = ["a {} {} is gone", "a {} {} is missing"]
        return " ".join(rng.pick(forms).format(name, where).split())
    a, b = view.spots[old.spot], view.spots[new.spot]
    side = "right" if b.x > a.x else "left"
    forms = [f"the {{}} {{}} is {rng.pick(places(b))} now", f"the {{}} {{}} has moved and is now {rng.pick(places(b))}"]
    if abs(b.x - a.x) > 0.2:
        forms += [f"the {{}} {{}} {verb} the {side}" for verb in ("has moved to", "moved to", "is further to")]
    if abs(b.y - a.y) > 0.15:
        forms.append("the {} {} is closer to the camera" if b.y > a.y else "the {} {} is farther away")
    text = rng.pick(forms)
    return " ".join((text if unique else text.replace("the", "a", 1)).format(name, where).split())


def count_sentence(before: Scene, after: Scene, rng: RandomStream) -> str | None:
    """A sentence on numbers only, where there are more or fewer people or cars."""
    options = []
    for word, one, is_car in (("people", "person", False), ("cars", "car", True)):
        more = sum(t.is_car == is_car for t in after) - sum(t.is_car == is_car for t in before)
        if more:
            how = "more" if more > 0 else "less" if rng.chance(0.3) else "fewer"
            options.append(f"there are {how} {word}")
            many = ("one", "two", "three")[abs(more) - 1]
            options.append(f"there is one {how} {one}" if abs(more) == 1 else f"there are {many} {how} {word}")
    return rng.pick(options) if options else None


def places(spot: Spot) -> list[str]:
    """Phrases that are true of a spot, the most specific first."""
    side = "left" if spot.x < 0.38 else "right" if spot.x > 0.62 else "middle"
    out = [f"near {mark}" if mark != "the crosswalk" else "on the crosswalk" for mark in spot.landmarks]
    far = "back" if spot.y < 0.56 else "front" if spot.y > 0.82 else ""
    if far:
        out.append(f"in the {far} on the {side}" if side != "middle" else f"in the middle of the {far}")
    out.append(f"on the {side}" if side != "middle" else "in the middle")
    return out


def _named(thing: Thing, scene: Scene, view: View, rng: RandomStream) -> tuple[str, str]:
    """A noun phrase without article and a location ("" if none) that fit `thing` and, if possible, no other."""
    one = "car" if thing.is_car else "person"
    if thing.is_car:
        names = [f"{thing.color} {thing.kind}", f"{thing.color} {thing.kind}", f"{thing.color} vehicle", thing.kind]
    else:
        who = thing.kind if rng.chance(0.6) else one
        with_extra = [f"{who} with {'an' if thing.extra == 'umbrella' else 'a'} {thing.extra}"] * 2 if thing.extra else []
        names = [f"{who} in a {thing.color} shirt", f"{who} in {thing.color}", *with_extra, who]
    choices = [(name, where) for name in names for where in ("", *places(view.spots[thing.spot]))]
    choices = shuffled(rng, choices)
    telling = [c for c in choices if sum(fits(c, other, view) for other in scene) == 1]
    return (telling or sorted(choices, key=lambda c: sum(fits(c, other, view) for other in scene)))[0]


def fits(named: tuple[str, str], thing: Thing, view: View) -> bool:
    """Whether a noun phrase and a location, as `_named` gives them, are true of a thing."""
    words, where = named[0].split(), named[1]
    if where and where not in places(view.spots[thing.spot]):
        return False
    colors, kinds = {*CAR_COLORS, *SHIRTS}, {*CAR_KINDS, *PERSON_KINDS}
    if ({"person"} & {*words} and thing.is_car) or ({"vehicle"} & {*words} and not thing.is_car):
        return False
    extras = {extra for extra in ("umbrella", "bag") if extra in words}
    return (
        all(w == thing.color for w in words if w in colors)
        and all(w == thing.kind for w in words if w in kinds)
        and all(extra == thing.extra for extra in extras)
    )


def _distance(a: Spot, b: Spot) -> float:
    return ((a.x - b.x) ** 2 + (a.y - b.y) ** 2) ** 0.5
