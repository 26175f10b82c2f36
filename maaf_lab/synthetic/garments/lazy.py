"""Synthetic Fashion IQ without files: a split whose garments are drawn on first use."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

from maaf_lab.data.datasets.fashion_iq import FashionIQ
from maaf_lab.data.images import to_square
from maaf_lab.data.split import Image, Query, Split
from maaf_lab.synthetic.css import scenes
from maaf_lab.synthetic.garments import fashion_iq
from maaf_lab.synthetic.garments.drawing import draw, draw_pose
from maaf_lab.synthetic.lazy import LazyPixels


def garment_split(origin: str, split: str, size: str, drawn: int, seed: int, side: int) -> tuple[Split, LazyPixels]:
    shop = fashion_iq.shipped_split(split, size, seed) or fashion_iq.make_split(split, size, seed)
    categories_of: dict[str, list[str]] = {}
    for category in fashion_iq.CATEGORIES:
        for asin in shop.galleries[category]:
            categories_of.setdefault(asin, []).append(category)
    images = [Image(asin, Path("images") / f"{asin}.jpg", asin, tuple(within)) for asin, within in categories_of.items()]
    index, number = ({asin: i for i, asin in enumerate(of)} for of in (categories_of, shop.garments))
    has_targets = split != "test"
    queries = []
    for category in fashion_iq.CATEGORIES:
        for q in shop.queries[category]:
            target = (q.target, index[q.target]) if has_targets else (None, None)
            queries.append(Query(index[q.candidate], q.captions, *target, category))

    def larger(of: Sequence[int], side: int) -> np.ndarray:
        stream = seed, 100 + fashion_iq.SPLITS.index(split)
        asins = [images[i].id for i in of]
        return np.stack(
            [draw(shop.garments[asin], draw_pose(scenes.RandomStream(*stream, number[asin])), side) for asin in asins]
        )

    def squares(of: Sequence[int], side: int) -> np.ndarray:
        return np.stack([to_square(_through_jpeg(picture), side) for picture in larger(of, drawn)])

    loaded = Split(split, images, queries, FashionIQ.protocol, "fashion_iq", origin)
    return loaded, LazyPixels(origin, len(images), side, squares, larger, None)


def _through_jpeg(picture: np.ndarray) -> np.ndarray:
    """The picture after `drawing.save` and decoding."""
    file = io.BytesIO()
    PILImage.fromarray(picture).save(file, format="JPEG", quality=90)
    return np.asarray(PILImage.open(file).convert("RGB"))
