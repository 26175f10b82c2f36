"""Where position words look: the paper's Figure 3, as numbers.

Shapes: rows x columns the image's token grid (7x7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maaf_lab.analysis.word_attention import word_attention
from maaf_lab.data.cache import PixelCache
from maaf_lab.data.split import Split
from maaf_lab.data.text import join, tokenize
from maaf_lab.models.base import ComposedModel

if TYPE_CHECKING:
    import pandas as pd

POSITIONS = tuple(f"{v}-{h}" for v in ("top", "middle", "bottom") for h in ("left", "center", "right"))


@dataclass(frozen=True)
class PositionMaps:
    """Mean attention of each of the nine position words to the image, over heads and over the examples that have the word.

    maps: word -> (rows, columns). counts: word -> examples.
    """

    maps: dict[str, np.ndarray]
    counts: dict[str, int]

    def contrast(self) -> pd.DataFrame:
        """A row per word: mean attention inside the named cell, mean over the other eight cells, their ratio, examples.

        A cell is a third of the grid each way; a token on the border of two cells counts for each by its area.
        """
        import pandas as pd

        lines = []
        for word, values in self.maps.items():
            n = POSITIONS.index(word)
            share = cell_shares(values.shape[0])
            cells = np.einsum("ai,bj,ij->ab", share, share, values)
            inside = cells[n // 3, n % 3]
            others = (cells.sum() - inside) / 8
            ratio = inside / others
            line = {"word": word, "inside": inside, "others": others, "ratio": ratio}
            lines.append({**line, "examples": self.counts[word]})
        return pd.DataFrame(lines)


def cell_shares(side: int) -> np.ndarray:
    """(3, side): the mean over each third of `side` tokens, as weights that sum to 1."""
    edges = np.arange(side + 1) / side * 3
    overlap = np.clip(np.minimum(edges[1:], np.arange(1, 4)[:, None]) - np.maximum(edges[:-1], np.arange(3)[:, None]), 0, None)
    return overlap / overlap.sum(1, keepdims=True)


def position_maps(
    model: ComposedModel, split: Split, cache: PixelCache, *, block: int = 0, chunk: int = 256, progress: bool = True
) -> PositionMaps:
    """Figure 3 for any split with position words; every example that names a position takes part, by its first one.

    Puts the model in evaluation mode. Raises ConfigError for a system without attention to words.
    """
    words = {tokenize(word)[0]: word for word in POSITIONS}

    def first(tokens: list[str]) -> list[int]:
        return [position for position, token in enumerate(tokens) if token in words][:1]

    sums: dict[str, np.ndarray] = {}
    counts = dict.fromkeys(POSITIONS, 0)
    title = "attention of position words"
    for found in word_attention(model, split, cache, first, chunk=chunk, progress=progress, title=title):
        word = words[tokenize(join(split.queries[found.query].texts))[found.position]]
        sums[word] = sums.get(word, 0) + found.weights[block].mean(0)
        counts[word] += 1
    return PositionMaps({word: sums[word] / counts[word] for word in POSITIONS if word in sums}, counts)
