"""The retrieval explorer as one drawing: the dialogue so far, the query, what each model retrieves. Same state, same bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from maaf_lab.explorers.page.html import page
from maaf_lab.explorers.page.svg import (
    BLUE,
    CARD,
    GREEN,
    LINE,
    ORANGE,
    action,
    document,
    frame,
    label,
    lines,
    picture,
    press,
    shortened,
    tag,
)
from maaf_lab.utils.wording import drawable, first_names, rank_name

WIDTH = 1000


@dataclass(frozen=True)
class Result:
    """One retrieved image. score: cosine. relevant: it is a target; source: it is the query's reference, which has no rank."""

    image: int
    name: str
    score: float
    picture: np.ndarray
    relevant: bool = False
    source: bool = False


@dataclass(frozen=True)
class Found:
    """What one model retrieves, best first. rank: the target's, None where no target is known, 0 where the gallery has none."""

    model: str
    results: tuple[Result, ...]
    rank: int | None = None
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Turn:
    """One query of the dialogue. picture: uint8 (S, S, 3); text: as typed, "" for the picture alone."""

    picture: np.ndarray
    name: str
    text: str
    found: tuple[Found, ...]


@dataclass(frozen=True)
class RetrievalState:
    """turns: the dialogue, oldest first; turn: the one that is shown. candidates: images searched."""

    turns: tuple[Turn, ...]
    caption: str
    candidates: int
    turn: int = -1

    @property
    def shown(self) -> int:
        return self.turn % len(self.turns)


def retrieval_svg(state: RetrievalState, live: bool = True) -> str:
    """The drawing, 1,000 px wide. live: results can be pressed, to go on from one of them."""
    turn, parts, y = state.turns[state.shown], [], 0.0
    if len(state.turns) > 1:
        trail, y = _trail(state)
        parts += trail
    parts += [picture(0, y, 170, turn.picture, f"reference: {turn.name}")]
    text, below = lines(0, y + 174, turn.name, 172, 11, kind="soft", most=2)
    parts.append(text)
    words = f"+ “{turn.text}”" if turn.text else "no text: the picture alone is the query"
    text, below = lines(0, below + 2, words, 172, 14, most=8, weight="bold" if turn.text else None)
    parts.append(text)
    bottom = below
    top = y
    several = len(turn.found) > 1
    across = 11 if several else 6
    size = (WIDTH - 190 - (across - 1) * 8) / across
    for n, found in enumerate(turn.found):
        head = found.model
        if found.rank is not None:
            head += f": target {rank_name(found.rank)} of {state.candidates:,}" if found.rank else ": the gallery has no target"
        else:
            head += f": {state.candidates:,} images searched"
        parts.append(label(190, top + 13, head, 13, kind=(ORANGE, BLUE)[n % 2] if several else "ink", weight="bold"))
        top += 22
        number = 0
        for i, result in enumerate(found.results):
            number += not result.source
            parts.append(_result(result, number, 190 + (i % across) * (size + 8), top + (i // across) * (size + 38), size, live))
        top += -(-max(len(found.results), 1) // across) * (size + 38) + 6
        if found.unknown:
            text, top = lines(
                190,
                top - 4,
                f"{found.model} has never seen {', '.join(map(repr, found.unknown))}: read as the unknown word",
                WIDTH - 190,
                12,
                kind=ORANGE,
            )
            parts.append(text)
            top += 6
    text, bottom = lines(0, max(bottom, top) + 4, state.caption, WIDTH, 11, kind="soft")
    parts.append(text)
    return document(
        WIDTH + 20, round(bottom + 18), [tag("g", "".join(parts), transform="translate(10 10)")], describe_retrieval(state)
    )


def _result(result: Result, number: int, x: float, y: float, size: float, live: bool) -> str:
    what = "the reference itself" if result.source else f"{number}"
    alt = f"{what}{', the target' if result.relevant else ''}: {result.name}, cosine {result.score:.3f}"
    inside = picture(round(x, 2), round(y, 2), round(size, 2), result.picture, alt, opacity=0.35 if result.source else None)
    if result.relevant:
        inside += frame(round(x + 2, 2), round(y + 2, 2), round(size - 4, 2), round(size - 4, 2), GREEN, 5)
    else:
        inside += frame(round(x, 2), round(y, 2), round(size, 2), round(size, 2), LINE, 1)
    mark = "reference" if result.source else f"{number}  target" if result.relevant else str(number)
    inside += label(
        round(x, 2),
        round(y + size + 14, 2),
        mark,
        12,
        kind="soft" if result.source else GREEN if result.relevant else "ink",
        weight="bold" if result.relevant else None,
    )
    inside += label(round(x + size, 2), round(y + size + 14, 2), f"{result.score:.3f}", 11, kind="soft", anchor="end")
    inside += label(round(x, 2), round(y + size + 27, 2), shortened(result.name, size, 9), 9, kind="soft")
    go_on = {"data_act": "refine", "data_value": result.image, "group": "results", "data_columns": 6}
    return action(inside, alt, "go on from this image", live, **go_on)


def _trail(state: RetrievalState) -> tuple[list[str], float]:
    made, x = [label(0, 10, "so far", 11, kind="soft")], 0.0
    first = max(0, len(state.turns) - 6)
    for n, turn in list(enumerate(state.turns))[first:]:
        on = n == state.shown
        inside = tag(
            "rect",
            x=x,
            y=16,
            width=158,
            height=66,
            rx=6,
            fill=CARD,
            class_="card",
            stroke=ORANGE if on else LINE,
            stroke_width=3 if on else 1,
        )
        inside += picture(x + 5, 21, 56, turn.picture, turn.name)
        text, _ = lines(x + 66, 21, turn.text or "(picture alone)", 88, 11, most=3)
        made.append(
            press(
                inside + text,
                on=on,
                data_act="turn",
                data_value=n,
                group="trail",
                alt=f"turn {n + 1}: {drawable(turn.text) or 'the picture alone'}",
            )
        )
        if n + 1 < len(state.turns):
            made.append(label(x + 160, 54, "→", 14, kind="soft"))
        x += 176
    return made, 96.0


def describe_retrieval(state: RetrievalState) -> str:
    """What is shown, in words."""
    turn = state.turns[state.shown]
    name, text = drawable(turn.name, 200), f"“{drawable(turn.text, 400)}”" if turn.text else "no text"
    parts = [f"Turn {state.shown + 1} of {len(state.turns)}: {name} + {text}" if len(state.turns) > 1 else f"{name} + {text}"]
    for found in turn.found:
        first = ", ".join(
            f"{r.name} {r.score:.3f}{' (target)' if r.relevant else ''}" for r in [r for r in found.results if not r.source][:5]
        )
        rank = "" if found.rank is None else f" target {rank_name(found.rank)} of {state.candidates:,};"
        unknown = f"; never seen: {first_names([drawable(word, 80) for word in found.unknown], 10)}" if found.unknown else ""
        parts.append(f"{found.model}:{rank} first {first}{unknown}")
    return "; ".join(parts)


def retrieval_page(state: RetrievalState) -> str:
    """The drawing as an HTML file, in which each turn of the dialogue can be opened."""
    frames = (
        {f"turn:{n}": retrieval_svg(replace(state, turn=n), live=False) for n in range(len(state.turns))}
        if len(state.turns) > 1
        else {}
    )
    return page("Retrieval", retrieval_svg(state, live=False), describe_retrieval(state), frames=frames)
