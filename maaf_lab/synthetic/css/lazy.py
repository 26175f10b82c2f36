"""Synthetic CSS without files: a split whose scenes are rendered on first use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maaf_lab.data.datasets.css import CSS, IMAGES, image_name
from maaf_lab.data.images import to_square
from maaf_lab.data.split import Image, Query, Split
from maaf_lab.synthetic.css import render, scenes
from maaf_lab.synthetic.lazy import LazyPixels


def css_split(origin: str, split: str, size: str, drawn: int, seed: int, side: int) -> tuple[Split, LazyPixels]:
    drawn_scenes, pos, mods = scenes.shipped_split(split, size, seed) or scenes.draw_split(split, size, seed)
    labels = scenes.scene_labels(drawn_scenes)
    folder = Path(IMAGES)
    images = [Image(f"css_{split}_{i:06d}", folder / image_name(split, i), label) for i, label in enumerate(labels)]
    queries = [Query(s, (mod["to_str"],), labels[t], t) for mod in mods for s, t in zip(mod["from"], mod["to"])]
    loaded = Split(split, images, queries, CSS.protocol, "css", origin)

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

    return loaded, LazyPixels(origin, len(images), side, squares, larger, boxes)
