"""Statistics of a dataset's texts: how many, how long, how many words. Counted with the lab's own tokenizer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from maaf_lab.data.text import tokenize
from maaf_lab.errors import DataError


def caption_statistics(texts: Sequence[str]) -> dict[str, float]:
    """captions, tokens a caption (mean), median, longest, words (different ones), once (words that occur once).

    Raises DataError when there is no caption.
    """
    if not texts:
        raise DataError("expected at least one caption, found none")
    tokens = [tokenize(text) for text in texts]
    counts = Counter(word for words in tokens for word in words)
    lengths = np.array([len(words) for words in tokens])
    return {
        "captions": len(texts),
        "tokens a caption": float(lengths.mean()),
        "median": float(np.median(lengths)),
        "longest": int(lengths.max()),
        "words": len(counts),
        "once": sum(n == 1 for n in counts.values()),
    }


def caption_frame(texts_of: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """A line of `caption_statistics` for each name, lengths rounded to one decimal."""
    return pd.DataFrame([{"": name, **caption_statistics(texts)} for name, texts in texts_of.items()]).round(1)


def commonest(texts: Sequence[str], count: int = 12) -> list[tuple[str, int]]:
    """The words that most captions hold, and in how many; ties in alphabetical order."""
    seen = Counter(word for text in texts for word in set(tokenize(text)))
    return sorted(seen.items(), key=lambda item: (-item[1], item[0]))[:count]
