"""Garments make sense, small changes are small, and lightness is what pictures show."""

from collections import Counter
from dataclasses import replace

import pytest

from maaf_lab.synthetic.garments import attributes as garments
from maaf_lab.synthetic.garments.attributes import differences, sample, vary
from maaf_lab.synthetic.garments.drawing import draw, draw_pose
from maaf_lab.synthetic.random_stream import RandomStream


@pytest.mark.parametrize("kind", garments.KINDS)
def test_garments_make_sense_and_small_changes_are_small(kind):
    rng = RandomStream(1, garments.KINDS.index(kind))
    sizes = Counter()
    for _ in range(250):
        g = sample(kind, rng)
        new = vary(g, 1, rng)
        sizes[len(differences(g, new))] += 1
        for h in (g, new):
            assert h.kind == kind and (h.second != "") == (h.pattern != "solid") and h.color != h.second
            assert h.sleeve == "none" or (h.straps == "none" and h.neck not in ("halter", "strapless"))
            assert (h.detail in garments.MOTIFS) == (h.pattern == "graphic")
            assert (h.detail in garments.DIRECTIONS) == (h.pattern == "striped")
            assert not (h.pattern == "graphic" and (h.buttons or h.logo or h.pocket))
            assert garments.settle(h, RandomStream(0)) == h
    assert 0 not in sizes and sizes[1] > 125 and max(sizes) <= 6


def test_lightness_orders_what_the_pictures_show():
    """Two garments that differ by the step at which captions say "darker" do so in their pictures."""
    checked = 0
    for i in range(150):
        rng = RandomStream(5, i)
        pose, a = draw_pose(rng), sample("toptee", rng)
        b = vary(a, 1, rng)
        if abs(garments.lightness(a) - garments.lightness(b)) < 0.15:
            continue
        shades = []
        for g in (a, b):
            image, other = draw(g, pose, 64), draw(g, replace(pose, backdrop=pose.backdrop * 0.5), 64)
            covered = (image == other).all(-1)
            assert covered.sum() > 100
            shades.append(image[covered].mean())
        assert (shades[0] < shades[1]) == (garments.lightness(a) < garments.lightness(b)), (a, b)
        checked += 1
    assert checked > 20
