"""Do words look at what they name? A score with an interval, against a chance baseline; the paper has pictures alone.

Synthetic CSS knows the box of each object. An object that a text picks out is the *referent* of the text's describing words.
The score of one word in one query and head is (inside - outside) / (inside + outside), inside and outside being the mean
attention on tokens that the referents' boxes cover and on the others, each token counted by how much of it is covered. -1: the
word looks past its referent; 0: both alike; 1: it looks at the referent alone. The baseline takes the boxes of
another query's referents with the same kind of word: the score that it still gets comes from where objects tend to be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from maaf_lab.analysis.word_attention import word_attention
from maaf_lab.data.cache import PixelCache
from maaf_lab.data.datasets.css_scenes import CELLS, COLORS, SHAPES, SIZES, Object, parse_modification
from maaf_lab.data.split import Split
from maaf_lab.data.text import join, tokenize
from maaf_lab.errors import ConfigError
from maaf_lab.models.base import ComposedModel
from maaf_lab.retrieval.metrics import bootstrap

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("position", "color", "shape", "size")
_KIND_OF = {tokenize(word)[0]: kind for kind, words in zip(KINDS, (CELLS, COLORS, SHAPES, SIZES), strict=True) for word in words}


def coverage(boxes: np.ndarray, pixels: int, side: int) -> np.ndarray:
    """How much of each token boxes cover -> (side, side), 0 to 1. boxes: (n, 4) x0, y0, x1, y1 in whole pixels, half open."""
    covered = np.zeros((pixels, pixels))
    for x0, y0, x1, y1 in boxes.astype(int):
        covered[max(y0, 0) : y1, max(x0, 0) : x1] = 1
    edges, pixel = np.arange(side + 1)[:, None] * pixels / side, np.arange(pixels)
    overlap = np.clip(np.minimum(edges[1:], pixel + 1) - np.maximum(edges[:-1], pixel), 0, None)  # (side, pixels)
    return overlap @ covered @ overlap.T / (pixels / side) ** 2


def describing_words(text: str) -> list[tuple[int, str]]:
    """(position, kind) of the words by which a text picks out objects of its reference.

    Empty for an *add*, whose object is not there. The color or size that a *change* sets describes the target, not the
    reference: it is left out.
    """
    modification = parse_modification(text)
    if modification.type == "add":
        return []
    tokens = tokenize(text)[:-1] if modification.type == "change" else tokenize(text)
    return [(position, _KIND_OF[token]) for position, token in enumerate(tokens) if token in _KIND_OF]


def avoidance(
    model: ComposedModel,
    split: Split,
    cache: PixelCache,
    scenes: Sequence[Sequence[Object]],
    sidecar: Mapping[str, np.ndarray],
    *,
    seed: int = 0,
    chunk: int = 256,
    progress: bool = True,
) -> pd.DataFrame:
    """One line per kind of word, block and head: score, low, high (95% over queries), chance (the baseline), words.

    split: synthetic CSS; scenes: its objects image by image (`data.datasets.css.CSS(root).objects(split)`); sidecar: where they
    show (`synthetic.css.dataset.load_sidecar`). Signed attention (identity) has no such score:
    ConfigError, as for a system without attention.
    """
    import pandas as pd

    if (kind := getattr(model.config, "attention", "softmax")) != "softmax":  # val has no choice, others no attention
        raise ConfigError(
            f"the avoidance score compares weights that are never negative: expected softmax attention, found {kind}"
        )
    boxes = _boxes(sidecar)
    words_of = {tuple(tokenize(text)): describing_words(text) for text in {join(q.texts) for q in split.queries}}

    def positions(tokens: list[str]) -> list[int]:
        return [position for position, _ in words_of[tuple(tokens)]]

    scores: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    maps: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    regions: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    for word in word_attention(model, split, cache, positions, chunk=chunk, progress=progress):
        query = split.queries[word.query]
        text = join(query.texts)
        kind = dict(words_of[tuple(tokenize(text))])[word.position]
        fits = parse_modification(text).fits
        referents = [i for i, obj in enumerate(scenes[query.source]) if fits(obj)]
        region = coverage(boxes[query.source][referents], cache.size, word.weights.shape[-1])
        maps[kind].append(word.weights.astype(np.float32))
        regions[kind].append(region)
        scores[kind].append(_score(word.weights, region))
    random, lines = np.random.default_rng(seed), []
    for kind in KINDS:
        if not scores[kind]:
            continue
        found = np.stack(scores[kind])  # (words, blocks, heads)
        other = random.permutation(len(found))
        chance = np.stack([_score(one, regions[kind][n]) for one, n in zip(maps[kind], other, strict=True)])
        for block, head in np.ndindex(found.shape[1:]):
            e, c = bootstrap(found[:, block, head]), bootstrap(chance[:, block, head])
            lines.append(
                {
                    "kind": kind,
                    "block": block + 1,
                    "head": head + 1,
                    "score": e.value / 100,
                    "low": e.low / 100,
                    "high": e.high / 100,
                    "chance": c.value / 100,
                    "chance_low": c.low / 100,
                    "chance_high": c.high / 100,
                    "words": len(found),
                }
            )
    return pd.DataFrame(lines)


def _score(weights: np.ndarray, region: np.ndarray) -> np.ndarray:
    """(blocks, heads) of weights (blocks, heads, rows, columns)."""
    inside = (weights * region).sum((-2, -1)) / region.sum()
    outside = (weights * (1 - region)).sum((-2, -1)) / (1 - region).sum()
    return (inside - outside) / np.maximum(inside + outside, 1e-12)


def _boxes(sidecar: Mapping[str, np.ndarray]) -> dict[int, np.ndarray]:
    """Image -> (objects, 4) boxes in the order of the scene's list."""
    found: dict[int, list[tuple[int, np.ndarray]]] = {}
    for image, number, box in zip(sidecar["image"], sidecar["object"], sidecar["box"], strict=True):
        found.setdefault(int(image), []).append((int(number), box))
    return {image: np.stack([box for _, box in sorted(rows, key=lambda row: row[0])]) for image, rows in found.items()}
