"""Synthetic datasets without files: images are drawn on first use, so that explorers open in seconds where nothing is drawn yet.

The split and its pixels equal those of the files, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from maaf_lab.data.cache import PixelCache

Draw = Callable[[Sequence[int], int], np.ndarray]  # indices of images, side -> uint8 (B, side, side, 3)


class LazyPixels(PixelCache):
    """A `PixelCache` whose images are drawn on first use, then kept in memory. size: S of the squares."""

    def __init__(
        self, key: str, count: int, size: int, squares: Draw, larger: Draw, boxes: Callable[[int], np.ndarray] | None
    ) -> None:
        super().__init__(key, np.zeros((count, size, size, 3), np.uint8), None)
        self._there, self._squares, self._larger, self._boxes = np.zeros(count, bool), squares, larger, boxes

    def image(self, index: int) -> np.ndarray:
        return self._rows([index])[0]

    def batch(self, indices: np.ndarray | Tensor | Sequence[int]) -> Tensor:
        return torch.from_numpy(self._rows(indices)).permute(0, 3, 1, 2)

    def pictures(self, indices: Sequence[int], pixels: int) -> np.ndarray:
        """Images for display, at any size: uint8 (B, pixels, pixels, 3)."""
        return self._larger(indices, pixels)

    def boxes(self, index: int) -> np.ndarray | None:
        """The visible box of each object of a scene, in shares of the side: (objects, 4) x0, y0, x1, y1. None where unknown."""
        return None if self._boxes is None else self._boxes(index)

    def _rows(self, indices: np.ndarray | Tensor | Sequence[int]) -> np.ndarray:
        rows = np.asarray(indices, np.int64).reshape(-1)
        missing = np.unique(rows[~self._there[rows]])  # IndexError outside the split
        if len(missing):
            self.pixels[missing] = self._squares(missing.tolist(), self.size)
            self._there[missing] = True
        return self.pixels[rows]
