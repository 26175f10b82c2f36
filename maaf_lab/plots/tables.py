"""A table of the paper as text and as HTML: its rows and columns, our value and the paper's in each cell."""

from __future__ import annotations

from html import escape

import pandas as pd

from maaf_lab.utils.wording import counted

_GRAY, _LINE = "#6b6b6b", "#d9d9d9"
LEARNED, LEARNED_POINTS = 3.0, 0.5  # a row that rises by as much, in percent and in points, still learns


def _here(line: object, interval: bool) -> str:
    if pd.isna(line.here):
        return line.status
    text = f"{line.here:.1f}"
    if interval:
        text += f" [{line.low:.1f}, {line.high:.1f}]"
    return text if pd.isna(line.spread) else f"{text} ± {line.spread:.1f}"


def _paper(line: object) -> str:
    if pd.isna(line.paper):
        return "–"
    decimals = 2 if abs(line.paper * 10 - round(line.paper * 10)) > 1e-9 else 1
    return f"{line.paper:.{decimals}f}" + ("" if pd.isna(line.paper_std) else f" ± {line.paper_std:.1f}")


def _training(group: pd.DataFrame, frame: pd.DataFrame) -> str:
    """Seeds, steps and minutes of a row; whether it still learns; where only some rows of the table are records, that it is."""
    line = group.iloc[0]
    if not line["seeds"]:
        return ""
    recorded = ", from the records" if line["recorded"] and not frame.loc[frame["seeds"] > 0, "recorded"].all() else ""
    return f"{counted(line['seeds'], 'seed')}, {line['steps']:,.0f} steps, {line['minutes']:.1f} min{recorded}{learning(group)}"


def learning(group: pd.DataFrame) -> str:
    """That a row still learns: its last quarter raised recall by 3 % or more, and by half a point. "" where it does not.

    group: a row's lines of `table_results.table_frame`.
    """
    rise = group["rise"].iloc[0]
    points = group["here"].mean() * rise / (100 + rise)
    return f"; still learning: +{rise:.0f} % in the last quarter" if rise >= LEARNED and points >= LEARNED_POINTS else ""


def table_text(frame: pd.DataFrame, caption: str) -> str:
    """Plain text with aligned columns; the caption below it. Wide tables show the last column's interval only."""
    columns = list(dict.fromkeys(frame["column"]))
    head = ["", *(part for column in columns for part in (f"{column} here", "paper")), "training", ""]
    rows = [head]
    for label, group in frame.groupby("row", sort=False):
        cells = [
            part
            for line in group.itertuples()
            for part in (_here(line, len(columns) < 4 or line.column == columns[-1]), _paper(line))
        ]
        rows.append([label, *cells, _training(group, frame), group["note"].iloc[0]])
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], "", caption])


def table_html(frame: pd.DataFrame, caption: str) -> str:
    """An HTML table: in each cell what was run here and, below it in gray, the paper's value; rows without a run are gray.

    A row's note is below its name, where a wide table cannot push it off the page.
    """
    columns = list(dict.fromkeys(frame["column"]))
    cell = f"text-align:left;padding:.35em .35em;border-bottom:1px solid {_LINE};vertical-align:top"
    head = "".join(f"<th style='{cell}'>{escape(name)}</th>" for name in ("", *columns, "training here"))
    body = []
    for label, group in frame.groupby("row", sort=False):
        note = escape(group["note"].iloc[0])
        note = f"<div style='font-size:80%;color:{_GRAY};max-width:20em;min-width:9em'>{note}</div>" if note else ""
        inner = [f"<td style='{cell}'>{escape(label)}{note}</td>"]
        for line in group.itertuples():
            inner.append(
                f"<td style='{cell};white-space:nowrap'>{_html_here(line)}"
                f"<div style='color:{_GRAY};font-size:90%'>paper {escape(_paper(line))}</div></td>"
            )
        runs = "".join(f"<div style='font-size:80%;color:{_GRAY}'>{escape(run)}</div>" for run in group["runs"].iloc[0].split())
        inner.append(f"<td style='{cell};min-width:8em'>{escape(_training(group, frame))}{runs}</td>")
        idle = f" style='color:{_GRAY}'" if group["here"].isna().all() else ""
        body.append(f"<tr{idle}>{''.join(inner)}</tr>")
    return (
        f"<table style='border-collapse:collapse'><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        f"<p style='max-width:60em;font-size:90%'>{escape(caption)}</p>"
    )


def _html_here(line: object) -> str:
    if pd.isna(line.here):
        return escape(line.status)
    spread = "" if pd.isna(line.spread) else f" ± {line.spread:.1f}"
    return f"<b>{line.here:.1f}</b>{spread}<div style='font-size:85%'>[{line.low:.1f}, {line.high:.1f}]</div>"


def statements_text(frame: pd.DataFrame) -> str:
    """The paper's orderings, a line each: verdict, adjusted p, gain with its interval; then how they were tested."""
    lines = [f"{line.verdict:<14} {_p(line.p_holm):<9} {_gained(line):<20} {line.statement}" for line in frame.itertuples()]
    return "\n".join([*lines, "", judged_by(frame, "statement", "of this table")])


def statements_html(frame: pd.DataFrame, caption: str) -> str:
    """The statements of several tables as an HTML table, with a column "table"; the caption below it."""
    cell = f"text-align:left;padding:.25em .6em .25em 0;border-bottom:1px solid {_LINE};vertical-align:top"
    head = "".join(f"<th style='{cell}'>{name}</th>" for name in ("table", "the paper", "gained here", "adjusted", "verdict"))
    body = "".join(
        "<tr>"
        + "".join(
            f"<td style='{cell}'>{escape(text)}</td>"
            for text in (line.table, line.statement, _gained(line), _p(line.p_holm), line.verdict)
        )
        + "</tr>"
        for line in frame.itertuples()
    )
    return (
        f"<table style='border-collapse:collapse'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<p style='max-width:60em;font-size:90%'>{escape(caption)}</p>"
    )


def comparisons_text(frame: pd.DataFrame) -> str:
    """Each row against the standard row, in aligned columns; then how it was tested."""
    shown = frame.drop(columns=["p", "seeds"]).rename(columns={"p_holm": "adjusted"})
    shown["adjusted"] = [_p(p).removeprefix("p ") for p in frame["p_holm"]]
    return f"{shown.round(1).to_string(index=False)}\n\n{judged_by(frame, 'row', 'above')}"


def judged_by(frame: pd.DataFrame, thing: str, where: str) -> str:
    """How a frame's verdicts were reached, in a sentence."""
    ran = counted(int(frame["p"].notna().sum()), thing)
    several = "seeds" in frame and frame["seeds"].max() > 1  # a report of an earlier version did not count them
    over = "queries and seeds" if several else "queries"
    return (
        f"Verdicts: 95%, Holm over the {ran} {where} that ran (p is adjusted). Gains in points, each with its own 95% "
        f"interval over {over}."
    )


def _p(value: float) -> str:
    return "" if pd.isna(value) else "p < 0.001" if value < 0.001 else f"p {value:.3f}"


def _gained(line: object) -> str:
    return "" if pd.isna(line.gained) else f"{line.gained:+.1f} [{line.low:+.1f}, {line.high:+.1f}]"
