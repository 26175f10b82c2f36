"""What a model retrieves for a query, ready to be shown: the paper's Figures 1 and S2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maaf_lab.errors import ConfigError
from maaf_lab.retrieval.rankings import Rankings


@dataclass(frozen=True)
class Retrieval:
    """One query and its first results. Pictures are uint8 (S, S, 3).

    texts: its captions as published. results: the first k of its gallery, best first; relevant: which of them are relevant.
    rank: of the first relevant image, 0 where the gallery has none.
    """

    source: np.ndarray
    texts: tuple[str, ...]
    results: tuple[np.ndarray, ...]
    relevant: tuple[bool, ...]
    rank: int


def pick_queries(rankings: Rankings, count: int, *, seed: int = 0, within: int = 0) -> list[int]:
    """`count` random queries in file order; within: only among those with a relevant image in the first so many (0: all queries).

    Raises ConfigError where fewer fit.
    """
    rank = rankings.frame["rank"].to_numpy()
    fit = np.flatnonzero((rank >= 1) & (rank <= within)) if within else np.arange(len(rank))
    if count < 1:
        raise ConfigError(f"expected at least 1 query to show, found {count}")
    if len(fit) < count:
        raise ConfigError(
            f"expected {count} queries"
            + (f" with a relevant image among the first {within}" if within else "")
            + f", found {len(fit)} of {len(rank)}; ask for fewer"
        )
    return sorted(np.random.default_rng(seed).choice(fit, count, replace=False).tolist())
