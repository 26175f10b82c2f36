"""Attributes show in the pictures, where they belong."""

from dataclasses import replace

import numpy as np
import pytest

from maaf_lab.synthetic.garments import attributes as garments
from maaf_lab.synthetic.garments.attributes import RGB, Garment, sample
from maaf_lab.synthetic.garments.drawing import draw, draw_pose
from maaf_lab.synthetic.random_stream import RandomStream

PLAIN = Garment("toptee", "blue", "", "solid", "", "short", "medium", "v", "regular", "none", False, False, False, False, False)


def changed_pixels(g, h, pixels=112):
    """Where two pictures of one pose differ plainly: a (pixels, pixels) mask."""
    pose = draw_pose(RandomStream(7))
    a, b = (draw(garment, pose, pixels).astype(int) for garment in (g, h))
    return np.abs(a - b).max(-1) > 40


@pytest.mark.parametrize(
    ("change", "low", "top", "bottom", "left", "right"),
    [
        ({"color": "red"}, 0.12, 0.0, 1, 0.1, 0.9),
        ({"color": "navy"}, 0.12, 0.0, 1, 0.1, 0.9),
        ({"pattern": "striped", "second": "white", "detail": "horizontal"}, 0.05, 0, 1, 0.1, 0.9),
        ({"pattern": "plaid", "second": "white"}, 0.05, 0, 1, 0.1, 0.9),
        ({"pattern": "floral", "second": "white"}, 0.04, 0, 1, 0.1, 0.9),
        ({"pattern": "polka dot", "second": "white"}, 0.02, 0, 1, 0.1, 0.9),
        ({"pattern": "animal", "second": "white"}, 0.02, 0, 1, 0.1, 0.9),
        ({"pattern": "graphic", "second": "white", "detail": "heart"}, 0.008, 0.25, 0.6, 0.35, 0.65),
        ({"sleeve": "long"}, 0.02, 0.2, 0.85, 0.0, 1.0),
        ({"sleeve": "none", "straps": "wide"}, 0.02, 0.12, 0.55, 0.1, 0.9),
        ({"neck": "round"}, 0.004, 0.1, 0.5, 0.35, 0.65),
        ({"neck": "collar"}, 0.004, 0.1, 0.5, 0.35, 0.65),
        ({"fit": "loose"}, 0.02, 0.1, 0.9, 0.1, 0.9),
        ({"buttons": True}, 0.0015, 0.2, 0.85, 0.4, 0.6),
        ({"belt": True}, 0.006, 0.45, 0.65, 0.25, 0.75),
        ({"logo": True}, 0.0015, 0.25, 0.5, 0.5, 0.7),
        ({"ruffles": True}, 0.002, 0.6, 0.9, 0.25, 0.75),
        ({"pocket": True}, 0.001, 0.25, 0.55, 0.5, 0.7),
    ],
)
def test_an_attribute_shows_where_it_sits(change, low, top, bottom, left, right):
    mask = changed_pixels(PLAIN, replace(PLAIN, **change))
    y, x = (np.flatnonzero(mask.any(axis)) / len(mask) for axis in (1, 0))
    assert mask.mean() > low
    assert top <= y.min() and y.max() <= bottom and left <= x.min() and x.max() <= right


def test_belts_are_as_light_or_dark_as_captions_say():
    for i, color in enumerate(RGB):
        image = draw(replace(PLAIN, color=color, belt=True), draw_pose(RandomStream(17, i)), 112)
        bare = draw(replace(PLAIN, color=color), draw_pose(RandomStream(17, i)), 112)
        belt = (np.abs(image.astype(int) - bare).max(-1) > 30) & (np.abs(np.arange(112) - 56) > 8)[None]
        assert belt.sum() > 50
        assert (image[belt].astype(int) - bare[belt]).mean() * (1 if garments.takes_light_trim(color) else -1) > 30, color


def test_lengths_show_in_the_proportions():
    """How tall a garment is for its width, whatever the size at which it is photographed."""
    for kind in ("dress", "skirt", "toptee"):
        tall = []
        for length in ("short", "medium", "long"):
            g = replace(sample(kind, RandomStream(2)), length=length, sleeve="none", fit="regular")
            pose = draw_pose(RandomStream(9))
            image, other = draw(g, pose, 96), draw(g, replace(pose, backdrop=pose.backdrop * 0.5), 96)
            rows = np.flatnonzero((image == other).all(-1).any(1))
            tall.append(rows.max() - rows.min())
        assert tall[0] * 1.12 < tall[1] and tall[1] * 1.12 < tall[2]


def test_colors_show_in_the_pictures():
    names, right = list(RGB), 0
    for i, name in enumerate(names * 3):
        pose = draw_pose(RandomStream(11, i))
        image = draw(replace(PLAIN, color=name, neck="round"), pose, 112)
        seen = np.median(image[52:75, 45:67].reshape(-1, 3), 0)
        right += min(names, key=lambda n: np.sum((np.array(RGB[n]) - seen) ** 2)) == name
    assert right >= 0.9 * 3 * len(names)


@pytest.mark.parametrize("kind", garments.KINDS)
@pytest.mark.parametrize("pixels", [16, 57])
def test_every_kind_can_be_drawn_at_any_size(kind, pixels):
    for i in range(4):
        rng = RandomStream(13, i)
        pose = draw_pose(rng)
        image = draw(sample(kind, rng), pose, pixels)
        assert image.shape == (pixels, pixels, 3) and image.dtype == np.uint8 and image.std() > 5
