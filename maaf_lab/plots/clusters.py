"""Averages over a category's pictures and over its largest cluster (Figure S1). Same input, same picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from maaf_lab.plots.text import picture_text


def category_images_figure(images: Mapping[str, Any], title: str = "") -> Figure:
    """Figure S1: two rows per category, all its pictures and its largest cluster in pixel space, with their averages.

    images: category -> `paper.garment_figures.CategoryImages`.
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
            label = f"{picture_text(name, most=100)}\n{count:,}"
            line[0].set_ylabel(label, fontsize=8, rotation=0, ha="right", va="center", labelpad=6)
            line[-1].imshow(mean)
            line[-1].spines[:].set(visible=True, color="#444444", linewidth=1)
    axes[0, -1].set_title("average", fontsize=8)
    if title:
        figure.suptitle(picture_text(title), fontsize=9)
    return figure
