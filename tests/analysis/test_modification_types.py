"""Taxonomies of modification types as text and back."""

from __future__ import annotations

import numpy as np
import pytest

from maaf_lab.analysis.modification_types import (
    MODIFICATION_TYPES,
    has_modification_type,
    holds,
    parse_taxonomy,
    taxonomy,
    taxonomy_text,
)
from maaf_lab.errors import ConfigError


def test_a_taxonomy_is_text_and_back():
    for types in (MODIFICATION_TYPES, taxonomy("css")):
        assert parse_taxonomy(taxonomy_text(types)) == dict(types)
    assert parse_taxonomy("neck: V-neck, crewneck\n\n two words : a b\n") == {
        "neck": {"vneck", "crewneck"},
        "two words": {"a", "b"},
    }
    for text, message in (
        ("red", "line 1: expected a type"),
        ("a: b\n: c", "line 2"),
        ("a: b\na: c", "'a' is there already"),
        ("a: ...", "line 1"),
        ("  \n", "at least one line"),
        ("all: x", "'all' is there already"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse_taxonomy(text)
    texts = ["is plaid blue", "longer", "nothing of it"]
    found = holds(texts, MODIFICATION_TYPES)
    assert all(np.array_equal(found[kind], has_modification_type(texts, kind)) for kind in ("all", *MODIFICATION_TYPES))
