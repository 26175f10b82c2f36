"""Reading and writing notebook files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from maaf_lab.errors import LabError

if TYPE_CHECKING:
    import nbformat  # half a second, which every notebook would wait for: `check_parameters` needs none of it

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class NotebookError(LabError):
    """A notebook is missing or malformed, or one of its cells failed."""


def read(path: Path) -> nbformat.NotebookNode:
    import nbformat

    if not path.is_file():
        raise NotebookError(f"no notebook at {path}; check the name and the folder")
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:
        raise NotebookError(f"{path}: expected a Jupyter notebook (nbformat 4), found something else: {error}") from error


def as_text(nb: nbformat.NotebookNode) -> str:
    import nbformat

    return nbformat.writes(nb).rstrip("\n") + "\n"


def mime_bundles(nb: nbformat.NotebookNode) -> list[Any]:
    """The mime bundles of all outputs."""
    return [output.data for cell in nb.cells for output in cell.get("outputs", []) if "data" in output]


def clear_metadata(nb: nbformat.NotebookNode, *kept: str) -> None:
    """Removes all metadata but the cells' tags and `kept` (nbconvert's ClearMetadataPreprocessor skips Markdown cells)."""
    import nbformat

    nb.metadata = nbformat.from_dict({name: nb.metadata[name] for name in kept if name in nb.metadata})
    for cell in nb.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
