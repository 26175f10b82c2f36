"""Figures of attention hold the numbers that they were given, on the scale that their sign needs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import LogNorm, TwoSlopeNorm

from maaf_lab.analysis.positions import POSITIONS
from maaf_lab.plots.attention import head_ablation_figure, position_maps_figure, sentences_figure, structure_figure


@pytest.mark.parametrize("signed", [False, True])
def test_structure(signed):
    weights = np.random.default_rng(0).dirichlet(np.ones(6), size=6) - (0.3 if signed else 0)
    tokens, spans = [f"patch {n}" for n in range(4)] + ["red", "cube"], {"2x2": (0, 4), "text": (4, 6)}
    upper, lower, *_ = structure_figure(weights, tokens, spans).axes
    whole, words = upper.images[0], lower.images[0]
    low = -np.inf if signed else np.percentile(weights, 1)
    assert np.allclose(whole.get_array(), np.maximum(weights, low)) and np.allclose(words.get_array(), whole.get_array()[4:])
    assert isinstance(whole.norm, TwoSlopeNorm if signed else LogNorm)
    if signed:
        assert whole.norm.vmax == -whole.norm.vmin == np.abs(weights).max() and whole.norm.vcenter == 0
    assert [label.get_text() for label in lower.get_yticklabels()] == ["red", "cube"]


def test_sentences_show_the_heads_that_vary_most():
    maps = np.random.default_rng(0).normal(size=(4, 3, 3)) * np.array([1, 9, 0.1, 5])[:, None, None]
    picture = np.full((6, 6, 3), 120, np.uint8)
    figure = sentences_figure([("dress: has longer *sleeves*", picture, maps, 1200)], heads=2)
    first, *heads = figure.axes[:3]
    assert first.get_title() == "mean of 1,200" and "\\bf{sleeves}" in first.get_ylabel()
    assert [axis.get_title() for axis in heads] == ["head 2", "head 4"]
    for axis, values in zip(heads, maps[[1, 3]], strict=True):
        drawn = axis.images[-1]
        assert np.allclose(drawn.get_array(), values) and drawn.norm.vmax == -drawn.norm.vmin == np.abs(maps[[1, 3]]).max()


def test_a_position_map_frames_the_cell_that_its_word_names():
    maps = {word: np.random.default_rng(n).random((6, 6)) for n, word in enumerate(POSITIONS)}
    axes = position_maps_figure(maps).axes
    assert [axis.get_title() for axis in axes] == list(POSITIONS)
    for n, (axis, values) in enumerate(zip(axes, maps.values(), strict=True)):
        (frame,) = axis.patches
        assert np.allclose(axis.images[0].get_array(), values)
        assert frame.get_xy() == (2 * (n % 3) - 0.5, 2 * (n // 3) - 0.5) and frame.get_width() == frame.get_height() == 2
    assert len({axis.images[0].norm.vmax for axis in axes}) == 1, "one scale for all"


def test_heads_show_what_is_lost_and_its_interval():
    frame = pd.DataFrame(
        [
            (f"block{block}", head, kind, lost, lost - 1, lost + 1)
            for block in range(2)
            for head in (1, 2)
            for kind, lost in (("all", 3.0), ("add", -2.0 * block - head))
        ],
        columns=["attention", "head", "kind", "lost", "lost_low", "lost_high"],
    )
    whole = pd.DataFrame([("", 0, "all", 0.0, 0.0, 0.0)], columns=frame.columns)
    axis = head_ablation_figure(pd.concat([whole, frame])).axes[0]
    texts = [text.get_text() for text in axis.texts]
    assert texts[:8] == ["3.0"] * 4 + ["-1.0", "-2.0", "-3.0", "-4.0"]
    assert texts[8] == "2.0 to 4.0" and texts[15] == "-5.0 to -3.0"
    assert axis.collections[0].get_clim() == (-4, 4), "symmetric around nothing lost"
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "2\nblock0", "1", "2\nblock1"]
