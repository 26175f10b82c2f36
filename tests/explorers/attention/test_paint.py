"""Numbers, colors and weights as the attention explorer shows them."""

from __future__ import annotations

import json

import numpy as np

from maaf_lab.explorers.attention.paint import color, number, packed, unpacked
from maaf_lab.explorers.page.svg import palette
from maaf_lab.utils.wording import rank_name


def test_numbers_for_people():
    assert [number(v, False) for v in (0, 0.0123, 0.5, 0.12345)] == ["0.0%", "1.2%", "50.0%", "12.3%"]
    assert [number(v, True) for v in (0, 0.126, -2)] == ["+0.00", "+0.13", "−2.00"]
    assert [rank_name(n) for n in (0, 1, 2, 3, 4, 11, 12, 13, 21, 102, 111, 1023)] == [
        "no target",
        "1st",
        "2nd",
        "3rd",
        "4th",
        "11th",
        "12th",
        "13th",
        "21st",
        "102nd",
        "111th",
        "1,023rd",
    ]
    assert color(0, 1, False) == palette(False)[0] and color(1, 1, False) == palette(False)[255] == color(9, 1, False)
    assert (
        color(-1, 1, True) == palette(True)[0]
        and color(0, 1, True) == palette(True)[128]
        and color(0, 0, True) == palette(True)[128]
    )


def test_weights_survive_the_page():
    weights = np.random.default_rng(0).normal(size=(2, 3, 9, 9)).astype(np.float32)
    weights[0, 0] = 0.25  # all the same
    back = unpacked(json.loads(json.dumps(packed(weights))))
    span = weights.max((-2, -1)) - weights.min((-2, -1))
    assert (np.abs(back - weights).max((-2, -1)) <= span / 131_070 + 1e-7).all() and np.allclose(back[0, 0], 0.25)
