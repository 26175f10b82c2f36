"""Statistical figures: curves, ranks, recall by type."""

import numpy as np
import pandas as pd
import pytest

from maaf_lab.plots.save import save
from maaf_lab.plots.training import curves_figure, ranks_figure, recall_by_type_figure
from maaf_lab.retrieval.metrics import bootstrap

ROWS = ("Image only", "TIRG", "MAAF")


def _logs(seeds):
    steps = np.arange(50, 301, 50)
    return {
        row: pd.concat(
            [
                pd.DataFrame({"step": steps, "loss": (n + 1) * np.exp(-steps / 200) + 0.1 * seed, "seed": seed})
                for seed in range(seeds)
            ],
            ignore_index=True,
        )
        for n, row in enumerate(ROWS)
    }


def _ranks():
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "row": np.repeat(ROWS, 400),
            "seed": 0,
            "rank": np.concatenate([random.integers(0, high, 400) for high in (900, 300, 60)]),
        }
    )  # 0: no relevant image in the gallery


def _hits():
    random = np.random.default_rng(0)
    lines = [
        (row, kind, query, float(random.random() < 0.2 + 0.2 * n))
        for n, row in enumerate(ROWS)
        for kind in ("add", "change", "remove", "all")
        for query in range(150)
    ]
    return pd.DataFrame(lines, columns=["row", "type", "query", "hit"])


DRAWN = {
    "curves": lambda: curves_figure(_logs(1), "Table 1"),
    "seeds": lambda: curves_figure(_logs(3)),
    "ranks": lambda: ranks_figure(_ranks(), "Table 1"),
    "types": lambda: recall_by_type_figure(_hits(), title="Table 1"),
}


@pytest.mark.parametrize("name", DRAWN)
def test_statistical_figures_are_the_same_again(name, tmp_path):
    files = [[path.read_bytes() for path in save(DRAWN[name](), tmp_path / str(n), "figure")] for n in range(2)]
    assert files[0] == files[1] and files[0][0].startswith(b"\x89PNG")


def test_curves_are_means_over_seeds_with_their_range():
    (axis,) = DRAWN["seeds"]().axes
    lines = {text.get_text(): line for text, line in zip(axis.get_legend().get_texts(), axis.lines, strict=False)}
    assert list(lines) == ["MAAF", "TIRG", "Image only"], "in the order of the lines' ends"
    assert lines["MAAF"].get_ydata() == pytest.approx(3 * np.exp(-np.arange(50, 301, 50) / 200) + 0.1)
    ends = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert ends.max() == pytest.approx(3 * np.exp(-0.25) + 0.2) and ends.min() == pytest.approx(3 * np.exp(-1.5))
    assert "range over 3 seeds" in axis.get_title("left") and "seed" not in DRAWN["curves"]().axes[0].get_title("left")


def test_ranks_are_recalls_at_every_k():
    frame = _ranks()
    (axis,) = DRAWN["ranks"]().axes
    curves = [line for line in axis.lines if len(line.get_xdata()) > 2]  # the dotted lines at 1, 10 and 50 have two ends
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert [label.split(":")[0] for label in labels] == ["MAAF", "TIRG", "Image only"]
    shares = {}
    for curve in curves:
        row = next(row for row, color in _colors_of_rows().items() if color == curve.get_color())
        shares[row] = [curve.get_ydata()[curve.get_xdata() < k + 0.5].max(initial=0) for k in (1, 10, 50, 200)]
    for row in ROWS:
        ranks = frame.loc[frame["row"] == row, "rank"]
        assert shares[row] == pytest.approx([100 * ranks.between(1, k).mean() for k in (1, 10, 50, 200)]), row
        assert f"{row}: {ranks.where(ranks > 0, 10**6).median():,.0f}" in labels
    assert axis.get_ylim()[1] < 101


def test_types_show_recall_with_the_labs_interval():
    frame = _hits()
    figure = DRAWN["types"]()
    panels = {axis.get_title("left"): axis for axis in figure.axes if axis.get_title("left")}
    assert list(panels) == [f"{kind} (n = 150)" for kind in ("add", "change", "remove", "all")]
    for kind, axis in zip(("add", "change", "remove", "all"), panels.values(), strict=True):
        found = [bootstrap(frame[(frame["type"] == kind) & (frame["row"] == row)]["hit"].to_numpy()) for row in ROWS]
        places = np.concatenate([line.get_xdata() for line in axis.lines])
        for estimate in found:
            for value in (estimate.value, estimate.low, estimate.high):
                assert np.isclose(places, value).any(), "dot, and both ends of its interval"
            assert axis.get_xlim()[0] < estimate.low and estimate.high < axis.get_xlim()[1], "nothing is cut off"


def _colors_of_rows():
    """Row -> color, as the curves of the same rows have it."""
    (axis,) = DRAWN["curves"]().axes
    return {text.get_text(): line.get_color() for text, line in zip(axis.get_legend().get_texts(), axis.lines, strict=False)}


def test_a_row_has_one_color_and_baselines_are_gray():
    colors = _colors_of_rows()
    assert colors["Image only"] == "#a8a8a8" and len(set(colors.values())) == 3
    many = {str(n): _logs(1)["MAAF"].assign(loss=lambda log, n=n: log["loss"] + n) for n in range(9)}
    assert len({line.get_color() for line in curves_figure(many).axes[0].lines[:9]}) == 9, "the tables' most rows"
