"""Drawing on all cores: an ordered map over processes, with a progress bar."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from tqdm.auto import tqdm

T, R = TypeVar("T"), TypeVar("R")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(
    function: Callable[[T], R], items: Sequence[T], desc: str, *, progress: bool = True, workers: int | None = None,
    chunk: int = 32,
) -> Iterator[R]:
    """`function` of each item, in order; never far ahead of the one who asks.

    function must be importable (a module's function, or a partial of one), items and results small enough to send. With one
    worker, or fewer items than a chunk, everything runs here, and the results are the same.
    """
    workers = workers or cores()
    with tqdm(total=len(items), desc=desc, unit="image", disable=not progress, mininterval=0.5) as bar:
        if workers == 1 or len(items) <= chunk:
            for item in items:
                yield function(item)
                bar.update()
            return
        # Not fork: a child of a process that runs torch's threads can hang.
        method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context(method)) as pool:
            ahead = 8 * workers * chunk
            for start in range(0, len(items), ahead):
                for result in pool.map(function, items[start:start + ahead], chunksize=chunk):
                    yield result
                    bar.update()
