"""What a selection shows: numbers, colors and words of the attention explorer, as attributes of the drawing's elements.

`paint` in `explorer.js` does the same for a page without a kernel: it computes numbers and colors itself, and gets every name
and sentence (`TEXTS`) from here. Tests compare the two, attribute by attribute.
Shapes: N tokens (image tokens of every grid, then words), H heads.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maaf_lab.explorers.page.svg import BLUE, LINE, ORANGE, palette

Paint = dict[str, dict[str, str]]  # element -> attribute -> value; "text" is its text
PATCHES, ALL_PATCHES = -1, "all patches"  # instead of a token: the mean over all image tokens; the last of a record's names
SIDES = (ORANGE, BLUE)
LEVELS = 65535

# Every sentence that depends on the selection. The page gets the same templates.
TEXTS = {
    "cell": "{cell}: {number}",
    "no cell": "{cell}: none",
    "panel": "{token} · {head} · {grid}",
    "word": "{word}, {number}",
    "shares": "{token}, {head}, {operation}: {image} on the picture, {words} on words",
    "scores": "{token}, {head}, {operation}: signed scores, not shares",
    "most": "most at {token} ({number})",
    "looks at": "{token} looks at what it names: {ratio} × the attention of the rest",
    "looks past": "{token} looks past what it names: {ratio} × the attention of the rest",
    "heads": "each head: {token} → {grid}",
    "head's largest": "its largest, at its corner",
    "least share": "0%",
    "least score": "less",
}


def packed(weights: np.ndarray) -> dict[str, Any]:
    """(operations, H, N, N) -> what a page carries: 16-bit numbers, with the smallest and the largest weight of each head."""
    weights = weights.astype(np.float64)
    low, high = weights.min((-2, -1)), weights.max((-2, -1))
    span = np.where(high > low, high - low, 1.0)
    levels = np.floor((weights - low[..., None, None]) / span[..., None, None] * LEVELS + 0.5).astype("<u2")
    return {
        "shape": list(weights.shape),
        "low": low.tolist(),
        "high": high.tolist(),
        "levels": base64.b64encode(levels.tobytes()).decode(),
    }


def unpacked(pack: Mapping[str, Any]) -> np.ndarray:
    """The weights that a page shows, float64: off by at most 1/131,070 of the head's range."""
    levels = np.frombuffer(base64.b64decode(pack["levels"]), "<u2").reshape(pack["shape"]).astype(np.float64)
    low, high = (np.array(pack[key])[..., None, None] for key in ("low", "high"))
    return low + levels * (high - low) / LEVELS


def one_row(record: Mapping[str, Any], weights: np.ndarray, side: Mapping[str, int]) -> np.ndarray:
    """(N,) a token's attention to every token, in a block and a head (0: mean over heads). PATCHES: mean over image tokens."""
    part = weights[side["block"]]
    part = part.mean(0) if side["head"] == 0 else part[side["head"] - 1]
    return part[: record["first"]].mean(0) if side["token"] == PATCHES else part[side["token"]]


def number(value: float, signed: bool) -> str:
    """A weight as shown: percent of softmax attention, or a score with its sign."""
    if not signed:
        return f"{math.floor(value * 1000 + 0.5) / 10:.1f}%"
    return ("−" if value < 0 else "+") + f"{math.floor(abs(value) * 100 + 0.5) / 100:.2f}"


def color(value: float, reach: float, signed: bool) -> str:
    share = value / reach if reach > 0 else 0.0
    level = math.floor(127.5 + 127.5 * share + 0.5) if signed else math.floor(255 * share + 0.5)
    return palette(signed)[min(max(level, 0), 255)]


def token_names(grids: Sequence[Mapping[str, Any]], words: Sequence[str]) -> list[str]:
    """The name shown for each token: 7x7 patch 2,5 and “red”. The last one is that of `PATCHES`."""
    patches = [f"{grid['name']} patch {r + 1},{c + 1}" for grid in grids for r, c in np.ndindex(grid["side"], grid["side"])]
    return [*patches, *(f"“{word}”" for word in words), ALL_PATCHES]


