"""Made sets without files: a split as its loader reads it, and pictures that are drawn when somebody looks at them.

So the lab's explorers open in seconds on a machine where nothing has been drawn. Pixels are those of the files, byte for byte.
"""

from __future__ import annotations

import gc
import io
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage
from torch import Tensor

from maaf_lab.data.cache import PixelCache
from maaf_lab.data.css import CSS, IMAGES, image_name
from maaf_lab.data.fashion_iq import FashionIQ
from maaf_lab.data.images import to_square
from maaf_lab.data.layout import Part
from maaf_lab.data.split import Image, Query, Split
from maaf_lab.made import fashion_iq, render, scenes
from maaf_lab.made.sets import made_origin
from maaf_lab.made.wardrobe import draw, draw_pose

Draw = Callable[[Sequence[int], int], np.ndarray]  # images by number, side -> uint8 (B, side, side, 3)
_ORIGIN = re.compile(r"made (\w+) v\d+ size=(\w+) pixels=(\d+) seed=(\d+)")


class DrawnPixels(PixelCache):
    """A `PixelCache` whose images are drawn when they are first asked for, then kept in memory. size: S of the squares."""

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
        """Images drawn for people, at any size: uint8 (B, pixels, pixels, 3)."""
        return self._larger(indices, pixels)

    def boxes(self, index: int) -> np.ndarray | None:
        """Where each object of a scene shows, as shares of the side: (objects, 4) x0, y0, x1, y1. None where nobody knows."""
        return None if self._boxes is None else self._boxes(index)

    def _rows(self, indices: np.ndarray | Tensor | Sequence[int]) -> np.ndarray:
        rows = np.asarray(indices, np.int64).reshape(-1)
        missing = np.unique(rows[~self._there[rows]])  # IndexError outside the split
        if len(missing):
            self.pixels[missing] = self._squares(missing.tolist(), self.size)
            self._there[missing] = True
        return self.pixels[rows]


@lru_cache(maxsize=2)  # explorers of one notebook share it, and what was drawn
def undrawn(origin: str, split: str, size: int) -> tuple[Split, DrawnPixels] | None:
    """The split of a made set, named as `DataConfig.origin` does, and its pictures as squares of `size`.

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


def can_draw(origin: str) -> bool:
    """Whether `undrawn` has the set, without making it."""
    return _settings(origin) is not None


def _settings(origin: str) -> tuple[str, str, int, int] | None:
    """dataset, size, pixels, seed of a set that can be drawn here."""
    named = _ORIGIN.fullmatch(origin)
    if named is None or named[1] not in _OF:
        return None
    settings = named[1], named[2], int(named[3]), int(named[4])
    return settings if made_origin(*settings) == origin else None


# --- CSS --------------------------------------------------------------------------------------------------------------


def _css(origin: str, split: str, kind: str, drawn: int, seed: int, size: int) -> tuple[Split, DrawnPixels]:
    drawn_scenes, pos, mods = scenes.shipped_split(split, kind, seed) or scenes.draw_split(split, kind, seed)
    labels = scenes.scene_labels(drawn_scenes)
    folder = Path(IMAGES)
    images = [Image(f"css_{split}_{i:06d}", folder / image_name(split, i), label) for i, label in enumerate(labels)]
    queries = [Query(s, (mod["to_str"],), labels[t], t) for mod in mods for s, t in zip(mod["from"], mod["to"])]
    read = Part(images, queries, CSS.protocol)

    def squares(images: Sequence[int], side: int) -> np.ndarray:
        pictures = larger(images, drawn)
        return pictures if drawn == side else np.stack([to_square(picture, side) for picture in pictures])

    def objects(of: Sequence[int]) -> list[list[dict[str, Any]]]:
        rows = np.asarray(of)
        return scenes.published_objects(drawn_scenes.take(rows), pos[rows])

    def larger(images: Sequence[int], side: int) -> np.ndarray:
        return render.render(objects(images), side, "cpu").numpy()

    def boxes(image: int) -> np.ndarray:
        found = render.draw(objects([image]), drawn, "cpu")
        return found.box[np.argsort(found.object)] / drawn

    return _split(read, split, "css", origin), DrawnPixels(origin, len(images), size, squares, larger, boxes)


# --- Fashion IQ -------------------------------------------------------------------------------------------------------


def _garments(origin: str, split: str, kind: str, drawn: int, seed: int, size: int) -> tuple[Split, DrawnPixels]:
    shop = fashion_iq.shipped_split(split, kind, seed) or fashion_iq.make_split(split, kind, seed)
    stands_in: dict[str, list[str]] = {}
    for category in fashion_iq.CATEGORIES:
        for asin in shop.galleries[category]:
            stands_in.setdefault(asin, []).append(category)
    images = [Image(asin, Path("images") / f"{asin}.jpg", asin, tuple(within)) for asin, within in stands_in.items()]
    place, number = ({asin: i for i, asin in enumerate(of)} for of in (stands_in, shop.garments))
    answers = split != "test"
    queries = []
    for category in fashion_iq.CATEGORIES:
        for q in shop.queries[category]:
            answer = (q.target, place[q.target]) if answers else (None, None)
            queries.append(Query(place[q.candidate], q.captions, *answer, category))

    def larger(of: Sequence[int], side: int) -> np.ndarray:
        stream = seed, 100 + fashion_iq.SPLITS.index(split)
        asins = [images[i].id for i in of]
        return np.stack([draw(shop.garments[asin], draw_pose(scenes.Dice(*stream, number[asin])), side) for asin in asins])

    def squares(of: Sequence[int], side: int) -> np.ndarray:
        return np.stack([to_square(_through_jpeg(picture), side) for picture in larger(of, drawn)])

    part = Part(images, queries, FashionIQ.protocol)
    return _split(part, split, "fashion_iq", origin), DrawnPixels(origin, len(images), size, squares, larger, None)


def _through_jpeg(picture: np.ndarray) -> np.ndarray:
    """As `wardrobe.save` writes it and the loader reads it."""
    file = io.BytesIO()
    PILImage.fromarray(picture).save(file, format="JPEG", quality=90)
    return np.asarray(PILImage.open(file).convert("RGB"))


def _split(part: Part, name: str, dataset: str, origin: str) -> Split:
    return Split(name, part.images, part.queries, part.protocol, dataset, origin)


_OF = {"css": _css, "fashion_iq": _garments}
