"""What color words ignore: the paper's Figure 5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maaf_lab.analysis.word_attention import word_attention
from maaf_lab.data.cache import PixelCache
from maaf_lab.data.datasets.css_scenes import COLORS, described_color
from maaf_lab.data.split import Split
from maaf_lab.data.text import join, tokenize
from maaf_lab.models.base import ComposedModel

FIGURE_5 = ("red", "yellow", "green", "cyan", "blue", "purple", "brown", "gray")  # the paper's order


@dataclass(frozen=True)
class ColorImages:
    """images: color -> (S, S, 3) float, the mean of (1 - attention) * image over its examples less the mean over all examples.

    Pixels count 0 to 1; the values are signed. counts: color -> examples.
    """

    images: dict[str, np.ndarray]
    counts: dict[str, int]


def unattended(attention: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(1 - attention) * image: (rows, columns) on a picture uint8 (S, S, 3), whose pixels count 0 to 1 -> (S, S, 3) float."""
    rows = np.arange(len(image)) * attention.shape[0] // len(image)
    return (1 - attention[np.ix_(rows, rows)])[:, :, None] * (image.astype(np.float64) / 255)


def color_images(
    model: ComposedModel, split: Split, cache: PixelCache, *, block: int = 0, chunk: int = 256, progress: bool = True
) -> ColorImages:
    """Figure 5 for any split of CSS: candidate images weighted by one minus the color word's attention, averaged.

    Attention is the mean over heads on the 7x7 grid, as wide as the image. With softmax a weight is small, and one minus it close
    to 1, so the figure shows the difference from the mean over all colors.
    Raises ConfigError for a system without attention to words, DataError for texts that are not CSS's.
    """
    of = [described_color(join(q.texts)) for q in split.queries]
    texts = {join(q.texts): color for q, color in zip(split.queries, of, strict=True) if color}
    positions = {tuple(tokenize(text)): tokenize(text).index(color) for text, color in texts.items()}
    side = cache.size
    sums, counts = {color: np.zeros((side, side, 3)) for color in COLORS}, dict.fromkeys(COLORS, 0)

    def position_of(tokens: list[str]) -> list[int]:
        found = positions.get(tuple(tokens))
        return [] if found is None else [found]

    for word in word_attention(
        model, split, cache, position_of, chunk=chunk, progress=progress, title="attention of color words"
    ):
        sums[of[word.query]] += unattended(word.weights[block].mean(0), cache.image(split.queries[word.query].source))
        counts[of[word.query]] += 1
    total = sum(counts.values())
    mean = sum(sums.values()) / max(total, 1)
    return ColorImages({c: sums[c] / counts[c] - mean for c in FIGURE_5 if counts[c]}, {c: counts[c] for c in FIGURE_5})
