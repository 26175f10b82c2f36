"""Data samples, training curves and attention maps as matplotlib figures: same input, same picture."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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


def curves_figure(logs: Mapping[str, pd.DataFrame], title: str = "") -> Figure:
    """Training loss against steps, a line a row of the table; each point is the mean since the point before.

    logs: row -> step, loss and, where there are several, seed: then the line is their mean and the band their range. The legend
    is in the order of the lines' ends.
    """
    import seaborn as sns

    frame = pd.concat([log.assign(row=label) for label, log in logs.items()], ignore_index=True)
    last = frame[frame["step"] == frame.groupby("row")["step"].transform("max")].groupby("row")["loss"].mean()
    seeds = frame["seed"].nunique() if "seed" in frame else 1
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axis = figure.subplots()
    sns.lineplot(frame, x="step", y="loss", hue="row", hue_order=last.sort_values(ascending=False, kind="stable").index,
                 palette=_colors(list(logs)), errorbar=("pi", 100), linewidth=1.8, ax=axis)
    axis.set(xlabel="training step", ylabel="batch softmax loss (nats)", xlim=(0, None))
    if frame["loss"].min() < frame["loss"].max() / 4:
        axis.set_ylim(bottom=0)
    _tidy(axis, [*([title] if title else []), *([f"mean and range over {seeds} seeds"] if seeds > 1 else [])])
    _legend(axis)
    return figure


def ranks_figure(frame: pd.DataFrame, title: str = "") -> Figure:
    """How far off the misses are: the share of queries (percent) whose first right image is among the first k, for every k.

    frame: row and rank (from 1; 0 where the gallery has no right image, a query that no k answers), a line a query and seed.
    At k = 1, 10 and 50 the lines give the table's recalls. The legend is in the order of the median ranks that it names.
    """
    import seaborn as sns

    last = max(int(frame["rank"].max()), 50)
    frame = frame.assign(rank=frame["rank"].where(frame["rank"] > 0, 10 * last))
    order = frame.groupby("row", sort=False)["rank"].agg(["median", "mean"]).sort_values(["median", "mean"])["median"]
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axis = figure.subplots()
    for k in (1, 10, 50):
        axis.axvline(k, color="#bbbbbb", linewidth=0.9, linestyle=":")
        axis.annotate(f"R{k}", (k, 1.0), (2, 1), xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=8,
                      color=_DIM, va="bottom", ha="center")
    sns.ecdfplot(frame, x="rank", hue="row", hue_order=order.index, palette=_colors(list(dict.fromkeys(frame["row"]))),
                 stat="percent", log_scale=True, linewidth=1.8, ax=axis)
    axis.set(xlabel="k: images looked at, best first", xlim=(1, last))
    axis.set(ylabel="queries answered within k images (%)", ylim=(0, 100.5))
    axis.xaxis.set_major_formatter("{x:,.0f}")
    _tidy(axis, [title] if title else [], pad=14)
    _legend(axis, {row: f"{row}: {'none' if rank > last else f'{rank:,.0f}'}" for row, rank in order.items()}, "median rank")
    return figure


def recall_by_kind_figure(frame: pd.DataFrame, metric: str = "R1", title: str = "") -> Figure:
    """Recall in percent by type of modification, a panel a type: a dot a row of the table with its 95% interval over queries.

    frame: row, kind, query (its number) and hit (0 to 1), a line a row, query and type that the query's text holds.
    """
    import seaborn as sns

    from maaf_lab.metrics import bootstrap

    def interval(hits: pd.Series) -> tuple[float, float]:
        nonlocal highest
        found = bootstrap(hits.to_numpy() / 100)
        highest = max(highest, found.high)
        return found.low, found.high

    rows, kinds = list(dict.fromkeys(frame["row"])), list(dict.fromkeys(frame["kind"]))
    columns = min(3, len(kinds))
    lines = -(-len(kinds) // columns)
    figure = Figure(figsize=(7.5, 0.35 + lines * (0.85 + 0.24 * len(rows))), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    highest = 0.0
    for axis in axes.flat[len(kinds):]:
        axis.set_axis_off()
    for axis, kind in zip(axes.flat, kinds, strict=False):
        part = frame[frame["kind"] == kind].assign(hit=lambda lines: 100 * lines["hit"])
        sns.pointplot(part, x="hit", y="row", hue="row", order=rows, hue_order=rows, palette=_colors(rows), errorbar=interval,
                      orient="h", linestyle="none", markersize=4, capsize=0.35, err_kws={"linewidth": 1.3}, legend=False, ax=axis)
        axis.set(xlabel=f"{metric} (%)", ylabel="")
        _tidy(axis, [f"{kind} (n = {part['query'].nunique():,})"], grid="x")
    axes[0, 0].set_xlim(-0.03 * highest, 1.06 * highest)  # shared by all
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


# Okabe and Ito's colours, told apart with any colour vision; the baselines that see half of a query are grey.
_OKABE_ITO = ("#E69F00", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#8A5A2B")
_BASELINES = {"Image only": "#a8a8a8", "Text only": "#555555"}
_DIM = "#666666"


def _colors(rows: Sequence[str]) -> dict[str, str]:
    """A row's colour, the same in every figure of a table."""
    systems = [row for row in rows if row not in _BASELINES]
    colors = dict(zip(systems, [*_OKABE_ITO, "#000000", *_BASELINES.values()] * len(systems), strict=False))
    return {row: _BASELINES.get(row) or colors[row] for row in rows}


def _tidy(axis: Axes, title: Sequence[str], *, grid: str = "y", pad: float = 6) -> None:
    """Open at the top and on the right, faint lines to read values off, one size of small print."""
    import seaborn as sns

    sns.despine(ax=axis)
    axis.grid(axis=grid, color="#e6e6e6", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=9)
    axis.xaxis.label.set_size(9.5)
    axis.yaxis.label.set_size(9.5)
    axis.set_title(" · ".join(title), fontsize=9.5, loc="left", pad=pad)


def _legend(axis: Axes, labels: Mapping[str, str] | None = None, title: str = "") -> None:
    """Beside the axes, where it hides no line."""
    import seaborn as sns

    sns.move_legend(axis, "upper left", bbox_to_anchor=(1.01, 1.02), frameon=False, fontsize=9, title=title, title_fontsize=9,
                    alignment="left")
    for text in axis.get_legend().get_texts():
        text.set_text((labels or {}).get(text.get_text(), text.get_text()))


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
