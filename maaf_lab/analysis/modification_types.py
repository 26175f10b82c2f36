"""Which modification types a text is of, by the words of a taxonomy (Table S4; it can be edited in the explorer)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maaf_lab.data.modification_types import MODIFICATION_TYPES, Taxonomy
from maaf_lab.data.text import tokenize
from maaf_lab.errors import ConfigError
from maaf_lab.utils.registry import DATASETS


def has_modification_type(texts: Sequence[str], name: str) -> np.ndarray:
    """(Q,) bool: whether each text holds a keyword of a modification type; "all": every text. ConfigError for an unknown type."""
    if name != "all" and name not in MODIFICATION_TYPES:
        raise ConfigError(f"expected all, {', '.join(MODIFICATION_TYPES)}; found {name!r}")
    return holds(texts, {} if name == "all" else {name: MODIFICATION_TYPES[name]})[name]


def taxonomy(dataset: str) -> Taxonomy:
    """A dataset's own modification types: the paper's five, and for CSS the parts of its sentences."""
    return DATASETS[dataset].modification_types


def taxonomy_text(types: Taxonomy) -> str:
    """A line per type, "color: red blue ...", words in alphabetical order, as `parse_taxonomy` reads it."""
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
