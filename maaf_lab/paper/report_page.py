"""The report of `maaf-lab tables` as one HTML page; the same input gives the same page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from maaf_lab.paper.table_results import judged
from maaf_lab.plots.tables import judged_by, statements_html


def report_html(
    entries: Sequence[Any], articles: Mapping[str, str], failed: Mapping[str, str], parameters: Mapping[str, Any], synthetic: bool
) -> str:
    """The page, one file that loads nothing else: what ran, what failed and why, the paper's orderings, every table and figure.

    entries: `report.Entry`s in order. articles: key -> a notebook's prose, tables and pictures (`notebooks.to_article`).
    failed: run -> why. synthetic: whether a number on it rests on data that the lab drew.
    """
    bad = [entry for entry in entries if entry.status != "done"]
    summary = f"{len(entries) - len(bad)} of {len(entries)} notebooks done"
    label = " <b>SYNTHETIC DATA: not comparable with the paper's numbers.</b>" if synthetic else ""
    links = "".join(
        f"<li><a href='#{escape(e.key)}'>{escape(e.title)}</a>{'' if e.status == 'done' else ' – failed'}</li>" for e in entries
    )
    trouble = "".join(f"<li><code>{escape(name)}</code>: {escape(why)}</li>" for name, why in failed.items())
    trouble = f"<h2>Runs that failed</h2><ul>{trouble}</ul>" if trouble else ""
    parts = []
    for e in entries:
        if e.status == "done":
            inner = (
                f"{articles.get(e.key, '')}<p class='more'><a href='{escape(e.page)}'>with its code, as a page of its "
                f"own</a> · <a href='{escape(e.page.removesuffix('.html'))}.ipynb'>the notebook</a></p>"
            )
        else:
            inner = f"<h1>{escape(e.title)}</h1><p>failed:</p><pre>{escape(e.why)}</pre>"
        parts.append(f"<section id='{escape(e.key)}'>{inner}</section>")
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>maaf_lab: tables and figures</title>"
        f"<meta name='viewport' content='width=device-width'><style>{_STYLE}</style></head><body>"
        f"<h1>Tables and figures of the paper, reproduced</h1><p>Profile {escape(parameters['profile'])}, "
        f"{len(parameters['seeds'])} seed(s); {summary}.{label}</p><nav><ul>{links}</ul></nav>{trouble}{_orderings(entries)}"
        f"{''.join(parts)}"
        "</body></html>\n"
    )


def _orderings(entries: Sequence[Any]) -> str:
    """All tables' statements, corrected over all of them."""
    said = [{"table": entry.key, **line} for entry in entries for line in entry.statements]
    if not said:
        return ""
    frame = judged(pd.DataFrame(said))
    counts = ", ".join(f"{count} {verdict}" for verdict, count in frame["verdict"].value_counts().items())
    caption = judged_by(frame, "statement", "of all tables") + " Beside its table a statement is corrected over that table."
    return f"<h2>The paper's orderings</h2><p>Of {len(frame)}: {escape(counts)}.</p>{statements_html(frame, caption)}"


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:68rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}"
    "nav ul{columns:22rem;padding-left:1.2rem}"
    "section{border-top:2px solid #ddd;margin-top:2.5rem;padding-top:.5rem;overflow-x:auto}"
    "section h1{font-size:1.5rem}section h2{font-size:1.15rem;margin-bottom:.2rem}section img{max-width:100%;height:auto}"
    "pre{white-space:pre-wrap;background:#f6f6f6;padding:.8rem;font-size:.85rem}"
    ".jp-OutputArea-output pre{white-space:pre;overflow-x:auto}"
    ".more{font-size:.9rem}table{font-size:.92rem}"
)
