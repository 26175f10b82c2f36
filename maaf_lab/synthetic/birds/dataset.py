"""Writes synthetic Birds-to-Words in the published layout: drawn birds, and paragraphs on the differences of two of them.

    out/birds-to-words-v1.0.tsv   images/{photo:07d}.jpg   birds.json   made.json

A pivot bird is paired with two relatives, as in the published dataset's "pivot-branch" sampling; a relative differs from its
pivot in some attributes only, so a query needs both the image and the text. No image is in two splits.
`birds.json` holds the attributes of every image: {file name: {attribute: value}}.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image as PILImage

from maaf_lab.data.datasets.birds_to_words import ANNOTATION, COLUMNS
from maaf_lab.synthetic.birds.drawing import Bird, draw_bird, random_bird
from maaf_lab.synthetic.birds.texts import SELECTIONS, describe, relative_of
from maaf_lab.synthetic.canvas import SPLIT_NUMBERS
from maaf_lab.synthetic.folder import SyntheticDataset, checked_settings, make_dataset, read_sidecar, write_whole
from maaf_lab.synthetic.random_stream import RandomStream
from maaf_lab.utils.parallel import in_processes

VERSION = 1  # raise it whenever the same settings give other bytes
IMAGES, SIDECAR = "images", "birds.json"
# size -> split -> pivots (three pictures and two pairs each), paragraphs a pair
DATASET_SIZES = {
    "full": {"train": (1_150, (3, 2, 3)), "val": (150, (2,)), "test": (150, (2,))},
    "tiny": {"train": (10, (3,)), "val": (5, (2,)), "test": (5, (2,))},
}
_ADDRESS = "https://birds.made.invalid/photos"
_GENERA = ("Alda", "Brenta", "Corva", "Dromis", "Elanis", "Fulva", "Galbo", "Hiruna", "Ixor", "Jacara", "Lanio", "Mergis")
_EPITHETS = ("alba", "borealis", "cristata", "dubia", "elegans", "flava", "grandis", "hortensis", "insularis", "minor", "nitida")


def make_birds_to_words(out: str | Path, size: str = "full", pixels: int = 224, seed: int = 0, progress: bool = True) -> Path:
    """Make the dataset in folder `out` and return the folder.

    size: "full" (train 3,450 pictures, 2,300 pairs, 6,133 paragraphs; val and test 450, 300 and 600 each) or "tiny" (30, 20, 60
    and 15, 10, 20). The same settings give the same bytes. Refusals and interrupted runs: see `synthetic/folder.py`.
    """
    settings = checked_settings("birds_to_words", VERSION, size, pixels, seed, sizes=tuple(DATASET_SIZES))

    def fill(folder: Path) -> dict[str, tuple[int, int]]:
        (folder / IMAGES).mkdir()
        birds, rows = plan(size, seed)
        jobs = [(name, split, i, bird) for split, own in birds.items() for i, (name, bird) in enumerate(own.items())]
        for _ in in_processes(partial(_draw, str(folder / IMAGES), pixels, seed), jobs, "synthetic birds", progress=progress):
            pass
        sidecar = {name: asdict(bird) for own in birds.values() for name, bird in own.items()}
        write_whole(folder / SIDECAR, lambda file: file.write(json.dumps(sidecar, indent=0).encode()))
        table = "".join("\t".join(row) + "\n" for row in [COLUMNS, *rows])
        write_whole(folder / ANNOTATION, lambda file: file.write(table.encode()))
        paragraphs = {split: sum(row[8] == split for row in rows) for split in birds}
        return {split: (len(own), paragraphs[split] * (2 if split == "train" else 1)) for split, own in birds.items()}

    return make_dataset(out, settings, (IMAGES, ANNOTATION, SIDECAR), fill, progress)


def plan(size: str, seed: int) -> tuple[dict[str, dict[str, Bird]], list[tuple[str, ...]]]:
    """Before drawing: split -> {file name: bird}, and the rows of the table, in the order of the published columns."""
    birds: dict[str, dict[str, Bird]] = {}
    rows: list[tuple[str, ...]] = []
    photo = 0
    for split, (pivots, paragraphs) in DATASET_SIZES[size].items():
        birds[split] = {}
        for group in range(pivots):
            rng = RandomStream(seed, SPLIT_NUMBERS[split], 1, group)
            pivot, species = random_bird(rng), f"{rng.pick(_GENERA)} {rng.pick(_EPITHETS)}"
            names = [f"{photo + i + 1:07d}.jpg" for i in range(3)]
            photo += 3
            birds[split][names[0]] = pivot
            for branch in (1, 2):
                selection = rng.pick(tuple(SELECTIONS))
                other, other_species = relative_of(pivot, selection, rng), _species(species, selection, rng)
                birds[split][names[branch]] = other
                for n in range(paragraphs[(2 * group + branch) % len(paragraphs)]):
                    rows.append(
                        (
                            *_photograph(names[0]),
                            species,
                            "base",
                            *_photograph(names[branch]),
                            other_species,
                            selection,
                            split,
                            str(n + 1),
                            describe(pivot, other, rng),
                        )
                    )
    return birds, rows


def training_texts(size: str = "full", seed: int = 0) -> list[str]:
    """The training captions, without drawing."""
    return [row[-1] for row in plan(size, seed)[1] if row[8] == "train"]


def load_sidecar(out: str | Path) -> dict[str, dict[str, Any]]:
    """File name -> the fields of its `Bird`. Raises DataError where the folder has no sidecar."""
    return read_sidecar(out, SIDECAR, "birds_to_words")


def _draw(folder: str, pixels: int, seed: int, job: tuple[str, str, int, Bird]) -> None:
    name, split, i, bird = job
    picture = draw_bird(bird, pixels, RandomStream(seed, SPLIT_NUMBERS[split], 2, i))
    PILImage.fromarray(picture).save(Path(folder, name), format="JPEG", quality=90)


def _photograph(name: str) -> tuple[str, str]:
    """The URLs of an image's observation and of the image; the domain `.invalid` can never exist."""
    return f"{_ADDRESS}/{int(name.removesuffix('.jpg'))}", f"{_ADDRESS}/{name}"


def _species(name: str, selection: str, rng: RandomStream) -> str:
    genus, epithet = name.split()
    if selection == "sameSpecies":
        return name
    genus = genus if selection == "sameGenus" else rng.pick([g for g in _GENERA if g != genus])
    return f"{genus} {rng.pick([e for e in _EPITHETS if e != epithet])}"


DATASET = SyntheticDataset(make_birds_to_words, VERSION, 224, training_texts)
