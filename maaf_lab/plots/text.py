"""Texts of the data as matplotlib may draw them."""

from __future__ import annotations

import textwrap

from maaf_lab.utils.wording import MOST_DRAWN, drawable


def picture_text(text: str, width: int = 0, most: int = MOST_DRAWN) -> str:
    """Any text for a picture: cut after `most` letters with …, broken into lines of `width` letters (0: as it is).

    To matplotlib two dollar signs enclose mathematics, and a control character makes an SVG that is not well-formed.
    """
    shown = drawable(text, most)
    lines = textwrap.wrap(shown, width) if width else [shown]
    return "\n".join(lines).replace("$", r"\$")
