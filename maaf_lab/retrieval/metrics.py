"""Recall at k, bootstrap intervals over queries and seeds, paired comparison of two systems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maaf_lab.retrieval.rankings import Rankings


@dataclass(frozen=True)
class Estimate:
    """A mean over queries, and over seeds where there are several, in percent, with its 95% bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


def bootstrap(values: np.ndarray, resamples: int = 1000, seed: int = 0) -> Estimate:
    """Mean of per-query values (Q,), or of several seeds' (S, Q), in percent, with its interval (see `bootstrap_mean`).

    Raises ValueError when there is no query.
    """
    return bootstrap_mean([values], resamples, seed)


def bootstrap_mean(groups: Sequence[np.ndarray], resamples: int = 1000, seed: int = 0) -> Estimate:
    """The mean of the groups' means in percent; the interval holds the middle 95% of the means of resamples.

    groups: per-query values (Q,) each, or those of S seeds (S, Q). Queries are resampled within their group, the same for all
    seeds, and where there are several seeds, seeds with them (see `_over_seeds`). Raises ValueError where a group has no query.
    """
    return _estimate(*_resampled([np.atleast_2d(group) for group in groups], [], resamples, seed))


def _estimate(mean: float, drawn: np.ndarray) -> Estimate:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(100 * mean, 100 * float(low), 100 * float(high))


def _resampled(
    plus_SQ: Sequence[np.ndarray], minus_SQ: Sequence[np.ndarray], resamples: int, seed: int
) -> tuple[float, np.ndarray]:
    """The mean of the groups' means, minus that of the other side where there is one, and the same of each resample (resamples,).

    Both sides hold the same queries, a group each, and each its own seeds.
    """
    random = np.random.default_rng(seed)
    sides = [side for side in (plus_SQ, minus_SQ) if side]
    if all(len(side[0]) == 1 for side in sides) and minus_SQ:  # of single runs, the difference is one
        sides = [[plus - minus for plus, minus in zip(plus_SQ, minus_SQ, strict=True)]]
    means, drawn = [], []
    for values_SQ in map(np.concatenate, zip(*sides, strict=True)):
        if not values_SQ.shape[1]:
            raise ValueError("expected at least one query, found none: there is nothing to average")
        # to resample queries is to draw how often each kind of query occurs: a kind is hit by the same runs
        kinds_SK, counts_K = np.unique(values_SQ.astype(np.float64), axis=1, return_counts=True)
        queries = values_SQ.shape[1]
        times = (random.multinomial(queries, counts_K / queries, size=n) for n in _pieces(resamples, len(counts_K)))
        means.append(values_SQ.mean(1, dtype=np.float64))
        drawn.append(np.concatenate([times_K @ kinds_SK.T / queries for times_K in times]))
    mean_S, drawn_S = np.mean(means, axis=0), np.mean(drawn, axis=0)
    first = len(sides[0][0])
    mean, found = mean_S[:first].mean(), _over_seeds(drawn_S[:, :first], random)
    if len(sides) == 2:
        mean, found = mean - mean_S[first:].mean(), found - _over_seeds(drawn_S[:, first:], random)
    return float(mean), found


