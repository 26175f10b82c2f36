"""Pictures side by side: what was retrieved (Figures 1 and S2), averages and clusters (Figure S1). Same input, same picture."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from maaf_lab.analysis.retrievals import Retrieval

GREEN = "#008a3e"  # the target's frame, which also differs by its thickness and a word, for readers who see no green


def retrievals_figure(found: Sequence[Retrieval], title: str = "") -> Figure:
    """A row per query: reference, captions joined by +, results in rank order; the target framed in green."""
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
        text = "\n+ ".join("\n".join(textwrap.wrap(part, 24 if keep <= 4 else 22)) for part in item.texts)
        line[1].text(0.5, 0.55, text, ha="center", va="center", fontsize=size, transform=line[1].transAxes)
        rank = f"target: rank {item.rank:,}" if item.rank else "no target in the gallery"
        line[1].text(0.5, 0.02, rank, ha="center", va="bottom", fontsize=7, color="#555555", transform=line[1].transAxes)
        for axis, picture, relevant in zip(line[2:], item.results, item.relevant, strict=True):
            axis.imshow(picture)
            if relevant:
                axis.spines[:].set(visible=True, color=GREEN, linewidth=3)
                axis.set_xlabel("target", fontsize=7, color=GREEN, labelpad=2)
    axes[0, 0].set_title("query", fontsize=9)
    for number, axis in enumerate(axes[0, 2:], 1):
        axis.set_title(str(number), fontsize=9)
    if title:
        figure.suptitle(title, fontsize=9)
    return figure


def category_images_figure(images: Mapping[str, Any], title: str = "") -> Figure:
    """Figure S1: two rows per category, all its pictures and its largest cluster in pixel space; the average at the right.

    images: category -> `garment_figures.CategoryImages`.
    """
    show = max(len(part.first) for part in images.values())
    figure = Figure(figsize=(0.72 * show + 2.0, 1.75 * len(images) + (0.5 if title else 0)), layout="constrained")
    axes = figure.subplots(2 * len(images), show + 1, squeeze=False, width_ratios=[1] * show + [1.15])
    for n, (category, part) in enumerate(images.items()):
        lines = (
            (f"{category}: all", part.first, part.mean, part.count),
            ("largest cluster", part.cluster_first, part.cluster_mean, part.cluster_count),
        )
        for line, (name, first, mean, count) in zip(axes[2 * n : 2 * n + 2], lines, strict=True):
            for axis in line:
                axis.set_xticks([])
                axis.set_yticks([])
                axis.spines[:].set_visible(False)
            for axis, picture in zip(line, first, strict=False):
                axis.imshow(picture)
            line[0].set_ylabel(f"{name}\n{count:,}", fontsize=8, rotation=0, ha="right", va="center", labelpad=6)
            line[-1].imshow(mean)
            line[-1].spines[:].set(visible=True, color="#444444", linewidth=1)
    axes[0, -1].set_title("average", fontsize=8)
    if title:
        figure.suptitle(title, fontsize=9)
    return figure
