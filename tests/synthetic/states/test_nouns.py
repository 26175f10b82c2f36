"""Outlines tell nouns apart; the test nouns are the published ones."""

import numpy as np

from maaf_lab.data.datasets.mit_states import TEST_NOUNS as PUBLISHED_TEST_NOUNS
from maaf_lab.synthetic.canvas import Canvas, Frame
from maaf_lab.synthetic.states.dataset import STATES
from maaf_lab.synthetic.states.nouns import TRAIN_NOUNS, Ink
from maaf_lab.synthetic.states.unseen_nouns import NOUNS, TEST_NOUNS


def outline(noun, pixels=48):
    """Where a noun shows in its own square: bool (pixels, pixels)."""
    canvas = Canvas(pixels, "RGBA", (0, 0, 0, 0))
    canvas.frame = Frame(0.5, 0.5, 0.9)
    NOUNS[noun].draw(canvas, Ink(NOUNS[noun].colors[0]))
    return canvas.array()[..., 3] > 128


def test_outlines_tell_nouns_apart():
    shapes = {noun: outline(noun) for noun in NOUNS}
    assert all(0.03 < shape.mean() < 0.85 for shape in shapes.values())
    alike = {(a, b): (shapes[a] & shapes[b]).sum() / (shapes[a] | shapes[b]).sum() for a in NOUNS for b in NOUNS if a < b}
    round_ones = {"apple", "ball", "clock", "coin", "orange", "plate", "tomato", "wheel"}  # told apart by what is inside
    assert all(share < 0.93 for pair, share in alike.items() if not set(pair) <= round_ones)
    assert np.median(list(alike.values())) < 0.6


def test_test_nouns_are_the_published_ones_and_training_never_sees_them():
    assert set(TEST_NOUNS) <= PUBLISHED_TEST_NOUNS and not set(TRAIN_NOUNS) & PUBLISHED_TEST_NOUNS
    assert len(TRAIN_NOUNS) >= 20 and len(TEST_NOUNS) >= 12 and len({a for own in STATES.values() for a in own}) >= 16
