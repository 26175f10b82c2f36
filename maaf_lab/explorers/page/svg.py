"""Pieces of SVG from which every explorer is drawn: text that fits, pictures, scales. Same input, same bytes, no network.

Elements carry their colors as attributes, so that a file can be shown by itself, and classes (`ink`, `soft`, `line`, `card`), so
that a page's style sheet can turn it dark.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from html import escape
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from PIL import ImageFont

from maaf_lab.plots.colors import TARGET
from maaf_lab.utils.wording import drawable, shown

FONT = "DejaVu Sans, Verdana, sans-serif"
INK, SOFT, LINE, CARD, PAPER = "#1f1f1f", "#5f5f5f", "#c8c8c8", "#f4f4f4", "#ffffff"
ORANGE, BLUE, GREEN = "#b35900", "#0072B2", TARGET  # the first pick, the second pick, the target


def escaped(text: str) -> str:
    """`shown`, escaped for the inside of an element or an attribute."""
    return escape(shown(text))


def tag(name: str, content: str = "", **attributes: object) -> str:
    """One element. In names `_` stands for `-`; attributes that are None are left out; values are escaped, content is not."""
    parts = [
        f' {key.strip("_").replace("_", "-")}="{escaped(_text(value))}"' for key, value in attributes.items() if value is not None
    ]
    inside = f">{content}</{name}>" if content else "/>"
    return f"<{name}{''.join(parts)}{inside}"


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def label(
    x: float,
    y: float,
    words: str,
    size: float = 13,
    *,
    kind: str = "ink",
    anchor: str | None = None,
    weight: str | None = None,
    **more: object,
) -> str:
    """A line of text; y is its baseline. kind: "ink", "soft" or a color."""
    fill = {"ink": INK, "soft": SOFT}.get(kind, kind)
    known = kind if kind in ("ink", "soft") else {ORANGE: "first", BLUE: "second", GREEN: "target"}.get(kind)
    return tag(
        "text", escaped(words), x=x, y=y, font_size=size, fill=fill, class_=known, text_anchor=anchor, font_weight=weight, **more
    )


def lines(
    x: float, y: float, words: str, width: float, size: float = 13, *, most: int | None = None, step: float = 1.35, **more: object
) -> tuple[str, float]:
    """Text broken to a width -> (SVG, the y below it). most: the number of lines, of which the last may end in an ellipsis."""
    width = width * 0.88 if more.get("weight") == "bold" else width  # `text_width` is of the plain font
    rows = wrap(words, width, size)
    if most is not None and len(rows) > most:
        rows = [*rows[: most - 1], shortened(" ".join(rows[most - 1 :]), width, size)]
    made = "".join(label(x, y + (n + 0.8) * size * step, row, size, **more) for n, row in enumerate(rows))
    return made, y + (len(rows) * step + 0.2) * size


def wrap(words: str, width: float, size: float = 13) -> list[str]:
    """Lines no wider than `width`, broken at spaces, and inside words that are wider than a line."""
    rows: list[str] = []
    for word in drawable(words).split():
        if rows and text_width(f"{rows[-1]} {word}", size) <= width:
            rows[-1] = f"{rows[-1]} {word}"
            continue
        while text_width(word, size) > width and len(word) > 1:
            cut = next(n for n in range(len(word) - 1, 0, -1) if n == 1 or text_width(word[:n], size) <= width)
            rows.append(word[:cut])
            word = word[cut:]
        rows.append(word)
    return rows or [""]


def shortened(words: str, width: float, size: float = 13) -> str:
    """A line of text, cut off with an ellipsis where it is wider than `width`."""
    words = drawable(words).translate(dict.fromkeys(map(ord, "\t\n\r"), " "))
    if text_width(words, size) <= width:
        return words
    while words and text_width(words + "…", size) > width:
        words = words[:-1]
    return words.rstrip() + "…"


@lru_cache(maxsize=50_000)
def text_width(words: str, size: float) -> float:
    """How wide a line of `FONT` is."""
    return _font().getlength(words) * size / 100


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font_folder() / "DejaVuSans.ttf"), 100)


def font_folder() -> Path:
    """The fonts that come with matplotlib, the same on every machine. Importing it to find them would take half a second."""
    package = find_spec("matplotlib")
    folder = Path(str(package and package.origin)).parent / "mpl-data"
    if not folder.is_dir():  # a distribution that keeps them elsewhere
        import matplotlib

        folder = Path(matplotlib.get_data_path())
    return folder / "fonts" / "ttf"


def picture(x: float, y: float, side: float, pixels: np.ndarray, alt: str, **more: object) -> str:
    """A picture uint8 (S, S, 3) as a square of the drawing. alt: what it shows, in words."""
    return tag(
        "image",
        tag("title", escaped(drawable(alt))),
        x=x,
        y=y,
        width=side,
        height=side,
        href=data_uri(pixels),
        role="img",
        aria_label=alt,
        preserveAspectRatio="none",
        **more,
    )


def data_uri(pixels: np.ndarray) -> str:
    """A picture uint8 (S, S, 3) -> data:image/...: small ones as they are, larger ones as JPEG."""
    kind = "png" if pixels.shape[0] <= 32 else "jpeg"
    out = io.BytesIO()
    PILImage.fromarray(np.ascontiguousarray(pixels)).save(out, kind.upper(), **({"quality": 90} if kind == "jpeg" else {}))
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"


def frame(x: float, y: float, width: float, height: float, color: str, thick: float = 4, **more: object) -> str:
    return tag("rect", x=x, y=y, width=width, height=height, fill="none", stroke=color, stroke_width=thick, **more)


def outline(x: float, y: float, size: float, **stroke: object) -> str:
    """A square's edge; its inside takes the pointer too."""
    square = {"x": round(x, 2), "y": round(y, 2), "width": round(size, 2), "height": round(size, 2)}
    return tag("rect", fill="none", pointer_events="all", **square, **stroke)


