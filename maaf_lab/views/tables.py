"""A table beside the paper as text and as HTML."""

from __future__ import annotations

from html import escape

import pandas as pd


def _cells(frame: pd.DataFrame) -> list[list[str]]:
    rows = []
    for line in frame.itertuples():
        here = "not run" if pd.isna(line.here) else f"{line.here:.1f} [{line.low:.1f}, {line.high:.1f}]"
        if not pd.isna(line.spread):
            here += f" ± {line.spread:.1f} over {line.seeds} seeds"
        paper = "–" if pd.isna(line.paper) else f"{line.paper:.1f}"
        paper += "" if pd.isna(line.paper_std) else f" ± {line.paper_std:.1f}"
        minutes = "" if pd.isna(line.minutes) else f"{line.minutes:.1f}"
        rows.append([line.row, here, paper, minutes, line.note])
    return rows


def _head(frame: pd.DataFrame) -> list[str]:
    column = frame["column"].iloc[0]
    return ["", f"{column} here", f"{column} paper", "min of training", ""]


def table_text(frame: pd.DataFrame, caption: str) -> str:
    """Plain text with aligned columns; the caption below it."""
    rows = [_head(frame), *_cells(frame)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], "", caption])


def table_html(frame: pd.DataFrame, caption: str) -> str:
    """A small HTML table; rows that were not run are grey."""
    head = "".join(f"<th style='text-align:left;padding:.3em .8em'>{escape(cell)}</th>" for cell in _head(frame))
    body = []
    for cells, here in zip(_cells(frame), frame["here"], strict=True):
        style = "color:#888" if pd.isna(here) else ""
        body.append(f"<tr style='{style}'>" + "".join(
            f"<td style='text-align:left;padding:.3em .8em'>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return (f"<table style='border-collapse:collapse'><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
            f"<p style='max-width:60em;font-size:90%'>{escape(caption)}</p>")
