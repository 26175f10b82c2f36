"""Average attention of words as one drawing: a tile per group of words, every head of the picked one. Same state, same bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from maaf_lab.analysis.word_groups import WordGroups
from maaf_lab.data.transforms import GRAY
from maaf_lab.explorers.attention.paint import color, head_name, number
from maaf_lab.explorers.page.html import page
from maaf_lab.explorers.page.svg import button, dashed_box, document, label, lines, picked_outline, picture, press, scale_bar, tag

WIDTH = 1000


@dataclass(frozen=True)
class AveragesState:
    """What is shown. group: the picked one; block: an operation; head: 0 for the mean of heads."""

    groups: WordGroups
    caption: str
    group: str
    block: int = 0
    head: int = 0

    def picked(self, act: str, value: str) -> AveragesState:
        return replace(self, **{act: value if act == "group" else int(value)})

    def map(self, group: str, head: int | None = None) -> np.ndarray:
        """(rows, columns) of a group, in the picked block and head."""
        head = self.head if head is None else head
        part = self.groups.maps[group][self.block]
        return part.mean(0) if head == 0 else part[head - 1]


def averages_svg(state: AveragesState) -> str:
    """The drawing, 1,000 px wide."""
    groups, names = state.groups, list(state.groups.maps)
    signed = groups.signed
    words = sum(groups.counts.values())
    parts = [
        label(
            0,
            14,
            f"Attention of {groups.kind}, averaged over {words:,} words; {head_name(state.head)}, "
            f"{groups.operations[state.block]}",
            14,
            weight="bold",
        )
    ]
    across = 3 if groups.kind == "position" else min(4, max(len(names), 1))
    size = 300.0 if len(names) == 1 else (640 - (across - 1) * 12) / across if across == 4 else 205.0
    reach = max(float(np.abs(state.map(name)).max()) for name in names)
    y, rows = 28.0, -(-len(names) // across)
    both = bool(groups.ignored)
    tall = size + 36 + (size * 0.62 + 8 if both else 0)
    for n, name in enumerate(names):
        left, top = (n % across) * (size + 12), y + (n // across) * tall
        on = name == state.group
        inside = _map(state.map(name), groups.pictures[name], left, top, size, reach, signed, f"mean attention of {name}")
        inside += picked_outline(left, top, size, on)
        inside += label(
            round(left, 2), round(top + size + 14, 2), f"{name}  n = {groups.counts[name]:,}", 12, weight="bold" if on else None
        )
        alt = f"{name}, {groups.counts[name]:,} words"
        if name in groups.contrast:
            ratio = groups.contrast[name][state.block, state.head]
            inside += label(round(left, 2), round(top + size + 28, 2), f"named cell {ratio:.2f} × the others", 11, kind="soft")
            alt += f", named cell {ratio:.2f} times the others"
            inside += _cell(name, left, top, size)
        if both:
            inside += picture(
                round(left, 2),
                round(top + size + 22, 2),
                round(size * 0.62, 2),
                _gray_centered(groups, name),
                f"what {name} ignores: (1 - attention) times image, less the mean",
            )
        parts.append(press(inside, on=on, alt=alt, data_act="group", data_value=name, group="groups", data_columns=across))
    bottom = y + rows * tall
    right = 694.0
    left, top = right, 28.0
    for b, operation in enumerate(groups.operations):
        one, wide = button(round(left, 2), top, operation, act="block", value=str(b), on=b == state.block)
        if left + wide > WIDTH:
            left, top = right, top + 28
            one, wide = button(left, top, operation, act="block", value=str(b), on=b == state.block)
        parts.append(one)
        left += wide + 5
    top += 34
    parts.append(label(right, top + 10, f"each head: {state.group}", 11, kind="soft"))
    top += 18
    heads = groups.maps[state.group].shape[1]
    columns = 3 if heads < 9 else 5
    small = (WIDTH - right - (columns - 1) * 10) / columns
    most = max(float(np.abs(state.map(state.group, h)).max()) for h in range(heads + 1))
    for h in range(heads + 1):
        left, head = right + (h % columns) * (small + 10), top + (h // columns) * (small + 20)
        on = h == state.head
        inside = _map(state.map(state.group, h), None, left, head, small, most, signed, "")
        inside += picked_outline(left, head, small, on)
        inside += label(round(left, 2), round(head + small + 13, 2), "mean" if h == 0 else f"head {h}", 11)
        parts.append(press(inside, on=on, alt=head_name(h), data_act="head", data_value=h, group="heads", data_columns=columns))
    top += -(-(heads + 1) // columns) * (small + 20) + 24
    parts.append(
        scale_bar(
            right,
            top,
            WIDTH - right,
            signed,
            (None, None),
            (number(-most if signed else 0, signed), number(most, signed)),
            "attention to a patch, all heads",
        )
    )
    bottom = max(bottom, top + 26)
    top_of_scale = bottom + 26
    parts.append(
        scale_bar(
            0,
            top_of_scale,
            300,
            signed,
            (None, None),
            (number(-reach if signed else 0, signed), number(reach, signed)),
            "attention to a patch, tiles",
        )
    )
    notes = ["below each map: the mean reference, in gray"]
    if groups.contrast:
        notes.append("dashed: the cell that the word names")
    if both:
        notes.append(
            "small pictures: (1 − attention) × image, less the mean of all words; gray is no difference (the paper's Figure 5)"
        )
    text, bottom = lines(330, bottom + 18, "; ".join(notes), 660, 11, kind="soft")
    parts.append(text)
    text, bottom = lines(0, top_of_scale + 34, state.caption, WIDTH, 11, kind="soft")
    parts.append(text)
    inside = tag("g", "".join(parts), transform="translate(10 10)")
    return document(WIDTH + 20, round(bottom + 20), [inside], describe_averages(state))


def _map(
    values: np.ndarray, under: np.ndarray | None, x: float, y: float, size: float, reach: float, signed: bool, alt: str
) -> str:
    side = values.shape[0]
    step = size / side
    made = ""
    if under is not None:
        gray = np.repeat((under @ np.array(GRAY))[:, :, None].round().astype(np.uint8), 3, 2)
        made = picture(round(x, 2), round(y, 2), round(size, 2), gray, alt)
    cells = [
        tag(
            "rect",
            x=round(x + c * step, 2),
            y=round(y + r * step, 2),
            width=round(step + 0.3, 2),
            height=round(step + 0.3, 2),
            fill=color(float(values[r, c]), reach, signed),
        )
        for r in range(side)
        for c in range(side)
    ]
    return made + tag("g", "".join(cells), fill_opacity=0.78 if under is not None else None)


def _cell(name: str, x: float, y: float, size: float) -> str:
    from maaf_lab.analysis.positions import POSITIONS

    row, column = divmod(POSITIONS.index(name), 3)
    third = size / 3
    return dashed_box(x + column * third, y + row * third, third, third)


def _gray_centered(groups: WordGroups, name: str) -> np.ndarray:
    reach = np.percentile(np.abs(np.stack(list(groups.ignored.values()))), 99.5) or 1.0
    return (255 * np.clip(0.5 + groups.ignored[name] / (2 * reach), 0, 1)).round().astype(np.uint8)


def describe_averages(state: AveragesState) -> str:
    """What is shown, in words."""
    groups = state.groups
    parts = []
    for name, count in groups.counts.items():
        more = (
            f", named cell {groups.contrast[name][state.block, state.head]:.2f} times the others"
            if name in groups.contrast
            else ""
        )
        parts.append(f"{name} n = {count:,}{more}")
    return (
        f"Average attention of {groups.kind}, {head_name(state.head)}, {groups.operations[state.block]}, picked {state.group}: "
        + "; ".join(parts)
    )


def averages_page(state: AveragesState) -> str:
    """The drawing as a file; groups, blocks and heads can be picked one after another, from this view."""
    frames = {"group:" + name: averages_svg(replace(state, group=name)) for name in state.groups.maps}
    heads = next(iter(state.groups.maps.values())).shape[1]
    frames |= {f"head:{h}": averages_svg(replace(state, head=h)) for h in range(heads + 1)}
    frames |= {f"block:{b}": averages_svg(replace(state, block=b)) for b in range(len(state.groups.operations))}
    return page("Average attention", averages_svg(state), describe_averages(state), frames=frames)
