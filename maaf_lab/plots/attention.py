"""Matplotlib figures of the attention analyses. Same input, same picture. Signed values have a diverging scale."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from maaf_lab.analysis.sentences import heads_that_vary_most
from maaf_lab.data.transforms import GRAY
from maaf_lab.plots.text import picture_text
from maaf_lab.utils.wording import drawable

_COLORS = {
    "position": "#0072B2",
    "color": "#D55E00",
    "shape": "#009E73",
    "size": "#CC79A7",
    "all": "#444444",
    "add": "#E69F00",
    "remove": "#0072B2",
    "change": "#009E73",
}


def color_images_figure(images: Mapping[str, np.ndarray], counts: Mapping[str, int], title: str = "") -> Figure:
    """Figure 5: one picture per color word; mid gray is no difference from the mean of all words, brighter is more.

    images: (S, S, 3) signed; one scale for all, ending at the 99.5th percentile of their size.
    """
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots(2, 4)
    reach = np.percentile(np.abs(np.stack(list(images.values()))), 99.5) or 1.0
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (word, image) in zip(axes.flat, images.items(), strict=False):
        axis.imshow(np.clip(0.5 + image / (2 * reach), 0, 1), interpolation="nearest")
        axis.set_title(f"{picture_text(word, most=40)}  (n = {counts[word]:,})", fontsize=9)
    if title:
        figure.suptitle(picture_text(title), fontsize=10)
    return figure


def avoidance_figure(table: pd.DataFrame, title: str = "") -> Figure:
    """Avoidance scores: a panel per kind of word, a dot per head with its 95% interval; gray marks are chance."""
    kinds, blocks = list(dict.fromkeys(table["kind"])), sorted(table["block"].unique())
    figure = Figure(figsize=(7.2, 0.6 + 2.3 * len(blocks)), layout="constrained")
    axes = figure.subplots(len(blocks), len(kinds), squeeze=False, sharey=True)
    for row, block in enumerate(blocks):
        for axis, kind in zip(axes[row], kinds, strict=True):
            part = table[(table["kind"] == kind) & (table["block"] == block)]
            axis.axhline(0, color="#999999", linewidth=0.8)
            axis.plot(part["head"], part["chance"], "_", color="#888888", markersize=11, markeredgewidth=2, label="chance")
            error = [part["score"] - part["low"], part["high"] - part["score"]]
            axis.errorbar(
                part["head"], part["score"], yerr=error, fmt="o", color=_COLORS.get(kind, "#444444"), markersize=4, linewidth=1.3
            )
            axis.set_title(f"{kind} words" + (f", block {block}" if len(blocks) > 1 else ""), fontsize=9)
            axis.set_xticks(part["head"])
            axis.margins(x=0.08)
            axis.tick_params(labelsize=8)
            axis.set_xlabel("head", fontsize=8)
            axis.spines[["top", "right"]].set_visible(False)
        axes[row, 0].set_ylabel("avoids  ←  score  →  looks at", fontsize=8)
    axes[0, 0].legend(frameon=False, fontsize=8)
    if title:
        figure.suptitle(picture_text(title), fontsize=10)
    return figure


def head_ablation_figure(table: pd.DataFrame, title: str = "") -> Figure:
    """Points of R1 lost when one head is turned off: a column per head, a row per modification type, 95% intervals in the cells.

    Red: points are lost; blue: they are gained. One scale, symmetric around nothing lost.
    """
    import seaborn as sns

    off = table[table["head"] > 0]
    heads = list(dict.fromkeys(zip(off["attention"], off["head"], strict=True)))
    kinds = list(dict.fromkeys(off["kind"]))
    cells = off.set_index(["kind", "attention", "head"])
    lost, low, high = (
        np.array([[cells.loc[(kind, *head), name] for head in heads] for kind in kinds])
        for name in ("lost", "lost_low", "lost_high")
    )
    figure = Figure(figsize=(max(7.2, 0.78 * len(heads) + 1.4), 0.62 * len(kinds) + 1.5), layout="constrained")
    axis, reach = figure.subplots(), np.abs(lost).max() or 1.0
    sns.heatmap(
        lost,
        vmin=-reach,
        vmax=reach,
        cmap="RdBu_r",
        annot=True,
        fmt=".1f",
        linewidths=1,
        ax=axis,
        annot_kws={"fontsize": 10, "va": "bottom"},
        cbar_kws={"label": "points of R1 lost", "pad": 0.015},
    )
    for text, below, above in zip(list(axis.texts), low.flat, high.flat, strict=True):
        axis.annotate(
            f"{below:.1f} to {above:.1f}",
            text.get_position(),
            (0, -1),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=7,
            color=text.get_color(),
        )
    axis.axhline(1, color="#444444", linewidth=1.2)  # all queries above, modification types below
    blocks = [attention for attention, _ in heads]
    middle = {name: blocks.index(name) + blocks.count(name) // 2 for name in blocks if len(set(blocks)) > 1}
    labels = [f"{head}\n{name}" if middle.get(name) == n else str(head) for n, (name, head) in enumerate(heads)]
    axis.set_xticklabels(labels, fontsize=9)
    axis.set_yticklabels(kinds, fontsize=9, rotation=0)
    axis.set_xlabel("head that is turned off", fontsize=9)
    axis.tick_params(length=0)
    bar = axis.collections[0].colorbar
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)
    bar.ax.yaxis.label.set_size(9)
    if title:
        figure.suptitle(picture_text(title), fontsize=10)
    return figure


_GRIDS, _WORDS = ("#0072B2", "#D55E00", "#444444"), "#009E73"  # the paper's blue, red and green, as Okabe and Ito's


def structure_figure(weights: np.ndarray, tokens: Sequence[str], spans: Mapping[str, tuple[int, int]], title: str = "") -> Figure:
    """Figure 4: the matrix f(Q K^T) of one query with its parts named; below it the rows of the words, larger.

    weights: (N, N), a row per attending token, a column per attended token. Softmax weights are shown on a logarithmic
    scale, signed ones on a diverging one.
    """
    from matplotlib.colors import LogNorm, TwoSlopeNorm

    figure = Figure(figsize=(7.2, 7.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(5, 1.6))
    signed = weights.min() < 0
    reach = np.abs(weights).max() or 1.0
    low = max(np.percentile(weights, 1), reach * 1e-6)
    norm = TwoSlopeNorm(0, -reach, reach) if signed else LogNorm(low, reach)
    colors = "RdBu_r" if signed else "cividis"
    shown = weights if signed else np.maximum(weights, low)
    picture = upper.imshow(shown, cmap=colors, norm=norm, interpolation="nearest")
    figure.colorbar(picture, ax=upper, label="attention" + ("" if signed else " (logarithmic)"), shrink=0.8)
    label = {name: f"{name} image tokens" for name in spans} | {"text": "words"}
    named = dict(zip((name for name in spans if name != "text"), _GRIDS, strict=False)) | {"text": _WORDS}
    for name, (start, stop) in spans.items():
        color = named.get(name, _GRIDS[-1])
        for axis_name in ("x", "y"):
            position = (
                {"xy": ((start + stop - 1) / 2, -0.015), "ha": "center", "va": "top"}
                if axis_name == "x"
                else {"xy": (-0.015, (start + stop - 1) / 2), "ha": "right", "va": "center"}
            )
            coordinates = upper.get_xaxis_transform() if axis_name == "x" else upper.get_yaxis_transform()
            upper.annotate(
                label[name].replace(" ", "\n", 1) if axis_name == "y" else name,
                position["xy"],
                xycoords=coordinates,
                ha=position["ha"],
                va=position["va"],
                color=color,
                fontsize=8,
                annotation_clip=False,
            )
        for other, (first, last) in spans.items():
            upper.add_patch(_box(start, stop, first, last, color if other == name else "#ffffff", 1.8 if other == name else 0.7))
            if stop - start > 20 and last - first > 20:
                upper.text(
                    (first + last - 1) / 2,
                    (start + stop - 1) / 2,
                    f"{name}\nto {other}",
                    color="white",
                    fontsize=8,
                    ha="center",
                    va="center",
                    bbox={"facecolor": "#000000", "alpha": 0.45, "edgecolor": "none"},
                )
    upper.set_xticks([])
    upper.set_yticks([])
    upper.set_xlabel("attended token", labelpad=16, fontsize=9)
    start, stop = spans["text"]
    lower.imshow(shown[start:stop], cmap=colors, norm=norm, aspect="auto", interpolation="nearest")
    words = [picture_text(token, most=40) for token in tokens[start:stop]]
    lower.set_yticks(range(stop - start), words, fontsize=8, color=_WORDS)
    lower.set_xticks([first - 0.5 for first, _ in spans.values()], [f"{name} →" for name in spans], fontsize=8, ha="left")
    for first, _ in list(spans.values())[1:]:
        lower.axvline(first - 0.5, color="white", linewidth=1)
    lower.set_title("the words' rows, larger: cut at the lines and folded, they are the maps of Figures 3, 5 and 6", fontsize=9)
    if title:
        figure.suptitle(picture_text(title), fontsize=10)
    return figure


def _box(start: int, stop: int, first: int, last: int, color: str, width: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((first - 0.5, start - 0.5), last - first, stop - start, fill=False, edgecolor=color, linewidth=width)


def sentences_figure(rows: Sequence[tuple[str, np.ndarray, np.ndarray, int]], heads: int = 3, title: str = "") -> Figure:
    """Figure 6: a row per sentence; left the average picture, then the word's attention in the heads where it varies most.

    rows: (sentence with its word in *stars*, average picture (S, S, 3), signed maps (H, rows, columns), pictures). Red: more
    attention than the sentence's other words give; blue: less. One symmetric scale per sentence; maps are laid over the picture.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    figure = Figure(figsize=(7.2, 1.75 * len(rows) + 0.6), layout="constrained")
    axes = figure.subplots(len(rows), heads + 1, squeeze=False)
    for line, (sentence, picture, maps, count) in zip(axes, rows, strict=True):
        chosen = heads_that_vary_most(maps, heads)
        reach = np.abs(maps[chosen]).max() or 1.0
        gray = np.repeat((picture @ np.array(GRAY))[:, :, None] / 255, 3, 2)
        line[0].imshow(picture)
        line[0].set_title(f"mean of {count:,}", fontsize=8)
        line[0].set_ylabel(_bold(sentence), fontsize=9)
        side = picture.shape[0]
        for axis, head in zip(line[1:], chosen, strict=True):
            axis.imshow(0.35 + 0.65 * gray)
            axis.imshow(
                maps[head],
                cmap="RdBu_r",
                vmin=-reach,
                vmax=reach,
                alpha=0.65,
                interpolation="bicubic",
                extent=(-0.5, side - 0.5, side - 0.5, -0.5),
            )
            axis.set_title(f"head {head + 1}", fontsize=8)
        for axis in line:
            axis.set_xticks([])
            axis.set_yticks([])
        bar = figure.colorbar(ScalarMappable(Normalize(-100 * reach, 100 * reach), "RdBu_r"), ax=line[-1], shrink=0.85)
        bar.ax.tick_params(labelsize=7)
        bar.set_label("points of attention", fontsize=7)
    if title:
        figure.suptitle(picture_text(title), fontsize=10)
    return figure


