"""Data samples, training curves and attention maps as matplotlib figures: same input, same picture."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure


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
        axes[0, column].set_xlabel(_wrapped(sample["text"]), fontsize=9)
    axes[0, 0].set_ylabel("reference")
    axes[1, 0].set_ylabel("target")
    return figure


def pairs_figure(samples: Sequence[Mapping[str, Any]], columns: int = 2, title: str = "") -> Figure:
    """Queries as a page: reference, text, target beside one another, `columns` queries a line. Long texts get more room."""
    lines = -(-len(samples) // columns)
    longest = max(len(sample["text"]) for sample in samples)
    middle = next(width for most, width, *_ in _TEXT_SIZES if longest <= most)
    figure = Figure(figsize=((4.2 + 2 * middle) * columns, 2.05 * lines + (0.35 if title else 0)), layout="constrained")
    axes = figure.subplots(lines, 4 * columns - 1, squeeze=False, width_ratios=([1, middle, 1, 0.16] * columns)[:-1])
    for axis in axes.flat:
        axis.set_axis_off()
    for n, sample in enumerate(samples):
        line, place = divmod(n, columns)
        source, between, target = axes[line, 4 * place : 4 * place + 3]
        source.imshow(sample["source"])
        target.imshow(sample["target"])
        _, _, size, letters = next(row for row in _TEXT_SIZES if len(sample["text"]) <= row[0])
        text = "\n".join(part for words in sample["text"].split("\n") for part in (textwrap.wrap(words, letters) or [""]))
        between.text(0.5, 0.5, text + "\n→", ha="center", va="center", fontsize=size, linespacing=1.25)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


# A text of up to so many letters: width of its column (a picture's is 1), points, letters a line.
_TEXT_SIZES = ((60, 1.1, 10, 22), (120, 1.2, 9, 25), (220, 1.5, 8.5, 33), (400, 1.8, 8, 42), (10**9, 2, 6.5, 56))


def _wrapped(text: str, width: int = 22) -> str:
    return "\n".join(textwrap.wrap(text, width)) + "\n↓"


def curves_figure(logs: Mapping[str, pd.DataFrame]) -> Figure:
    """Training loss against steps, one line a row of the table; each point is the mean since the point before."""
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    axis = figure.subplots()
    for (label, log), style in zip(logs.items(), _styles(), strict=False):
        axis.plot(log["step"], log["loss"], label=label, linewidth=1.6, **style)
    axis.set_xlabel("step")
    axis.set_ylabel("batch softmax loss")
    axis.set_ylim(bottom=0)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def _styles() -> list[dict[str, str]]:
    """Greys for the first two (baselines, where a table has them), then Okabe and Ito: told apart with any colour vision."""
    colors = ("#a8a8a8", "#555555", "#E69F00", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#8A5A2B")
    return [{"color": color, "linestyle": line} for line in ("-", "--") for color in colors]


def recall_by_kind_figure(frame: pd.DataFrame) -> Figure:
    """Recall at 1 in percent by kind of modification, grouped bars; a line a kind, a column a row of the table."""
    figure = Figure(figsize=(7.5, 3.2), layout="constrained")
    axis = figure.subplots()
    width = 0.8 / len(frame.columns)
    for n, (label, style) in enumerate(zip(frame.columns, _styles(), strict=False)):
        axis.bar(np.arange(len(frame)) + (n + 0.5) * width - 0.4, frame[label], width, label=label, color=style["color"])
    axis.set_xticks(np.arange(len(frame)), frame.index)
    axis.set_ylabel("recall at 1 (%)")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def position_maps_figure(maps: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """Nine 7x7 maps in the places that their words name (Figure 3): white is more attention; the named cell is framed.

    One scale for all nine, ending at the 97th percentile, so that a single bright token does not darken the rest.
    """
    figure = Figure(figsize=(5.2, 5.6), layout="constrained")
    axes = figure.subplots(3, 3)
    low, high = np.percentile(np.stack(list(maps.values())), [0, 97])
    for n, (axis, (word, values)) in enumerate(zip(axes.flat, maps.items(), strict=True)):
        axis.imshow(values, cmap="gray", vmin=low, vmax=high)
        side = values.shape[0]
        axis.add_patch(_frame(n // 3, n % 3, side))
        axis.set_title(word, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def _frame(row: int, column: int, side: int) -> Any:
    from matplotlib.patches import Rectangle

    cell = side / 3
    return Rectangle((column * cell - 0.5, row * cell - 0.5), cell, cell, fill=False, edgecolor="#d08a2e", linewidth=1.5)
