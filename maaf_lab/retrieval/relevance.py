"""What a split's protocol says about each query: which images it ranks, and which of them are relevant.

Shapes: Q queries, G images of the split, P pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from maaf_lab.data.split import Split

Pairs = tuple[np.ndarray, np.ndarray]  # queries (P,) and images (P,)


class Relevance:
    """A split's queries under its protocol: the gallery of each, the images that it leaves out, and its relevant images."""

    def __init__(self, split: Split) -> None:
        self.split = split
        number = {label: n for n, label in enumerate(dict.fromkeys(image.label for image in split.images))}
        self._labels = np.array([number[image.label] for image in split.images], np.int64)  # (G,)
        self._by_label = np.argsort(self._labels, kind="stable")
        self._target_label = np.array([number.get(q.target_label, -1) for q in split.queries], np.int64)  # (Q,)

    def galleries(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each gallery, the queries that search it and its images, in the split's order."""
        queries = self.split.queries
        if self.split.protocol.gallery == "split":
            yield np.arange(len(queries)), np.arange(len(self.split.images))
            return
        names = np.array([q.category or "" for q in queries], object)
        for name in dict.fromkeys(names):
            yield np.flatnonzero(names == name), np.flatnonzero(self._in_category(name))

    def excluded(self, queries: np.ndarray) -> Pairs:
        """The images that the protocol leaves out: pairs of an index into `queries` and an image."""
        if not self.split.protocol.exclude_source:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        chosen = [self.split.queries[q] for q in queries]
        pairs = [(n, i) for n, q in enumerate(chosen) for i in (q.source, *q.exclude)]
        return tuple(np.array(pairs, np.int64).reshape(-1, 2).T)

    def relevant(self, queries: np.ndarray) -> Pairs:
        """All images of the target's label, in any gallery: pairs of an index into `queries` and an image."""
        labels, wanted = self._labels[self._by_label], self._target_label[queries]
        first, stop = (np.searchsorted(labels, wanted, side) for side in ("left", "right"))
        count = stop - first
        query = np.repeat(np.arange(len(queries)), count)
        return query, self._by_label[np.arange(len(query)) + np.repeat(first - np.cumsum(count) + count, count)]

    def is_relevant(self, images: np.ndarray, query: int) -> np.ndarray:
        """(k,) bool: whether each of the images has the label of the query's target."""
        return self._labels[images] == self._target_label[query]

    def candidates(self, query: int | None = None, category: str = "") -> np.ndarray:
        """(G,) bool: the images that a query of the split ranks; without a query, all images or those of a category."""
        if query is not None:
            category = self.split.queries[query].category or "" if self.split.protocol.gallery == "category" else ""
        among = self._in_category(category).copy() if category else np.ones(len(self.split.images), bool)
        if query is not None:
            among[self.excluded(np.array([query]))[1]] = False
        return among

    def _in_category(self, name: str) -> np.ndarray:
        return self._of_category.get(name, np.zeros(len(self.split.images), bool))

    @cached_property
    def _of_category(self) -> dict[str, np.ndarray]:
        names = dict.fromkeys(name for image in self.split.images for name in image.categories)
        return {name: np.array([name in image.categories for image in self.split.images]) for name in names}
