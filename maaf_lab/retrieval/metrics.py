"""Recall at k, bootstrap intervals over queries, paired comparison of two systems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maaf_lab.retrieval.rankings import Rankings


@dataclass(frozen=True)
class Estimate:
    """A mean over queries in percent, with its 95% bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


def bootstrap(values: np.ndarray, resamples: int = 1000, seed: int = 0) -> Estimate:
    """Mean of per-query values (Q,) in percent; the interval holds the middle 95% of the means of resampled queries.

    Raises ValueError when there is no query.
    """
    return bootstrap_mean([values], resamples, seed)


def bootstrap_mean(groups: Sequence[np.ndarray], resamples: int = 1000, seed: int = 0) -> Estimate:
    """The mean of the groups' means in percent; queries are resampled within their group.

    Raises ValueError where a group has no query.
    """
    mean, drawn = _resampled(groups, resamples, seed)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(100 * mean, 100 * float(low), 100 * float(high))


def _resampled(groups: Sequence[np.ndarray], resamples: int, seed: int) -> tuple[float, np.ndarray]:
    """The mean of the groups' means, and the same of each resample (resamples,)."""
    random = np.random.default_rng(seed)
    means, drawn = [], []
    for values in groups:
        values = np.asarray(values, dtype=np.float64)
        if not len(values):
            raise ValueError("expected at least one query, found none: there is nothing to average")
        distinct, counts = np.unique(values, return_counts=True)  # to resample queries is to draw how often each value occurs
        times = random.multinomial(len(values), counts / counts.sum(), size=resamples)
        means.append(float(values.mean()))
        drawn.append(times @ distinct / len(values))
    return float(np.mean(means)), np.mean(drawn, axis=0)


def recall(rankings: Rankings, k: int) -> Estimate:
    """Recall at k in percent with its interval."""
    return bootstrap(rankings.hits(k))


def recalls(rankings: Rankings, ks: Sequence[int]) -> dict[str, Estimate]:
    """Recall at each k: {"R10": ..., "R50": ...}, in percent.

    Where the queries have several categories: "R10 dress", ... for each, "R10" as the mean of the categories' recalls, and
    "mean", the mean of all of them (the paper's one number for Fashion IQ, Tables 2 to 5).
    """
    categories = rankings.frame["category"]
    if categories.nunique() < 2:
        return {f"R{k}": recall(rankings, k) for k in ks}
    rows = {category: (categories == category).to_numpy() for category in sorted(categories.unique())}
    found = {f"R{k} {category}": bootstrap(rankings.hits(k)[of]) for category, of in rows.items() for k in ks}
    for k in ks:
        found[f"R{k}"] = bootstrap_mean([rankings.hits(k)[of] for of in rows.values()])
    found["mean"] = bootstrap_mean([np.mean([rankings.hits(k)[of] for k in ks], axis=0) for of in rows.values()])
    return found


def paired_difference(first: Rankings, second: Rankings, k: int) -> Estimate:
    """Recall at k of `first` minus `second` on the same queries, in points, with its interval.

    Raises ValueError when the two do not hold the same queries in the same order.
    """
    _same_queries([first, second])
    return bootstrap(first.hits(k) - second.hits(k))


def paired_gain(first: Sequence[Rankings], second: Sequence[Rankings], ks: Sequence[int]) -> Estimate:
    """Mean recall at `ks` of the runs `first` minus that of the runs `second` on the same queries, in points.

    Runs of a side (seeds, or rows that share a switch) are averaged query by query. Where queries are of several categories,
    the mean of the categories' means. Raises ValueError when the runs do not hold the same queries in the same order.
    """
    return bootstrap_mean(_gains(first, second, ks))


def paired_p(
    first: Sequence[Rankings],
    second: Sequence[Rankings],
    ks: Sequence[int],
    margin: float = 0.0,
    resamples: int = 20_000,
    seed: int = 0,
) -> float:
    """Two-sided p-value of `paired_gain`, from the same resamples as its interval: below 0.05 where that interval decides.

    Null hypothesis for margin 0: there is no gain. For a margin in points and a gain within it: the two differ by the margin or
    more (equivalence by two one-sided tests, the larger p; Schuirmann 1987); for a gain beyond it: the gain is no larger than
    the margin. A one-sided p is doubled, so that every p is compared with the same 5%. It is never below 2 / (resamples + 1):
    the default of 20,000 leaves room for a correction over some hundred tests.
    """
    mean, drawn = _resampled(_gains(first, second, ks), resamples, seed)
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


def mean_recall(runs: Sequence[Rankings], ks: Sequence[int]) -> float:
    """Mean recall at `ks` over runs, in percent; over queries of several categories, the mean of the categories' means."""
    hits = _hits(runs, ks)
    return 100 * float(np.mean([hits[rows].mean() for rows in _categories(runs[0])]))


def _gains(first: Sequence[Rankings], second: Sequence[Rankings], ks: Sequence[int]) -> list[np.ndarray]:
    """What each query gains, a category each."""
    _same_queries([*first, *second])
    gain = _hits(first, ks) - _hits(second, ks)
    return [gain[rows] for rows in _categories(first[0])]


def _hits(runs: Sequence[Rankings], ks: Sequence[int]) -> np.ndarray:
    return np.mean([r.hits(k) for r in runs for k in ks], axis=0)


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
