"""Which types of modification a text asks for, by the words of a taxonomy (Table S4; people edit it in the explorer)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maaf_lab.data.modification_types import MODIFICATION_TYPES, Taxonomy
from maaf_lab.data.text import tokenize
from maaf_lab.errors import ConfigError
from maaf_lab.utils.registry import DATASETS


def has_modification_type(texts: Sequence[str], kind: str) -> np.ndarray:
    """(Q,) bool: whether each text holds a keyword of the type. "all": every text. Unknown types list the known ones."""
    if kind == "all":
        return np.ones(len(texts), bool)
    if kind not in MODIFICATION_TYPES:
        raise ValueError(f"expected all, {', '.join(MODIFICATION_TYPES)}; found {kind!r}")
    return holds(texts, {kind: MODIFICATION_TYPES[kind]})[kind]


def modification_types_of(text: str) -> tuple[str, ...]:
    """The types whose keywords a text holds, in the order of `MODIFICATION_TYPES`."""
    found = set(tokenize(text))
    return tuple(kind for kind, words in MODIFICATION_TYPES.items() if not words.isdisjoint(found))


def taxonomy(dataset: str) -> Taxonomy:
    """The types of change to start from: the paper's five, and for CSS what its sentences are made of."""
    return DATASETS[dataset].modification_types


def taxonomy_text(types: Taxonomy) -> str:
    """A line a type, "color: red blue ...", words in order of the alphabet; what `parse_taxonomy` reads."""
    return "\n".join(f"{name}: {' '.join(sorted(words))}" for name, words in types.items())


def parse_taxonomy(text: str) -> dict[str, frozenset[str]]:
    """Lines "type: words" -> a taxonomy. Words are read as the tokenizer reads texts, so "v-neck" is "vneck".

    Raises ConfigError naming the line that has no type or no words, or repeats a type; empty lines are passed over.
    """
    types: dict[str, frozenset[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, colon, words = line.partition(":")
        name, tokens = " ".join(name.split()), tokenize(words.replace(",", " "))
        if not colon or not name or not tokens:
            raise ConfigError(f"line {number}: expected a type, a colon and its words (color: red blue), found {line!r}")
        if name in types or name == "all":
            raise ConfigError(f"line {number}: the type {name!r} is there already; give each type one line")
        types[name] = frozenset(tokens)
    if not types:
        raise ConfigError('expected at least one line such as "color: red blue", found none')
    return types


def holds(texts: Sequence[str], types: Taxonomy) -> dict[str, np.ndarray]:
    """type -> (Q,) bool, whether each text holds one of its words; "all" first."""
    known = {text: frozenset(tokenize(text)) for text in set(texts)}
    tokens = [known[text] for text in texts]
    return {"all": np.ones(len(texts), bool)} | {
        name: np.array([not words.isdisjoint(found) for found in tokens], bool) for name, words in types.items()
    }
