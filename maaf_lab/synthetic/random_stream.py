"""Random numbers that are the same in every release of numpy."""

from __future__ import annotations

from typing import Any

import numpy as np


class RandomStream:
    """Random numbers from seeds (whole numbers); numpy keeps the stream of `RandomState.random_sample` fixed."""

    def __init__(self, *seed: int) -> None:
        self._state = np.random.RandomState(list(seed))

    def uniform(self, *shape: int) -> np.ndarray:
        return self._state.random_sample(shape)

    def below(self, n: int) -> int:
        return int(self._state.random_sample() * n)

    def pick(self, options: Any) -> Any:
        return options[self.below(len(options))]

    def chance(self, p: float) -> bool:
        return bool(self._state.random_sample() < p)
