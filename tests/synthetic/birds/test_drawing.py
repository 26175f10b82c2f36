"""Every attribute that a text may mention shows."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from maaf_lab.synthetic.birds.drawing import COLORS, PLACES, Bird, draw_bird, random_bird
from maaf_lab.synthetic.random_stream import RandomStream

CHANGES = {
    "back": "red",
    "belly": "white",
    "head": "yellow",
    "wing": "orange",
    "tail": "white",
    "bill": "long",
    "bill_color": "red",
    "legs": "orange",
    "ring": "yellow",
    "pattern": "striped",
    "bars": True,
    "crest": True,
    "neck": "long",
    "tail_length": "long",
    "size": "large",
}


@pytest.mark.parametrize("pose", PLACES)
def test_every_attribute_that_a_text_may_mention_shows(pose):
    base = Bird(
        "blue",
        "gray",
        "black",
        "green",
        "black",
        "short",
        "gray",
        "black",
        "none",
        "plain",
        False,
        False,
        "short",
        "short",
        "medium",
        pose,
        "right",
        PLACES[pose][0],
    )
    assert {*CHANGES, "pose", "facing", "place"} == set(asdict(base))
    plain = draw_bird(base, 96, RandomStream(1)).astype(int)
    middle = {}
    for name, value in CHANGES.items():
        other = draw_bird(replace(base, **{name: value}), 96, RandomStream(1)).astype(int)
        ys, xs = np.nonzero(np.abs(other - plain).sum(-1) > 60)
        if name == "legs" and not base.legs_show:
            assert not len(ys)
            continue
        assert len(ys) >= 9, name
        middle[name] = np.median(xs), np.median(ys)
    assert middle["head"][0] > middle["wing"][0] > middle["tail"][0] and middle["head"][1] < middle["belly"][1]
    assert middle["crest"][1] < middle["head"][1] and middle["bill_color"][0] > middle["head"][0]
    heads = {}
    for facing in ("left", "right"):
        picture = draw_bird(replace(base, facing=facing, head="red"), 96, RandomStream(1)).astype(int)
        red = (picture[..., 0] > 120) & (picture[..., 1:].max(-1) < 90)
        assert red.sum() > 40
        heads[facing] = np.median(np.nonzero(red)[1])
    assert heads["left"] + 6 < heads["right"]


def test_colors_differ():
    base = random_bird(RandomStream(4))
    base = replace(base, pose="standing", place="grass", neck="long", ring="none", crest=False)
    pictures = {c: draw_bird(replace(base, head=c), 64, RandomStream(2)).astype(int) for c in COLORS}
    changed = np.abs(pictures["red"] - pictures["white"]).sum(-1) > 150
    tones = {c: p[changed].mean(0) for c, p in pictures.items()}
    gaps = [np.abs(tones[a] - tones[b]).sum() for a in COLORS for b in COLORS if a < b]
    assert changed.sum() > 60 and min(gaps) > 40
