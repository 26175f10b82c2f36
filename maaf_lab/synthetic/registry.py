"""The sets that the lab draws, by the name of the dataset they stand in for (`utils.registry.SYNTHETIC` has the names)."""

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

_ORIGIN = re.compile(r"synthetic (\w+) v\d+ size=(\w+) pixels=(\d+) seed=(\d+)")


def make(
    dataset: str, out: str | Path, size: str = "full", pixels: int | None = None, seed: int = 0, progress: bool = True
) -> Path:
    """Draw a synthetic set into the folder `out`, in the published layout, and return the folder.

    size: "full" or "tiny". pixels: side of the pictures, None for the set's own. Same settings, same bytes.
    """
    chosen = SYNTHETIC[dataset]
    return chosen.make(out, size, chosen.pixels if pixels is None else pixels, seed, progress)


def synthetic_origin(dataset: str, size: str = "full", pixels: int | None = None, seed: int = 0) -> str:
    """What `make` would write, as `DataConfig.origin` says it; nothing is drawn."""
    chosen = SYNTHETIC[dataset]
    return checked_settings(dataset, chosen.version, size, chosen.pixels if pixels is None else pixels, seed)["origin"]


def training_texts(dataset: str, size: str = "full", seed: int = 0) -> list[str]:
    """The training captions of a synthetic set, without drawing it."""
    return SYNTHETIC[dataset].training_texts(size, seed)


@lru_cache(maxsize=2)  # explorers of one notebook share it, and what was drawn
def lazy_split(origin: str, split: str, size: int) -> tuple[Split, LazyPixels] | None:
    """The split of a synthetic set, named as `DataConfig.origin` does, and its pictures as squares of `size`.

    None where the set is not made by this version of the lab, or has pictures that cannot be drawn one by one.
    """
    if (settings := _settings(origin)) is None:
        return None
    dataset, *rest = settings
    collecting = gc.isenabled()
    gc.disable()  # some 100,000 objects are made and none of them is garbage: looking for it takes as long again
    try:
        module, _, function = SYNTHETIC[dataset].lazy.partition(":")
        return getattr(import_module(module), function)(origin, split, *rest, size)
    finally:
        if collecting:
            gc.enable()


def can_draw_lazily(origin: str) -> bool:
    """Whether `lazy_split` has the set, without making it."""
    return _settings(origin) is not None


def _settings(origin: str) -> tuple[str, str, int, int] | None:
    """dataset, size, pixels, seed of a set that can be drawn here."""
    named = _ORIGIN.fullmatch(origin)
    if named is None or named[1] not in SYNTHETIC or not SYNTHETIC[named[1]].lazy:
        return None
    settings = named[1], named[2], int(named[3]), int(named[4])
    return settings if synthetic_origin(*settings) == origin else None