def _bold(sentence: str) -> str:
    """ "dress: has longer *sleeves*" -> lines with the marked word in bold."""
    category, _, text = sentence.partition(":")
    words = [_bold_word(word.strip("*")) if word.startswith("*") else picture_text(word) for word in drawable(text).split()]
    return f"{picture_text(category)}\n" + "\n".join(textwrap.wrap(" ".join(words), 26, break_long_words=False))


def _bold_word(word: str) -> str:
    """As mathematics, where a letter cannot be taken for a sign of it."""
    return f"$\\bf{{{word}}}$" if word.replace("-", "").replace("'", "").isalnum() else picture_text(word)


def position_maps_figure(maps: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """Nine 7x7 maps, each in the cell that its word names (Figure 3): white is more attention; the named cell is framed.

    One scale for all nine, ending at the 97th percentile, so that one bright token does not darken the rest.
    """
    figure = Figure(figsize=(5.2, 5.6), layout="constrained")
    axes = figure.subplots(3, 3)
    low, high = np.percentile(np.stack(list(maps.values())), [0, 97])
    for n, (axis, (word, values)) in enumerate(zip(axes.flat, maps.items(), strict=True)):
        axis.imshow(values, cmap="gray", vmin=low, vmax=high)
        side = values.shape[0]
        axis.add_patch(_frame(n // 3, n % 3, side))
        axis.set_title(picture_text(word, most=40), fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
    if title:
        figure.suptitle(picture_text(title), fontsize=10)
    return figure


def _frame(row: int, column: int, side: int) -> Any:
    from matplotlib.patches import Rectangle

    cell = side / 3
    return Rectangle((column * cell - 0.5, row * cell - 0.5), cell, cell, fill=False, edgecolor="#d08a2e", linewidth=1.5)
