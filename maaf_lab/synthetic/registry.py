"""The sets that the lab draws, by the key of the dataset they stand in for."""

from __future__ import annotations

import gc
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from maaf_lab.data.split import Split
from maaf_lab.errors import ConfigError
from maaf_lab.synthetic.css.lazy import _css
from maaf_lab.synthetic.folder import checked_settings
from maaf_lab.synthetic.garments.lazy import _garments
from maaf_lab.synthetic.lazy import LazyPixels

_ORIGIN = re.compile(r"made (\w+) v\d+ size=(\w+) pixels=(\d+) seed=(\d+)")

_OF = {"css": _css, "fashion_iq": _garments}


@dataclass(frozen=True)
class SyntheticSet:
    """Where a maker stands, and what it draws unless told otherwise.

    module, function: `function(out, size, pixels, seed, progress) -> Path`; the module's VERSION names its bytes.
    pixels: side of the pictures by default. stands_for: what it is, in a few words.
    """

    module: str
    function: str
    pixels: int
    stands_for: str


SYNTHETIC: dict[str, SyntheticSet] = {
    "css": SyntheticSet("css.dataset", "make_css", 56, "CSS3D: scenes of cubes, spheres and cylinders"),
    "fashion_iq": SyntheticSet("garments.fashion_iq", "make_fashion_iq", 224, "Fashion IQ: garments with relative captions"),
    "fashion200k": SyntheticSet("garments.fashion200k", "make_fashion200k", 224, "Fashion200k: garments with product captions"),
    "mit_states": SyntheticSet("states.dataset", "make_mit_states", 224, "MIT-States: objects in visible states"),
    "birds_to_words": SyntheticSet(
        "birds.dataset", "make_birds_to_words", 224, "Birds-to-Words: birds and paragraphs on how two differ"
    ),
    "spot_the_diff": SyntheticSet(
        "streets.dataset", "make_spot_the_diff", 224, "Spot-the-Diff: street scenes from fixed viewpoints"
    ),
}


def synthetic_set(dataset: str) -> SyntheticSet:
    """Raises ConfigError for a dataset that has no synthetic stand-in, listing those that have one."""
    if dataset not in SYNTHETIC:
        raise ConfigError(f"no synthetic stand-in for {dataset!r}; known: {', '.join(SYNTHETIC)}")
    return SYNTHETIC[dataset]


def make(
    dataset: str, out: str | Path, size: str = "full", pixels: int | None = None, seed: int = 0, progress: bool = True
) -> Path:
    """Draw a synthetic set into the folder `out`, in the published layout, and return the folder.

    size: "full" or "tiny". pixels: side of the pictures, None for the set's own. Same settings, same bytes.
    """
    chosen = synthetic_set(dataset)
    function = getattr(import_module(f"maaf_lab.synthetic.{chosen.module}"), chosen.function)
    return function(out, size, chosen.pixels if pixels is None else pixels, seed, progress)


def synthetic_origin(dataset: str, size: str = "full", pixels: int | None = None, seed: int = 0) -> str:
    """What `make` would write, as `DataConfig.origin` says it; nothing is drawn."""
    chosen = synthetic_set(dataset)
    version = import_module(f"maaf_lab.synthetic.{chosen.module}").VERSION
    return checked_settings(dataset, version, size, chosen.pixels if pixels is None else pixels, seed)["origin"]


def training_texts(dataset: str, size: str = "full", seed: int = 0) -> list[str]:
    """The training captions of a synthetic set, without drawing it."""
    return import_module(f"maaf_lab.synthetic.{synthetic_set(dataset).module}").training_texts(size, seed)


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
        return _OF[dataset](origin, split, *rest, size)
    finally:
        if collecting:
            gc.enable()


def can_draw_lazily(origin: str) -> bool:
    """Whether `lazy_split` has the set, without making it."""
    return _settings(origin) is not None


def _settings(origin: str) -> tuple[str, str, int, int] | None:
    """dataset, size, pixels, seed of a set that can be drawn here."""
    named = _ORIGIN.fullmatch(origin)
    if named is None or named[1] not in _OF:
        return None
    settings = named[1], named[2], int(named[3]), int(named[4])
    return settings if synthetic_origin(*settings) == origin else None
