"""Running, checking and cleaning notebooks: for the command line, the tests and whoever runs papermill directly.

A notebook has one cell tagged `parameters`, of plain `name = literal` lines only, and the next code cell starts with
`check_parameters()`. Then a misspelt parameter is an error on every path: `execute` refuses it before anything runs, and
papermill called directly (which only warns) fails at that cell.
"""

from __future__ import annotations

import ast
import copy
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from maaf_lab.errors import ConfigError, LabError
from maaf_lab.utils.wording import did_you_mean

if TYPE_CHECKING:
    import nbformat  # half a second, which every notebook would wait for: `check_parameters` needs none of it

PARAMETERS_TAG = "parameters"
_INJECTED = "# Parameters"  # the first line of the cell that papermill writes
_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class NotebookError(LabError):
    """A notebook is missing or malformed, or one of its cells failed."""


class Executed(NamedTuple):
    """The two files that `execute` writes."""

    ipynb: Path
    html: Path


# --- parameters -------------------------------------------------------------------------------------------------------
# Cells are read by Python's own parser. `papermill.inspect_notebook` reads lines by a regular expression: it loses a parameter
# whose text holds `=`, cuts one at `#`, and passes over what is no parameter; and `check_parameters` would wait for its import.


def declared_parameters(notebook: str | Path) -> dict[str, Any]:
    """The names and default values of a notebook's `parameters` cell; empty where it has none.

    Raises NotebookError where the cell holds anything but `name = literal`, or where two cells carry the tag.
    """
    path = Path(notebook)
    tagged = [cell for cell in _read(path).cells if PARAMETERS_TAG in cell.metadata.get("tags", [])]
    if not tagged:
        return {}
    if len(tagged) > 1:
        raise NotebookError(f"{path.name}: {len(tagged)} cells are tagged '{PARAMETERS_TAG}'; keep one")
    values = _assignments(tagged[0].source)
    if values is None:
        raise NotebookError(
            f"{path.name}: the cell tagged '{PARAMETERS_TAG}' must hold `name = literal` lines only (numbers, strings, True, "
            f"None, lists); move everything else to another cell. Found:\n{tagged[0].source}"
        )
    return values


def check_parameters() -> None:
    """First line of the code cell after a notebook's `parameters` cell: refuses what papermill injected in between.

    papermill puts the values given with `-p` into a cell of their own, whatever their names are. This looks up that cell
    and the parameters cell in the kernel's history, and compares names and types. Without an injected cell (run by hand,
    or with the defaults), or outside a kernel, there is nothing to check.
    Raises ConfigError naming the unknown and the known names, or the value whose type does not fit.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    history = list(shell.user_ns.get("In", []))[:-1] if shell else []  # without the cell that calls
    injected = max((i for i, source in enumerate(history) if source.startswith(_INJECTED)), default=None)
    if injected is None:
        return
    declared: dict[str, Any] = {}
    for source in history[:injected]:  # all of them: cells may have been run again by hand, in any order
        declared |= _assignments(source) or {}
    if declared:
        _refuse("this notebook", declared, _assigned_names(history[injected]), _assignments(history[injected]) or {})


def _refuse(title: str, declared: Mapping[str, Any], names: Iterable[str], values: Mapping[str, Any]) -> None:
    unknown = sorted(set(names) - set(declared))
    if unknown:
        known = ", ".join(f"{name} = {value!r}" for name, value in declared.items()) or "none (it has no parameters cell)"
        close = did_you_mean(unknown[0], declared)
        raise ConfigError(
            f"{title} has no parameter {', '.join(map(repr, unknown))}; its parameters and defaults: {known}{close}"
        )
    for name, value in values.items():
        if not _fits(value, declared[name]):
            raise ConfigError(
                f"{title}: parameter {name!r} takes {type(declared[name]).__name__} (its default is {declared[name]!r}); "
                f"found {value!r}, {type(value).__name__}"
            )


def _fits(value: Any, default: Any) -> bool:
    if default is None:  # says nothing about its type
        return True
    if isinstance(default, float) and type(value) is int:
        return True
    if isinstance(default, (list, tuple)):  # papermill has no tuples
        return isinstance(value, (list, tuple))
    return type(value) is type(default)


def _assignments(source: str) -> dict[str, Any] | None:
    """What a cell of `name = literal` lines assigns; None if it is anything else."""
    values: dict[str, Any] = {}
    try:
        body = ast.parse(source).body
        for node in body:
            target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else getattr(node, "target", None)
            if not isinstance(node, (ast.Assign, ast.AnnAssign)) or not isinstance(target, ast.Name) or node.value is None:
                return None
            values[target.id] = _literal(node.value)
    except (SyntaxError, ValueError):
        return None
    return values


def _literal(node: ast.expr) -> Any:
    """A literal's value; also `float('nan')` and its like, which is how papermill spells those."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float" and len(node.args) == 1:
        return float(ast.literal_eval(node.args[0]))
    return ast.literal_eval(node)


