"""An explorer as one HTML file that needs neither a kernel nor a network: its drawing, its script, what the script reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from maaf_lab.explorers.page.svg import escaped

HERE = Path(__file__).parent  # of the scripts and the style sheet


@lru_cache(maxsize=8)
def asset(name: str) -> str:
    """The text of a script or a style sheet that comes with the lab."""
    return (HERE / name).read_text(encoding="utf-8")


def page(
    title: str,
    svg: str,
    summary: str,
    *,
    data: Mapping[str, Any] | None = None,
    selection: Mapping[str, Any] | None = None,
    frames: Mapping[str, str] | None = None,
) -> str:
    """The file. svg: what is shown first, with or without scripts; summary: what it shows, in words.

    frames: "act:value" of a button -> the drawing that it shows.
    """
    content = json.dumps(
        {"data": data, "selection": selection, "frames": dict(frames or {})}, separators=(",", ":"), sort_keys=True
    )
    content = content.replace("</", "<\\/")
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escaped(title)}</title>
<style>body{{margin:16px;background:#fff}}@media (prefers-color-scheme:dark){{body{{background:#111}}}}
{asset("explorer.css")}</style></head>
<body>
<main class="maaf page"><h1 style="font-size:17px">{escaped(title)}</h1><p class="soft">{escaped(summary)}</p>
<div id="explorer">{svg}</div>
</main>
<script type="application/json" id="content">{content}</script>
<script type="module">
{asset("explorer.js")}
showPage();
</script>
</body>
</html>
"""


def pages(title: str, each: Sequence[str]) -> str:
    """Several such files as one, below one another, each in its own frame."""
    frames = "".join(
        f'<iframe title="{escaped(title)} {n + 1}" srcdoc="{escaped(one)}" style="width:100%;border:0" '
        "onload=\"this.style.height=this.contentDocument.documentElement.scrollHeight+24+'px'\"></iframe>"
        for n, one in enumerate(each)
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escaped(title)}</title></head>'
        f'<body style="margin:0">{frames}</body></html>\n'
    )
