"""Ctrl-C and SIGTERM end a training between two steps, when the step is saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from maaf_lab.errors import TrainingError


class TrainingStopped(KeyboardInterrupt):
    """Ctrl-C, or a machine that asks its programs to end: told between two steps, when the step is saved."""

    def __init__(self, step: int, number: int) -> None:
        super().__init__(f"stopped at step {step:,}, which is saved: the same command goes on")
        self.code = 128 + number


@contextmanager
def stopped_by_signals(catch: bool = True) -> Iterator[list[int]]:
    """The numbers of the signals that asked the training to stop; the second one stops it at once, between any two lines.

    catch: false where several processes train, which have to stop at the same step. Elsewhere than in a process's main thread,
    signals are not ours.
    """
    asked: list[int] = []
    before = {}

    def note(number: int, _frame: object) -> None:
        asked.append(number)
        if len(asked) > 1:
            raise KeyboardInterrupt

    if catch and threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    except TrainingError as error:
        if asked:  # Ctrl-C ends the processes that read batches too
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
