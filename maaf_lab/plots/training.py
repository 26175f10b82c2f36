"""Figures of training curves and of recall, with matplotlib and seaborn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from maaf_lab.plots.colors import OKABE_ITO
from maaf_lab.plots.text import picture_text

_COLORS = (*OKABE_ITO, "#8A5A2B")
_BASELINES = {"Image only": "#a8a8a8", "Text only": "#555555"}  # which read half of a query: gray
_DIM = "#666666"

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def curves_figure(logs: Mapping[str, pd.DataFrame], title: str = "") -> Figure:
    """Training loss against steps, a line per row of the table; each point is the mean since the point before.

    logs: row -> step, loss and, where there are several, seed: then the line is their mean and the band their range. The legend
    is in the order in which the lines end.
    """
    import seaborn as sns

    frame = pd.concat([log.assign(row=label) for label, log in logs.items()], ignore_index=True)
    last = frame[frame["step"] == frame.groupby("row")["step"].transform("max")].groupby("row")["loss"].mean()
    seeds = frame["seed"].nunique() if "seed" in frame else 1
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axis = figure.subplots()
    sns.lineplot(
        frame,
        x="step",
        y="loss",
        hue="row",
        hue_order=last.sort_values(ascending=False, kind="stable").index,
        palette=_colors(list(logs)),
        errorbar=("pi", 100),
        linewidth=1.8,
        ax=axis,
    )
    axis.set(xlabel="training step", ylabel="batch softmax loss (nats)", xlim=(0, None))
    if frame["loss"].min() < frame["loss"].max() / 4:
        axis.set_ylim(bottom=0)
    _tidy(axis, [*([title] if title else []), *([f"mean and range over {seeds} seeds"] if seeds > 1 else [])])
    _legend(axis)
    return figure


def ranks_figure(frame: pd.DataFrame, title: str = "") -> Figure:
    """Recall at every k: the share of queries (percent) whose first relevant image is among the first k.

    frame: row and rank (from 1; 0 where the gallery has no relevant image), a line per query and seed.
    At k = 1, 10 and 50 the lines give the table's recalls. The legend is in order of the median ranks that it shows.
    """
    import seaborn as sns

    last = max(int(frame["rank"].max()), 50)
    frame = frame.assign(rank=frame["rank"].where(frame["rank"] > 0, 10 * last))
    order = frame.groupby("row", sort=False)["rank"].agg(["median", "mean"]).sort_values(["median", "mean"])["median"]
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axis = figure.subplots()
    for k in (1, 10, 50):
        axis.axvline(k, color="#bbbbbb", linewidth=0.9, linestyle=":")
        axis.annotate(
            f"R{k}",
            (k, 1.0),
            (2, 1),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            fontsize=8,
            color=_DIM,
            va="bottom",
            ha="center",
        )
    sns.ecdfplot(
        frame,
        x="rank",
        hue="row",
        hue_order=order.index,
        palette=_colors(list(dict.fromkeys(frame["row"]))),
        stat="percent",
        log_scale=True,
        linewidth=1.8,
        ax=axis,
    )
    axis.set(xlabel="k: images looked at, best first", xlim=(1, last))
    axis.set(ylabel="recall at k (%)", ylim=(0, 100.5))
    axis.xaxis.set_major_formatter("{x:,.0f}")
    _tidy(axis, [title] if title else [], pad=14)
    _legend(axis, {row: f"{row}: {'none' if rank > last else f'{rank:,.0f}'}" for row, rank in order.items()}, "median rank")
    return figure


def recall_by_type_figure(frame: pd.DataFrame, metric: str = "R1", title: str = "") -> Figure:
    """Recall in percent by modification type, a panel for each: a dot for each row with its 95% interval over queries.

    frame: row, type, query (its number) and hit (0 to 1), a line for each row, query and type of the query.
    """
    import seaborn as sns

    from maaf_lab.retrieval.metrics import bootstrap

    def interval(hits: pd.Series) -> tuple[float, float]:
        nonlocal highest
        found = bootstrap(hits.to_numpy() / 100)
        highest = max(highest, found.high)
        return found.low, found.high

    rows, types = list(dict.fromkeys(frame["row"])), list(dict.fromkeys(frame["type"]))
    columns = min(3, len(types))
    lines = -(-len(types) // columns)
    figure = Figure(figsize=(7.5, 0.35 + lines * (0.85 + 0.24 * len(rows))), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    highest = 0.0
    for axis in axes.flat[len(types) :]:
        axis.set_axis_off()
    for axis, name in zip(axes.flat, types, strict=False):
        part = frame[frame["type"] == name].assign(hit=lambda lines: 100 * lines["hit"])
        sns.pointplot(
            part,
            x="hit",
            y="row",
            hue="row",
            order=rows,
            hue_order=rows,
            palette=_colors(rows),
            errorbar=interval,
            orient="h",
            linestyle="none",
            markersize=4,
            capsize=0.35,
            err_kws={"linewidth": 1.3},
            legend=False,
            ax=axis,
        )
        axis.set(xlabel=f"{metric} (%)", ylabel="")
        _tidy(axis, [f"{name} (n = {part['query'].nunique():,})"], grid="x")
    axes[0, 0].set_xlim(-0.03 * highest, 1.06 * highest)  # shared by all
    if title:
        figure.suptitle(picture_text(title), fontsize=10)
    return figure


def _colors(rows: Sequence[str]) -> dict[str, str]:
    """A row's color, the same in every figure of a table."""
    systems = [row for row in rows if row not in _BASELINES]
    colors = dict(zip(systems, [*_COLORS, "#000000", *_BASELINES.values()] * len(systems), strict=False))
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
    """A legend beside the axes, where it hides no line."""
    import seaborn as sns

    sns.move_legend(
        axis,
        "upper left",
        bbox_to_anchor=(1.01, 1.02),
        frameon=False,
        fontsize=9,
        title=title,
        title_fontsize=9,
        alignment="left",
    )
    for text in axis.get_legend().get_texts():
        text.set_text((labels or {}).get(text.get_text(), text.get_text()))
