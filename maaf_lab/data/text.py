"""Tokenizer, Vocabulary, WordPieces, TextBatch: from texts to padded ids.

Shapes: B batch, T words of the longest caption of the batch.
"""

from __future__ import annotations

import json
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maaf_lab.errors import DataError
from maaf_lab.utils.files import write_text
from maaf_lab.utils.wording import counted, drawable, first_names

MOST_WORDS = 512  # of a text that are read, as BERT reads them; attention grows with the square of their number
UNKNOWN = 0  # the id of every word that is not in the training texts
JOINER = "inadditiontothat"  # between the captions of one query (authors' code for Fashion IQ)
_DROP = str.maketrans("", "", string.punctuation)
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


def tokenize(text: str) -> list[str]:
    """Lower case, punctuation removed, split on white space ("top-left" -> "topleft"; authors' code).

    A text with letters beyond ASCII is read in the same way, with the letters, accents and digits of every script ("robe d'été"
    -> "robe", "dété"); Chinese characters are words of their own, as in BERT's tokenizer. Words after the 512th are not read.
    """
    return _all_words(text)[:MOST_WORDS]


def _all_words(text: str) -> list[str]:
    if not text.isascii():
        lower = unicodedata.normalize("NFC", text.lower().replace("i\u0307", "i"))  # Turkish dotted I: one letter
        if any(sign > "\x7f" and sign.isalpha() for sign in lower):
            kept = "".join(sign for sign in lower if sign.isascii() or sign.isspace() or _in_words(sign))
            words = unicodedata.normalize("NFC", _HAN.sub(r" \g<0> ", kept).translate(_DROP)).split()
            return [word for word in words if any(sign.isalnum() for sign in word)]
    return _all_ascii_words(text)


def ascii_words(text: str) -> list[str]:
    """As `tokenize`, with everything beyond ASCII dropped ("café" -> "caf"): the authors' code, and the lab's before 0.3."""
    return _all_ascii_words(text)[:MOST_WORDS]


def _all_ascii_words(text: str) -> list[str]:
    return text.encode("ascii", "ignore").decode().lower().translate(_DROP).split()


def _in_words(sign: str) -> bool:
    kind = unicodedata.category(sign)
    return kind[0] in "LM" or kind == "Nd"


def wordless(texts: Iterable[str]) -> str:
    """How many of the texts, and which first, have signs but no word: "3 of 100 texts leave no word (first: '...')"; or ""."""
    texts = list(texts)
    without = [text for text in texts if text.strip() and not tokenize(text)]
    first = f"{without[0][:40]!a}" if without else ""
    return f"{len(without):,} of {len(texts):,} texts leave no word (first: {first})" if without else ""


def cut_short(texts: Iterable[str]) -> str:
    """How many of the texts are not read to their end: "1 of 100 texts longer than 512 words: ..."; or ""."""
    texts = list(texts)
    count = sum(len(text) > MOST_WORDS and len(_all_words(text)) > MOST_WORDS for text in texts)
    return (
        f"{count:,} of {counted(len(texts), 'text')} longer than {MOST_WORDS} words: the first {MOST_WORDS} are read"
        if count
        else ""
    )


def unread(vocabulary: Vocabulary | WordPieces, text: str) -> str:
    """What a model does not read of a text: all of it where it has no word, else the words that training never saw; or ""."""
    if not vocabulary.ids(text):
        return f"no word in the text {drawable(text, 80)!r}: the picture alone is the query"
    words = [drawable(word, 80) for word in vocabulary.unknown(text)]
    return f"words that the model does not know: {first_names(words, 10)}" if words else ""


def join(texts: Sequence[str]) -> str:
    """The captions of one query as one text, in the order given."""
    return f" {JOINER} ".join(texts)


def for_people(text: str) -> str:
    """A query's text as it is shown and typed: captions joined by plus signs."""
    return text.replace(f" {JOINER} ", " + ")


def from_people(text: str) -> str:
    """Inverse of `for_people`."""
    return text.replace(" + ", f" {JOINER} ")


class TextBatch(NamedTuple):
    """Padded captions: ids (B, T) int64 and mask (B, T) bool, true at words. An empty caption is a row of padding."""

    ids: Tensor
    mask: Tensor

    def to(self, device: torch.device | str) -> TextBatch:
        return TextBatch(self.ids.to(device), self.mask.to(device))