def cell_names(grid: str, side: int) -> list[str]:
    """The name shown for each cell of a heat map."""
    return [f"{grid} row {r + 1}, column {c + 1}" for r, c in np.ndindex(side, side)]


def head_name(head: int) -> str:
    return f"head {head}" if head else "mean of heads"


def paint(data: Mapping[str, Any], weights: list[np.ndarray], selection: Mapping[str, Any]) -> Paint:
    """Every attribute that the selection decides. data: `state.page_data`; weights: `unpacked`, one per record."""
    made: Paint = {}
    for s, side in enumerate(selection["sides"]):
        shown = s == 0 or selection["compare"] != "off"
        record = data["records"][side["record"]]
        row, first, signed = one_row(record, weights[side["record"]], side), record["first"], record["signed"]
        reach = float(np.abs(row[:first]).max())
        for g, grid in enumerate(data["grids"]):
            there = next((x for x in record["grids"] if x["name"] == grid["name"]), None)
            for i, cell in enumerate(grid["cells"]):
                value = float(row[there["start"] + i]) if there else 0.0
                made[f"c{s}-{g}-{i}"] = {
                    "fill": color(value, reach, signed) if there else LINE,
                    "aria-label": TEXTS["cell" if there else "no cell"].format(cell=cell, number=number(value, signed)),
                }
            made[f"p{s}-{g}"] = {"text": TEXTS["panel"].format(**names(data, side), grid=grid["name"])}
        made[f"l{s}"] = {"text": number(-reach if signed else 0.0, signed)}
        made[f"m{s}"] = {"text": number(reach, signed)}
        made[f"d{s}"] = {"display": "none" if signed else "inline"}
        made[f"e{s}"] = {"display": "inline" if signed else "none"}
        made[f"r{s}"] = {"text": readout(data, row, side) if shown else ""}
        made[f"t{s}"] = {"text": strongest(record, row) if shown else ""}
        made[f"q{s}"] = {"text": referent(record, row, side) if shown else ""}
        made[f"a{s}"] = {"stroke-width": "3" if selection["active"] == s and shown else "0"}
    _paint_active(data, weights, selection, made)
    return made


def _paint_active(data: Mapping[str, Any], weights: list[np.ndarray], selection: Mapping[str, Any], made: Paint) -> None:
    """Words, heads and blocks, which show the active side."""
    side = selection["sides"][selection["active"]]
    record, all_weights = data["records"][side["record"]], weights[side["record"]]
    row, first, signed = one_row(record, all_weights, side), record["first"], record["signed"]
    heads, blocks = all_weights.shape[1], all_weights.shape[0]
    reach = float(np.abs(row[first:]).max()) if len(row) > first else 0.0
    picks = [x["token"] for x in selection["sides"][: 1 if selection["compare"] == "off" else 2]]
    for i in [PATCHES, *range(len(record["words"]))]:
        token = i if i == PATCHES else first + i
        stroke = next((SIDES[s] for s, pick in enumerate(picks) if pick == token), LINE)
        made[f"w{i}"] = {"stroke": stroke, "stroke-width": "1" if stroke == LINE else "3"}
        made[f"g{i}"] = {"aria-checked": "true" if side["token"] == token else "false"}
        if i != PATCHES:
            value = float(row[token])
            made[f"b{i}"] = {"fill": color(value, reach, signed)}
            made[f"n{i}"] = {"text": number(value, signed)}
            made[f"g{i}"]["aria-label"] = TEXTS["word"].format(word=record["words"][i], number=number(value, signed))
    thumbs, token = data["records"][side["record"]]["grids"][0], side["token"] if selection["thumbs"] == "token" else PATCHES
    rows = [one_row(record, all_weights, {"block": side["block"], "head": h, "token": token}) for h in range(heads + 1)]
    parts = [r[thumbs["start"] : thumbs["start"] + thumbs["side"] ** 2] for r in rows]
    for h in range(data["heads"] + 1):
        on = side["head"] == h
        made[f"h{h}"] = {"display": "inline" if h <= heads else "none", "aria-checked": "true" if on else "false"}
        made[f"o{h}"] = {"stroke": SIDES[selection["active"]] if on else LINE, "stroke-width": "4" if on else "1"}
        if h <= heads:
            reach = float(np.abs(parts[h]).max())
            made[f"y{h}"] = {"text": number(reach, False) if not signed else f"{math.floor(reach * 100 + 0.5) / 100:.2f}"}
            for i, value in enumerate(parts[h].tolist()):
                made[f"h{h}-{i}"] = {"fill": color(value, reach, signed)}
            if h:
                made[f"x{h}"] = {"text": record["off"][side["block"]][h - 1] if record["off"] else ""}
    made["hm"] = {"text": TEXTS["head's largest"]}
    made["hl"] = {"text": TEXTS["least score" if signed else "least share"]}
    made["hd"] = {"display": "none" if signed else "inline"}
    made["he"] = {"display": "inline" if signed else "none"}
    made["ht"] = {"text": TEXTS["heads"].format(token=record["names"][token], grid=thumbs["name"])}
    for b in range(data["blocks"]):
        on = side["block"] == b
        made[f"k{b}"] = {"display": "inline" if b < blocks else "none", "aria-checked": "true" if on else "false"}
        made[f"kr{b}"] = {"stroke": SIDES[selection["active"]] if on else LINE, "stroke-width": "3" if on else "1"}
        if b < blocks:
            made[f"kt{b}"] = {"text": record["operations"][b]}
    for kind in data["compares"]:
        _switch(made, f"v-{kind}", selection["compare"] == kind)
    for kind in ("patches", "token"):
        _switch(made, f"u-{kind}", selection["thumbs"] == kind)


