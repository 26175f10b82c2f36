"""The modification explorer as one drawing: recall by modification type, queries of the picked type. Same state, same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from maaf_lab.data.text import for_people
from maaf_lab.explorers.page.html import page
from maaf_lab.explorers.page.svg import (
    GREEN,
    LINE,
    action,
    button,
    card,
    document,
    frame,
    label,
    lines,
    picture,
    press,
    shortened,
    tag,
    text_width,
)
from maaf_lab.retrieval.metrics import Estimate
from maaf_lab.utils.wording import drawable, rank_name

WIDTH = 1000


@dataclass(frozen=True)
class QueryLine:
    """A query of the list. ranks: the target's with each model, 0 where the gallery has none; types: its modification types."""

    query: int
    text: str
    source: np.ndarray
    target: np.ndarray | None
    ranks: tuple[int, ...]
    types: tuple[str, ...]


@dataclass(frozen=True)
class ModificationState:
    """recalls: type -> (queries, a recall for each model, gain or None), "all" first; lines: the shown page of queries.

    models: their names; metric: what the bars measure; picked: a type; total: its queries; start: how many come before `lines`.
    """

    models: tuple[str, ...]
    metric: str
    recalls: Mapping[str, tuple[int, tuple[Estimate, ...], Estimate | None]]
    picked: str
    sort: str
    sorts: tuple[str, ...]
    lines: tuple[QueryLine, ...]
    total: int
    start: int
    caption: str
    filtered: str = ""
    opened: int | None = None


def modifications_svg(state: ModificationState, live: bool = True) -> str:
    """The drawing, 1,000 px wide. live: queries can be opened and pages turned, which needs a kernel."""
    parts = [label(0, 12, f"{state.metric} by modification type, percent, 95% intervals{state.filtered}", 14, weight="bold")]
    y, left = 26.0, 190.0
    for n, name in enumerate(state.models):
        parts.append(tag("rect", x=left, y=y + n * 16 - 1, width=11, height=11, fill=_color(n, len(state.models))))
        parts.append(label(left + 17, y + 9 + n * 16, name, 12))
    if len(state.models) > 1:
        parts.append(label(WIDTH - 8, y + 22, "second less first", 11, kind="soft", anchor="end"))
    y += 16 * len(state.models) + 8
    scale = (WIDTH - left - 210) / 100
    tall = 15 * len(state.models) + 11
    start = y
    for name, (count, values, gain) in state.recalls.items():
        parts.append(_bar(state, name, count, values, gain, y, left, scale, tall))
        y += tall
    axis = [
        tag(
            "line",
            x1=round(left + v * scale, 2),
            x2=round(left + v * scale, 2),
            y1=start - 2,
            y2=y - 4,
            stroke=LINE,
            stroke_width=0.6,
            class_="line",
        )
        + label(round(left + v * scale, 2), y + 9, f"{v}", 10, kind="soft", anchor="middle")
        for v in (0, 25, 50, 75, 100)
    ]
    parts = [*parts[:1], *axis, *parts[1:]]
    y += 24
    shown = f"{state.start + 1:,} to {state.start + len(state.lines):,} of {state.total:,}" if state.lines else "none"
    parts.append(label(0, y + 14, f"Queries of “{state.picked}”: {shown}", 14, weight="bold"))
    x = WIDTH - sum(text_width(s, 12) + 23 for s in state.sorts) - (70 if live else 0)
    for sort in state.sorts:
        one, wide = button(round(x, 2), y, sort, act="sort", value=sort, on=sort == state.sort)
        parts.append(one)
        x += wide + 5
    if live:
        for arrow, value, alt in (("◀", "back", "queries before"), ("▶", "on", "queries after")):
            one, wide = button(round(x, 2), y, arrow, act="page", value=value, alt=alt, radio=False)
            parts.append(one)
            x += wide + 4
    y += 34
    if not state.lines:
        parts.append(
            label(0, y + 12, "No query is left: take words out of the filter, or add some to the type.", 13, kind="soft")
        )
        y += 24
    for line in state.lines:
        parts.append(_line(state, line, y, live))
        y += 82
    text, y = lines(0, y + 2, state.caption, WIDTH, 11, kind="soft")
    parts.append(text)
    inside = tag("g", "".join(parts), transform="translate(10 10)")
    return document(WIDTH + 20, round(y + 18), [inside], describe_modifications(state))


def _color(n: int, count: int) -> str:
    return ("#56B4E9", "#E69F00")[n] if count > 1 else "#56B4E9"


