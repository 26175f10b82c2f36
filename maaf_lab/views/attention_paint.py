"""What a selection shows: numbers, colours and words of the attention explorer, as attributes of the drawing's elements.

`explorer.js` holds the same functions for a page without a kernel; a browser test compares the two, attribute by attribute.
Shapes: N tokens (image tokens of every grid, then words), H heads.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from maaf_lab.views.svg import BLUE, LINE, ORANGE, palette

Paint = dict[str, dict[str, str]]  # element -> attribute -> value; "text" is its text
PATCHES = -1  # instead of a token: the mean over all image tokens
SIDES = (ORANGE, BLUE)
LEVELS = 65535


def packed(weights: np.ndarray) -> dict[str, Any]:
    """(operations, H, N, N) -> what a page carries: 16-bit numbers, with the least and the largest of each head."""
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
    """The numbers that a page shows: float64, within 1/131,070 of a head's range of the model's."""
    levels = np.frombuffer(base64.b64decode(pack["levels"]), "<u2").reshape(pack["shape"]).astype(np.float64)
    low, high = (np.array(pack[key])[..., None, None] for key in ("low", "high"))
    return low + levels * (high - low) / LEVELS


def one_row(record: Mapping[str, Any], weights: np.ndarray, side: Mapping[str, int]) -> np.ndarray:
    """(N,) what a token gives to every token, in a block and a head (0: mean over heads). PATCHES: mean over image tokens."""
    part = weights[side["block"]]
    part = part.mean(0) if side["head"] == 0 else part[side["head"] - 1]
    return part[: record["first"]].mean(0) if side["token"] == PATCHES else part[side["token"]]


def number(value: float, signed: bool) -> str:
    """A weight for people: percent of softmax attention, or a score with its sign."""
    if not signed:
        return f"{math.floor(value * 1000 + 0.5) / 10:.1f}%"
    return ("−" if value < 0 else "+") + f"{math.floor(abs(value) * 100 + 0.5) / 100:.2f}"


def color(value: float, reach: float, signed: bool) -> str:
    share = value / reach if reach > 0 else 0.0
    level = math.floor(127.5 + 127.5 * share + 0.5) if signed else math.floor(255 * share + 0.5)
    return palette(signed)[min(max(level, 0), 255)]


def token_name(record: Mapping[str, Any], token: int) -> str:
    """For people: “red”, or 7x7 row 2, column 5."""
    if token == PATCHES:
        return "all patches"
    if token >= record["first"]:
        return f"“{record['words'][token - record['first']]}”"
    grid = next(g for g in record["grids"] if token < g["start"] + g["side"] ** 2)
    row, column = divmod(token - grid["start"], grid["side"])
    return f"{grid['name']} patch {row + 1},{column + 1}"


def head_name(head: int) -> str:
    return f"head {head}" if head else "mean of heads"


def paint(data: Mapping[str, Any], weights: list[np.ndarray], selection: Mapping[str, Any]) -> Paint:
    """Every attribute that the selection decides. data: see `attention.page_data`; weights: `unpacked`, a record each."""
    made: Paint = {}
    for s, side in enumerate(selection["sides"]):
        shown = s == 0 or selection["compare"] != "off"
        record = data["records"][side["record"]]
        row, first, signed = one_row(record, weights[side["record"]], side), record["first"], record["signed"]
        reach = float(np.abs(row[:first]).max())
        for g, grid in enumerate(data["grids"]):
            there = next((x for x in record["grids"] if x["name"] == grid["name"]), None)
            for i in range(grid["side"] ** 2):
                value = float(row[there["start"] + i]) if there else 0.0
                r, c = divmod(i, grid["side"])
                made[f"c{s}-{g}-{i}"] = {
                    "fill": color(value, reach, signed) if there else LINE,
                    "aria-label": f"{grid['name']} row {r + 1}, column {c + 1}: {number(value, signed) if there else 'none'}",
                }
            made[f"p{s}-{g}"] = {"text": f"{token_name(record, side['token'])} · {head_name(side['head'])} · {grid['name']}"}
        made[f"l{s}"] = {"text": number(-reach if signed else 0.0, signed)}
        made[f"m{s}"] = {"text": number(reach, signed)}
        made[f"d{s}"] = {"display": "none" if signed else "inline"}
        made[f"e{s}"] = {"display": "inline" if signed else "none"}
        made[f"r{s}"] = {"text": readout(record, row, side) if shown else ""}
        made[f"t{s}"] = {"text": strongest(record, row) if shown else ""}
        made[f"q{s}"] = {"text": referent(record, row, side) if shown else ""}
        made[f"a{s}"] = {"stroke-width": "3" if selection["active"] == s and shown else "0"}
    _paint_active(data, weights, selection, made)
    return made


def _paint_active(data: Mapping[str, Any], weights: list[np.ndarray], selection: Mapping[str, Any], made: Paint) -> None:
    """Words, heads and blocks, which show the side that is being changed."""
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
            made[f"g{i}"]["aria-label"] = f"{record['words'][i]}, {number(value, signed)}"
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
            places = record["places"]
            if h:
                made[f"x{h}"] = {"text": f"off: {place_name(places[side['block']][h - 1])}" if places else ""}
    made["hm"] = {"text": "its largest, at its corner"}
    made["hl"] = {"text": "less" if signed else "0%"}
    made["hd"] = {"display": "none" if signed else "inline"}
    made["he"] = {"display": "inline" if signed else "none"}
    made["ht"] = {"text": f"each head: {token_name(record, token)} → {thumbs['name']}"}
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


def place_name(place: int) -> str:
    """1st, 2nd, 23rd; “no target” for 0."""
    if place == 0:
        return "no target"
    ending = "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place:,}{ending}"


def readout(record: Mapping[str, Any], row: np.ndarray, side: Mapping[str, int]) -> str:
    """What is looked at, and how much of it goes to the picture."""
    first = record["first"]
    who = f"{token_name(record, side['token'])}, {head_name(side['head'])}, {record['operations'][side['block']]}"
    if record["signed"]:
        return f"{who}: signed scores, not shares"
    return f"{who}: {number(float(row[:first].sum()), False)} on the picture, {number(float(row[first:].sum()), False)} on words"


def strongest(record: Mapping[str, Any], row: np.ndarray) -> str:
    """The patch with most of it."""
    image = row[: record["first"]]
    most = int(np.abs(image).argmax())
    return f"most at {token_name(record, most)} ({number(float(image[most]), record['signed'])})"


def referent(record: Mapping[str, Any], row: np.ndarray, side: Mapping[str, int]) -> str:
    """Does the word look at what it names? Attention there against attention elsewhere, a token counted by its share."""
    share = looks_at(record, row, side)
    if share is None:
        return ""
    verdict = "looks past" if share < 1 else "looks at"
    told = f"{math.floor(share * 100 + 0.5) / 100:.2f}"
    return f"{token_name(record, side['token'])} {verdict} what it names: {told} × the attention of the rest"


def looks_at(record: Mapping[str, Any], row: np.ndarray, side: Mapping[str, int]) -> float | None:
    """Mean attention on what a word names over mean attention elsewhere, coarsest grid; None where it names nothing known."""
    cover = record["referents"].get(str(side["token"]))
    if cover is None or record["signed"]:
        return None
    grid = record["grids"][0]
    part, cover = row[grid["start"] : grid["start"] + grid["side"] ** 2], np.array(cover)
    inside, outside = float((part * cover).sum() / cover.sum()), float((part * (1 - cover)).sum() / (1 - cover).sum())
    return inside / outside if outside > 0 else None
