"""Running notebooks: with papermill into another folder, or in place before they are committed (the command)."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from maaf_lab.arguments import checked
from maaf_lab.errors import ConfigError
from maaf_lab.notebooks.cleaning import clean, cleaned
from maaf_lab.notebooks.files import NotebookError, as_text, clear_metadata, read
from maaf_lab.notebooks.pages import to_html
from maaf_lab.notebooks.parameters import declared_parameters, refuse
from maaf_lab.utils.files import make_folder, write_text
from maaf_lab.utils.paths import given_path


class Executed(NamedTuple):
    """The two files that `execute` writes."""

    ipynb: Path
    html: Path


@checked
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
    refuse(source.name, declared_parameters(source), given, given)
    if Path(output_dir).suffix in (".ipynb", ".html"):
        raise ConfigError(f"execute: output_dir: expected a folder, to hold {source.name}, found a file's name: {output_dir}")
    folder = make_folder(given_path(Path(output_dir)))
    target = folder / source.name
    if target.resolve() == source.resolve():
        raise ConfigError(f"execute: {source} would be overwritten; give an output folder other than the notebook's own")
    kernel = _kernel(source)
    with tempfile.TemporaryDirectory() as elsewhere:  # papermill writes after each cell; a kill leaves what was in the folder
        growing = Path(elsewhere) / source.name
        try:
            papermill.execute_notebook(
                str(source.resolve()), str(growing), parameters=given, cwd=str(source.resolve().parent),
                language="python", execution_timeout=timeout, **kernel,
                progress_bar=progress and sys.stderr.isatty() and not os.environ.get("CI"),
            )  # fmt: skip
        except papermill.exceptions.PapermillExecutionError as error:
            _keep(growing, target)
            raise NotebookError(
                f"{source.name}: cell {error.exec_count} failed with {error.ename}: {error.evalue}\n"
                f"The notebook up to that cell, with the traceback: {target}"
            ) from error
        except Exception as error:  # a kernel that died, a cell that took too long
            where = ""
            with contextlib.suppress(NotebookError):  # none was written yet, or the disk was full in the middle of it
                where = f"\nThe notebook up to that point: {_keep(growing, target)}"
            raise NotebookError(f"{source.name}: could not be run to its end: {type(error).__name__}: {error}{where}") from error
        _keep(growing, target)
    return Executed(target, to_html(target))


@checked
def refresh(notebook: str | Path, *, timeout: float | None = None) -> None:
    """Runs a notebook with its defaults and saves it, cleaned, in its place: how a committed notebook is made.

    Where a cell fails the notebook is left as it was.
    """
    import nbclient

    path = Path(notebook)
    nb = read(path)
    try:
        nbclient.NotebookClient(
            nb, timeout=timeout, resources={"metadata": {"path": str(path.resolve().parent)}}, **_kernel(path)
        ).execute()
    except nbclient.exceptions.CellExecutionError as error:
        raise NotebookError(f"{path.name}: left as it was, a cell failed with {error.ename}: {error.evalue}") from error
    write_text(path, as_text(cleaned(nb, path)))


def _kernel(path: Path) -> dict[str, Any]:
    """Which kernel runs a notebook: its own, by name; for "python3", and where its metadata are silent, this Python.

    A JUPYTER_PATH, as clusters set it, may offer another Python as "python3", one without the lab.
    """
    name = read(path).metadata.get("kernelspec", {}).get("name", "python3")
    if name != "python3":
        return {"kernel_name": _installed(name, path)}
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class ThisPython(AsyncKernelManager):
        # each kernel warns that its sockets are not encrypted, and on a busy machine logs the interrupt by which it is ended
        kernel_spec = KernelSpec(**get_kernel_dict(["--log-level=CRITICAL"]))

    return {"kernel_name": name, "kernel_manager_class": ThisPython}


@checked
def check_kernel(path: str | Path) -> None:
    """Raises NotebookError where a notebook names a kernel that is not installed: to be called before anything is trained."""
    _kernel(Path(path))


def _installed(name: str, path: Path) -> str:
    from jupyter_client.kernelspec import KernelSpecManager

    known = KernelSpecManager().find_kernel_specs()
    if name not in known:
        raise NotebookError(
            f"{path.name}: expected the kernel {name!r} that it names, found {', '.join(sorted(known)) or 'none'}. Install it or "
            "choose Python 3 (ipykernel) in JupyterLab and save the notebook"
        )
    return name


def _keep(growing: Path, target: Path) -> Path:
    """Writes `target` without what papermill and the client wrote about this machine and time: paths, dates, durations."""
    nb = read(growing)
    clear_metadata(nb, "kernelspec", "language_info", "widgets")
    write_text(target, as_text(nb))
    return target


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
