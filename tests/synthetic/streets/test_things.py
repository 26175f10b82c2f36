"""Changes show where they happen; kinds and colors show."""

import numpy as np
import pytest

from maaf_lab.synthetic.random_stream import RandomStream
from maaf_lab.synthetic.streets.dataset import plan
from maaf_lab.synthetic.streets.texts import box
from maaf_lab.synthetic.streets.things import CAR_COLORS, CAR_KINDS, PERSON_KINDS, SHIRTS, Thing, draw_scene
from maaf_lab.synthetic.streets.views import view


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_change_shows_where_it_happens_and_nowhere_else(number):
    own = [pair for pair in plan("tiny", 5)["train"] if pair.view == number][:4]
    assert own
    for pair in own:
        one, two = (draw_scene(scene, 5, number, 112, RandomStream(9)).astype(int) for scene in (pair.before, pair.after))
        differs = np.abs(one - two).sum(-1) > 24
        ys, xs = np.nonzero(differs)
        inside = np.zeros(len(ys), bool)
        for thing in (t for change in pair.changes for t in (change.before, change.after) if t):
            spot = view(5, number).spots[thing.spot]
            x0, y0, x1, y1 = (112 * v for v in box(thing, spot))
            tall = y1 - y0
            beside, above = 3 + 0.6 * tall, 3 + 0.3 * tall  # umbrellas and shadows stand out of the box
            inside |= (xs > x0 - beside) & (xs < x1 + beside) & (ys > y0 - above) & (ys < y1 + 4 + 0.1 * tall)
            there = differs[max(0, int(y0)) : int(y1) + 1, max(0, int(x0)) : int(x1) + 1]
            assert there.mean() > 0.15
        assert inside.all()


def test_kinds_and_colors_show():
    spots = view(0, 0).spots
    car = next(i for i, s in enumerate(spots) if s.holds == "car" and s.y > 0.8 and 0.3 < s.x < 0.7)
    person = next(i for i, s in enumerate(spots) if s.holds == "person" and s.y > 0.7 and 0.3 < s.x < 0.7)
    drawn = {
        t: draw_scene([Thing(*t)], 0, 0, 112, RandomStream(3)).astype(int)
        for t in [(k, c, car) for k in CAR_KINDS for c in CAR_COLORS]
        + [(k, c, person, e) for k in PERSON_KINDS for c in SHIRTS for e in ("", "umbrella", "bag")]
    }
    empty = draw_scene([], 0, 0, 112, RandomStream(3)).astype(int)
    assert all((np.abs(picture - empty).sum(-1) > 40).sum() > 60 for picture in drawn.values())
    for t, picture in drawn.items():
        nearest = min(np.abs(picture - other).sum(-1).clip(0, 60).sum() for u, other in drawn.items() if u != t and u[2] == t[2])
        assert nearest > 400, t
