"""Training on an image model that stays as it is (`train.image_learning_rate` 0): each image goes through it once.

Its maps of all training images are kept in memory where they are the same at every step: the images are not cropped, flipped or
shown in gray at random. A step then costs no convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from maaf_lab.config import TrainConfig
from maaf_lab.data.cache import PixelCache
from maaf_lab.data.transforms import Crops, Plain
from maaf_lab.models.base import ComposedModel

CHUNK = 256  # images at a time; always the same, so that a resumed run has the same maps
MOST_BYTES = 2 * 2**30  # of maps: with more, they are computed again at every step


class KeptMaps:
    """Maps of the images of a split, read as a `PixelCache` is: `batch(indices)` -> resolution -> (B, C, h, w) float32.

    They are kept in half precision. size: side of the images.
    """

    def __init__(self, maps: dict[int, Tensor], size: int) -> None:
        self._maps, self.size = maps, size

    def batch(self, indices: np.ndarray | Tensor | Sequence[int]) -> dict[int, Tensor]:
        rows = torch.as_tensor(np.asarray(indices, np.int64))
        return {r: maps[rows].float() for r, maps in self._maps.items()}


class _Asked(dict[int, Tensor]):
    """Maps that note which of them a system reads."""

    def __init__(self, maps: dict[int, Tensor]) -> None:
        super().__init__(maps)
        self.read: dict[int, Tensor] = {}

    def __getitem__(self, r: int) -> Tensor:
        self.read[r] = super().__getitem__(r)
        return self.read[r]


def freeze_image_model(model: ComposedModel) -> None:
    """No gradients, and batch norm with the statistics that it has; after `model.train()`, which would undo the latter."""
    model.backbone.eval().requires_grad_(False)


@torch.no_grad()
def kept_maps(
    model: ComposedModel, cache: PixelCache, transform: Plain | Crops, plan: TrainConfig, progress: bool = True
) -> PixelCache | KeptMaps:
    """The maps that `model` reads of all images of `cache`; the cache where they cannot be kept. Leaves it in eval mode."""
    if not isinstance(transform, Plain) or plan.grayscale:
        return cache
    model.eval()

    def maps_of(rows: range) -> dict[int, Tensor]:
        return model.backbone(transform.eval(cache.batch(rows).to(model.device)))

    one = _Asked(maps_of(range(1)))
    model.features_of(one)
    read = one.read or one  # all, where it takes them otherwise
    if 2 * len(cache) * sum(maps.numel() for maps in read.values()) > MOST_BYTES:
        return cache
    kept = {r: torch.empty(len(cache), *maps.shape[1:], dtype=torch.float16) for r, maps in read.items()}
    for start in tqdm(range(0, len(cache), CHUNK), desc="image model", unit="batch", disable=not progress):
        rows = range(start, min(start + CHUNK, len(cache)))
        found = maps_of(rows)
        for r, maps in kept.items():
            maps[start : rows.stop] = found[r]
    return KeptMaps(kept, cache.size)
