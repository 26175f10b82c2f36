"""The README's picture: a query, what a trained MAAF ranks first, and what its last word attends to."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from maaf_lab.analysis.overview import FirstResults
from maaf_lab.plots.colors import TARGET
from maaf_lab.plots.text import picture_text


def overview_figure(queries: Sequence[FirstResults], title: str = "") -> Figure:
    """A line per query: reference, text, the first five results (relevant ones framed), the attention of the last word."""
    figure = Figure(figsize=(11, 1.75 * len(queries) + 0.5), layout="constrained")
    figure.suptitle(picture_text(title), fontsize=10)
    axes = figure.subplots(len(queries), 8, squeeze=False, width_ratios=[1, 1.35, 1, 1, 1, 1, 1, 1])
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    for axis, name in zip(axes[0], ("reference", "", "ranked 1", "2", "3", "4", "5", ""), strict=True):
        axis.set_title(name, fontsize=10)
    for line, query in zip(axes, queries, strict=True):
        line[0].imshow(query.source, interpolation="nearest")
        line[1].axis("off")
        line[1].text(0.5, 0.5, "+ “" + picture_text(query.text, 18) + "”", ha="center", va="center", fontsize=11)
        for axis, picture, relevant in zip(line[2:7], query.results, query.relevant, strict=True):
            axis.imshow(picture, interpolation="nearest")
            for spine in axis.spines.values():
                spine.set(color=TARGET if relevant else "#cccccc", linewidth=4 if relevant else 1)
        line[7].imshow(query.attention, cmap="gray")
        line[7].set_title(f"“{picture_text(query.word, most=40)}”\nattends to", fontsize=9)
    return figure
