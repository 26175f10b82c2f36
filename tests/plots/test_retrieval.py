"""Retrievals drawn, and saved with the same bytes."""

import numpy as np

from maaf_lab.analysis.retrievals import Retrieval
from maaf_lab.analysis.sentences import heads_that_vary_most
from maaf_lab.plots.retrieval import retrievals_figure
from maaf_lab.plots.save import save


def test_places_of_a_saved_figure_are_rounded(tmp_path):
    """So that the last digits of the layout, which differ between processes, cannot change the file's bytes."""
    figure = retrievals_figure(
        [Retrieval(np.zeros((4, 4, 3), np.uint8), ("a",), (np.zeros((4, 4, 3), np.uint8),) * 3, (False, True, False), 2)],
        "synthetic data",
    )
    save(figure, tmp_path, "a")
    for axis in figure.axes:
        assert axis.get_in_layout() and all(number == round(number, 6) for number in axis.get_position(True).bounds[:2])


def test_the_target_shows_without_color(garments):
    found = [
        Retrieval(np.zeros((4, 4, 3), np.uint8), ("a", "b"), (np.zeros((4, 4, 3), np.uint8),) * 2, (False, True), 2),
        Retrieval(np.zeros((4, 4, 3), np.uint8), ("c",), (np.zeros((4, 4, 3), np.uint8),) * 2, (False, False), 0),
    ]
    figure = retrievals_figure(found, "synthetic data")
    told = [axis.get_xlabel() for axis in figure.axes]
    assert told.count("target") == 1 and told.index("target") == 3
    assert figure.axes[3].spines["top"].get_linewidth() == 3 and not figure.axes[2].spines["top"].get_visible()
    assert any("no target in the gallery" in text.get_text() for axis in figure.axes for text in axis.texts)
    assert heads_that_vary_most(np.stack([np.zeros((2, 2)), np.eye(2), 3 * np.eye(2), 2 * np.eye(2)])) == [1, 2, 3]