def _switch(made: Paint, name: str, on: bool) -> None:
    made[name] = {"aria-checked": "true" if on else "false"}
    made[f"{name}-r"] = {"stroke": ORANGE if on else LINE, "stroke-width": "3" if on else "1"}


def names(data: Mapping[str, Any], side: Mapping[str, int]) -> dict[str, str]:
    """What a side shows: its token, head and operation, by name."""
    record = data["records"][side["record"]]
    return {
        "token": record["names"][side["token"]],
        "head": data["head_names"][side["head"]],
        "operation": record["operations"][side["block"]],
    }


def readout(data: Mapping[str, Any], row: np.ndarray, side: Mapping[str, int]) -> str:
    """Which attention is shown, and how much of it goes to the picture."""
    record = data["records"][side["record"]]
    if record["signed"]:
        return TEXTS["scores"].format(**names(data, side))
    image, words = (number(float(part.sum()), False) for part in np.split(row, [record["first"]]))
    return TEXTS["shares"].format(**names(data, side), image=image, words=words)


def strongest(record: Mapping[str, Any], row: np.ndarray) -> str:
    """The patch that gets most attention."""
    image = row[: record["first"]]
    most = int(np.abs(image).argmax())
    return TEXTS["most"].format(token=record["names"][most], number=number(float(image[most]), record["signed"]))


def referent(record: Mapping[str, Any], row: np.ndarray, side: Mapping[str, int]) -> str:
    """Does the word look at what it names? Its attention there against that elsewhere, in words; "" where unknown."""
    share = looks_at(record, row, side)
    if share is None:
        return ""
    text = TEXTS["looks past" if share < 1 else "looks at"]
    return text.format(token=record["names"][side["token"]], ratio=f"{math.floor(share * 100 + 0.5) / 100:.2f}")


def looks_at(record: Mapping[str, Any], row: np.ndarray, side: Mapping[str, int]) -> float | None:
    """Mean attention on what a word names over mean attention elsewhere, in the coarsest grid; None where that is unknown."""
    cover = record["referents"].get(str(side["token"]))
    if cover is None or record["signed"]:
        return None
    grid = record["grids"][0]
    part, cover = row[grid["start"] : grid["start"] + grid["side"] ** 2], np.array(cover)
    inside, outside = float((part * cover).sum() / cover.sum()), float((part * (1 - cover)).sum() / (1 - cover).sum())
    return inside / outside if outside > 0 else None
