"""Which queries a step sees, and the batch it gets: a pure function of (seed, step), so that resume is exact.

Shapes: U distinct images of the batch, B queries.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from maaf_lab.data.split import Split
from maaf_lab.data.text import TextBatch, Vocabulary, join, pad
from maaf_lab.errors import ConfigError


class GroupSampler:
    """Batches in groups of `group_size` queries that share a reference image: the hard negatives of CSS (authors' code).

    An epoch deals every query once: each reference's queries are shuffled and cut into groups, the groups are shuffled and cut
    into batches. A reference whose queries do not fill its last group lends queries of that epoch again; where a reference has
    fewer queries than a group, groups of several references are joined. What does not fill a batch waits for the next epoch.
    """

    def __init__(self, sources: np.ndarray, batch_size: int, group_size: int, seed: int) -> None:
        if len(sources) < batch_size:
            raise ConfigError(f"expected at least one batch of {batch_size} queries, found {len(sources)}: lower batch_size")
        self.batch_size, self.group_size, self.seed = batch_size, group_size, seed
        by_source = defaultdict(list)
        for i, source in enumerate(np.asarray(sources).tolist()):
            by_source[source].append(i)
        self._by_source = [np.array(rows) for _, rows in sorted(by_source.items())]
        self._epoch, self._batches = -1, np.empty((0, batch_size), dtype=np.int64)
        self.batches_per_epoch = len(self._deal(0))

    def _deal(self, epoch: int) -> np.ndarray:
        """The batches of one epoch -> (batches, B) query indices."""
        if epoch == self._epoch:
            return self._batches
        random = np.random.default_rng([self.seed, epoch])
        groups, loose = [], []
        for rows in self._by_source:
            rows = random.permutation(rows)
            whole = len(rows) // self.group_size * self.group_size
            groups.extend(rows[:whole].reshape(-1, self.group_size))
            if 0 < whole < len(rows):
                rest = rows[whole:]
                groups.append(np.concatenate([rest, rows[: self.group_size - len(rest)]]))
            elif whole < len(rows):
                loose.append(rows)
        if loose:
            joined = np.concatenate([loose[i] for i in random.permutation(len(loose))])
            groups.extend(joined[: len(joined) // self.group_size * self.group_size].reshape(-1, self.group_size))
        order = random.permutation(len(groups))
        per_batch = self.batch_size // self.group_size
        order = order[: len(order) // per_batch * per_batch]
        self._epoch, self._batches = epoch, np.stack(groups)[order].reshape(-1, self.batch_size)
        return self._batches

    def batch(self, step: int) -> np.ndarray:
        """Query indices (B,) of step 0, 1, 2, ...: the same for the same seed, whatever was asked before."""
        epoch, place = divmod(step, self.batches_per_epoch)
        return self._deal(epoch)[place]


class Batch(NamedTuple):
    """images: indices (U,) of the split's distinct images; source, target: (B,) places in it; text: B captions."""

    images: np.ndarray
    source: Tensor
    target: Tensor
    text: TextBatch


class Collator:
    """Query indices -> Batch. Captions are tokenized once, when it is made; queries without a target are an error."""

    def __init__(self, split: Split, vocabulary: Vocabulary) -> None:
        lacking = sum(q.target is None for q in split.queries)
        if lacking:
            raise ConfigError(f"{split.title}: expected a target for every training query, found {lacking} without one")
        self._pairs = np.array([(q.source, q.target) for q in split.queries], dtype=np.int64).reshape(-1, 2)
        self._ids = [[vocabulary.ids(text) for text in q.texts] for q in split.queries]
        self._joiner = vocabulary.ids(join(["", ""]))

    @property
    def sources(self) -> np.ndarray:
        return self._pairs[:, 0]

    def __call__(self, rows: np.ndarray, random: np.random.Generator | None = None) -> Batch:
        """`random` puts the captions of each query in random order (training); None keeps the file's order."""
        images, places = np.unique(self._pairs[rows], return_inverse=True)
        places = torch.from_numpy(places.reshape(-1, 2))
        captions = []
        for row in rows:
            parts = self._ids[row]
            order = random.permutation(len(parts)) if random is not None and len(parts) > 1 else range(len(parts))
            ids: list[int] = []
            for n, part in enumerate(order):
                ids += (self._joiner if n else []) + parts[part]
            captions.append(ids)
        return Batch(images, places[:, 0].contiguous(), places[:, 1].contiguous(), pad(captions))


def set_seed(seed: int) -> None:
    """Torch's random state, from which weights and dropout are drawn."""
    torch.manual_seed(seed)
