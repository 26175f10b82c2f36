"""What attention analyses found, as matplotlib figures: same input, same picture. Signed values stand on a diverging scale."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

# Okabe and Ito's colours: told apart with any colour vision
_COLORS = {"position": "#0072B2", "color": "#D55E00", "shape": "#009E73", "size": "#CC79A7",
           "all": "#444444", "add": "#E69F00", "remove": "#0072B2", "change": "#009E73"}


def color_images_figure(images: Mapping[str, np.ndarray], counts: Mapping[str, int], title: str = "") -> Figure:
    """Figure 5: a picture a colour word; mid grey is no difference from the mean of all words, brighter is more.

    images: (S, S, 3) signed; one scale for all, ending at the 99.5th percentile of their size.
    """
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots(2, 4)
    reach = np.percentile(np.abs(np.stack(list(images.values()))), 99.5) or 1.0
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (word, image) in zip(axes.flat, images.items(), strict=False):
        axis.imshow(np.clip(0.5 + image / (2 * reach), 0, 1), interpolation="nearest")
        axis.set_title(f"{word}  (n = {counts[word]:,})", fontsize=9)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def avoidance_figure(table: pd.DataFrame, title: str = "") -> Figure:
    """Avoidance scores: a panel a kind of word, a dot a head with its 95% interval; the grey mark is chance."""
    kinds, blocks = list(dict.fromkeys(table["kind"])), sorted(table["block"].unique())
    figure = Figure(figsize=(7.2, 0.6 + 2.3 * len(blocks)), layout="constrained")
    axes = figure.subplots(len(blocks), len(kinds), squeeze=False, sharey=True)
    for row, block in enumerate(blocks):
        for axis, kind in zip(axes[row], kinds, strict=True):
            part = table[(table["kind"] == kind) & (table["block"] == block)]
            axis.axhline(0, color="#999999", linewidth=0.8)
            axis.plot(part["head"], part["chance"], "_", color="#888888", markersize=11, markeredgewidth=2, label="chance")
            error = [part["score"] - part["low"], part["high"] - part["score"]]
            axis.errorbar(part["head"], part["score"], yerr=error, fmt="o", color=_COLORS.get(kind, "#444444"), markersize=4,
                          linewidth=1.3)
            axis.set_title(f"{kind} words" + (f", block {block}" if len(blocks) > 1 else ""), fontsize=9)
            axis.set_xticks(part["head"])
            axis.tick_params(labelsize=8)
            axis.set_xlabel("head", fontsize=8)
            axis.spines[["top", "right"]].set_visible(False)
        axes[row, 0].set_ylabel("avoids  ←  score  →  looks at", fontsize=8)
    axes[0, 0].legend(frameon=False, fontsize=8)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def head_ablation_figure(table: pd.DataFrame, title: str = "") -> Figure:
    """Points of recall lost when one head is turned off, by kind of query, with 95% intervals; blocks follow one another."""
    off = table[table["head"] > 0]
    names = list(dict.fromkeys(zip(off["attention"], off["head"], strict=True)))
    kinds = list(dict.fromkeys(off["kind"]))
    figure = Figure(figsize=(max(7.2, 0.5 * len(names)), 3.2), layout="constrained")
    axis, width = figure.subplots(), 0.8 / len(kinds)
    for n, kind in enumerate(kinds):
        part = off[off["kind"] == kind]
        place = np.arange(len(part)) + (n + 0.5) * width - 0.4
        error = [part["lost"] - part["lost_low"], part["lost_high"] - part["lost"]]
        axis.bar(place, part["lost"], width, yerr=error, label=kind, color=_COLORS.get(kind, "#444444"),
                 error_kw={"linewidth": 0.8, "ecolor": "#222222"})
    several = len({attention for attention, _ in names}) > 1
    axis.set_xticks(np.arange(len(names)), [f"{a}\n{h}" if several else str(h) for a, h in names], fontsize=8)
    axis.axhline(0, color="#999999", linewidth=0.8)
    axis.set_xlabel("head that is turned off", fontsize=9)
    axis.set_ylabel("points of R1 lost", fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    if title:
        figure.suptitle(title, fontsize=10)
    return figure