def _assigned_names(source: str) -> list[str]:
    return [node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


# --- execution --------------------------------------------------------------------------------------------------------


def execute(
    notebook: str | Path,
    output_dir: str | Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    progress: bool = True,
    timeout: float | None = None,
) -> Executed:
    """Runs a notebook with papermill and writes `{output_dir}/{name}.ipynb` and a self-contained `.html` beside it.

    The notebook itself is not touched. Its cells run in the notebook's own folder, as they do in JupyterLab, so give
    folders as absolute paths. timeout: seconds a single cell may take, None for no limit. The progress bar is shown on a
    terminal only, and not where CI is set.
    Raises ConfigError for an unknown parameter or a wrong type, before anything runs; NotebookError with the cell's own
    error where a cell fails, naming the partial notebook.
    """
    import papermill

    source, given = Path(notebook), dict(parameters or {})
    _refuse(source.name, declared_parameters(source), given, given)
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / source.name
    if target.resolve() == source.resolve():
        raise ConfigError(f"execute: {source} would be overwritten; give an output folder other than the notebook's own")
    try:
        papermill.execute_notebook(
            str(source.resolve()), str(target.resolve()), parameters=given, cwd=str(source.resolve().parent),
            language="python", execution_timeout=timeout, **_kernel(source),
            progress_bar=progress and sys.stderr.isatty() and not os.environ.get("CI"),
        )  # fmt: skip
    except papermill.exceptions.PapermillExecutionError as error:
        _strip_papermill(target)
        raise NotebookError(
            f"{source.name}: cell {error.exec_count} failed with {error.ename}: {error.evalue}\n"
            f"The notebook up to that cell, with the traceback: {target}"
        ) from error
    except Exception as error:  # a kernel that died, a cell that took too long
        where = f"\nThe notebook up to that point: {target}" if target.exists() else ""
        raise NotebookError(f"{source.name}: could not be run to its end: {type(error).__name__}: {error}{where}") from error
    _strip_papermill(target)
    return Executed(target, to_html(target))


def refresh(notebook: str | Path, *, timeout: float | None = None) -> None:
    """Runs a notebook with its defaults and saves it, cleaned, in its place: how a committed notebook is made.

    Where a cell fails the notebook is left as it was.
    """
    import nbclient

    path = Path(notebook)
    nb = _read(path)
    try:
        nbclient.NotebookClient(
            nb, timeout=timeout, resources={"metadata": {"path": str(path.resolve().parent)}}, **_kernel(path)
        ).execute()
    except nbclient.exceptions.CellExecutionError as error:
        raise NotebookError(f"{path.name}: left as it was, a cell failed with {error.ename}: {error.evalue}") from error
    path.write_text(_text(_cleaned(nb, path)), encoding="utf-8")


def to_html(notebook: str | Path) -> Path:
    """Writes `name.html` beside a notebook: one file that loads nothing from the network, so it works offline.

    nbconvert's page pulls MathJax, RequireJS, mermaid and the widget manager from elsewhere; here they are left out. So
    formulas appear as TeX, a widget as the text or HTML that it gives besides its live view, and progress bars not at all.
    """
    import nbconvert

    path = Path(notebook)
    nb = _without_live_parts(_read(path))
    exporter = nbconvert.HTMLExporter(raw_template=_OFFLINE, embed_images=True)
    html, _ = exporter.from_notebook_node(nb, resources={"metadata": {"path": str(path.parent), "name": path.stem}})
    page = path.with_suffix(".html")
    page.write_text(html, encoding="utf-8")
    return page


NOT_ON_A_PAGE = "not-on-a-page"  # the tag of a cell that prints, for the tests, what the cell before it shows


def to_article(notebook: str | Path) -> str:
    """The prose, tables and pictures of an executed notebook as a piece of HTML.

    Left out: code, progress bars, the parameters' cells and cells tagged "not-on-a-page".
    """
    import nbconvert
    from nbconvert.preprocessors import TagRemovePreprocessor

    nb = _without_live_parts(_read(Path(notebook)))
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
    for data in _bundles(nb):
        data.pop(_WIDGET_VIEW, None)
    return nb


def _is_bar(output: Any) -> bool:
    """A progress bar's widget: on a page it would stand at 0% for ever."""
    data = output.get("data", {})
    return _WIDGET_VIEW in data and re.search(r"\d+%\|", "".join(data.get("text/plain", ""))) is not None


_OFFLINE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock html_head_js -%}
{%- block html_head_js_mathjax -%}{%- endblock html_head_js_mathjax -%}
{%- block html_head_js_mermaidjs -%}{%- endblock html_head_js_mermaidjs -%}
{%- block jupyter_widgets -%}{%- endblock jupyter_widgets -%}
"""


def _kernel(path: Path) -> dict[str, Any]:
    """Which kernel runs a notebook: its own, by name; for "python3", and where its metadata are silent, this Python.

    A JUPYTER_PATH, as clusters set it, may offer another Python as "python3", one without the lab.
    """
    name = _read(path).metadata.get("kernelspec", {}).get("name", "python3")
    if name != "python3":
        return {"kernel_name": name}
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class ThisPython(AsyncKernelManager):
        kernel_spec = KernelSpec(**get_kernel_dict())

    return {"kernel_name": name, "kernel_manager_class": ThisPython}


def _strip_papermill(path: Path) -> None:
    """Takes out what papermill and the client wrote about this machine and this hour: paths, dates, durations."""
    import nbformat

    nb = _read(path)
    _clear_metadata(nb, "kernelspec", "language_info", "widgets")
    nbformat.write(nb, path)


def _clear_metadata(nb: nbformat.NotebookNode, *kept: str) -> None:
    """Leaves those of the notebook and the cells' tags (nbconvert's ClearMetadataPreprocessor passes Markdown cells over)."""
    import nbformat

    nb.metadata = nbformat.from_dict({name: nb.metadata[name] for name in kept if name in nb.metadata})
    for cell in nb.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})


# --- cleaning ---------------------------------------------------------------------------------------------------------


def clean(notebook: str | Path, *, check: bool = False) -> bool:
    """Makes a notebook fit to be committed; True where that changed it (with check=True it is only looked at).

    Keeps cells, tags, outputs and execution counts (a cell without a count is not compared by nbval). Drops all other
    metadata, widget state included, and machine paths in text outputs: the project's folder becomes `.`, the home folder
    `~`, the temporary folder `TMP`.
    """
    path = Path(notebook)
    text = _text(_cleaned(_read(path), path))
    changed = text != path.read_text(encoding="utf-8")
    if changed and not check:
        path.write_text(text, encoding="utf-8")
    return changed


def _cleaned(nb: nbformat.NotebookNode, path: Path) -> nbformat.NotebookNode:
    import nbformat

    nb = copy.deepcopy(nb)
    kernel, language = nb.metadata.get("kernelspec", {}), nb.metadata.get("language_info", {})
    _clear_metadata(nb)
    own = {"display_name": "Python 3 (ipykernel)", "name": "python3"}
    nb.metadata.kernelspec = nbformat.from_dict({name: kernel.get(name, value) for name, value in own.items()})
    nb.metadata.language_info = nbformat.from_dict({"name": language.get("name", "python")})
    hide = _hider(path)
    for data in _bundles(nb):
        if "image/png" in data or "text/html" in data:
            data.pop(_WIDGET_VIEW, None)  # its state is not kept, and JupyterLab would show an error in place of the picture
        for mime, value in data.items():
            if not mime.startswith("image/") or mime == "image/svg+xml":
                data[mime] = _map_strings(value, hide)
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            for key in ("text", "evalue", "traceback"):
                if key in output:
                    output[key] = _map_strings(output[key], hide)
    return nb


def _text(nb: nbformat.NotebookNode) -> str:
    import nbformat

    return nbformat.writes(nb).rstrip("\n") + "\n"


def _hider(path: Path) -> Any:
    """text -> text without this machine's paths."""
    folder = path.resolve().parent
    project = next((parent for parent in (folder, *folder.parents) if (parent / "pyproject.toml").exists()), folder)
    home, temporary = Path.home(), Path(tempfile.gettempdir())
    folders = [(str(p), to) for p, to in ((project, "."), (home, "~"), (temporary, "TMP")) if p != Path(p.anchor)]
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


def _bundles(nb: nbformat.NotebookNode) -> list[Any]:
    """The mime bundles of all outputs."""
    return [output.data for cell in nb.cells for output in cell.get("outputs", []) if "data" in output]


def _read(path: Path) -> nbformat.NotebookNode:
    import nbformat

    if not path.is_file():
        raise NotebookError(f"no notebook at {path}; check the name and the folder")
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:
        raise NotebookError(f"{path}: expected a Jupyter notebook (nbformat 4), found something else: {error}") from error


def main(arguments: list[str]) -> int:
    """`python -m maaf_lab.notebooks [--run | --check] FILE...`: clean the files; run them first; or only say what is unclean."""
    options, files = [a for a in arguments if a.startswith("-")], [Path(a) for a in arguments if not a.startswith("-")]
    if not files or options not in ([], ["--run"], ["--check"]):
        print(main.__doc__, file=sys.stderr)
        return 2
    unclean = 0
    for path in files:
        if "--run" in options:
            refresh(path)
        changed = clean(path, check="--check" in options)
        unclean += changed
        print(f"{path}: {('unclean' if '--check' in options else 'cleaned') if changed else 'clean'}")
    return int("--check" in options and unclean > 0)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        sys.exit(str(error))
