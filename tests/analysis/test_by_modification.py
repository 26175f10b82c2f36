"""Recall by modification type, and the queries of a type, against loops."""

from __future__ import annotations

import numpy as np
import pytest

from maaf_lab.analysis.by_modification import SORTS, Filter, TypeTable
from maaf_lab.analysis.modification_types import taxonomy
from maaf_lab.data.text import JOINER, tokenize
from maaf_lab.errors import ConfigError
from maaf_lab.experiments.runs import find_run


@pytest.fixture(scope="module")
def table(garments):
    return TypeTable({"one": garments.run.rankings, "two": find_run("fashion_iq-tirg-815bb2bbab").rankings}, (10, 50))


def test_recalls_against_a_loop(table, garments):
    types = {"stripes": frozenset({"stripes", "striped"}), "never": frozenset({"unicorn"})}
    only = Filter(("is",), "dress", 3, 9)
    found = table.recalls(types, only)
    rows = [
        q
        for q, text in enumerate(table.texts)
        if "is" in tokenize(text)
        and garments.split.queries[q].category == "dress"
        and 3 <= sum(t != JOINER for t in tokenize(text)) <= 9
    ]
    assert found["all"][0] == len(rows) and found["never"] == (0, (), None)
    rows = [q for q in rows if {"stripes", "striped"} & set(tokenize(table.texts[q]))]
    count, (one, two), gain = found["stripes"]
    ranks = garments.run.rankings.frame["rank"].to_numpy()[rows]
    assert count == len(rows) and one.value == pytest.approx(100 * np.mean([(ranks <= 10).mean(), (ranks <= 50).mean()]))
    assert gain.value == pytest.approx(two.value - one.value) and one.low < one.value < one.high
    assert table.metric == "(R10 + R50) / 2"


def test_queries_in_every_order(table):
    types = {"stripes": frozenset({"stripes", "striped"})}
    best, worst, second, first = (table.queries(types, Filter(), "stripes", sort) for sort in SORTS)
    assert set(best) == set(worst) == set(second) == set(first)
    assert (np.diff(table.ranks[0][best]) >= 0).all() and (np.diff(table.ranks[0][worst]) <= 0).all()
    ratio = table.ranks[0] / table.ranks[1]
    assert (np.diff(ratio[second]) <= 1e-12).all() and (np.diff(ratio[first]) >= -1e-12).all()
    with pytest.raises(ConfigError, match="expected a sort of best first"):
        table.queries(types, Filter(), "stripes", "sideways")


def test_rankings_of_other_queries_are_refused(garments, css):
    with pytest.raises(ConfigError, match="expected rankings of the same queries, found others for two"):
        TypeTable({"one": garments.run.rankings, "two": css.run.rankings}, (10,))
    with pytest.raises(ConfigError, match="compares two models"):
        TypeTable({"one": css.run.rankings}, (1,)).queries(taxonomy("css"), Filter(), "all", SORTS[2])
