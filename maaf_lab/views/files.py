"""Figures as files: the same figure, the same bytes."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from maaf_lab.places import place


def save(figure: Figure, folder: str | Path, name: str) -> tuple[Path, Path]:
    """Writes `folder/name.png` (150 dots an inch) and `folder/name.svg`; neither holds a date or a version.

    folder: "" for the lab's own figures/.
    """
    folder = place(folder, "figures")
    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    figure.savefig(png, dpi=150, metadata={"Software": None})
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
    return png, svg
