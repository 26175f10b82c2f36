"""Executed notebooks as HTML: a page that works offline, or an article for the report."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maaf_lab.arguments import checked
from maaf_lab.notebooks.files import WIDGET_VIEW, mime_bundles, read
from maaf_lab.utils.files import write_text

if TYPE_CHECKING:
    import nbformat


@checked
def to_html(notebook: str | Path) -> Path:
    """Writes `name.html` beside a notebook: one file that loads nothing from the network, so it works offline.

    nbconvert's page pulls MathJax, RequireJS, mermaid and the widget manager from elsewhere; here they are left out. So
    formulas appear as TeX, a widget as the text or HTML that it gives besides its live view, and progress bars not at all.
    """
    import nbconvert

    path = Path(notebook)
    nb = _without_live_parts(read(path))
    exporter = nbconvert.HTMLExporter(raw_template=_OFFLINE, embed_images=True)
    html, _ = exporter.from_notebook_node(nb, resources={"metadata": {"path": str(path.parent), "name": path.stem}})
    page = path.with_suffix(".html")
    write_text(page, html)
    return page


NOT_ON_A_PAGE = "not-on-a-page"  # the tag of a cell that prints, for the tests, what the cell before it shows


@checked
def to_article(notebook: str | Path) -> str:
    """The prose, tables and pictures of an executed notebook as a piece of HTML.

    Left out: code, progress bars, the parameters' cells and cells tagged "not-on-a-page".
    """
    import nbconvert
    from nbconvert.preprocessors import TagRemovePreprocessor

    nb = _without_live_parts(read(Path(notebook)))
    for cell in nb.cells:
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    exporter = nbconvert.HTMLExporter(
        template_name="basic",
        preprocessors=[TagRemovePreprocessor(enabled=True, remove_cell_tags={NOT_ON_A_PAGE})],
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    html, _ = exporter.from_notebook_node(nb)
    return html


def _without_live_parts(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy without progress bars and without what only a running kernel can show (nbconvert takes outputs out by tag only)."""
    nb = copy.deepcopy(nb)
    nb.metadata.pop("widgets", None)
    for cell in nb.cells:
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if not _is_bar(output)]
    for data in mime_bundles(nb):
        data.pop(WIDGET_VIEW, None)
    return nb


def _is_bar(output: Any) -> bool:
    """A progress bar's widget: on a page it would stand at 0% for ever."""
    data = output.get("data", {})
    return WIDGET_VIEW in data and re.search(r"\d+%\|", "".join(data.get("text/plain", ""))) is not None


_OFFLINE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock html_head_js -%}
{%- block html_head_js_mathjax -%}{%- endblock html_head_js_mathjax -%}
{%- block html_head_js_mermaidjs -%}{%- endblock html_head_js_mermaidjs -%}
{%- block jupyter_widgets -%}{%- endblock jupyter_widgets -%}
"""
