"""One sentence with many pictures: what each of its words attends to, on average (the paper's Figure 6, section S3).

Shapes: B pictures of a chunk, H heads, T words; rows x columns the image's token grid.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from maaf_lab.data.cache import PixelCache
from maaf_lab.data.text import UNKNOWN, tokenize
from maaf_lab.data.transforms import build_transform
from maaf_lab.errors import ConfigError
from maaf_lab.models.base import ComposedModel


class MarkedSentence(NamedTuple):
    """A sentence with one word marked: "dress: has longer *sleeves*". category: whose pictures; position: the word's, from 0."""

    category: str
    words: tuple[str, ...]
    position: int

    @property
    def text(self) -> str:
        return " ".join(self.words)


def marked(sentence: str) -> MarkedSentence:
    """Reads "category: words with one *marked* word". Raises ConfigError for anything else."""
    category, colon, text = sentence.partition(":")
    parts = text.split()
    stars = [i for i, part in enumerate(parts) if part.startswith("*") and part.rstrip(".,!?").endswith("*")]
    words = [tokenize(part) for part in parts]
    if not colon or not category.strip() or len(stars) != 1 or any(len(word) != 1 for word in words):
        raise ConfigError(
            f'expected "category: a sentence with one *marked* word", such as "dress: has longer *sleeves*"; found {sentence!r}'
        )
    return MarkedSentence(category.strip(), tuple(word[0] for word in words), stars[0])


@torch.inference_mode()
def sentence_attention(
    model: ComposedModel, cache: PixelCache, images: np.ndarray, text: str, *, grid: str = "", chunk: int = 32
) -> np.ndarray:
    """Attention of every word of `text` to a grid of image tokens, averaged over `images` (N,) -> (blocks, H, T, rows, columns).

    grid: such as "14x14"; "" for the finest one that the model has.
    Raises ConfigError for a system without attention, for a grid that it does not have, for a word that it does not know, and
    for no images.
    """
    model.eval()
    words = tokenize(text)
    if unknown := [word for word in words if UNKNOWN in model.vocabulary.ids(word)]:
        raise ConfigError(f"expected words of the training texts, found {', '.join(map(repr, unknown))}; take others")
    if not len(images):
        raise ConfigError(f"expected images to hold {text!r} against, found none")
    prepare, total = build_transform("plain", cache.size), 0.0
    for low in range(0, len(images), chunk):
        part = images[low : low + chunk]
        features = model.encode(prepare.eval(cache.batch(part).to(model.device)))
        _, record = model.fuse(features, model.read([text] * len(part)), return_attention=True)
        grids = {name: stop - start for name, (start, stop) in record.spans.items() if name != "text"} if record else {}
        grid = grid or max(grids, key=grids.__getitem__, default="image")
        if record is None or grid not in grids:
            found = "no attention" if record is None else f"the grids {', '.join(grids)}"
            raise ConfigError(f"expected a system that attends to a grid of {grid} tokens; {model.config.name} has {found}")
        if np.diff(record.spans["text"]) != len(words):
            raise ConfigError(f"expected a token a word; {model.config.text_encoder} reads {text!r} in pieces")
        total = total + record.words_to_image(grid).double().sum(1).cpu().numpy()
    return total / len(images)


def against_other_words(maps: np.ndarray, position: int) -> np.ndarray:
    """A word's attention less the mean of the sentence's other words: (..., T, rows, columns) -> (..., rows, columns), signed.

    Section S3: large and small weights "are to be understood in comparison" with another word's of the caption. For a
    sentence of one word it is the map less its own mean.
    """
    own, others = maps[..., position, :, :], np.delete(maps, position, -3)
    base = others.mean(-3) if others.shape[-3] else own.mean((-2, -1), keepdims=True)
    return own - base


def by_third(signed: np.ndarray) -> pd.Series:
    """Points of attention (of 100) in the upper, middle and lower third of the picture, mean over heads: (H, rows, columns)."""
    parts = zip(("upper", "middle", "lower"), np.array_split(signed, 3, axis=-2), strict=True)
    return pd.Series({name: 100 * part.sum((-2, -1)).mean() for name, part in parts})


def heads_that_vary_most(signed: np.ndarray, count: int = 3) -> list[int]:
    """The numbers of the `count` heads whose maps (H, rows, columns) vary most over the picture, in ascending order."""
    return sorted(np.argsort(-signed.std((-2, -1)), kind="stable")[:count].tolist())
