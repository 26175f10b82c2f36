"""What the README's picture shows: a query, what a trained MAAF ranks first, and what its last word attends to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from maaf_lab.data.cache import PixelCache
from maaf_lab.data.split import Split
from maaf_lab.data.transforms import build_transform
from maaf_lab.models.base import ComposedModel
from maaf_lab.retrieval.gallery import Gallery
from maaf_lab.retrieval.relevance import Relevance


class FirstResults(NamedTuple):
    """A query and its first results, pictures uint8 (S, S, 3). attention: of the last word, mean over heads, (7, 7)."""

    source: np.ndarray
    text: str
    results: tuple[np.ndarray, ...]
    relevant: tuple[bool, ...]
    word: str
    attention: np.ndarray


@torch.inference_mode()
def first_results(
    model: ComposedModel, split: Split, cache: PixelCache, gallery: torch.Tensor, queries: list[int], count: int = 5
) -> list[FirstResults]:
    """Those queries of a split with the first `count` images of the gallery: unit vectors (G, D) of all its images."""
    prepare, searched, relevance, found = build_transform("plain", cache.size), Gallery(gallery), Relevance(split), []
    for number in queries:
        query = split.queries[number]
        image = prepare.eval(cache.batch(np.array([query.source])))
        vector, record = model.embed_query(image, list(query.texts), return_attention=True)
        first = searched.search(vector[0], count, ~relevance.candidates(number)).images
        found.append(
            FirstResults(
                cache.image(query.source),
                query.texts[0],
                tuple(cache.image(int(i)) for i in first),
                tuple(bool(relevance.is_relevant(i, number)) for i in first),
                record.tokens[0][-1],
                record.words_to_image("7x7")[0, 0].mean(0)[-1].numpy(),
            )
        )
    return found
