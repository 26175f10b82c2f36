"""What was retrieved, as pictures side by side (Figures 1 and S2). Same input, same picture."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from maaf_lab.analysis.retrievals import Retrieval
from maaf_lab.plots.colors import TARGET
from maaf_lab.plots.text import picture_text


def retrievals_figure(found: Sequence[Retrieval], title: str = "") -> Figure:
    """A row per query: reference, captions joined by +, results in rank order; a target is framed in green."""
    keep = len(found[0].results)
    cell, size = (1.25, 8.5) if keep <= 4 else (1.0, 10)
    height = len(found) * (cell + 0.16) + (0.75 if title else 0.2)
    figure = Figure(figsize=((keep + 1) * cell + 2.1, height), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.02, w_pad=0.03)
    axes = figure.subplots(len(found), keep + 2, squeeze=False, width_ratios=[1, 2.0 / cell, *[1] * keep])
    for line, item in zip(axes, found, strict=True):
        for axis in line:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        line[0].imshow(item.source)
        text = "\n+ ".join(picture_text(part, 24 if keep <= 4 else 22) for part in item.texts)
        line[1].text(0.5, 0.55, text, ha="center", va="center", fontsize=size, transform=line[1].transAxes)
        rank = f"target: rank {item.rank:,}" if item.rank else "no target in the gallery"
        line[1].text(0.5, 0.02, rank, ha="center", va="bottom", fontsize=7, color="#555555", transform=line[1].transAxes)
        for axis, picture, relevant in zip(line[2:], item.results, item.relevant, strict=True):
            axis.imshow(picture)
            if relevant:
                axis.spines[:].set(visible=True, color=TARGET, linewidth=3)
                axis.set_xlabel("target", fontsize=7, color=TARGET, labelpad=2)
    axes[0, 0].set_title("query", fontsize=9)
    for number, axis in enumerate(axes[0, 2:], 1):
        axis.set_title(str(number), fontsize=9)
    if title:
        figure.suptitle(picture_text(title), fontsize=9)
    return figure
