"""Synthetic datasets, by the name of the published dataset (`utils.registry.SYNTHETIC` has the names)."""

from __future__ import annotations

import gc
import re
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from maaf_lab.data.split import Split
from maaf_lab.synthetic.folder import checked_settings
from maaf_lab.synthetic.lazy import LazyPixels
from maaf_lab.utils.registry import SYNTHETIC

_ORIGIN = re.compile(r"synthetic (\w+) v\d+ size=(\w+) pixels=(\d{1,9}) seed=(\d{1,10})")


def make(
    dataset: str, out: str | Path, size: str = "full", pixels: int | None = None, seed: int = 0, progress: bool = True
) -> Path:
    """Draw a synthetic dataset into the folder `out`, in the published layout, and return the folder.

    size: "full" or "tiny". pixels: side of the images, None for the dataset's default. Same settings, same bytes.
    """
    chosen = SYNTHETIC[dataset]
    return chosen.make(out, size, chosen.pixels if pixels is None else pixels, seed, progress)


def synthetic_origin(dataset: str, size: str = "full", pixels: int | None = None, seed: int = 0) -> str:
    """`DataConfig.origin` of what `make` would write; nothing is drawn."""
    chosen = SYNTHETIC[dataset]
    return checked_settings(dataset, chosen.version, size, chosen.pixels if pixels is None else pixels, seed)["origin"]


def training_texts(dataset: str, size: str = "full", seed: int = 0) -> list[str]:
    """The training captions of a synthetic dataset, without drawing it."""
    return SYNTHETIC[dataset].training_texts(size, seed)


@lru_cache(maxsize=2)  # the explorers of a notebook share the split and its drawn images
def lazy_split(origin: str, split: str, size: int) -> tuple[Split, LazyPixels] | None:
    """A split of the synthetic dataset with this `DataConfig.origin`, and its images as squares of `size`.

    None where another version of the lab drew the dataset, or its images cannot be drawn one by one.
    """
    if (settings := _settings(origin)) is None:
        return None
    dataset, *rest = settings
    collecting = gc.isenabled()
    gc.disable()  # about 100,000 objects and no garbage: collecting would double the time
    try:
        module, _, function = SYNTHETIC[dataset].lazy.partition(":")
        return getattr(import_module(module), function)(origin, split, *rest, size)
    finally:
        if collecting:
            gc.enable()


def can_draw_lazily(origin: str) -> bool:
    """Whether `lazy_split` can make the dataset."""
    return _settings(origin) is not None


def _settings(origin: str) -> tuple[str, str, int, int] | None:
    """Dataset, size, pixels and seed in an origin; None where `lazy_split` cannot make it."""
    named = _ORIGIN.fullmatch(origin)
    if named is None or named[1] not in SYNTHETIC or not SYNTHETIC[named[1]].lazy:
        return None
    settings = named[1], named[2], int(named[3]), int(named[4])
    return settings if synthetic_origin(*settings) == origin else None
