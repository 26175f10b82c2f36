"""Pieces of SVG: palettes, fonts, lines of text, drawings below one another."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
import numpy as np
from drawings import sound
from PIL import Image as PILImage

from maaf_lab.explorers.page.svg import document, font_folder, lines, palette, shortened, stacked, tag, text_width, to_png, wrap


def test_the_palettes_and_the_fonts_are_matplotlibs():
    for signed, name in ((False, "cividis"), (True, "RdBu_r")):
        theirs = np.round(255 * matplotlib.colormaps[name](np.linspace(0, 1, 256))[:, :3]).astype(int)
        assert palette(signed) == tuple("#{:02x}{:02x}{:02x}".format(*color) for color in theirs.tolist())
    assert font_folder().samefile(Path(matplotlib.get_data_path()) / "fonts" / "ttf")


def test_lines_of_text():
    rows = wrap("a red cube and a very large yellow sphere", 100, 13)
    assert len(rows) > 2 and all(text_width(row, 13) <= 100 for row in rows) and " ".join(rows).startswith("a red cube")
    assert "".join(wrap("w" * 80, 100, 13)) == "w" * 80 and all(text_width(row, 13) <= 100 for row in wrap("w" * 80, 100, 13))
    assert wrap("", 50) == [""] and shortened("short", 200) == "short" and shortened("much too long for this", 60).endswith("…")
    svg, below = lines(0, 0, "one two three four five six", 60, 13, most=2)
    assert svg.count("<text") == 2 and "…" in svg and below > 20
    assert tag("text", x=1.5, class_="a", stroke_width=None, note='<&"') == '<text x="1.5" class="a" note="&lt;&amp;&quot;"/>'


def test_drawings_below_one_another_keep_their_ids_apart():
    one = document(10, 20, [tag("rect", id="a")], "one")
    both = stacked([one, one], "two of them")
    assert sound(both) is not None and 'id="s0-a"' in both and 'id="s1-a"' in both and 'height="60"' in both


def test_pictures_do_not_depend_on_the_machines_fonts(attention):
    assert to_png(attention.svg(), 1) == to_png(attention.svg(), 1)
    blank = PILImage.open(io.BytesIO(to_png(document(60, 20, [tag("text", "x", x=5, y=15, font_size=14)], "x"), 1)))
    assert np.asarray(blank.convert("L")).min() < 128, "text is drawn"