def picked_outline(x: float, y: float, size: float, on: bool) -> str:
    return outline(x, y, size, stroke=ORANGE if on else LINE, stroke_width=4 if on else 1)


def dashed_box(x: float, y: float, width: float, height: float) -> str:
    """A dashed frame around what a text names; the pointer reaches what is below it."""
    box = {"x": round(x, 2), "y": round(y, 2), "width": round(width, 2), "height": round(height, 2)}
    box |= {"fill": "none", "pointer_events": "none"}
    white, red = {"stroke": "#ffffff", "stroke_width": 3}, {"stroke": "#c00000", "stroke_width": 1.6, "stroke_dasharray": "5 3"}
    return tag("rect", **white, **box) + tag("rect", **red, **box)


def card(x: float, y: float, width: float, height: float, on: bool = False, **more: object) -> str:
    """A light background with round corners, and an orange edge where it is picked."""
    edge = {"stroke": ORANGE if on else "none", "stroke_width": 2.5}
    return tag("rect", x=x, y=y, width=width, height=height, fill=CARD, class_="card", **{"rx": 5, **edge, **more})


def press(inside: str, *, group: str, alt: str | None = None, on: bool | None = None, radio: bool = True, **more: object) -> str:
    """An element that can be clicked, and reached by keyboard. group: arrow keys move within it; on: whether it is picked.

    alt: what it is, in words, where `more` has no aria_label.
    """
    named = {} if alt is None else {"aria_label": alt}
    named |= {} if on is None else {"aria_checked": str(on).lower()}
    role = "radio" if radio else "button"
    return tag("g", inside, class_="press", role=role, tabindex=0, data_group=group, **named, **more)


def action(inside: str, alt: str, then: str, live: bool, **more: object) -> str:
    """A part of the drawing that asks a live kernel when pressed, and otherwise is a picture. then: what pressing does."""
    if not live:
        return tag("g", inside, role="img", aria_label=alt)
    return press(inside, radio=False, alt=f"{alt}; {then}", **more)


def button(
    x: float,
    y: float,
    words: str,
    *,
    act: str,
    value: str,
    on: bool = False,
    size: float = 12,
    group: str | None = None,
    alt: str | None = None,
    radio: bool = True,
) -> tuple[str, float]:
    """A button -> (SVG, its width). act, value: what a click sends; group: arrow keys move within it."""
    width = text_width(words, size) + 18
    shape = tag(
        "rect",
        x=x,
        y=y,
        width=width,
        height=size + 12,
        rx=6,
        fill=ORANGE if on else CARD,
        stroke=ORANGE if on else LINE,
        class_="chosen" if on else "card",
    )
    text = label(x + width / 2, y + size + 3.5, words, size, kind="#ffffff" if on else "ink", anchor="middle")
    checked = {"on": on} if radio else {"radio": False}
    made = press(shape + text, alt=alt or words, group=group or act, data_act=act, data_value=value, **checked)
    return made, width


def document(width: float, height: float, parts: Iterable[str], description: str) -> str:
    """The whole drawing. description: what it shows, in words."""
    background = tag("rect", width=width, height=height, fill=PAPER, class_="paper")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'font-family="{FONT}" role="group" aria-label="{escaped(description)}">{background}{"".join(parts)}</svg>\n'
    )


def stacked(drawings: Sequence[str], description: str) -> str:
    """Several drawings as one, below one another, with ids that do not clash."""
    made, y, width = [], 0.0, 0.0
    for n, drawing in enumerate(drawings):
        found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawing)
        wide, tall = float(found[1]), float(found[2])
        inside = drawing[drawing.index(">") + 1 : drawing.rindex("</svg>")]
        made.append(tag("g", re.sub(r' id="', f' id="s{n}-', inside), transform=f"translate(0 {y:g})"))
        y, width = y + tall + 10, max(width, wide)
    return document(width, y, made, description)


def to_png(svg: str, scale: float = 2) -> bytes:
    """The drawing as PNG: the same bytes on every machine, because only matplotlib's fonts are used."""
    import resvg_py

    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=svg,
            zoom=scale,
            skip_system_fonts=True,
            font_files=[str(font_folder() / name) for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")],
            font_family="DejaVu Sans",
            sans_serif_family="DejaVu Sans",
        )
    )


# --- numbers as colors -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def palette(signed: bool) -> tuple[str, ...]:
    """256 colors: sequential from 0 to the largest (cividis), or diverging around 0 (red more, blue less).

    They are matplotlib's, kept in a file because importing matplotlib takes half a second; a test compares them.
    """
    return tuple(
        json.loads((Path(__file__).parent / "palettes.json").read_text(encoding="utf-8"))["RdBu_r" if signed else "cividis"]
    )


def scale_bar(x: float, y: float, width: float, signed: bool, ids: Sequence[str | None], texts: Sequence[str], title: str) -> str:
    """A color scale with a title above and the values of its two ends below (`ids`: of those two text elements)."""
    colors, count = palette(signed), 64
    step = width / count
    cells = [
        tag(
            "rect", x=round(x + n * step, 3), y=y, width=round(step + 0.4, 3), height=9, fill=colors[round(n * 255 / (count - 1))]
        )
        for n in range(count)
    ]
    ends = [
        label(x, y + 22, texts[0], 11, kind="soft", id=ids[0]),
        label(x + width, y + 22, texts[1], 11, kind="soft", anchor="end", id=ids[1]),
    ]
    return "".join(cells) + label(x, y - 5, title, 11, kind="soft") + "".join(ends)
