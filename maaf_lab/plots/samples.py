"""Sample queries of a dataset as matplotlib figures: same input, same picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from maaf_lab.plots.text import picture_text
from maaf_lab.utils.wording import drawable


def samples_figure(samples: Sequence[Mapping[str, Any]]) -> Figure:
    """Queries as columns: the reference above, the text between, the target below."""
    count = len(samples)
    figure = Figure(figsize=(2.1 * count, 4.9), layout="constrained")
    axes = figure.subplots(2, count, squeeze=False)
    for column, sample in enumerate(samples):
        for row, key in enumerate(("source", "target")):
            axis = axes[row, column]
            axis.imshow(sample[key], interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
        axes[0, column].set_xlabel(picture_text(sample["text"], 22) + "\n↓", fontsize=9)
    axes[0, 0].set_ylabel("reference")
    axes[1, 0].set_ylabel("target")
    return figure


def pairs_figure(samples: Sequence[Mapping[str, Any]], columns: int = 2, title: str = "") -> Figure:
    """Queries as a page: reference, text and target side by side, `columns` queries per row. Long texts get wider columns."""
    lines = -(-len(samples) // columns)
    longest = max(len(sample["text"]) for sample in samples)
    middle = next(width for most, width, *_ in _TEXT_SIZES if longest <= most)
    figure = Figure(figsize=((4.2 + 2 * middle) * columns, 2.05 * lines + (0.35 if title else 0)), layout="constrained")
    axes = figure.subplots(lines, 4 * columns - 1, squeeze=False, width_ratios=([1, middle, 1, 0.16] * columns)[:-1])
    for axis in axes.flat:
        axis.set_axis_off()
    for n, sample in enumerate(samples):
        line, column = divmod(n, columns)
        source, between, target = axes[line, 4 * column : 4 * column + 3]
        source.imshow(sample["source"])
        target.imshow(sample["target"])
        _, _, size, letters = next(row for row in _TEXT_SIZES if len(sample["text"]) <= row[0])
        text = "\n".join(picture_text(words, letters) for words in drawable(sample["text"]).split("\n"))
        between.text(0.5, 0.5, text + "\n→", ha="center", va="center", fontsize=size, linespacing=1.25)
    if title:
        figure.suptitle(picture_text(title), fontsize=11)
    return figure


# Longest text, in letters -> width of its column (a picture's is 1), font size, letters per line.
_TEXT_SIZES = ((60, 1.1, 10, 22), (120, 1.2, 9, 25), (220, 1.5, 8.5, 33), (400, 1.8, 8, 42), (10**9, 2, 6.5, 56))
