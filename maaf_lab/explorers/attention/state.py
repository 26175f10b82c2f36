"""What the attention explorer shows, as plain data: one query's attention in one model or two, and the selection."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from maaf_lab.explorers.attention.paint import PATCHES, TEXTS, Paint, cell_names, head_name, packed, paint, token_names, unpacked
from maaf_lab.explorers.page.svg import palette
from maaf_lab.utils.wording import rank_name


@dataclass(frozen=True, eq=False)
class Seen:
    """One model's attention for the query; equal only to itself. grids: name -> (start, stop), words follow them.

    weights: (operations, H, N, N). rank: the target's, None where unknown; ranks: (operations, H), with each head turned off.
    referents: word's number -> how much of each token of the coarsest grid is covered by what the word names, (side * side,),
    0 to 1.
    """

    name: str
    weights: np.ndarray
    grids: Mapping[str, tuple[int, int]]
    words: tuple[str, ...]
    signed: bool
    operations: tuple[str, ...]
    rank: int | None = None
    ranks: np.ndarray | None = None
    referents: Mapping[int, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class AttentionState:
    """What is shown. picture, target: uint8 (S, S, 3); seen: one model or two; boxes: (n, 4) x0, y0, x1, y1 of what is named.
    candidates: images that the target is ranked among. off: heads turned off; rank_off: the target's rank without them.

    selection: {"compare": "off" | "word" | "head" | "model", "active": 0 or 1, "thumbs": "patches" | "token",
    "sides": [{"record", "block", "head" (0: mean), "token" (-1: mean over patches)}, ...]}.
    """

    seen: tuple[Seen, ...]
    picture: np.ndarray
    caption: str
    selection: Mapping[str, Any]
    target: np.ndarray | None = None
    picture_name: str = "reference"
    candidates: int = 0
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    note: str = ""
    off: tuple[tuple[int, int], ...] = ()
    rank_off: int | None = None

    @property
    def data(self) -> dict[str, Any]:
        return page_data(self.seen)

    @property
    def weights(self) -> list[np.ndarray]:
        """As a page shows them, one array per record."""
        return page_weights(self.seen)

    def painted(self, selection: Mapping[str, Any] | None = None) -> Paint:
        return paint(self.data, self.weights, selection or self.selection)

    def data_json(self) -> str:
        return json.dumps(self.data, separators=(",", ":"), sort_keys=True)

    def comparing(self, compare: str) -> dict[str, Any]:
        """This selection after the button `compare`, as far as it changes the drawing's layout."""
        return {**self.selection, "compare": compare, "active": 0 if compare == "off" else 1}


@lru_cache(maxsize=4)
def page_data(seen: tuple[Seen, ...]) -> dict[str, Any]:
    """What a page needs to react to hovering without a kernel: plain JSON types, with every name that it may show."""
    records, grids = [], {}
    for one in seen:
        sides = [
            {"name": name, "start": start, "side": round((stop - start) ** 0.5)} for name, (start, stop) in one.grids.items()
        ]
        first = max(stop for _, stop in one.grids.values())
        records.append(
            {
                "name": one.name,
                "grids": sides,
                "first": first,
                "words": list(one.words),
                "names": token_names(sides, one.words),
                "signed": one.signed,
                "operations": list(one.operations),
                "weights": packed(one.weights),
                "off": None if one.ranks is None else [[f"off: {rank_name(int(r))}" for r in row] for row in one.ranks],
                "referents": {
                    str(first + word): np.round(cover, 4).reshape(-1).tolist() for word, cover in one.referents.items()
                },
            }
        )
        for grid in sides:
            name, side = grid["name"], grid["side"]
            grids.setdefault(name, {"name": name, "side": side, "cells": cell_names(name, side)})
    blocks, heads = (max(one.weights.shape[axis] for one in seen) for axis in (0, 1))
    return {
        "kind": "attention",
        "records": records,
        "grids": list(grids.values()),
        "heads": heads,
        "head_names": [head_name(h) for h in range(heads + 1)],
        "blocks": blocks,
        "compares": ["off", "word", "head", *(["model"] if len(records) > 1 else [])],
        "palettes": [palette(False), palette(True)],
        "texts": TEXTS,
    }


@lru_cache(maxsize=4)
def page_weights(seen: tuple[Seen, ...]) -> list[np.ndarray]:
    return [unpacked(record["weights"]) for record in page_data(seen)["records"]]


def start_selection(seen: Sequence[Seen], token: int | None = None) -> dict[str, Any]:
    """The first view: first block, mean over heads, and `token`; by default the first word that names an object, or the last."""
    words, first = len(seen[0].words), max(stop for _, stop in seen[0].grids.values())
    names = min(seen[0].referents, default=words - 1)
    picked = token if token is not None else (first + names if words else PATCHES)
    side = {"record": 0, "block": 0, "head": 0, "token": picked}
    other = {**side, "record": min(1, len(seen) - 1)}
    return {"compare": "off", "active": 0, "thumbs": "patches", "sides": [side, other]}
