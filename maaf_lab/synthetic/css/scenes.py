"""Synthetic CSS before drawing: random scenes, modifications, and which modification is used on which reference.

Scenes of a split are three arrays (R, 9) of indices, one per cell, -1 for an empty cell; at the end they become the published
dicts. All randomness comes from `RandomStream`, so a seed gives the same scenes on every platform and with every numpy.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maaf_lab.data.datasets.css_scenes import CELLS, COLORS, SHAPES, SIZES, TYPES, Modification
from maaf_lab.errors import ConfigError
from maaf_lab.synthetic.random_stream import RandomStream

SPLITS = ("train", "test")
MAX_SHIFT = 0.1  # of an object from the middle of its cell, in cells
LEAVE_OUT = 0.3  # chance that an attribute is left out of a description
REFERENCES_PER_MODIFICATION = 8
DATASET_SIZES = {"full": (1000, 16), "tiny": (40, 8)}  # references, queries a reference

_GROUP_A, _GROUP_B = ("gray", "blue", "brown", "yellow"), ("red", "green", "purple", "cyan")


def allowed_pairs(split: str) -> np.ndarray:
    """Color-shape pairs of a split: (shapes, colors) bool. A cube's colors in one split are a cylinder's in the other."""
    cubes, cylinders = (_GROUP_A, _GROUP_B) if split == "train" else (_GROUP_B, _GROUP_A)
    colors = {"cube": cubes, "cylinder": cylinders, "sphere": COLORS}
    return np.array([[color in colors[shape] for color in COLORS] for shape in SHAPES])


@dataclass
class Scenes:
    """R scenes: indices into SHAPES, COLORS, SIZES, each (R, 9), -1 where a cell is empty."""

    shape: np.ndarray
    color: np.ndarray
    size: np.ndarray

    def take(self, rows: np.ndarray) -> Scenes:
        return Scenes(self.shape[rows].copy(), self.color[rows].copy(), self.size[rows].copy())


def draw_scenes(rng: RandomStream, n: int, pairs: np.ndarray) -> Scenes:
    """`n` reference scenes with 2 to 7 objects."""
    count = 2 + (rng.uniform(n) * 6).astype(int)
    filled = rng.uniform(n, 9).argsort(1, kind="stable").argsort(1, kind="stable") < count[:, None]
    shape = (rng.uniform(n, 9) * len(SHAPES)).astype(int)
    colors = [np.flatnonzero(row) for row in pairs]
    width = np.array([len(c) for c in colors])
    table = np.array([np.resize(c, len(COLORS)) for c in colors])
    color = table[shape, (rng.uniform(n, 9) * width[shape]).astype(int)]
    size = (rng.uniform(n, 9) * 2).astype(int)
    return Scenes(*(np.where(filled, a, -1) for a in (shape, color, size)))


def draw_modification(rng: RandomStream, type_: str, pairs: np.ndarray) -> Modification:
    """A random modification of one type, within the split's pairs. A change or a removal names attributes or a position."""
    if type_ != "add" and rng.chance(0.25):
        described: dict[str, Any] = {"cell": rng.below(9)}
    else:
        described = _draw_description(rng, pairs, bare=type_ == "add")
    if type_ == "add":
        described["cell"] = rng.below(9)
    if type_ == "change":
        described["value"] = rng.pick(SIZES) if rng.chance(0.5) else rng.pick(COLORS)
    return Modification(type_, **described)


def _draw_description(rng: RandomStream, pairs: np.ndarray, bare: bool) -> dict[str, Any]:
    while True:
        shape = rng.below(len(SHAPES))
        color = rng.pick(np.flatnonzero(pairs[shape]))
        words = {"size": rng.pick(SIZES), "color": COLORS[color], "shape": SHAPES[shape]}
        words = {key: word for key, word in words.items() if not rng.chance(LEAVE_OUT)}
        if words or bare:
            return words


