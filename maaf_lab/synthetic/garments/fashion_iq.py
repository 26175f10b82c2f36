"""Writes synthetic Fashion IQ in the published layout: galleries of garments, pairs of similar ones, two captions per pair.

    out/captions/cap.{dress,shirt,toptee}.{train,val,test}.json   out/image_splits/split.{...}.{...}.json
    out/images/{asin}.jpg   out/attributes.json (what each picture shows)   out/made.json

A gallery consists of families. A family starts from one garment; each further member is a small change of an earlier one, and
the pair is a query. The images most similar to a target are its relatives, so only image and captions together identify it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maaf_lab.errors import DataError
from maaf_lab.synthetic.css.scenes import SHIPPED
from maaf_lab.synthetic.folder import SyntheticDataset, checked_settings, make_dataset, write_whole
from maaf_lab.synthetic.garments.attributes import ATTRIBUTES, Garment, sample, settle, vary, weighted
from maaf_lab.synthetic.garments.captions import captions
from maaf_lab.synthetic.garments.drawing import LEAST_PIXELS, draw, draw_pose, save
from maaf_lab.synthetic.random_stream import RandomStream
from maaf_lab.utils.parallel import in_processes

VERSION = 1  # raise it whenever the same settings give other bytes
CATEGORIES = ("dress", "shirt", "toptee")
SPLITS = ("train", "val", "test")
SIDECAR = "attributes.json"
FAMILY = 12
# A category's families and queries, by size and split. Test is small: it has no targets, as in the published files.
DATASET_SIZES = {
    "full": {"train": (546, 6000), "val": (230, 2000), "test": (50, 400)},
    "tiny": {"train": (6, 60), "val": (4, 30), "test": (2, 15)},
}
_CHANGES = {1: 35, 2: 45, 3: 20}  # attributes that a step changes
_SHARED = 4  # every so many families of toptee start from a shirt, whose picture is then in both galleries
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


@dataclass(frozen=True)
class Query:
    """One query: two asins and two people's captions."""

    candidate: str
    target: str
    captions: tuple[str, str]


@dataclass(frozen=True)
class Shop:
    """One split before it is drawn. garments: by asin, in the order of drawing. galleries, queries: by category."""

    garments: Mapping[str, Garment]
    galleries: Mapping[str, Sequence[str]]
    queries: Mapping[str, Sequence[Query]]


def make_split(split: str, size: str = "full", seed: int = 0) -> Shop:
    """One split before drawing; the largest takes seconds."""
    families, wanted = DATASET_SIZES[size][split]
    garments: dict[str, Garment] = {}
    galleries: dict[str, list[str]] = {}
    queries: dict[str, list[Query]] = {}
    for number, category in enumerate(CATEGORIES):
        rng = RandomStream(seed, SPLITS.index(split), number)
        seen: set[Garment] = set()
        gallery, steps = [], []
        lent = iter([asin for asin in galleries.get("shirt", ())] if category == "toptee" else [])
        for family in range(families):
            members: list[str] = []
            if category == "toptee" and family % _SHARED == 0:
                members.append(next(lent))
                seen.add(garments[members[0]])
            while len(members) < FAMILY:
                parent = rng.pick(members) if members else None
                garment = _member(category, garments[parent] if parent else None, seen, rng)
                members.append(_asin(rng, split, garments))
                garments[members[-1]] = garment
                if parent is not None:
                    steps.append((parent, members[-1]))
            gallery += members
        galleries[category] = _shuffled(gallery, rng)
        pairs = _shuffled(steps, rng)[:wanted]
        queries[category] = [Query(a, b, captions(garments[a], garments[b], rng)) for a, b in pairs]
    return Shop(garments, galleries, queries)


def shipped_split(split: str, size: str, seed: int) -> Shop | None:
    """`make_split` from a file shipped with the lab, in a tenth of the time; None where there is none."""
    path = SHIPPED / f"shop-{split}-{size}-{seed}.json.gz"
    if not path.is_file():
        return None
    kept = json.loads(gzip.decompress(path.read_bytes()))
    garments = {asin: Garment(*values) for asin, *values in kept["garments"]}
    asins = list(garments)
    galleries = {category: [asins[i] for i in of] for category, of in kept["galleries"].items()}
    queries = {
        category: [Query(asins[a], asins[b], (first, second)) for a, b, first, second in of]
        for category, of in kept["queries"].items()
    }
    return Shop(garments, galleries, queries)


def save_split(path: str | Path, shop: Shop) -> None:
    """Write the file that `shipped_split` reads."""
    index, names = {asin: i for i, asin in enumerate(shop.garments)}, ("kind", *ATTRIBUTES)
    kept = {
        "garments": [[asin, *(getattr(garment, name) for name in names)] for asin, garment in shop.garments.items()],
        "galleries": {category: [index[asin] for asin in of] for category, of in shop.galleries.items()},
        "queries": {
            category: [[index[q.candidate], index[q.target], *q.captions] for q in of] for category, of in shop.queries.items()
        },
    }
    Path(path).write_bytes(gzip.compress(json.dumps(kept, separators=(",", ":")).encode(), 9, mtime=0))