def _pieces(resamples: int, kinds: int) -> list[int]:
    """How many resamples to draw at a time, so that a piece takes some 80 MB at most."""
    most = max(1, 10_000_000 // kinds)
    return [min(most, resamples - start) for start in range(0, resamples, most)]


def _over_seeds(drawn_S: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The means over resampled seeds (resamples,) of each resample's seeds (resamples, S).

    Of S seeds, S - 1 are drawn: with S, the spread of means of so few would come out too small by the factor sqrt((S - 1) / S)
    (Rao and Wu, J. Am. Stat. Assoc. 83, 1988). One seed says nothing about others, and its resamples stay as they are.
    """
    seeds = drawn_S.shape[1]
    if seeds == 1:
        return drawn_S[:, 0]
    times = random.multinomial(seeds - 1, np.full(seeds, 1 / seeds), size=len(drawn_S))
    return (times * drawn_S).sum(1) / (seeds - 1)


def recall(rankings: Rankings, k: int) -> Estimate:
    """Recall at k in percent with its interval."""
    return bootstrap(rankings.hits(k))


def recalls(rankings: Rankings | Sequence[Rankings], ks: Sequence[int]) -> dict[str, Estimate]:
    """Recall at each k: {"R10": ..., "R50": ...}, in percent; of several seeds' rankings, the mean over them.

    Where the queries have several categories: "R10 dress", ... for each, "R10" as the mean of the categories' recalls, and
    "mean", the mean of all of them (the paper's one number for Fashion IQ, Tables 2 to 5). Raises ValueError for seeds that do
    not hold the same queries in the same order.
    """
    seeds = [rankings] if isinstance(rankings, Rankings) else list(rankings)
    _same_queries(seeds)
    hits = {k: np.stack([one.hits(k) for one in seeds]) for k in ks}
    categories = seeds[0].frame["category"]
    if categories.nunique() < 2:
        return {f"R{k}": bootstrap(hits[k]) for k in ks}
    rows = {category: (categories == category).to_numpy() for category in sorted(categories.unique())}
    found = {f"R{k} {category}": bootstrap(hits[k][:, of]) for category, of in rows.items() for k in ks}
    for k in ks:
        found[f"R{k}"] = bootstrap_mean([hits[k][:, of] for of in rows.values()])
    found["mean"] = bootstrap_mean([np.mean([hits[k][:, of] for k in ks], axis=0) for of in rows.values()])
    return found


Side = Sequence[Sequence[Rankings]]  # what is compared: for each seed, the rankings of one run or of several rows' runs


def paired_gain(first: Side, second: Side, ks: Sequence[int]) -> Estimate:
    """Mean recall at `ks` of `first` minus that of `second` on the same queries, in points.

    Runs of one seed (rows that share a switch) are averaged query by query. The interval is over queries, and over the seeds of
    a side that has several. Where queries are of several categories, the mean of the categories' means. Raises ValueError when
    the runs do not hold the same queries in the same order.
    """
    return _estimate(*_gains(first, second, ks, resamples=1000, seed=0))


def paired_p(first: Side, second: Side, ks: Sequence[int], margin: float = 0.0, resamples: int = 20_000, seed: int = 0) -> float:
    """Two-sided p-value of `paired_gain`, from the same resamples as its interval: below 0.05 where that interval decides.

    Null hypothesis for margin 0: there is no gain. For a margin in points and a gain within it: the two differ by the margin or
    more (equivalence by two one-sided tests, the larger p; Schuirmann 1987); for a gain beyond it: the gain is no larger than
    the margin. A one-sided p is doubled, so that every p is compared with the same 5%. It is never below 2 / (resamples + 1):
    the default of 20,000 leaves room for a correction over some hundred tests.
    """
    mean, drawn = _gains(first, second, ks, resamples, seed)
    gain, drawn, close = 100 * mean, 100 * drawn, 1e-9  # ties count against a difference, whatever their last digit
    if abs(gain) < margin:
        beyond = max((drawn <= close - margin).sum(), (drawn >= margin - close).sum())
    else:
        beyond = (drawn <= margin + close).sum() if gain > 0 else (drawn >= -margin - close).sum()
    return min(1.0, 2 * (1 + int(beyond)) / (resamples + 1))


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjustment of p-values (N,): compared with 5%, the chance of any false claim among all N stays below 5%.

    Own code, as scipy has no Holm and statsmodels would be 10 MB for these lines. Source: Holm, Scand. J. Stat. 6 (1979).
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def mean_recall(side: Side, ks: Sequence[int]) -> float:
    """Mean recall at `ks` over seeds and runs, in percent; of several categories of queries, the mean of their means."""
    return 100 * float(np.mean([group.mean() for group in _hits(side, ks)]))


def _gains(first: Side, second: Side, ks: Sequence[int], resamples: int, seed: int) -> tuple[float, np.ndarray]:
    _same_queries([run for side in (first, second) for of_seed in side for run in of_seed])
    return _resampled(_hits(first, ks), _hits(second, ks), resamples, seed)


def _hits(side: Side, ks: Sequence[int]) -> list[np.ndarray]:
    """The hits of each query (S, Q), a category each."""
    hits_SQ = np.stack([np.mean([run.hits(k) for run in of_seed for k in ks], axis=0) for of_seed in side])
    return [hits_SQ[:, rows] for rows in _categories(side[0][0])]


def _categories(rankings: Rankings) -> list[np.ndarray]:
    categories = rankings.frame["category"]
    if categories.nunique() < 2:
        return [np.ones(len(categories), bool)]
    return [(categories == category).to_numpy() for category in sorted(categories.unique())]


def _same_queries(several: Sequence[Rankings]) -> None:
    one = several[0]
    for other in several[1:]:
        same = len(one) == len(other) and all(
            (one.frame[name].to_numpy() == other.frame[name].to_numpy()).all() for name in ("source", "text")
        )
        if not same:
            raise ValueError("expected two rankings of the same queries in the same order; evaluate both on the same split")
