"""Figures as files: the same figure, the same bytes."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from maaf_lab.utils.files import write_atomically
from maaf_lab.utils.paths import own_folder


def save(figure: Figure, folder: str | Path, name: str) -> tuple[Path, Path]:
    """Writes `folder/name.png` (150 dots an inch) and `folder/name.svg`; neither holds a date or a version.

    folder: "" for the lab's own figures/.
    """
    folder = own_folder(folder, "figures")
    _settle(figure)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    write_atomically(png, lambda beside: figure.savefig(beside, format="png", dpi=150, metadata={"Software": None}))
    with matplotlib.rc_context({"svg.hashsalt": name}):
        write_atomically(svg, lambda beside: figure.savefig(beside, format="svg", metadata={"Date": None, "Creator": None}))
    return png, svg


def _settle(figure: Figure) -> None:
    """Lay the figure out and round every position to six decimals.

    Constrained layout's last digits differ from process to process, and a file would differ with them.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axis in figure.axes:
        inside = axis.get_in_layout()
        for which in ("original", "active"):
            axis.set_position([round(number, 6) for number in axis.get_position(which == "original").bounds], which)
        axis.set_in_layout(inside)  # set_position takes it out, and a notebook's display would cut it off
    for text in figure.texts:
        text.set_position([round(number, 6) for number in text.get_position()])