def _matches(scenes: Scenes, mod: Modification) -> np.ndarray:
    """Which objects a description fits: (R, 9) bool."""
    fit = scenes.shape >= 0
    named = ((scenes.shape, SHAPES, mod.shape), (scenes.color, COLORS, mod.color), (scenes.size, SIZES, mod.size))
    for array, names, word in named:
        if word is not None:
            fit = fit & (array == names.index(word))
    if mod.cell is not None:
        fit = fit & (np.arange(9) == mod.cell)
    return fit


def usable(scenes: Scenes, mod: Modification, pairs: np.ndarray) -> np.ndarray:
    """Scenes that a modification may be used on: (R,) bool. It must change something, keep the pairs and leave an object."""
    if mod.type == "add":
        return scenes.shape[:, mod.cell] < 0
    fit = _matches(scenes, mod)
    if mod.type == "remove":
        return fit.any(1) & ((scenes.shape >= 0) & ~fit).any(1)
    if mod.value in SIZES:
        return (fit & (scenes.size != SIZES.index(mod.value))).any(1)
    color = COLORS.index(mod.value)
    stays = pairs[scenes.shape, color] | ~fit
    return (fit & (scenes.color != color)).any(1) & stays.all(1)


def modify(rng: RandomStream, scenes: Scenes, mod: Modification, pairs: np.ndarray) -> Scenes:
    """The scenes after `mod`; attributes that an add leaves out are random in each scene."""
    new = scenes.take(np.arange(len(scenes.shape)))
    if mod.type == "add":
        for row in range(len(new.shape)):
            fits = pairs.copy()
            if mod.shape is not None:
                fits &= (np.arange(len(SHAPES)) == SHAPES.index(mod.shape))[:, None]
            if mod.color is not None:
                fits &= np.arange(len(COLORS)) == COLORS.index(mod.color)
            shape = rng.pick(np.flatnonzero(fits.any(1)))
            new.shape[row, mod.cell] = shape
            new.color[row, mod.cell] = rng.pick(np.flatnonzero(fits[shape]))
            new.size[row, mod.cell] = SIZES.index(mod.size) if mod.size is not None else rng.below(2)
        return new
    fit = _matches(scenes, mod)
    if mod.type == "remove":
        for array in (new.shape, new.color, new.size):
            array[fit] = -1
    elif mod.value in SIZES:
        new.size[fit] = SIZES.index(mod.value)
    else:
        new.color[fit] = COLORS.index(mod.value)
    return new


def shifted(scenes: Scenes, rng: RandomStream) -> np.ndarray:
    """Positions of the objects, each with a new shift in its cell: (R, 9, 2) y, x, rounded to four decimals as in the files."""
    shift = (rng.uniform(len(scenes.shape), 9, 2) * 2 - 1) * MAX_SHIFT
    return np.round((np.stack(np.divmod(np.arange(9), 3), 1) + 0.5 + shift) / 3, 4)


def published_objects(scenes: Scenes, pos: np.ndarray) -> list[list[dict[str, Any]]]:
    """Scenes as published dicts. pos: see `shifted`."""
    rows = zip(scenes.shape.tolist(), scenes.color.tolist(), scenes.size.tolist(), pos.tolist())
    return [
        [
            {"shape": SHAPES[shape[c]], "color": COLORS[color[c]], "size": SIZES[size[c]], "pos": tuple(place[c])}
            for c in range(len(CELLS))
            if shape[c] >= 0
        ]
        for shape, color, size, place in rows
    ]


def scene_labels(scenes: Scenes) -> list[str]:
    """`css_scenes.scene_label` of each scene, without making its objects."""
    kinds = [f"{size} {color} {shape}" for shape in SHAPES for color in COLORS for size in SIZES]
    words = [[f"{cell} {kind}" for kind in kinds] for cell in CELLS]
    codes = (scenes.shape * len(COLORS) + scenes.color) * len(SIZES) + scenes.size
    rows = np.where(scenes.shape < 0, -1, codes).tolist()
    return ["; ".join([of[code] for of, code in zip(words, row) if code >= 0]) or "empty" for row in rows]


