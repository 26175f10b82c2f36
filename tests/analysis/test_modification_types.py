"""Taxonomies of modification types as text and back."""

from __future__ import annotations

import json

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
from maaf_lab.paper.printed import paper_table


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


def test_modification_types_by_keyword():
    texts = ["Is plaid blue and black.", "longer sleeves", "is a T-shirt", "more elegant", "V-neck"]
    found = holds(texts, MODIFICATION_TYPES)
    assert [tuple(name for name in MODIFICATION_TYPES if found[name][n]) for n in range(len(texts))] == [
        ("color", "texture"),
        ("shape", "parts"),
        ("type",),
        (),
        ("shape",),
    ]
    assert has_modification_type(texts, "color").tolist() == [True, False, False, False, False]
    assert has_modification_type(texts, "all").all()
    with pytest.raises(ConfigError, match="expected all, color, texture, shape, parts, type; found 'colour'"):
        has_modification_type(texts, "colour")


def test_subset_sizes_are_close_to_the_papers(published):
    """Within 5% of the row N of Table S4, on the published val captions."""
    captions = published("fashion_iq", "captions")
    texts = [
        " ".join(entry["captions"])
        for name in ("dress", "shirt", "toptee")
        for entry in json.loads((captions / f"cap.{name}.val.json").read_text())
    ]
    printed = paper_table("S4").query("row == 'N'").set_index("column")["value"]
    counts = {kind: int(has_modification_type(texts, kind).sum()) for kind in ("all", *MODIFICATION_TYPES)}
    assert counts == {"all": 6016, "color": 5096, "texture": 1490, "shape": 2971, "parts": 3005, "type": 309}
    for kind, count in counts.items():
        assert count == pytest.approx(printed[kind], rel=0.05), kind
