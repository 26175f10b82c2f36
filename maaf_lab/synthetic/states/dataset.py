"""Writes synthetic MIT-States in the published layout: nouns in visible states, a folder for each adjective and noun.

    out/images/{adjective} {noun}/{number:05d}.jpg   states.json   made.json

The test nouns are in MIT-States's own list of test nouns, the training nouns are not; every test adjective occurs in training.
`states.json` holds each image's adjective and noun, and the noun's color, position, size and rotation.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage
from PIL import ImageFilter

from maaf_lab.errors import DataError
from maaf_lab.synthetic.canvas import Canvas, Frame, between, jitter, photographed, soft
from maaf_lab.synthetic.folder import SyntheticDataset, checked_settings, make_dataset, read_sidecar, write_whole
from maaf_lab.synthetic.random_stream import RandomStream
from maaf_lab.synthetic.states.effects import EFFECTS, SIZES, USUAL, Subject
from maaf_lab.synthetic.states.nouns import TRAIN_NOUNS, Ink
from maaf_lab.synthetic.states.unseen_nouns import NOUNS, TEST_NOUNS
from maaf_lab.utils.parallel import in_processes

VERSION = 1  # raise it whenever the same settings give other bytes
IMAGES, SIDECAR = "images", "states.json"
DATASET_SIZES = {"full": (len(TRAIN_NOUNS), len(TEST_NOUNS), 24), "tiny": (10, 5, 2)}  # nouns of both splits, pictures a folder
STATES = {  # stuff of a noun -> the adjectives that fit it
    "food": ("cut", "burnt", "moldy", "frozen", "wet", "small", "large"),
    "toy": ("painted", "dirty", "wet", "torn", "old", "small", "large"),
    "paper": ("torn", "wrinkled", "wet", "burnt", "old", "small", "large"),
    "cloth": ("torn", "wrinkled", "wet", "dirty", "painted", "small", "large"),
    "metal": ("rusty", "shiny", "bent", "dirty", "broken", "painted", "small"),
    "machine": ("broken", "dirty", "wet", "old", "shiny", "painted", "burnt"),
    "ceramic": ("cracked", "broken", "dirty", "shiny", "wet", "small", "large"),
    "wood": ("painted", "mossy", "burnt", "broken", "old", "wet", "small"),
    "building": ("old", "mossy", "burnt", "painted", "frozen", "cracked", "large"),
    "plant": ("burnt", "frozen", "mossy", "cut", "wet", "small", "large"),
}


def make_mit_states(out: str | Path, size: str = "full", pixels: int = 224, seed: int = 0, progress: bool = True) -> Path:
    """Make the dataset in folder `out` and return the folder.

    size: "full" (36 nouns with 7 adjectives each, 6,048 pictures) or "tiny" (15 nouns, 210 pictures). The same settings give the
    same bytes. Refusals and interrupted runs: see `synthetic/folder.py`.
    """
    settings = checked_settings("mit_states", VERSION, size, pixels, seed, sizes=tuple(DATASET_SIZES))

    def fill(folder: Path) -> dict[str, tuple[int, int]]:
        jobs = plan(size)
        for name in dict.fromkeys(Path(path).parent for path, *_ in jobs):
            (folder / IMAGES / name).mkdir(parents=True)
        looks = list(
            in_processes(partial(_draw, str(folder / IMAGES), pixels, seed), jobs, "synthetic mit_states", progress=progress)
        )
        shown = {path: {"adjective": adjective, "noun": noun, **look} for (path, adjective, noun, _), look in zip(jobs, looks)}
        write_whole(folder / SIDECAR, lambda file: file.write(json.dumps(shown, indent=0).encode()))
        train = sum(noun in TRAIN_NOUNS for _, _, noun, _ in jobs)
        others = len(STATES["food"]) - 1  # every noun has as many adjectives
        return {"train": (train, 2 * train), "test": (len(jobs) - train, (len(jobs) - train) * others)}

    return make_dataset(out, settings, (IMAGES, SIDECAR), fill, progress)


def plan(size: str) -> list[tuple[str, str, str, int]]:
    """(path below images/, adjective, noun, number) of every picture; the number seeds its randomness."""
    train, test, each = DATASET_SIZES[size]
    nouns = [*spread(list(TRAIN_NOUNS), train), *spread(list(TEST_NOUNS), test)]
    folders = [(adjective, noun) for noun in nouns for adjective in STATES[NOUNS[noun].stuff]]
    numbers = [(adjective, noun, each * i + k) for i, (adjective, noun) in enumerate(folders) for k in range(each)]
    return [(f"{adjective} {noun}/{number:05d}.jpg", adjective, noun, number) for adjective, noun, number in numbers]


def training_texts(size: str = "full", seed: int = 0) -> list[str]:
    """The adjectives of the training queries, one per training picture (they depend on no seed)."""
    return [adjective for _, adjective, noun, _ in plan(size) if noun in TRAIN_NOUNS]


def spread(names: list[str], n: int) -> list[str]:
    """n of the names, evenly over the list."""
    return [names[i * len(names) // n] for i in range(n)]


def draw_state(adjective: str, noun: str, pixels: int, rng: RandomStream) -> tuple[np.ndarray, dict[str, Any]]:
    """-> the picture, uint8 (pixels, pixels, 3), and the noun's random color, x, y, size (in picture sides) and turn.

    Raises DataError for an unknown noun or adjective.
    """
    if noun not in NOUNS or adjective not in {*EFFECTS, *SIZES}:
        raise DataError(
            f"synthetic mit_states: cannot draw {adjective!r} {noun!r}; nouns: {', '.join(NOUNS)}; adjectives: "
            f"{', '.join([*EFFECTS, *SIZES])}"
        )
    color = jitter(rng, rng.pick(NOUNS[noun].colors), 14)
    unit = SIZES.get(adjective, USUAL) * between(rng, 0.94, 1.06)
    room = 0.5 * (1 - unit) * 0.45
    x, y, turn = 0.5 + between(rng, -room, room), 0.52 + between(rng, -room, room) * 0.7, between(rng, -7, 7)
    drawn = Canvas(pixels, "RGBA", (*color, 0))
    drawn.frame = Frame(x, y, unit, turn, rng.chance(0.5))
    NOUNS[noun].draw(drawn, Ink(color))
    alpha = drawn.image.getchannel("A")
    canvas = Canvas(pixels)
    canvas.image.paste(drawn.image.convert("RGB"))
    if adjective in EFFECTS:
        EFFECTS[adjective](Subject(canvas, alpha, color, rng))
    scene = _room(pixels, rng)
    _shadow(scene, alpha)
    scene.image.paste(canvas.image, (0, 0), alpha)
    look = {"color": list(color), "x": round(x, 4), "y": round(y, 4), "size": round(unit, 4), "turn": round(turn, 2)}
    return photographed(scene.array(), rng), look


def load_sidecar(out: str | Path) -> dict[str, dict[str, Any]]:
    """Path below images/ -> adjective, noun, color, x, y, size, turn. Raises DataError where the folder has no sidecar."""
    return read_sidecar(out, SIDECAR, "mit_states")


def _room(pixels: int, rng: RandomStream) -> Canvas:
    """A wall and a floor, out of focus."""
    wall = rng.pick(((206, 210, 214), (214, 204, 190), (186, 200, 206), (204, 208, 190), (196, 190, 204)))
    floor = rng.pick(((170, 158, 140), (150, 156, 162), (182, 172, 160), (158, 150, 132)))
    wall, floor = jitter(rng, wall, 10), jitter(rng, floor, 10)
    return Canvas(pixels).on(soft(rng, [wall, wall, floor, floor], 9, 6))


def _shadow(scene: Canvas, alpha: PILImage.Image) -> None:
    """The noun's outline, blurred and moved a little down and to the right."""
    small = alpha.resize((64, 64), PILImage.Resampling.BILINEAR).filter(ImageFilter.GaussianBlur(1.6))
    dim = PILImage.fromarray(np.roll(np.asarray(small), (2, 1), (0, 1)) // 3).resize(alpha.size, PILImage.Resampling.BILINEAR)
    scene.image.paste((30, 28, 30), (0, 0), dim)


def _draw(folder: str, pixels: int, seed: int, job: tuple[str, str, str, int]) -> dict[str, Any]:
    path, adjective, noun, number = job
    picture, look = draw_state(adjective, noun, pixels, RandomStream(seed, 3, number))
    PILImage.fromarray(picture).save(Path(folder, path), format="JPEG", quality=90)
    return look


DATASET = SyntheticDataset(make_mit_states, VERSION, 224, training_texts)
