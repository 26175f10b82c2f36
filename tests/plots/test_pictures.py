"""Figures made of pictures: each picture stands beside the text, name and count that belong to it."""

from __future__ import annotations

import numpy as np
import pytest

from maaf_lab.paper.garment_figures import CategoryImages
from maaf_lab.plots.clusters import category_images_figure
from maaf_lab.plots.samples import pairs_figure, samples_figure


def flat(level: int) -> np.ndarray:
    return np.full((4, 4, 3), level, np.uint8)


def levels(axes) -> list[int]:
    return [int(axis.images[0].get_array()[0, 0, 0]) for axis in axes if axis.images]


SAMPLES = [{"source": flat(n), "target": flat(100 + n), "text": f"{'very ' * 30 * n}red {n}"} for n in range(3)]


def test_samples_are_columns():
    axes = samples_figure(SAMPLES).axes
    assert levels(axes) == [0, 1, 2, 100, 101, 102]
    texts = [" ".join(axis.get_xlabel().split()) for axis in axes[:3]]
    assert texts == [f"{sample['text']} ↓" for sample in SAMPLES]


@pytest.mark.parametrize("columns", [1, 2])
def test_pairs_are_a_page(columns):
    figure = pairs_figure(SAMPLES, columns, "a title")
    assert levels(figure.axes) == [0, 100, 1, 101, 2, 102] and figure.get_suptitle() == "a title"
    texts = [" ".join(text.get_text().split()) for axis in figure.axes for text in axis.texts]
    assert texts == [f"{sample['text']} →" for sample in SAMPLES]


def test_a_category_has_two_lines_that_end_in_their_averages():
    part = CategoryImages(np.stack([flat(1), flat(2)]), flat(9), 1200, np.stack([flat(3)]), flat(8), 40)
    axes = category_images_figure({"dress": part}).axes
    assert levels(axes) == [1, 2, 9, 3, 8]
    assert [axes[n].get_ylabel() for n in (0, 3)] == ["dress: all\n1,200", "largest cluster\n40"]