def _bar(
    state: ModificationState,
    name: str,
    count: int,
    values: tuple[Estimate, ...],
    gain: Estimate | None,
    y: float,
    left: float,
    scale: float,
    tall: float,
) -> str:
    on = name == state.picked
    inside = card(0, y - 2, WIDTH, tall - 3, on)
    middle = y + (tall - 8) / 2 + 3.5
    inside += label(8, round(middle, 2), name, 13, weight="bold" if on else None)
    inside += label(left - 10, round(middle, 2), f"n = {count:,}", 11, kind="soft", anchor="end")
    parts = [f"{name}: {count:,} queries"]
    for n, value in enumerate(values):
        top = y + 2 + n * 15
        inside += tag("rect", x=left, y=top, width=round(value.value * scale, 2), height=12, fill=_color(n, len(state.models)))
        ends = {"x1": round(left + value.low * scale, 2), "x2": round(left + value.high * scale, 2)}
        inside += tag("line", y1=top + 6, y2=top + 6, stroke="#000000", stroke_width=1.6, **ends)
        inside += label(round(left + value.high * scale + 6, 2), top + 10.5, str(value), 10.5)
        parts.append(f"{state.models[n]} {value}")
    if gain is not None:
        verdict = "more" if gain.low > 0 else "less" if gain.high < 0 else "undecided"
        inside += label(
            WIDTH - 8,
            round(middle, 2),
            f"{gain.value:+.1f} [{gain.low:+.1f}, {gain.high:+.1f}]",
            10.5,
            anchor="end",
            weight="bold" if verdict != "undecided" else None,
            kind="ink" if verdict != "undecided" else "soft",
        )
        parts.append(f"second less first {gain.value:+.1f} [{gain.low:+.1f}, {gain.high:+.1f}]")
    return press(inside, on=on, alt="; ".join(parts), data_act="type", data_value=name, group="types")


def _line(state: ModificationState, line: QueryLine, y: float, live: bool) -> str:
    on = line.query == state.opened
    ranks = ", ".join(f"{name} {rank_name(rank)}" for name, rank in zip(state.models, line.ranks, strict=True))
    inside = card(0, y, WIDTH, 78, on)
    inside += picture(6, y + 5, 68, line.source, "reference")
    words, _ = lines(86, y + 6, f"“{for_people(line.text)}”", 460, 13, most=3)
    inside += words + label(86, y + 70, f"query {line.query:,}; {', '.join(line.types) or 'no type'}", 10, kind="soft")
    if line.target is not None:
        inside += picture(556, y + 5, 68, line.target, "target") + frame(557.5, y + 6.5, 65, 65, GREEN, 3)
    for n, (name, rank) in enumerate(zip(state.models, line.ranks, strict=True)):
        inside += tag("rect", x=640, y=y + 15 + n * 24, width=11, height=11, fill=_color(n, len(state.models)))
        inside += label(657, y + 25 + n * 24, f"target {rank_name(rank)}", 13, weight="bold" if rank == 1 else None)
        inside += label(WIDTH - 8, y + 25 + n * 24, shortened(name, 200, 11), 11, kind="soft", anchor="end")
    whole = f"query {line.query}: {drawable(for_people(line.text))}; target {ranks}"
    opens = {"data_act": "query", "data_value": line.query, "group": "queries"}
    return action(inside, whole, "open its retrievals and its attention", live, **opens)


def describe_modifications(state: ModificationState) -> str:
    """What is shown, in words."""
    parts = [f"{state.metric} of {' and '.join(state.models)} by modification type{state.filtered}"]
    for name, (count, values, gain) in state.recalls.items():
        more = "" if gain is None else f" ({gain.value:+.1f} [{gain.low:+.1f}, {gain.high:+.1f}])"
        parts.append(f"{name} n = {count:,}: {' and '.join(map(str, values)) or 'none'}{more}")
    parts.append(f"picked {state.picked}, {state.sort}, {state.total:,} queries")
    return "; ".join(parts)


def modifications_page(state: ModificationState, of: Callable[[str, str], ModificationState]) -> str:
    """The drawing as an HTML file, in which types and orders can be picked. of(type, sort): the state to draw."""
    frames = {f"type:{name}": modifications_svg(of(name, state.sort), live=False) for name in state.recalls}
    frames |= {f"sort:{sort}": modifications_svg(of(state.picked, sort), live=False) for sort in state.sorts}
    first = modifications_svg(replace(state, opened=None), live=False)
    return page("Modification types", first, describe_modifications(state), frames=frames)
