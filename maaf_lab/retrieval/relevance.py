"""What a split's protocol says of its queries: which images they rank, and which of them are relevant.

Shapes: Q queries, G images of the split, P pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from maaf_lab.data.split import Split

Pairs = tuple[np.ndarray, np.ndarray]  # queries (P,) and images (P,)


class Relevance:
    """What a split's protocol says of each query: in which gallery it searches, what is left out, which images are relevant."""

    def __init__(self, split: Split) -> None:
        self.split = split
        self._number = {text: n for n, text in enumerate(dict.fromkeys(image.label for image in split.images))}
        self._labels = np.array([self._number[image.label] for image in split.images], np.int64)  # (G,)
        self._by_label = np.argsort(self._labels, kind="stable")
        self._wanted = np.array([self._number.get(q.target_label, -1) for q in split.queries], np.int64)  # (Q,)

    def galleries(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The queries that share a gallery, and its images, in the split's order."""
        queries = self.split.queries
        if self.split.protocol.gallery == "split":
            yield np.arange(len(queries)), np.arange(len(self.split.images))
            return
        names = np.array([q.category or "" for q in queries], object)
        for name in dict.fromkeys(names):
            yield np.flatnonzero(names == name), np.flatnonzero(self._in_category(name))

    def excluded(self, queries: np.ndarray) -> Pairs:
        """Images that are no candidates: pairs of a place in `queries` and an image."""
        if not self.split.protocol.exclude_source:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        asked = [self.split.queries[q] for q in queries]
        pairs = [(n, i) for n, q in enumerate(asked) for i in (q.source, *q.exclude)]
        return tuple(np.array(pairs, np.int64).reshape(-1, 2).T)

    def relevant(self, queries: np.ndarray) -> Pairs:
        """All images of the label that is asked for, in any gallery: pairs of a place in `queries` and an image."""
        first, stop = (np.searchsorted(self._labels[self._by_label], self._wanted[queries], side) for side in ("left", "right"))
        count = stop - first
        place = np.repeat(np.arange(len(queries)), count)
        return place, self._by_label[np.arange(len(place)) + np.repeat(first - np.cumsum(count) + count, count)]

    def is_relevant(self, images: np.ndarray, query: int) -> np.ndarray:
        """(k,) bool."""
        return self._labels[images] == self._wanted[query]

    def candidates(self, query: int | None = None, category: str = "") -> np.ndarray:
        """(G,) bool: what a query of the split ranks; without one all images, or those of a category."""
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
