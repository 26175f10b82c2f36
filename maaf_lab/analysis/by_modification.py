"""Recall by modification type, for one model or several on the same queries, and the queries behind it (paper Table S4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from maaf_lab.analysis.modification_types import Taxonomy, has_modification_type, holds
from maaf_lab.data.text import JOINER, tokenize
from maaf_lab.errors import ConfigError
from maaf_lab.experiments.runs import Run
from maaf_lab.retrieval.metrics import Estimate, bootstrap
from maaf_lab.retrieval.rankings import Rankings

SORTS = ("best first", "worst first", "second model better", "first model better")


@dataclass(frozen=True)
class Filter:
    """Which queries count. words: all of them must be in the text; category: "" for all; shortest, longest: length in words."""

    words: tuple[str, ...] = ()
    category: str = ""
    shortest: int = 0
    longest: int = 10**6


class TypeTable:
    """Rankings of one model or two on the same queries, split by modification type and filtered. Q queries.

    Raises ConfigError for rankings of different queries.
    """

    def __init__(self, rankings: Mapping[str, Rankings], ks: Sequence[int]) -> None:
        if not rankings:
            raise ConfigError("expected at least one model's rankings, found none")
        self.names, self.rankings, self.ks = list(rankings), list(rankings.values()), tuple(ks)
        queries = [(r.column("source"), r.column("text")) for r in self.rankings]
        for name, other in zip(self.names[1:], queries[1:], strict=True):
            if not all(np.array_equal(mine, theirs) for mine, theirs in zip(queries[0], other, strict=True)):
                raise ConfigError(
                    f"expected rankings of the same queries, found others for {name}: evaluate both on the same split"
                )
        self.texts = queries[0][1].tolist()
        read = {text: tokenize(text) for text in set(self.texts)}
        known = {text: (frozenset(tokens), sum(token != JOINER for token in tokens)) for text, tokens in read.items()}
        self.tokens = [known[text][0] for text in self.texts]
        self.lengths = np.array([known[text][1] for text in self.texts])
        self.categories = self.rankings[0].column("category")
        self.ranks = np.stack([r.column("rank") for r in self.rankings])  # (models, Q)
        self.hits = np.stack([np.mean([r.hits(k) for k in self.ks], axis=0) for r in self.rankings])

    @property
    def metric(self) -> str:
        return f"R{self.ks[0]}" if len(self.ks) == 1 else "(" + " + ".join(f"R{k}" for k in self.ks) + f") / {len(self.ks)}"

    def kept(self, only: Filter) -> np.ndarray:
        """(Q,) bool: which queries pass the filter."""
        rows = (self.lengths >= only.shortest) & (self.lengths <= only.longest)
        if only.category:
            rows &= self.categories == only.category
        if only.words:
            wanted = set(only.words)
            rows &= np.array([wanted <= tokens for tokens in self.tokens])
        return rows

    def recalls(self, types: Taxonomy, only: Filter) -> dict[str, tuple[int, tuple[Estimate, ...], Estimate | None]]:
        """type ("all" first) -> (queries, each model's recall, the second's gain on the first); types without queries too."""
        kept, made = self.kept(only), {}
        for name, rows in holds(self.texts, types).items():
            rows = rows & kept
            count = int(rows.sum())
            if not count:
                made[name] = (0, (), None)
                continue
            gain = bootstrap(self.hits[1][rows] - self.hits[0][rows]) if len(self.hits) > 1 else None
            made[name] = (count, tuple(bootstrap(hits[rows]) for hits in self.hits), gain)
        return made

    def queries(self, types: Taxonomy, only: Filter, name: str, sort: str) -> np.ndarray:
        """Numbers of the queries of a type, in an order of `SORTS`; a query whose target is not in the gallery counts as last."""
        rows = np.flatnonzero(holds(self.texts, types)[name] & self.kept(only))
        ranks = np.where(self.ranks == 0, 10**9, self.ranks)[:, rows].astype(np.float64)
        if sort in SORTS[2:]:
            if len(ranks) < 2:
                raise ConfigError(f"{sort!r} compares two models; one is shown")
            change = np.log(ranks[0]) - np.log(ranks[1])  # from 2nd to 1st counts as much as from 200th to 100th
            key = -change if sort == SORTS[2] else change
        elif sort in SORTS:
            key = ranks[0] if sort == SORTS[0] else -ranks[0]
        else:
            raise ConfigError(f"expected a sort of {', '.join(SORTS)}; found {sort!r}")
        return rows[np.lexsort((rows, key))]


def by_modification_type(runs: Sequence[Run], types: Sequence[str], ks: Sequence[int] = (10, 50)) -> dict[str, Estimate]:
    """Mean recall at `ks` over the queries that hold a keyword of each type (Table S4): percent, with interval.

    runs: one row's, a run a seed. Types that no query has are left out.
    """
    rankings = [run.rankings for run in runs]
    hits_SQ = np.stack([np.mean([r.hits(k) for k in ks], axis=0) for r in rankings])
    found = {}
    for name in types:
        rows = has_modification_type(rankings[0].frame["text"].tolist(), name)
        if rows.any():
            found[name] = bootstrap(hits_SQ[:, rows])
    return found


def modification_counts(run: Run, types: Sequence[str]) -> dict[str, int]:
    """How many of a run's queries hold a keyword of each type (the row "N" of Table S4)."""
    texts = run.rankings.frame["text"].tolist()
    return {name: int(has_modification_type(texts, name).sum()) for name in types}