def make_split(split: str, size: str = "full", seed: int = 0) -> dict[str, Any]:
    """One split's annotation: `objects_img` (references first, then one target a query), `mods`, `labels`.

    Each modification is used on about 8 references, and each reference equally often, so neither the image nor the text alone
    determines the target. The three modification types have about equally many queries.
    """
    scenes, pos, mods = draw_split(split, size, seed)
    numbers: dict[str, int] = {}
    labels = [numbers.setdefault(label, i) for i, label in enumerate(scene_labels(scenes))]
    return {"objects_img": published_objects(scenes, pos), "mods": mods, "labels": labels}


Drawn = tuple[Scenes, np.ndarray, list[dict[str, Any]]]  # scenes, their objects' positions (R, 9, 2), modifications
SHIPPED = Path(__file__).parents[2] / "pretrained" / "galleries"


def shipped_split(split: str, size: str, seed: int) -> Drawn | None:
    """`draw_split` from a file shipped with the lab, in a tenth of the time; None where there is none."""
    path = SHIPPED / f"scenes-{split}-{size}-{seed}.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        scenes = Scenes(*(file[name].astype(np.int64) for name in ("shape", "color", "size")))
        return scenes, file["pos"] / 10_000, json.loads(file["mods"].tobytes())


def save_split(path: str | Path, drawn: Drawn) -> None:
    """Write the file that `shipped_split` reads."""
    scenes, pos, mods = drawn
    small = {name: getattr(scenes, name).astype(np.int8) for name in ("shape", "color", "size")}
    there = np.where(scenes.shape[..., None] >= 0, np.round(pos * 10_000), 0).astype(np.uint16)
    np.savez_compressed(path, pos=there, mods=np.frombuffer(json.dumps(mods, separators=(",", ":")).encode(), np.uint8), **small)


def draw_split(split: str, size: str = "full", seed: int = 0) -> Drawn:
    """A split's scenes, positions and modifications, before `make_split` turns them into dicts."""
    if split not in SPLITS or size not in DATASET_SIZES:
        raise ConfigError(
            f"synthetic CSS: expected split in {SPLITS} and size in {tuple(DATASET_SIZES)}; found {split!r}, {size!r}"
        )
    n, uses = DATASET_SIZES[size]
    rng, pairs = RandomStream(seed, SPLITS.index(split)), allowed_pairs(split)
    references = draw_scenes(rng, n, pairs)
    left = np.full(n, uses)
    used: dict[str, np.ndarray] = {}  # text -> references that already have it
    placed = dict.fromkeys(TYPES, 0)
    failures = 0
    mods, targets = [], []
    while left.any():
        type_ = min(TYPES, key=placed.get) if failures < 200 else rng.pick(TYPES)
        mod = draw_modification(rng, type_, pairs)
        seen = used.setdefault(mod.text, np.zeros(n, bool))
        ready = np.flatnonzero(usable(references, mod, pairs) & (left > 0) & ~seen)
        # Early on, a modification that fits few references is skipped, so that groups stay near 8.
        if len(ready) < min(REFERENCES_PER_MODIFICATION, (left > 0).sum() // 20 + 1):
            failures += 1
            continue
        failures = 0
        order = np.lexsort((rng.uniform(len(ready)), -left[ready]))
        rows = np.sort(ready[order[:REFERENCES_PER_MODIFICATION]])
        seen[rows] = True
        left[rows] -= 1
        placed[type_] += len(rows)
        first = n + sum(placed.values()) - len(rows)
        mods.append({"from": rows.tolist(), "to": list(range(first, first + len(rows))), "to_str": mod.text})
        targets.append(modify(rng, references.take(rows), mod, pairs))
    every = [references, *targets]
    scenes = Scenes(*(np.concatenate([getattr(s, name) for s in every]) for name in ("shape", "color", "size")))
    return scenes, shifted(scenes, rng), mods


def css_annotations(size: str = "full", seed: int = 0) -> dict[str, Any]:
    """The whole annotation in the published form, {"train": ..., "test": ...}, without drawing; takes seconds."""
    return {split: make_split(split, size, seed) for split in SPLITS}
