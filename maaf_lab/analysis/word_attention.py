"""The attention of single words to the image's tokens, query by query: what Figures 3 and 5 and the avoidance score average.

Shapes: B queries of a chunk, H heads; rows x columns the image's token grid (7x7).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from maaf_lab.data.cache import PixelCache
from maaf_lab.data.split import Split
from maaf_lab.data.text import Vocabulary, join, tokenize
from maaf_lab.data.transforms import build_transform
from maaf_lab.errors import ConfigError
from maaf_lab.models.base import ComposedModel


class WordMap(NamedTuple):
    """One word of one query. position: the word's, among the text's tokens; weights: (blocks, H, rows, columns).

    operations: the names of the blocks.
    """

    query: int
    position: int
    weights: np.ndarray
    operations: tuple[str, ...] = ()


@torch.inference_mode()
def word_attention(
    model: ComposedModel,
    split: Split,
    cache: PixelCache,
    positions_of: Callable[[list[str]], Sequence[int]],
    *,
    chunk: int = 256,
    progress: bool = True,
    title: str = "attention of words",
    by_source: bool = False,
) -> Iterator[WordMap]:
    """The attention of chosen words to the coarsest grid, query by query.

    positions_of: a query's tokens -> the positions of the chosen words; queries without one cost nothing. by_source: in the
    order of the references, so that each is encoded about once; otherwise in the split's order. Puts the model in evaluation
    mode. Raises ConfigError for a system without attention to words.
    """
    model.eval()
    prepare = build_transform("plain", cache.size)
    words = model.vocabulary  # one of ASCII alone leaves other words out, so that positions are not those of the text
    read = words.tokens if isinstance(words, Vocabulary) else tokenize
    tokens = [
        found if found == read(text) else [] for text in (join(q.texts) for q in split.queries) for found in [tokenize(text)]
    ]
    wanted = [(i, positions) for i, words in enumerate(tokens) if (positions := list(positions_of(words)))]
    if by_source:
        wanted.sort(key=lambda item: split.queries[item[0]].source)
    for low in tqdm(range(0, len(wanted), chunk), desc=title, unit="chunk", disable=not progress):
        part = wanted[low : low + chunk]
        queries = [split.queries[i] for i, _ in part]
        images, rows = np.unique([q.source for q in queries], return_inverse=True)
        features = model.encode(prepare.eval(cache.batch(images).to(model.device)))
        picked = {r: of[torch.from_numpy(rows).to(model.device)] for r, of in features.items()}
        _, record = model.fuse(picked, model.read([join(q.texts) for q in queries]), return_attention=True)
        if record is None:
            raise ConfigError(f"expected a system that attends, such as maaf; {model.config.name} has no attention")
        side = math.isqrt(features[min(features)].shape[1])
        maps = record.words_to_image(f"{side}x{side}").double().cpu().numpy()  # (blocks, B, H, words, rows, columns)
        operations = record.names()
        for b, (i, positions) in enumerate(part):
            for position in positions:
                yield WordMap(i, position, maps[:, b, :, position], operations)
