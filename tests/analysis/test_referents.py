"""What words name in a scene of synthetic CSS."""

from __future__ import annotations

from maaf_lab.analysis.referents import referents


def test_referents(css):
    boxes = css.pixels.boxes(443)
    label = css.split.images[443].label  # cyan sphere top-left, green cube top-right, yellow cylinder middle-left, red cube below
    named, words = referents("remove middle-left object", label, boxes, 7)
    assert len(named) == 1 and list(words) == [1] and words[1].shape == (7, 7)
    assert words[1].max() <= 1 and words[1][3, 0] > 0.5 and words[1][0, 6] == 0
    named, words = referents("make red cube small", label, boxes, 7)
    assert len(named) == 1 and list(words) == [1, 2], "what the change sets describes the target"
    for text in ("add red cube to top-left", "is more elegant", "remove purple cube"):
        named, words = referents(text, label, boxes, 7)
        assert len(named) == 0 and words == {}
