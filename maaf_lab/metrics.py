"""Recall at k, bootstrap intervals over queries, paired comparison of two systems."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maaf_lab.retrieval import Rankings


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
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        raise ValueError("expected at least one query, found none: there is nothing to average")
    random = np.random.default_rng(seed)
    distinct, counts = np.unique(values, return_counts=True)  # resampling queries is drawing how often each value occurs
    drawn = random.multinomial(len(values), counts / counts.sum(), size=resamples)
    means = drawn @ distinct / len(values)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(100 * float(values.mean()), 100 * float(low), 100 * float(high))


def recall(rankings: Rankings, k: int) -> Estimate:
    """Recall at k in percent with its interval."""
    return bootstrap(rankings.hits(k))


def paired_difference(first: Rankings, second: Rankings, k: int) -> Estimate:
    """Recall at k of `first` minus `second` on the same queries, in points, with its interval.

    Raises ValueError when the two do not hold the same queries in the same order.
    """
    same = len(first) == len(second) and (
        (first.frame["source"].to_numpy() == second.frame["source"].to_numpy()).all()
        and (first.frame["text"].to_numpy() == second.frame["text"].to_numpy()).all()
    )
    if not same:
        raise ValueError("expected two rankings of the same queries in the same order; evaluate both on the same split")
    return bootstrap(first.hits(k) - second.hits(k))
