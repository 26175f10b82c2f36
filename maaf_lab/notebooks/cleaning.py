"""Making notebooks fit to be committed: no machine paths, no metadata of this hour."""

from __future__ import annotations

import copy
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maaf_lab.arguments import checked
from maaf_lab.notebooks.files import WIDGET_VIEW, as_text, clear_metadata, mime_bundles, read
from maaf_lab.utils.files import write_text

if TYPE_CHECKING:
    import nbformat


@checked
def clean(notebook: str | Path, *, check: bool = False) -> bool:
    """Makes a notebook fit to be committed; True where that changed it (with check=True it is only looked at).

    Keeps cells, tags, outputs and execution counts (a cell without a count is not compared by nbval). Drops all other
    metadata, widget state included, and machine paths in text outputs: the project's folder becomes `.`, the home folder
    `~`, the temporary folder `TMP`.
    """
    path = Path(notebook)
    text = as_text(cleaned(read(path), path))
    changed = text != path.read_text(encoding="utf-8")
    if changed and not check:
        write_text(path, text)
    return changed


def cleaned(nb: nbformat.NotebookNode, path: Path) -> nbformat.NotebookNode:
    import nbformat

    nb = copy.deepcopy(nb)
    kernel, language = nb.metadata.get("kernelspec", {}), nb.metadata.get("language_info", {})
    clear_metadata(nb)
    own = {"display_name": "Python 3 (ipykernel)", "name": "python3"}
    nb.metadata.kernelspec = nbformat.from_dict({name: kernel.get(name, value) for name, value in own.items()})
    nb.metadata.language_info = nbformat.from_dict({"name": language.get("name", "python")})
    hide = hider(path)
    for data in mime_bundles(nb):
        if "image/png" in data or "text/html" in data:
            data.pop(WIDGET_VIEW, None)  # its state is not kept, and JupyterLab would show an error in place of the picture
        for mime, value in data.items():
            if not mime.startswith("image/") or mime == "image/svg+xml":
                data[mime] = _map_strings(value, hide)
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            for key in ("text", "evalue", "traceback"):
                if key in output:
                    output[key] = _map_strings(output[key], hide)
    return nb


def hider(path: Path, **more: str | Path) -> Any:
    """text -> text without this machine's paths. more: what stands for other folders, such as RUNS=..."""
    folder = path.resolve().parent
    project = next((parent for parent in (folder, *folder.parents) if (parent / "pyproject.toml").exists()), folder)
    home, temporary = Path.home(), Path(tempfile.gettempdir())
    folders = [
        (str(p), to)
        for p, to in ((project, "."), (home, "~"), (temporary, "TMP"), *((Path(folder), name) for name, folder in more.items()))
        if p != Path(p.anchor)
    ]
    folders.sort(key=lambda folder: -len(folder[0]))  # the innermost first

    def hide(text: str) -> str:
        text = re.sub(r"[^\s'\"]*ipykernel_\d+[/\\]\d+\.py", "<cell>", text)
        for folder, to in folders:
            text = re.sub(re.escape(folder) + r"(?![\w.-])", to, text)
        return text

    return hide


def _map_strings(value: Any, change: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_map_strings(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _map_strings(item, change) for key, item in value.items()}
    return value
