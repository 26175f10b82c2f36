"""Recall, intervals and differences between runs with their p, against loops, plain resampling and the normal distribution."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from fake_runs import FakeRun, apart
from galleries import rankings

from maaf_lab.retrieval.metrics import bootstrap, holm, mean_recall, paired_difference, paired_gain, paired_p, recall, recalls
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


def test_paired_difference():
    first, second = rankings([1, 1, 1, 2, 0] * 40), rankings([1, 2, 1, 1, 0] * 40)
    same = paired_difference(first, first, 1)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    better = paired_difference(first, rankings([1, 2, 1, 2, 0] * 40), 1)
    assert better.value == pytest.approx(20) and 0 < better.low < 20 < better.high
    even = paired_difference(first, second, 1)
    assert even.value == 0 and even.low < 0 < even.high
    unpaired = recall(first, 1)
    assert better.high - better.low < 2 * (unpaired.high - unpaired.low)


def test_only_the_same_queries_are_paired():
    with pytest.raises(ValueError, match="same queries"):
        paired_difference(rankings([1, 2]), rankings([1, 2, 3]), 1)
    with pytest.raises(ValueError, match="same queries"):
        paired_difference(rankings([1, 2]), rankings([1, 2], sources=["s0", "other"]), 1)
    with pytest.raises(ValueError, match="same queries"):
        paired_difference(rankings([1, 2]), rankings([1, 2], texts=["t0", "other"]), 1)


def test_paired_gain_equals_a_loop():
    random = np.random.default_rng(0)
    kinds = ["a"] * 10 + ["b"] * 50
    runs = [FakeRun(random.integers(1, 80, 60), categories=kinds).rankings for _ in range(4)]
    gain = paired_gain(runs[:2], runs[2:], (10, 50))
    means = []
    for side in (runs[:2], runs[2:]):
        values = [
            np.mean([(r.frame["rank"][rows] <= k).mean() for r in side for k in (10, 50)])
            for rows in (slice(0, 10), slice(10, 60))
        ]
        means.append(100 * np.mean(values))
    assert gain.value == pytest.approx(means[0] - means[1]) and gain.low < gain.value < gain.high
    assert mean_recall(runs[:2], (10, 50)) == pytest.approx(means[0])
    one = [FakeRun([1, 5, 2]).rankings], [FakeRun([3, 5, 1]).rankings]
    assert paired_gain(*one, (1,)).value == bootstrap(np.array([1, 0, -1])).value
    with pytest.raises(ValueError, match="same queries"):
        paired_gain([FakeRun([1, 2]).rankings], [FakeRun([1, 2], ["a", "b"]).rankings], (1,))


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
    first, second = ([run.rankings for run in side] for side in apart(gained, lost))
    values = np.repeat([1.0, -1.0, 0.0], [gained, lost, 1000 - gained - lost])
    mean, error = 100 * values.mean(), 100 * values.std() / len(values) ** 0.5
    below, above = (NormalDist(mean, error).cdf(edge) for edge in (-margin, margin))  # how much of the means lies below an edge
    one_sided = max(below, 1 - above) if abs(mean) < margin else min(above, 1 - below)
    expected = min(1, 2 * one_sided)
    assert paired_p(first, second, (1,), margin) == pytest.approx(expected, rel=0.25, abs=0.002)
    assert paired_p(first, second, (1,), margin) == paired_p(first, second, (1,), margin), "the same again"


def test_p_agrees_with_the_interval_beside_it():
    for gained in range(50, 90, 4):
        first, second = ([run.rankings for run in side] for side in apart(gained, 50))
        gain, p = paired_gain(first, second, (1,)), paired_p(first, second, (1,))
        if not 0.04 < p < 0.06:  # the interval rests on fewer resamples
            assert (gain.low > 0) == (p < 0.05), gained


def test_p_is_never_zero_and_ties_are_no_difference():
    same, better = [FakeRun([1] * 9).rankings], [FakeRun([9] * 9).rankings]
    assert paired_p(same, better, (1,)) == 2 / 20_001
    assert paired_p(same, same, (1,)) == paired_p(same, better, (1,), margin=100.0) == 1.0
