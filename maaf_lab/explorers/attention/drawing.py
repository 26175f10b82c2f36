"""The attention explorer as one drawing: words, heat maps over the picture, a thumbnail of every head. Same state, same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from maaf_lab.data.text import JOINER
from maaf_lab.data.transforms import GRAY
from maaf_lab.explorers.attention.paint import PATCHES, Paint
from maaf_lab.explorers.attention.state import AttentionState
from maaf_lab.explorers.page.html import page
from maaf_lab.explorers.page.svg import (
    BLUE,
    CARD,
    GREEN,
    ORANGE,
    dashed_box,
    document,
    frame,
    label,
    lines,
    outline,
    picture,
    press,
    scale_bar,
    tag,
    text_width,
)
from maaf_lab.utils.wording import drawable, rank_name

WIDTH = 1000


def attention_svg(state: AttentionState) -> str:
    """The whole explorer at its selection, 1,000 px wide."""
    painted, data = state.painted(), state.data
    top, parts = _words(state, painted)
    comparing = state.selection["compare"] != "off"
    panels = [(s, g) for s in range(2 if comparing else 1) for g in range(len(data["grids"]))]
    right = _heads(state, painted, 694, top)
    left_bottom, left = _pictures(state, top)
    middle_bottom, middle = _panels(state, painted, panels, 170, top + 34, 500)
    parts += [_switches(data, painted, 170, top), *left, *middle, *right[1]]
    bottom = max(left_bottom, middle_bottom, right[0])
    text, bottom = lines(0, bottom + 6, state.caption, WIDTH, 11, kind="soft")
    inside = tag("g", "".join([*parts, text]), transform="translate(10 10)")
    return document(WIDTH + 20, round(bottom + 18), [inside], describe_attention(state))


def describe_attention(state: AttentionState) -> str:
    """What is shown, in words: the drawing's text alternative and the explorer's repr."""
    painted, selection = state.painted(), state.selection
    text = " ".join("+" if word == JOINER else word for word in state.seen[0].words)
    parts = [f"Attention of “{drawable(text)}” on the {state.picture_name}"]
    for s in range(2 if selection["compare"] != "off" else 1):
        parts.append(f"{painted[f'r{s}']['text']}; {painted[f't{s}']['text']}")
        if painted[f"q{s}"]["text"]:
            parts.append(painted[f"q{s}"]["text"])
    if state.seen[0].rank is not None:
        parts.append(f"target {rank_name(state.seen[0].rank)}" + ("" if state.rank_off is None else f", {_off_name(state)}"))
    return "; ".join(parts)


def _off_name(state: AttentionState) -> str:
    names = ", ".join(f"{state.seen[0].operations[b]} head {h + 1}" for b, h in state.off)
    return f"without {names}: {rank_name(state.rank_off or 0)}"


def _attributes(painted: Paint, name: str) -> dict[str, Any]:
    """Attributes of an element that `paint` decides."""
    return {"id": name, **{key.replace("-", "_"): value for key, value in painted[name].items() if key != "text"}}


def _words(state: AttentionState, painted: Paint) -> tuple[float, list[str]]:
    record = state.data["records"][0]
    x, y, made = (
        0.0,
        14.0,
        [
            label(
                0, 8, "Words: hover, click or use the arrow keys. Below each, the picked one's attention to it.", 11, kind="soft"
            )
        ],
    )
    for i in [PATCHES, *range(len(record["words"]))]:
        word = "all patches" if i == PATCHES else "+" if record["words"][i] == JOINER else record["words"][i]
        width = max(text_width(word, 14) + 18, 52)
        if x + width > WIDTH:
            x, y = 0.0, y + 56
        shape = tag(
            "rect",
            x=round(x + 2, 2),
            y=y,
            width=round(width - 4, 2),
            height=48,
            rx=6,
            fill=CARD,
            class_="card",
            **_attributes(painted, f"w{i}"),
        )
        inside = shape + label(round(x + width / 2, 2), y + 18, word, 14, anchor="middle", kind="ink" if i != PATCHES else "soft")
        if i != PATCHES:
            inside += tag(
                "rect", x=round(x + 7, 2), y=y + 24, width=round(width - 14, 2), height=7, **_attributes(painted, f"b{i}")
            )
            inside += label(
                round(x + width / 2, 2), y + 43, painted[f"n{i}"]["text"], 11, kind="soft", anchor="middle", id=f"n{i}"
            )
        else:
            inside += label(round(x + width / 2, 2), y + 38, "mean", 11, kind="soft", anchor="middle")
        given = _attributes(painted, f"g{i}")
        given.setdefault("aria_label", "mean over all patches")
        made.append(press(inside, data_token="patches" if i == PATCHES else record["first"] + i, group="words", **given))
        x += width
    return y + 62, made


def _switches(data: Mapping[str, Any], painted: Paint, x: float, y: float) -> str:
    names = {"off": "one", "word": "two words", "head": "two heads", "model": "two models"}
    made, left = label(x, y + 15, "show", 11, kind="soft"), x + 34
    for kind in data["compares"]:
        one, left = _switch(painted, f"v-{kind}", names[kind], left, y, "compare", kind)
        made += one
    return made


def _switch(painted: Paint, name: str, words: str, x: float, y: float, what: str, value: str) -> tuple[str, float]:
    width = text_width(words, 12) + 16
    return _tab(painted, name, f"{name}-r", words, x, y, width, what, value), x + width + 5


def _tab(
    painted: Paint,
    name: str,
    edge: str,
    words: str,
    x: float,
    y: float,
    width: float,
    what: str,
    value: object,
    text: str | None = None,
) -> str:
    """One of several to pick from. name, edge, text: ids of the whole, of its background and, where it changes, of its text."""
    background = tag(
        "rect", x=round(x, 2), y=y, width=round(width, 2), height=22, rx=6, fill=CARD, class_="card", **_attributes(painted, edge)
    )
    inside = background + label(round(x + width / 2, 2), y + 15.5, words, 12, anchor="middle", id=text)
    return press(inside, alt=words, group=what, data_set=what, data_value=value, **_attributes(painted, name))


def _pictures(state: AttentionState, top: float) -> tuple[float, list[str]]:
    made = [picture(0, top, 150, state.picture, state.picture_name), label(0, top + 165, state.picture_name, 12)]
    bottom = top + 170
    if state.target is not None:
        made.append(picture(0, top + 182, 150, state.target, "target"))
        made.append(frame(1.5, top + 183.5, 147, 147, GREEN, 3))
        rank = state.seen[0].rank
        caption = "target" if rank is None else f"target: {rank_name(rank)}"
        if rank and state.candidates:
            caption += f" of {state.candidates:,}"
        made.append(label(0, top + 347, caption, 12, weight="bold"))
        bottom = top + 352
        if state.rank_off is not None:
            more, bottom = lines(0, bottom, _off_name(state), 150, 12, kind=ORANGE)
            made.append(more)
    if state.note:
        more, bottom = lines(0, bottom + 4, state.note, 155, 11, kind="soft")
        made.append(more)
    return bottom, made


def _panels(
    state: AttentionState, painted: Paint, panels: Sequence[tuple[int, int]], x: float, y: float, width: float
) -> tuple[float, list[str]]:
    across = 1 if len(panels) == 1 else 2
    side = 440.0 if across == 1 else (width - 12) / 2
    gray = np.repeat((state.picture @ np.array(GRAY))[:, :, None].round().astype(np.uint8), 3, 2)
    made, bottom = [], y
    for n, (s, g) in enumerate(panels):
        left, head = x + (n % across) * (side + 12), y + (n // across) * (side + 30)
        grid = state.data["grids"][g]
        step = side / grid["side"]
        title = label(left, head + 13, painted[f"p{s}-{g}"]["text"], 12 if across == 1 else 11, id=f"p{s}-{g}")
        if state.selection["compare"] != "off":
            title = tag(
                "g",
                title
                + tag(
                    "rect",
                    x=left - 3,
                    y=head,
                    width=side + 6,
                    height=18,
                    fill="none",
                    rx=4,
                    stroke=(ORANGE, BLUE)[s],
                    pointer_events="all",
                    **_attributes(painted, f"a{s}") if g == 0 else {"stroke_width": 0},
                ),
                class_="press",
                role="button",
                tabindex=0,
                data_set="active",
                data_value=s,
                data_group="active",
                aria_label=f"change side {s + 1}",
            )
        under = picture(round(left, 2), head + 20, round(side, 2), gray, f"{state.picture_name} in gray")
        cells = []
        for i in range(grid["side"] ** 2):
            r, c = divmod(i, grid["side"])
            given = _attributes(painted, f"c{s}-{g}-{i}")
            cells.append(
                tag(
                    "rect",
                    x=round(left + c * step, 2),
                    y=round(head + 20 + r * step, 2),
                    width=round(step, 2),
                    height=round(step, 2),
                    class_="cell",
                    role="button",
                    tabindex=0 if i == 0 else -1,
                    data_cell=f"{s},{g},{i}",
                    **given,
                )
            )
        boxes = "".join(
            dashed_box(left + side * b[0], head + 20 + side * b[1], side * (b[2] - b[0]), side * (b[3] - b[1]))
            for b in state.boxes
        )
        made += [title, under, tag("g", "".join(cells), fill_opacity=0.78, data_columns=grid["side"]), boxes]
        bottom = max(bottom, head + 20 + side)
    y = bottom + 22
    for s in range(2 if state.selection["compare"] != "off" else 1):
        left = x + s * 256
        made.append(
            _two_scales(
                painted, left, y, 236, f"l{s}", f"m{s}", f"d{s}", f"e{s}", "attention to a patch" if not s else "other side"
            )
        )
    y += 26
    for s in range(2 if state.selection["compare"] != "off" else 1):
        kind = "ink" if state.selection["compare"] == "off" else (ORANGE, BLUE)[s]
        for name in (f"q{s}", f"r{s}", f"t{s}"):
            size = 12 if name[0] == "q" else 11
            made.append(
                label(x, y + 12, painted[name]["text"], size, kind=kind, id=name, weight="bold" if name[0] == "q" else None)
            )
            y += 16
    return y + 2, made


def _two_scales(
    painted: Paint, x: float, y: float, width: float, low: str, high: str, plain: str, signed: str, title: str
) -> str:
    """The sequential scale and the diverging one, of which only one is visible; they share the numbers at their ends."""
    made = ""
    for name, diverging in ((plain, False), (signed, True)):
        bar = scale_bar(x, y, width, diverging, (None, None), ("", ""), title)
        made += tag("g", bar, **_attributes(painted, name))
    ends = label(x, y + 22, painted[low]["text"], 11, kind="soft", id=low)
    return made + ends + label(x + width, y + 22, painted[high]["text"], 11, kind="soft", anchor="end", id=high)


def _heads(state: AttentionState, painted: Paint, x: float, y: float) -> tuple[float, list[str]]:
    data, width = state.data, WIDTH - x
    made, left = [], x
    for b in range(data["blocks"]):
        words = painted.get(f"kt{b}", {}).get("text") or f"block {b + 1}"
        wide = max(text_width(record["operations"][b], 12) for record in data["records"] if b < len(record["operations"])) + 16
        if left + wide > WIDTH:
            left, y = x, y + 27
        made.append(_tab(painted, f"k{b}", f"kr{b}", words, left, y, wide, "block", b, f"kt{b}"))
        left += wide + 5
    y += 32
    made.append(label(x, y + 10, painted["ht"]["text"], 11, kind="soft", id="ht"))
    y += 18
    count = data["heads"] + 1
    across = 3 if count <= 9 else 5
    size = (width - (across - 1) * 10) / across
    grid = max((record["grids"][0] for record in data["records"]), key=lambda g: g["side"])
    step = size / grid["side"]
    with_ranks = any(record["off"] is not None for record in data["records"])
    tall = size + (33 if with_ranks else 19)
    for h in range(count):
        left, head = x + (h % across) * (size + 10), y + (h // across) * tall
        cells = "".join(
            tag(
                "rect",
                x=round(left + i % grid["side"] * step, 2),
                y=round(head + i // grid["side"] * step, 2),
                width=round(step + 0.3, 2),
                height=round(step + 0.3, 2),
                **(_attributes(painted, f"h{h}-{i}") if f"h{h}-{i}" in painted else {"id": f"h{h}-{i}"}),
            )
            for i in range(grid["side"] ** 2)
        )
        name = "mean" if h == 0 else f"head {h}"
        inside = cells + outline(left, head, size, **_attributes(painted, f"o{h}"))
        inside += label(round(left, 2), round(head + size + 13, 2), name, 11)
        inside += label(
            round(left + size, 2),
            round(head + size + 13, 2),
            painted.get(f"y{h}", {}).get("text", ""),
            10,
            kind="soft",
            anchor="end",
            id=f"y{h}",
        )
        if with_ranks and h:
            inside += label(
                round(left, 2), round(head + size + 26, 2), painted.get(f"x{h}", {}).get("text", ""), 10, kind="soft", id=f"x{h}"
            )
        made.append(
            press(
                inside,
                alt="mean of heads" if h == 0 else f"head {h}",
                data_set="head",
                data_value=h,
                group="heads",
                data_columns=across,
                **_attributes(painted, f"h{h}"),
            )
        )
    y += -(-count // across) * tall + 10
    left = x
    for kind, words in (("patches", "mean over patches"), ("token", "the picked token")):
        one, left = _switch(painted, f"u-{kind}", words, left, y, "thumbs", kind)
        made.append(one)
    y += 46
    made.append(_two_scales(painted, x, y, width, "hl", "hm", "hd", "he", "attention to a patch, each head on its own scale"))
    y += 30
    if with_ranks:
        text, y = lines(
            x,
            y,
            "off: the target's rank when this head is turned off in the query (the gallery keeps its vectors)",
            width,
            10,
            kind="soft",
        )
        made.append(text)
    return y, made


def attention_page(state: AttentionState) -> str:
    """The explorer as an HTML file: hovering, words, heads, blocks and comparisons work without a kernel."""
    frames = {
        f"compare:{kind}": attention_svg(replace(state, selection=state.comparing(kind)))
        for kind in state.data["compares"]
        if kind in ("off", "word")
    }
    for kind in ("head", "model"):
        frames[f"compare:{kind}"] = frames["compare:word"]  # the same layout
    summary = describe_attention(state)
    return page("Attention", attention_svg(state), summary, data=state.data, selection=state.selection, frames=frames)
