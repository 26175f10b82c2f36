"""Data samples, training curves and attention maps as matplotlib figures: same input, same picture."""

from __future__ import annotations

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


def _wrapped(text: str, width: int = 22) -> str:
    import textwrap

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
    colors = ("#9a9a9a", "#5a5a5a", "#d08a2e", "#2b6cb0", "#b0342b", "#3b8f5a")
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