def make_fashion_iq(
    out: str | Path, size: str = "full", pixels: int = 224, seed: int = 0, progress: bool = True, workers: int | None = None
) -> Path:
    """Make the dataset in folder `out` and return the folder.

    size: "full" (a category: 6,000 training and 2,000 validation queries) or "tiny" (60 and 30). The same settings give the
    same bytes, whatever the number of `workers` (processes; all cores by default). Refusals and interrupted runs: see
    `synthetic/folder.py`.
    """
    settings = checked_settings("fashion_iq", VERSION, size, pixels, seed, sizes=tuple(DATASET_SIZES), least_pixels=LEAST_PIXELS)

    def fill(folder: Path) -> dict[str, tuple[int, int]]:
        shops = {split: make_split(split, size, seed) for split in SPLITS}
        for name in ("captions", "image_splits", "images"):
            (folder / name).mkdir()
        jobs = [
            (asin, garment, (seed, 100 + SPLITS.index(split), i))
            for split, shop in shops.items()
            for i, (asin, garment) in enumerate(shop.garments.items())
        ]
        drawing = partial(_draw, str(folder / "images"), pixels)
        for _ in in_processes(drawing, jobs, "synthetic fashion_iq", progress=progress, workers=workers):
            pass
        for split, shop in shops.items():
            for category in CATEGORIES:
                entries = [_entry(query, split) for query in shop.queries[category]]
                _write_json(folder / "captions" / f"cap.{category}.{split}.json", entries)
                _write_json(folder / "image_splits" / f"split.{category}.{split}.json", shop.galleries[category])
        every = {asin: garment for shop in shops.values() for asin, garment in shop.garments.items()}
        write_attributes(folder / SIDECAR, every)
        return {split: (len(shop.garments), sum(map(len, shop.queries.values()))) for split, shop in shops.items()}

    return make_dataset(out, settings, ("captions", "image_splits", "images", SIDECAR), fill, progress)


def redraw(asins: Sequence[str], split: str, size: str = "full", pixels: int = 224, seed: int = 0) -> list[np.ndarray]:
    """Images of a split, redrawn at another size: uint8 (pixels, pixels, 3) each. Raises DataError for an unknown asin."""
    garments = make_split(split, size, seed).garments
    number = {asin: i for i, asin in enumerate(garments)}
    if unknown := [asin for asin in asins if asin not in number]:
        raise DataError(f"synthetic fashion_iq, {split}: no picture {unknown[0]!r}; the sidecar {SIDECAR} lists them")
    stream = seed, 100 + SPLITS.index(split)
    return [draw(garments[asin], draw_pose(RandomStream(*stream, number[asin])), pixels) for asin in asins]


def training_texts(size: str = "full", seed: int = 0) -> list[str]:
    """The training captions, without drawing."""
    return [text for own in make_split("train", size, seed).queries.values() for query in own for text in query.captions]


def write_attributes(path: Path, garments: Mapping[str, Garment]) -> None:
    """The sidecar: {"attributes": names, "images": {image: values}}, the kind first."""
    names = ("kind", *ATTRIBUTES)
    lines = ",\n".join(
        f"{json.dumps(key)}: {json.dumps([getattr(garment, name) for name in names])}" for key, garment in garments.items()
    )
    text = f'{{"attributes": {json.dumps(names)}, "images": {{\n{lines}\n}}}}\n'
    write_whole(path, lambda file: file.write(text.encode()))


def read_attributes(path: str | Path) -> dict[str, Garment]:
    """Asin or path -> garment, from the sidecar. Raises DataError where it is damaged."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        return {key: Garment(**dict(zip(data["attributes"], values))) for key, values in data["images"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path}: expected the attributes that `maaf-lab make` wrote ({error}); draw the dataset again"
        ) from error


def _member(category: str, parent: Garment | None, seen: set[Garment], rng: RandomStream) -> Garment:
    """A garment that is not yet in the gallery: a new one, or a small change of `parent`."""
    while True:
        if parent is None:
            garment = sample(category, rng)
        else:
            start = parent if parent.kind == category else settle(replace(parent, kind=category), rng)
            garment = vary(start, weighted(_CHANGES, rng), rng)
        if garment not in seen:
            seen.add(garment)
            return garment


def _asin(rng: RandomStream, split: str, taken: Iterable[str]) -> str:
    """A product number like B00AZGHX7M; each split has its own fourth characters, so that no two splits share a number."""
    own = _LETTERS[SPLITS.index(split) :: len(SPLITS)]
    while True:
        asin = "B00" + rng.pick(own) + "".join(_LETTERS[int(u * len(_LETTERS))] for u in rng.uniform(6))
        if asin not in taken:
            return asin


def _shuffled(items: Sequence[Any], rng: RandomStream) -> list[Any]:
    return [items[i] for i in rng.uniform(len(items)).argsort(kind="stable")]


def _entry(query: Query, split: str) -> dict[str, Any]:
    target = {} if split == "test" else {"target": query.target}
    return {**target, "candidate": query.candidate, "captions": list(query.captions)}


def _draw(folder: str, pixels: int, job: tuple[str, Garment, tuple[int, ...]]) -> None:
    asin, garment, stream = job
    save(garment, draw_pose(RandomStream(*stream)), pixels, f"{folder}/{asin}.jpg")


def _write_json(path: Path, data: Any) -> None:
    write_whole(path, lambda file: file.write(json.dumps(data, indent=4).encode()))


DATASET = SyntheticDataset(make_fashion_iq, VERSION, 224, training_texts, lazy="maaf_lab.synthetic.garments.lazy:garment_split")
