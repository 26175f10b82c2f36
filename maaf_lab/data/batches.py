"""The batch of each training step, as a pure function of (seed, step), so that resume is exact.

Shapes: U distinct images of the batch, B queries.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from maaf_lab.config import TrainConfig
from maaf_lab.data.cache import PixelCache
from maaf_lab.data.split import Query, Split
from maaf_lab.data.text import TextBatch, Vocabulary, join, pad
from maaf_lab.errors import ConfigError, TrainingError
from maaf_lab.utils.parallel import check_temporary_folder, cores

SHARED_MEMORY = Path("/dev/shm")
BATCH_SECONDS = 300  # after which a batch that has not come never will


class GroupSampler:
    """Batches in groups of `group_size` queries that share a reference image: the hard negatives of CSS (authors' code).

    In an epoch each reference's queries are shuffled and cut into groups, then the groups are shuffled and cut into batches. A
    last group that is not full is filled with queries that the reference has had in this epoch; references with fewer queries
    than a group are pooled. Groups left over after the last full batch are dropped for the epoch.
    categories: one per query; then all queries of a batch are of one category, and the categories' batches are shuffled
    together (Fashion IQ, authors' code).
    """

    def __init__(
        self, sources: np.ndarray, batch_size: int, group_size: int, seed: int, categories: Sequence[str | None] | None = None
    ) -> None:
        sources = np.asarray(sources)
        category = np.zeros(len(sources), np.int64)
        if categories is not None:
            category = np.unique(np.array(categories, str), return_inverse=True)[1]
        self.batch_size, self.group_size, self.seed = batch_size, group_size, seed
        self._by_source: list[list[np.ndarray]] = []  # for each category, the queries of each of its references
        for number in range(category.max(initial=0) + 1):
            rows = np.flatnonzero(category == number)
            if len(rows) < batch_size:
                of = f" in category {categories[rows[0]]!r}" if categories is not None and len(rows) else ""
                most = len(rows) // group_size * group_size
                how = f"--set train.batch_size={most}" if most > 1 else "train.batch_size"
                raise ConfigError(
                    f"expected at least one batch of {batch_size} queries{of}, found {len(rows)}: lower it, with {how} or in the "
                    "`settings` of the dataset"
                )
            rows = rows[np.argsort(sources[rows], kind="stable")]
            self._by_source.append(np.split(rows, np.flatnonzero(np.diff(sources[rows])) + 1))
        self._epoch, self._batches = -1, np.empty((0, batch_size), dtype=np.int64)
        self.batches_per_epoch = len(self._deal(0))

    def _deal(self, epoch: int) -> np.ndarray:
        """The batches of one epoch: (batches, B) query indices."""
        if epoch == self._epoch:
            return self._batches
        random = np.random.default_rng([self.seed, epoch])
        by_category = [self._deal_category(by_source, random) for by_source in self._by_source]
        batches = by_category[0] if len(by_category) == 1 else random.permutation(np.concatenate(by_category))
        self._epoch, self._batches = epoch, batches
        return batches

    def _deal_category(self, by_source: list[np.ndarray], random: np.random.Generator) -> np.ndarray:
        groups, loose = [], []
        for rows in by_source:
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
        return np.stack(groups)[order].reshape(-1, self.batch_size)

    def batch(self, step: int) -> np.ndarray:
        """Query indices (B,) of step 0, 1, 2, ...: the same for the same seed, in whatever order steps are taken."""
        epoch, number = divmod(step, self.batches_per_epoch)
        return self._deal(epoch)[number]


class Batch(NamedTuple):
    """images: (U,) distinct images, indices into the split. source, target: (B,) indices into `images`. text: B captions."""

    images: np.ndarray
    source: Tensor
    target: Tensor
    text: TextBatch


class Collator:
    """Query indices -> Batch. Queries without a target are an error."""

    def __init__(self, queries: Sequence[Query], vocabulary: Vocabulary, title: str = "training") -> None:
        lacking = sum(q.target is None for q in queries)
        if lacking:
            raise ConfigError(f"{title}: expected a target for every training query, found {lacking:,} without one")
        self._queries, self._vocabulary = queries, vocabulary
        self._pairs = np.array([(q.source, q.target) for q in queries], dtype=np.int64).reshape(-1, 2)
        self._joiner = vocabulary.ids(join(["", ""]))

    @property
    def sources(self) -> np.ndarray:
        return self._pairs[:, 0]

    def __call__(self, rows: np.ndarray, random: np.random.Generator | None = None) -> Batch:
        """`random` puts the captions of each query in random order (training); None keeps the file's order."""
        images, pairs = np.unique(self._pairs[rows], return_inverse=True)
        pairs = torch.from_numpy(pairs.reshape(-1, 2))
        captions = []
        for row in rows:
            parts = [self._vocabulary.ids(text) for text in self._queries[row].texts]
            order = random.permutation(len(parts)) if random is not None and len(parts) > 1 else range(len(parts))
            ids: list[int] = []
            for n, part in enumerate(order):
                ids += (self._joiner if n else []) + parts[part]
            captions.append(ids)
        return Batch(images, pairs[:, 0].contiguous(), pairs[:, 1].contiguous(), pad(captions))


class Feed:
    """Step -> Batch, a pure function of the split, the settings and the step.

    Steps can be taken in any order: a resumed run, a loader's worker and another process see the same batches. Where the
    split samples its training queries, each epoch has its own sample, from (seed, epoch). With several `processes`, each gets
    a share of a step's groups; together the shares are the batch that one process would see.
    """

    def __init__(self, split: Split, vocabulary: Vocabulary, plan: TrainConfig, *, process: int = 0, processes: int = 1) -> None:
        self._split, self._vocabulary, self._plan = split, vocabulary, plan
        self._process, self._processes = process, processes
        if plan.batch_size // plan.group_size % processes:
            raise ConfigError(
                f"batch_size {plan.batch_size} in groups of {plan.group_size} does not divide over {processes} "
                f"processes: change batch_size or group_size"
            )
        self.images_at_most = 2 * plan.batch_size // processes  # of a batch: each query has a reference and a target
        self._epoch, self._collate, self._sampler = -1, None, None
        self._at(0)
        self.batches_per_epoch = self._sampler.batches_per_epoch

    def _at(self, epoch: int) -> None:
        """Make `epoch` the current one; fixed queries are collated once."""
        if epoch == self._epoch or (self._collate is not None and self._split.draw is None):
            return
        plan, split = self._plan, self._split
        queries = split.queries if split.draw is None else split.draw(np.random.default_rng([plan.seed, epoch, 2]))
        self._collate = Collator(queries, self._vocabulary, split.title)
        categories = [q.category for q in queries] if plan.single_category else None
        self._sampler = GroupSampler(self._collate.sources, plan.batch_size, plan.group_size, plan.seed, categories)
        if epoch and self._sampler.batches_per_epoch < self.batches_per_epoch:
            raise ConfigError(
                f"{split.title}: expected every epoch to draw as many queries as the first; epoch {epoch} fills "
                f"{self._sampler.batches_per_epoch} batches, the first {self.batches_per_epoch}"
            )
        self._epoch = epoch

    def __call__(self, step: int) -> Batch:
        """This process's share of step 0, 1, 2, ...: (B / processes) queries, captions in an order drawn for the step."""
        epoch, number = divmod(step, self.batches_per_epoch)
        self._at(epoch)
        rows = self._sampler.batch(epoch * self._sampler.batches_per_epoch + number)
        random = [self._plan.seed, step, 1]
        if self._processes > 1:
            rows = rows.reshape(-1, self._plan.group_size)[self._process :: self._processes].reshape(-1)
            random.append(self._process)
        return self._collate(rows, np.random.default_rng(random))


class _Steps(Dataset):
    """A map-style dataset of steps: (Batch, its pixels uint8 (U, 3, S, S))."""

    def __init__(self, feed: Feed, cache: PixelCache) -> None:
        self._feed, self._cache = feed, cache

    def __getitem__(self, step: int) -> tuple[Batch, Tensor]:
        batch = self._feed(step)
        return batch, self._cache.batch(batch.images)


def batches(feed: Feed, cache: PixelCache, steps: Sequence[int], workers: int = 0) -> Iterator[tuple[Batch, Tensor]]:
    """The batches of `steps` in order, with their pixels; `workers` processes prefetch them and change nothing but the speed.

    Raises ConfigError where that many workers cannot work here, TrainingError where they die or bring no batch in 5 minutes.
    """
    check_workers(workers)
    loader = DataLoader(
        _Steps(feed, cache),
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        collate_fn=_as_it_is,
        prefetch_factor=_ahead(workers, feed.images_at_most * 3 * cache.size**2) if workers else None,
        generator=torch.Generator(),  # its own: the loader must not draw from the state that dropout uses
        multiprocessing_context="spawn" if workers else None,
        timeout=BATCH_SECONDS if workers else 0,
    )
    try:
        yield from loader
    except RuntimeError as error:
        if not str(error).startswith("DataLoader"):  # how torch begins what it says of its workers
            raise
        raise TrainingError(
            f"--workers {workers}: expected a batch, found that its workers died or brought none in {BATCH_SECONDS} s "
            f"({str(error).splitlines()[0][:200]}). Give them more memory and shared memory (of a container: --shm-size=1g), or "
            "leave --workers out; the same command goes on from the last checkpoint"
        ) from error


def check_workers(workers: int) -> None:
    """ConfigError for a number of processes that this machine cannot do with."""
    most = max(64, 4 * cores())
    if not 0 <= workers <= most:
        raise ConfigError(f"--workers: expected 0 to {most} on this machine, found {workers:,}; a few are enough")
    if workers:
        check_temporary_folder()


def _ahead(workers: int, batch_bytes: int) -> int:
    """How many batches each worker reads ahead: 4, or as many as shared memory, through which they come, has room for."""
    if not SHARED_MEMORY.is_dir():  # no Linux
        return 4
    free = shutil.disk_usage(SHARED_MEMORY).free
    room = int((0.8 * free / batch_bytes - 2) // workers)  # two more are on their way to the model
    if room < 1:
        need = (workers + 2) * batch_bytes / 0.8
        raise ConfigError(
            f"--workers {workers}: expected {need / 1e6:,.1f} MB of shared memory in {SHARED_MEMORY} for their batches, found "
            f"{free / 1e6:,.1f} MB free; start the container with --shm-size=1g (Docker) or ask for more, or leave --workers out"
        )
    return min(4, room)


def _as_it_is(item: tuple[Batch, Tensor]) -> tuple[Batch, Tensor]:
    return item


def set_seed(seed: int) -> None:
    """Seed torch's random state, from which weights and dropout are drawn."""
    torch.manual_seed(seed)
