"""Where position words look: the paper's Figure 3 and its surprise, as numbers.

Shapes: rows x columns the image's token grid (7x7).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from maaf_lab.data.cache import PixelCache
from maaf_lab.data.split import Split
from maaf_lab.data.text import join, tokenize
from maaf_lab.data.transforms import build_transform
from maaf_lab.errors import ConfigError
from maaf_lab.models.base import ComposedModel

POSITIONS = tuple(f"{v}-{h}" for v in ("top", "middle", "bottom") for h in ("left", "center", "right"))


@dataclass(frozen=True)
class PositionMaps:
    """Mean attention of each of the nine position words to the image, over heads and over the examples that have the word.

    maps: word -> (rows, columns). counts: word -> examples.
    """

    maps: dict[str, np.ndarray]
    counts: dict[str, int]

    def contrast(self) -> pd.DataFrame:
        """A line a word: mean attention inside the named cell, mean over the other eight cells, their ratio, examples.

        A cell is a third of the grid each way; a token on the border of two cells counts for each by its area.
        """
        lines = []
        for word, values in self.maps.items():
            n = POSITIONS.index(word)
            share = _cell_share(values.shape[0])
            cells = np.einsum("ai,bj,ij->ab", share, share, values)
            inside = cells[n // 3, n % 3]
            others = (cells.sum() - inside) / 8
            ratio = inside / others
            line = {"word": word, "inside": inside, "others": others, "ratio": ratio}
            lines.append({**line, "examples": self.counts[word]})
        return pd.DataFrame(lines)


def _cell_share(side: int) -> np.ndarray:
    """(3, side): the mean over each third of `side` tokens, as weights that sum to 1."""
    edges = np.arange(side + 1) / side * 3
    overlap = np.clip(np.minimum(edges[1:], np.arange(1, 4)[:, None]) - np.maximum(edges[:-1], np.arange(3)[:, None]), 0, None)
    return overlap / overlap.sum(1, keepdims=True)


@torch.inference_mode()
def position_maps(
    model: ComposedModel, split: Split, cache: PixelCache, *, block: int = 0, chunk: int = 256, progress: bool = True
) -> PositionMaps:
    """Figure 3 for any split with position words; every example that names a position takes part.

    Puts the model in evaluation mode. Raises ConfigError for a system without attention to words.
    """
    model.eval()
    prepare = build_transform("plain", cache.size)
    keys = {tokenize(word)[0]: word for word in POSITIONS}
    rows = [(i, next(t for t in tokenize(join(q.texts)) if t in keys)) for i, q in enumerate(split.queries)
            if any(t in keys for t in tokenize(join(q.texts)))]
    sums: dict[str, np.ndarray] = {}
    counts = dict.fromkeys(POSITIONS, 0)
    for low in tqdm(range(0, len(rows), chunk), desc="attention of position words", unit="chunk", disable=not progress):
        part = rows[low : low + chunk]
        queries = [split.queries[i] for i, _ in part]
        images, places = np.unique([q.source for q in queries], return_inverse=True)
        features = model.encode(prepare.eval(cache.batch(images).to(model.device)))
        picked = {r: tokens[torch.from_numpy(places).to(model.device)] for r, tokens in features.items()}
        texts = [join(q.texts) for q in queries]
        _, record = model.fuse(picked, model.read(texts), return_attention=True)
        if record is None:
            raise ConfigError(f"expected a system that attends, such as maaf; {model.config.name} has no attention")
        side = math.isqrt(features[min(features)].shape[1])
        maps = record.words_to_image(f"{side}x{side}")[block].mean(1)  # (B, words, rows, columns), mean over heads
        for b, (_, token) in enumerate(part):
            word = keys[token]
            values = maps[b, tokenize(texts[b]).index(token)].double().cpu().numpy()
            sums[word] = sums.get(word, 0) + values
            counts[word] += 1
    return PositionMaps({word: sums[word] / counts[word] for word in POSITIONS if word in sums}, counts)
