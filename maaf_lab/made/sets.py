"""The sets that the lab draws, by the key of the dataset they stand in for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from maaf_lab.errors import ConfigError
from maaf_lab.made.folder import checked_settings


@dataclass(frozen=True)
class MadeSet:
    """Where a maker stands, and what it draws unless told otherwise.

    module, function: `function(out, size, pixels, seed, progress) -> Path`; the module's VERSION names its bytes.
    pixels: side of the pictures by default. stands_for: what it is, in a few words.
    """

    module: str
    function: str
    pixels: int
    stands_for: str


MADE: dict[str, MadeSet] = {
    "css": MadeSet("css", "make_css", 56, "CSS3D: scenes of cubes, spheres and cylinders"),
    "fashion_iq": MadeSet("fashion_iq", "make_fashion_iq", 224, "Fashion IQ: garments with relative captions"),
    "fashion200k": MadeSet("fashion200k", "make_fashion200k", 224, "Fashion200k: garments with product captions"),
    "mit_states": MadeSet("states", "make_mit_states", 224, "MIT-States: objects in visible states"),
    "birds_to_words": MadeSet("birds", "make_birds_to_words", 224, "Birds-to-Words: birds and paragraphs on how two differ"),
    "spot_the_diff": MadeSet("streets", "make_spot_the_diff", 224, "Spot-the-Diff: street scenes from fixed viewpoints"),
}


def made_set(dataset: str) -> MadeSet:
    """Raises ConfigError for a dataset that has no made stand-in, listing those that have one."""
    if dataset not in MADE:
        raise ConfigError(f"no made stand-in for {dataset!r}; known: {', '.join(MADE)}")
    return MADE[dataset]


def make(
    dataset: str, out: str | Path, size: str = "full", pixels: int | None = None, seed: int = 0, progress: bool = True
) -> Path:
    """Draw a made set into the folder `out`, in the published layout, and return the folder.

    size: "full" or "tiny". pixels: side of the pictures, None for the set's own. Same settings, same bytes.
    """
    chosen = made_set(dataset)
    function = getattr(import_module(f"maaf_lab.made.{chosen.module}"), chosen.function)
    return function(out, size, chosen.pixels if pixels is None else pixels, seed, progress)


def made_origin(dataset: str, size: str = "full", pixels: int | None = None, seed: int = 0) -> str:
    """What `make` would write, as `DataConfig.origin` says it; nothing is drawn."""
    chosen = made_set(dataset)
    version = import_module(f"maaf_lab.made.{chosen.module}").VERSION
    return checked_settings(dataset, version, size, chosen.pixels if pixels is None else pixels, seed)["origin"]


def training_texts(dataset: str, size: str = "full", seed: int = 0) -> list[str]:
    """The training captions of a made set, without drawing it."""
    return import_module(f"maaf_lab.made.{made_set(dataset).module}").training_texts(size, seed)
