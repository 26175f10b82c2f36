"""Recall, intervals and differences between runs with their p, against loops, plain resampling and the normal distribution."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from fake_runs import FakeRun, apart
from galleries import rankings

from maaf_lab.retrieval.metrics import _resampled, bootstrap, holm, mean_recall, paired_gain, paired_p, recall, recalls
from maaf_lab.retrieval.rankings import Rankings


def test_recall_values():
    found = rankings([1, 2, 0, 5, 10, 11, 50, 51])
    assert [recall(found, k).value for k in (1, 5, 10, 50)] == pytest.approx([12.5, 37.5, 50, 75])
    one = recall(found, 5)
    assert one.low < one.value < one.high and str(one) == f"37.5 [{one.low:.1f}, {one.high:.1f}]"


@pytest.mark.parametrize(
    "values",
    [
        (np.arange(400) % 3 == 0).astype(float),
        np.random.default_rng(1).integers(-1, 2, 300).astype(float),
        np.random.default_rng(2).standard_normal(200),
    ],
    ids=["hits", "differences", "numbers"],
)
def test_bootstrap_agrees_with_plain_resampling(values):
    random = np.random.default_rng(5)
    means = [np.mean(random.choice(values, len(values))) for _ in range(4000)]
    low, high = 100 * np.quantile(means, 0.025), 100 * np.quantile(means, 0.975)
    found = bootstrap(values, resamples=4000)
    assert found.value == pytest.approx(100 * values.mean())
    width = high - low
    assert abs(found.low - low) < 0.08 * width and abs(found.high - high) < 0.08 * width
    assert bootstrap(values, resamples=4000) == found  # the same seed, the same interval
    assert bootstrap(values, seed=1) != bootstrap(values, seed=2)


def test_bootstrap_at_the_ends():
    assert bootstrap(np.ones(10)) == pytest.approx(bootstrap(np.ones(10)))
    all_right = bootstrap(np.ones(10))
    assert (all_right.value, all_right.low, all_right.high) == (100, 100, 100)
    with pytest.raises(ValueError, match="at least one query"):
        bootstrap(np.array([]))


def test_recalls_of_categories_are_averaged_not_pooled():
    found = rankings([1, 20, 1, 60, 60, 60])
    assert set(recalls(found, (10, 50))) == {"R10", "R50"} and recalls(found, (10, 50))["R10"] == recall(found, 10)
    found = Rankings(found.frame.assign(category=["shirt", "shirt", "dress", "dress", "dress", "dress"]), "p")
    values = {name: e.value for name, e in recalls(found, (10, 50)).items()}
    assert values == pytest.approx(
        {"R10 shirt": 50, "R50 shirt": 100, "R10 dress": 25, "R50 dress": 25, "R10": 37.5, "R50": 62.5, "mean": 50}
    )
    many = Rankings(pd.concat([found.frame] * 200, ignore_index=True), "p")
    e = recalls(many, (10, 50))["mean"]
    random = np.random.default_rng(0)
    shirt, dress = np.array([1, 0.5] * 200), np.array([1, 0, 0, 0] * 200)
    plain = [100 * (random.choice(shirt, 400).mean() + random.choice(dress, 800).mean()) / 2 for _ in range(3000)]
    low, high = np.quantile(plain, [0.025, 0.975])
    assert e.low == pytest.approx(low, abs=0.3) and e.high == pytest.approx(high, abs=0.3)


def gain_at_1(first, second):
    return paired_gain([[first]], [[second]], [1])


def test_the_gain_of_one_run_on_another():
    first, second = rankings([1, 1, 1, 2, 0] * 40), rankings([1, 2, 1, 1, 0] * 40)
    same = gain_at_1(first, first)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    better = gain_at_1(first, rankings([1, 2, 1, 2, 0] * 40))
    assert better.value == pytest.approx(20) and 0 < better.low < 20 < better.high
    even = gain_at_1(first, second)
    assert even.value == 0 and even.low < 0 < even.high
    unpaired = recall(first, 1)
    assert better.high - better.low < 2 * (unpaired.high - unpaired.low)


def test_only_the_same_queries_are_paired():
    for other in (rankings([1, 2, 3]), rankings([1, 2], sources=["s0", "other"]), rankings([1, 2], texts=["t0", "other"])):
        with pytest.raises(ValueError, match="same queries"):
            gain_at_1(rankings([1, 2]), other)
        with pytest.raises(ValueError, match="same queries"):
            recalls([rankings([1, 2]), other], (1,))


def test_paired_gain_equals_a_loop():
    """Two rows a side and three seeds: means over all, and an interval as slow loops draw it."""
    random = np.random.default_rng(0)
    kinds = ["a"] * 30 + ["b"] * 90
    levels = iter(np.linspace(20, 90, 12))
    sides = [
        [[FakeRun(random.integers(1, int(next(levels)), 120), categories=kinds).rankings for _ in range(2)] for _ in range(3)]
        for _ in range(2)
    ]
    gain = paired_gain(*sides, (10, 50))
    hits = np.array([[np.mean([run.hits(k) for run in seed for k in (10, 50)], axis=0) for seed in side] for side in sides])
    groups = [slice(0, 30), slice(30, 120)]
    means = [100 * np.mean([hits[side][:, rows].mean() for rows in groups]) for side in range(2)]
    assert gain.value == pytest.approx(means[0] - means[1]) and gain.low < gain.value < gain.high
    assert mean_recall(sides[0], (10, 50)) == pytest.approx(means[0])
    drawn = []
    for _ in range(4000):
        seeds = [random.integers(3, size=2) for _ in range(2)]  # two of three: see `_over_seeds`
        queries = [random.integers(rows.start, rows.stop, rows.stop - rows.start) for rows in groups]
        side = [np.mean([hits[n][seeds[n]][:, of].mean() for of in queries]) for n in range(2)]
        drawn.append(100 * (side[0] - side[1]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert gain.low == pytest.approx(low, abs=1.5) and gain.high == pytest.approx(high, abs=1.5)
    one = [[FakeRun([1, 5, 2]).rankings]], [[FakeRun([3, 5, 1]).rankings]]
    assert paired_gain(*one, (1,)).value == bootstrap(np.array([1, 0, -1])).value
    with pytest.raises(ValueError, match="same queries"):
        paired_gain([[FakeRun([1, 2]).rankings]], [[FakeRun([1, 2], ["a", "b"]).rankings]], (1,))


def test_seeds_that_differ_make_a_difference_uncertain():
    """A gain of five points on a thousand queries is sure for one seed each, and is not where three seeds differ by ten."""

    def of(*hits):
        return [[FakeRun([1] * n + [9] * (1000 - n)).rankings] for n in hits]

    assert paired_p(of(550), of(500), (1,)) < 0.001 < paired_p(of(550, 450, 650), of(500, 400, 600), (1,))
    agreed, apart = (paired_gain(of(*first), of(500), (1,)) for first in ((550, 550, 550), (450, 550, 650)))
    assert [agreed.value, apart.value] == pytest.approx([5, 5]) and agreed.low > 0 > apart.low
    assert paired_p(of(550, 550, 550), of(500, 500, 500), (1,)) < 0.001, "seeds that agree take nothing away"


def test_the_spread_over_seeds_is_that_of_their_mean():
    """Seeds whose queries are all alike: the interval is that of a mean of three, without the shrinking of few resampled ones."""
    values = np.repeat(np.array([[0.3], [0.5], [0.7]]), 50, axis=1)
    found = bootstrap(values, resamples=20_000)
    # two of three drawn: 0.3, 0.4 (twice), 0.5 (three times), 0.6 (twice), 0.7 of nine: the variance of the mean, 0.04 / 3
    assert (found.value, found.low, found.high) == (pytest.approx(50), pytest.approx(30), pytest.approx(70))
    mean, drawn = _resampled([values], [], 20_000, 0)
    assert mean == pytest.approx(0.5) and drawn.var() == pytest.approx(0.04 / 3, rel=0.05)


def test_recalls_of_several_seeds():
    seeds = [FakeRun(ranks, categories=["a", "a", "b", "b"]).rankings for ranks in ([1, 2, 3, 1], [1, 1, 1, 1], [9, 9, 1, 2])]
    found = recalls(seeds, (1, 2))
    alone = [recalls(one, (1, 2)) for one in seeds]
    for name, estimate in found.items():
        assert estimate.value == pytest.approx(np.mean([one[name].value for one in alone])), name
    assert recalls([seeds[0]], (1, 2)) == alone[0]


@pytest.mark.parametrize("seed", range(20))
def test_holm_decides_as_its_definition(seed):
    """Step by step: the smallest p against 5% / N, the next against 5% / (N - 1), ... until one is not below."""
    random = np.random.default_rng(seed)
    p = random.choice([0.0001, 0.003, 0.02, 0.049, 0.3, 1.0, *random.random(4) / 20], size=int(random.integers(1, 30)))
    adjusted = holm(p)
    for level in (0.001, 0.01, 0.05, 0.2):
        rejected = set()
        for step, n in enumerate(sorted(range(len(p)), key=lambda n: p[n])):
            if p[n] * (len(p) - step) >= level:
                break
            rejected.add(n)
        assert set(np.flatnonzero(adjusted < level)) == rejected
    assert (adjusted >= p).all() and (adjusted <= 1).all()


def test_holm_of_one_and_of_none():
    assert holm([0.04]).tolist() == [0.04] and holm([]).tolist() == []
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06]), "no p is adjusted past a larger one"


@pytest.mark.parametrize(
    ("gained", "lost", "margin"), [(60, 40, 0), (40, 60, 0), (50, 50, 0), (50, 50, 2), (45, 60, 1), (52, 50, 1), (70, 30, 2)]
)
def test_p_is_that_of_the_normal_distribution(gained, lost, margin):
    """Of a thousand queries the mean is all but normal, and its p needs no resampling."""
    first, second = ([[run.rankings] for run in side] for side in apart(gained, lost))
    values = np.repeat([1.0, -1.0, 0.0], [gained, lost, 1000 - gained - lost])
    mean, error = 100 * values.mean(), 100 * values.std() / len(values) ** 0.5
    below, above = (NormalDist(mean, error).cdf(edge) for edge in (-margin, margin))  # how much of the means lies below an edge
    one_sided = max(below, 1 - above) if abs(mean) < margin else min(above, 1 - below)
    expected = min(1, 2 * one_sided)
    assert paired_p(first, second, (1,), margin) == pytest.approx(expected, rel=0.25, abs=0.002)
    assert paired_p(first, second, (1,), margin) == paired_p(first, second, (1,), margin), "the same again"


def test_p_agrees_with_the_interval_beside_it():
    for gained in range(50, 90, 4):
        first, second = ([[run.rankings] for run in side] for side in apart(gained, 50))
        gain, p = paired_gain(first, second, (1,)), paired_p(first, second, (1,))
        if not 0.04 < p < 0.06:  # the interval rests on fewer resamples
            assert (gain.low > 0) == (p < 0.05), gained


def test_p_is_never_zero_and_ties_are_no_difference():
    same, better = [[FakeRun([1] * 9).rankings]], [[FakeRun([9] * 9).rankings]]
    assert paired_p(same, better, (1,)) == 2 / 20_001
    assert paired_p(same, same, (1,)) == paired_p(same, better, (1,), margin=100.0) == 1.0
