"""Embed a split: the vectors of its queries and of its gallery, which are then ranked.

Shapes: Q queries, G gallery images, D width.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from maaf_lab.data.cache import PixelCache
from maaf_lab.data.split import Split
from maaf_lab.data.text import join
from maaf_lab.data.transforms import build_transform
from maaf_lab.models.base import ComposedModel, unit


@torch.inference_mode()
def embed_split(
    model: ComposedModel,
    split: Split,
    cache: PixelCache,
    *,
    transform: str = "plain",
    chunk: int = 256,
    progress: bool | Callable[[int, int], object] = True,
) -> tuple[Tensor, Tensor]:
    """Every image once through the backbone -> query vectors (Q, D) and gallery vectors (G, D), on the model's device.

    Queries are fused from the features of their source's chunk, so memory does not grow with the split.
    progress: True for a bar, or a function of the number of images that are done and of all images.
    """
    was_training = model.training
    model.eval()
    prepare = build_transform(transform, cache.size)
    texts = [join(q.texts) for q in split.queries]
    by_source: dict[int, list[int]] = {}
    for i, q in enumerate(split.queries):
        by_source.setdefault(q.source, []).append(i)
    gallery = torch.empty(len(split.images), model.config.width, device=model.device)
    queries = torch.empty(len(split.queries), model.config.width, device=model.device)
    hidden = progress is not True
    bar = tqdm(total=len(split.images), desc=f"embed {split.title}", unit="image", disable=hidden, mininterval=0.5)
    for start in range(0, len(split.images), chunk):
        stop = min(start + chunk, len(split.images))
        features = model.encode(prepare.eval(cache.batch(np.arange(start, stop)).to(model.device)))
        gallery[start:stop] = unit(model.project(features)[0])
        rows = [(i, image - start) for image in range(start, stop) for i in by_source.get(image, ())]
        for low in range(0, len(rows), 2 * chunk):
            part = rows[low : low + 2 * chunk]
            sources = torch.tensor([source for _, source in part], device=model.device)
            text = model.read([texts[i] for i, _ in part])
            vectors, _ = model.fuse({r: tokens[sources] for r, tokens in features.items()}, text)
            queries[torch.tensor([i for i, _ in part], device=model.device)] = unit(vectors)
        bar.update(stop - start)
        if callable(progress):
            progress(stop, len(split.images))
    bar.close()
    model.train(was_training)
    return queries, gallery