@dataclass(frozen=True)
class Vocabulary:
    """The words of the training texts, commonest first; id 0 is the unknown word. Saved with every run.

    A vocabulary of ASCII words alone reads ASCII alone (`ascii_words`): so do the runs that were trained before the lab read
    other scripts, and the same text always has the ids that training gave it.
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self._ids) != len(self.words):
            twice = [word for word, n in Counter(self.words).items() if n > 1]
            raise DataError(f"Vocabulary: every word once; found more than once: {', '.join(twice[:5])}")

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: i + 1 for i, word in enumerate(self.words)}

    @classmethod
    def build(cls, texts: Iterable[str]) -> Vocabulary:
        """From training texts; words of equal frequency in alphabetical order, so the order of the texts does not matter."""
        counts = Counter(word for text in texts for word in tokenize(text))
        counts[JOINER] += 0
        return cls(tuple(sorted(counts, key=lambda word: (-counts[word], word))))

    def __len__(self) -> int:
        """Number of ids, the unknown word's included."""
        return len(self.words) + 1

    @cached_property
    def _split(self) -> Callable[[str], list[str]]:
        return ascii_words if all(word.isascii() for word in self.words) else tokenize

    def tokens(self, text: str) -> list[str]:
        """The words of `text` that are read."""
        return self._split(text)

    def ids(self, text: str) -> list[int]:
        """One id per token of `text`; `UNKNOWN` for words that training never saw."""
        return [self._ids.get(word, UNKNOWN) for word in self._split(text)]

    def unknown(self, text: str) -> tuple[str, ...]:
        """Words of a text that training never saw, each once; also those that are not read, of scripts it never saw."""
        words = dict.fromkeys([*self._split(text), *(word for word in tokenize(text) if not ascii_words(word))])
        return tuple(word for word in words if word not in self._ids)

    def batch(self, texts: Sequence[str]) -> TextBatch:
        """Captions -> padded ids (B, T). T is at least 1, so a batch of empty captions is one column of padding."""
        return pad([self.ids(text) for text in texts])

    def save(self, path: Path) -> None:
        write_text(Path(path), json.dumps({"unknown": UNKNOWN, "words": list(self.words)}, indent=0) + "\n")

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Raises DataError when the file is missing or is not a vocabulary that `save` wrote."""
        try:
            words = json.loads(Path(path).read_text(encoding="utf-8"))["words"]
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise ValueError("words is not a list of texts")
            return cls(tuple(words))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{path}: expected a vocabulary saved with a run, found {error!r}") from error


# Dimensions that a BERT's config.json has to name -> the largest.
_NETWORK = {
    "vocab_size": 10**6,
    "hidden_size": 16_384,
    "num_hidden_layers": 200,
    "num_attention_heads": 256,
    "intermediate_size": 65_536,
    "max_position_embeddings": 65_536,
    "type_vocab_size": 1000,
}


@dataclass(frozen=True)
class WordPieces:
    """BERT's word pieces, in the order of their ids, and the dimensions of its network; used instead of a `Vocabulary`.

    Every word is made of pieces, so unknown words are rare; [PAD] has id 0. BERT's own tokenizer splits a text (lower case,
    accents removed, punctuation separate), not the lab's.
    """

    pieces: tuple[str, ...]
    network: dict[str, Any]

    def __post_init__(self) -> None:
        if not self.pieces or self.pieces[0] != "[PAD]" or not {"[UNK]", "[CLS]", "[SEP]"} <= set(self.pieces):
            raise DataError("WordPieces: expected BERT's pieces, [PAD] first; [UNK], [CLS] and [SEP] among them")
        if len(set(self.pieces)) < len(self.pieces):
            twice = [piece for piece, n in Counter(self.pieces).items() if n > 1]
            raise DataError(
                f"WordPieces: every piece once; found more than once: {first_names([drawable(p, 80) for p in twice])}"
            )
        for name, most in _NETWORK.items():
            value = self.network.get(name)
            if type(value) is not int or not 1 <= value <= most:
                raise DataError(f"WordPieces: expected {name} from 1 to {most:,}, found {drawable(repr(value), 80)}")
        eps = self.network.get("layer_norm_eps", 1)
        if not isinstance(eps, int | float) or not 0 < eps <= 1:
            raise DataError(f"WordPieces: expected layer_norm_eps above 0 and at most 1, found {drawable(repr(eps), 80)}")
        if self.network["vocab_size"] < len(self.pieces):
            raise DataError(
                f"WordPieces: {len(self.pieces):,} pieces, but a network of vocab_size {self.network['vocab_size']:,}"
            )

    @cached_property
    def _splitter(self) -> Any:
        from tokenizers import BertWordPieceTokenizer

        return BertWordPieceTokenizer({piece: i for i, piece in enumerate(self.pieces)}, lowercase=True)

    @property
    def words(self) -> tuple[str, ...]:
        """The pieces with an id from 1, as `Vocabulary.words`."""
        return self.pieces[1:]

    def __len__(self) -> int:
        return len(self.pieces)

    def ids(self, text: str) -> list[int]:
        """One id per piece of `text`, with no special tokens around them."""
        return self._splitter.encode(text, add_special_tokens=False).ids[:MOST_WORDS]

    def unknown(self, text: str) -> tuple[str, ...]:
        """Always empty: any word can be made of pieces, except in scripts that BERT does not know."""
        return ()

    def batch(self, texts: Sequence[str]) -> TextBatch:
        """As `Vocabulary.batch`."""
        return pad([self.ids(text) for text in texts])

    def save(self, path: Path) -> None:
        write_text(Path(path), json.dumps({"pieces": list(self.pieces), "network": self.network}, indent=0) + "\n")


def load_vocabulary(path: Path) -> Vocabulary | WordPieces:
    """The `Vocabulary` or `WordPieces` saved with a run. Raises DataError for any other file."""
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
        if isinstance(raw, dict) and "pieces" in raw:
            return WordPieces(tuple(raw["pieces"]), dict(raw["network"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: expected a vocabulary saved with a run, found {error!r}") from error
    return Vocabulary.load(path)


def pad(rows: Sequence[Sequence[int]]) -> TextBatch:
    """Rows of ids -> TextBatch, padded on the right with UNKNOWN; the mask is false there."""
    longest = max([len(row) for row in rows] + [1])
    ids = torch.full((len(rows), longest), UNKNOWN, dtype=torch.int64)
    mask = torch.zeros((len(rows), longest), dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.int64)
        mask[i, : len(row)] = True
    return TextBatch(ids, mask)
