"""Where work is done: ordered maps over threads and processes, with a progress bar, and the device that somebody asks for.

Own code because `Executor.map` starts everything at once (before Python 3.14), so that the images of a whole dataset would wait
in memory; here work is never far ahead of the caller.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache, partial
from typing import TYPE_CHECKING, TypeVar

from tqdm.auto import tqdm

from maaf_lab.errors import ConfigError
from maaf_lab.utils.wording import did_you_mean

if TYPE_CHECKING:
    import torch

T, R = TypeVar("T"), TypeVar("R")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def torch_device(asked: str | torch.device) -> torch.device:
    """The device that is asked for, "cpu", "cuda", "cuda:1"; ConfigError where it is not there, with those that are."""
    import torch

    there = ["cpu"]
    if (found := torch.accelerator.current_accelerator(check_available=True)) is not None:  # cuda, mps, xpu
        there += [found.type, *(f"{found.type}:{number}" for number in range(torch.accelerator.device_count()))]
    if str(asked) not in (*there, "cpu:0"):
        raise ConfigError(
            f"device: expected one that is here ({', '.join(there)}), found {str(asked)[:80]!r}; leave it out for a GPU "
            f"where there is one, else the CPU{did_you_mean(asked, there)}"
        )
    return torch.device(asked)


def in_threads(
    function: Callable[[T], R],
    items: Sequence[T],
    desc: str = "",
    *,
    progress: bool = False,
    workers: int | None = None,
    ahead: int | None = None,
) -> Iterator[R]:
    """`function` of each item, in order, in threads: for work that waits for the disk or runs outside Python, as decoding does.

    workers: by default two more than there are cores, 16 at most. ahead: items that are started before the caller takes them, by
    default 16 per worker.
    """
    workers = workers or min(16, cores() + 2)
    with tqdm(total=len(items), desc=desc, unit="image", disable=not progress) as bar:
        for result in _ordered(ThreadPoolExecutor(workers), function, items, ahead or 16 * workers):
            bar.update()
            yield result


def check_temporary_folder() -> None:
    """ConfigError where the path of the folder for temporary files is too long for a socket, through which processes talk."""
    where = tempfile.gettempdir()
    if len(os.fsencode(where)) > 70:  # of 107, of which Python's names below it take 32
        raise ConfigError(
            f"TMPDIR: expected a path of at most 70 bytes, for the sockets between processes, found one of "
            f"{len(os.fsencode(where))}: {where[:70]}...; set TMPDIR to a shorter one, such as /tmp"
        )


def lasting_threads() -> ThreadPoolExecutor:
    """Up to 16 threads that are kept, for work that is shorter than starting threads; a forked process gets its own."""
    return _threads_of(os.getpid())


@cache
def _threads_of(process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(16, cores()))


def in_processes(
    function: Callable[[T], R],
    items: Sequence[T],
    desc: str,
    *,
    progress: bool = True,
    workers: int | None = None,
    chunk: int = 32,
) -> Iterator[R]:
    """`function` of each item, in order, in processes: for work in Python itself, as drawing is.

    function must be importable (a module's function, or a partial of one), items and results small enough to send. With one
    worker, or no more than a chunk of items, everything runs in this process, with the same results.
    """
    workers = workers or cores()
    parts = [items[start : start + chunk] for start in range(0, len(items), chunk)]
    with tqdm(total=len(items), desc=desc, unit="image", disable=not progress, mininterval=0.5) as bar:
        if workers == 1 or len(parts) <= 1:
            results = ([function(item)] for item in items)
        else:
            check_temporary_folder()
            # not fork: the child of a process with torch's threads can hang
            method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
            pool = ProcessPoolExecutor(workers, multiprocessing.get_context(method), _end_with_parent)
            results = _ordered(pool, partial(_each, function), parts, 8 * workers)
        for part in results:
            for result in part:
                yield result
                bar.update()


def _end_with_parent() -> None:
    """A worker ends when the process that started it is killed; without this it would wait for work for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _each(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    return [function(item) for item in items]


def _ordered(pool: Executor, function: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
