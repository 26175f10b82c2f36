"""Run tables and figures in one go: train what is missing, execute every notebook, write one page that shows it all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from maaf_lab.errors import ConfigError, LabError, RunError
from maaf_lab.experiments.executors import Job, executor
from maaf_lab.experiments.runs import find
from maaf_lab.notebooks import NotebookError, declared_parameters, execute, to_article
from maaf_lab.paper.report_page import report_html
from maaf_lab.paper.table_experiment import open_table
from maaf_lab.paper.tables import TABLES, table
from maaf_lab.utils.files import write_json, write_text
from maaf_lab.utils.paths import NOTEBOOKS, own_folder, records_folder


@dataclass(frozen=True)
class Entry:
    """What became of one notebook. key: a table's number or a figure notebook's name, such as "figure3".

    page: the executed notebook as HTML, seen from the report's folder. state: what the outcome rests on; the same again means
    there is nothing to do. statements: of a table, the paper's orderings that ran (lines of `table_runs.statements_frame`).
    """

    key: str
    title: str
    status: str  # "done" or "failed"
    why: str
    page: str
    state: str
    statements: list[dict[str, Any]] = field(default_factory=list)


def notebook_of(key: str) -> Path:
    """A table's or a figure's notebook. Raises RunError where there is none, as where the package stands without them."""
    if key in figure_keys():
        return figure_notebooks()[key]
    found = sorted(NOTEBOOKS.glob(f"table{table(key).key}_*.ipynb"))
    if len(found) != 1:
        raise RunError(
            f"table {key}: expected one notebook table{key}_*.ipynb in {NOTEBOOKS.name}/, found {len(found)}. Run "
            f"`maaf-lab tables` from a clone of the lab; `maaf-lab table {key}` needs no notebook"
        )
    return found[0]


def figure_notebooks() -> dict[str, Path]:
    """The figure notebooks of a clone by key: "figure1", ... "figureS2" in the paper's order, then those beyond the paper."""
    paper = {path.stem.split("_")[0]: path for path in sorted(NOTEBOOKS.glob("figure*_*.ipynb"))}
    beyond = {path.stem: path for path in sorted(NOTEBOOKS.glob("heads_*.ipynb"))}
    return paper | beyond


def figure_keys() -> tuple[str, ...]:
    return tuple(figure_notebooks())


def chosen_keys(keys: Sequence[str]) -> list[str]:
    """Table numbers and names of figures, each once, in the order given.

    "all" or none is every table and figure, "tables" every table, "figures" every figure.
    """
    figures, every = figure_keys(), {"tables": list(TABLES), "figures": list(figure_keys())}
    every["all"] = every["tables"] + every["figures"]
    chosen: list[str] = []
    for key in map(str, keys or ["all"]):
        names = {name.lower(): name for name in figures}
        if key.lower() in every:
            chosen += every[key.lower()]
        elif key.lower() in names:
            chosen.append(names[key.lower()])
        elif key.lower().startswith("fig"):
            raise ConfigError(f"no figure {key!r} in the lab; known: {', '.join(figures) or 'none, the notebooks are not here'}")
        else:
            chosen.append(table(key).key)
    return list(dict.fromkeys(chosen))


def _title(key: str) -> str:
    """A notebook's name for people: its first heading, or the table's own where there is no notebook."""
    try:
        first = json.loads(notebook_of(key).read_text(encoding="utf-8"))["cells"][0]["source"]
        return ("".join(first).splitlines() or [key])[0].lstrip("# ")
    except (LabError, OSError, ValueError, LookupError):
        return f"Table {key}: {TABLES[key].title}" if key in TABLES else key


def run_tables(
    keys: Sequence[str] = (),
    *,
    profile: str = "laptop",
    data_root: str | Path = "data",
    runs_root: str | Path = "runs",
    records: str | Path = "",
    out: str | Path = "report",
    seeds: int = 1,
    steps: int = 0,
    executor_name: str = "local",
    device: str = "",
    progress: bool = True,
    **executor_options: Any,
) -> list[Entry]:
    """Train the runs that tables lack, execute the notebooks of tables and figures into `out`, and write `out/index.html`.

    keys: see `chosen_keys`. Folders: as in `workbench.open_table`. A run or a notebook that fails is told on the page and stops
    nothing else; a row with a failed run is left out of its notebook. What is done is not done again: finished runs are kept, and
    a notebook is executed again only where it, its parameters or the runs it shows have changed. Pictures of the figures go to
    `out/figures`.
    """
    out, keys, run_executor = Path(out).resolve(), chosen_keys(keys), executor(executor_name)
    if seeds < 1:
        raise ConfigError(f"seeds: expected at least 1, found {seeds}")
    # notebooks run in their own folder, so all paths are made absolute
    data_root, runs_root, records = (
        own_folder(data_root, "data").resolve(),
        own_folder(runs_root, "runs").resolve(),
        records_folder(records),
    )
    records = records.resolve() if records else ""
    sources: dict[str, Path] = {}
    absent: dict[str, str] = {}
    for key in keys:
        try:
            sources[key] = notebook_of(key)
        except RunError as error:
            absent[key] = str(error)
    if not sources:
        raise RunError(next(iter(absent.values()), "expected notebooks beside the package, found none; run this from a clone"))
    out.mkdir(parents=True, exist_ok=True)
    parameters = {
        "profile": profile,
        "data_root": str(data_root),
        "runs_root": str(runs_root),
        "records": str(records),
        "seeds": list(range(seeds)),
        "rows": [],
        "steps": steps,
        "device": device,
    }

    jobs, failed = _missing([key for key in sources if key in TABLES], parameters), {}
    bar = tqdm(total=len(jobs), desc="runs", unit="run", disable=not progress or not jobs)
    for job, why in run_executor(jobs, progress=progress, **executor_options):
        if why:
            failed[job.config.name] = why
        bar.update()
    bar.close()

    before = {entry.key: entry for entry in _read(out / "report.json")}
    entries, articles = dict(before), {}
    for key, why in absent.items():
        entries[key] = Entry(key, _title(key), "failed", why, "", "")
    for key in tqdm(sources, desc="notebooks", unit="notebook", disable=not progress):
        given = parameters if key in TABLES else _figure_parameters(sources[key], parameters, out)
        state, old = _state(sources[key], given, key), before.get(key)
        if old and old.status == "done" and old.state == state and (out / old.page).is_file():
            continue
        try:
            shown = {**given, "rows": _whole_rows(key, given, failed)} if key in TABLES else given
            done = execute(sources[key], out / "notebooks", shown, progress=False)
            page = os.path.relpath(done.html, out)
            said = _statements(key, shown) if key in TABLES else []
            entries[key] = Entry(key, _title(key), "done", "", page, _state(sources[key], given, key), said)
            articles.pop(key, None)
        except LabError as error:
            entries[key] = Entry(key, _title(key), "failed", str(error), "", state)
        _write(out, entries, articles, failed, parameters)
    _write(out, entries, articles, failed, parameters)
    return [entries[key] for key in keys]


def _figure_parameters(notebook: Path, parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Those parameters of the call that a figure's notebook has."""
    given = {**parameters, "out": str(out / "figures")}
    return {name: given[name] for name in declared_parameters(notebook) if name in given}


def _missing(keys: Sequence[str], parameters: dict[str, Any]) -> list[Job]:
    """The runs that neither folder has, each once; synthetic data is drawn first where there is none."""
    jobs: dict[str, Job] = {}
    roots = parameters["runs_root"], parameters["records"]
    for key in keys:
        experiment = open_table(key, **parameters)
        for dataset in experiment.table.datasets:
            lacking = [c for c in experiment.configs(dataset) if c.name not in jobs and find(c, roots) is None]
            if lacking:
                folder = str(experiment.data(dataset))
                jobs |= {c.name: Job(c, folder, parameters["runs_root"], parameters["device"] or None) for c in lacking}
    return list(jobs.values())


def _whole_rows(key: str, parameters: dict[str, Any], failed: dict[str, str]) -> list[str]:
    """The rows that a notebook may show without training again what has just failed; [], which is all, where nothing has."""
    experiment, whole = open_table(key, **parameters), []
    rows = [row.label for row in experiment.table.rows if row.changes is not None]
    for label in rows:
        alone = open_table(key, **{**parameters, "rows": [label]})
        if not any(config.name in failed for dataset in experiment.table.datasets for config in alone.configs(dataset)):
            whole.append(label)
    if not whole:
        raise RunError(
            f"table {key}: expected a row whose runs are finished, found none: every row has a run that failed. They "
            "are listed on this page with their reasons; mend those and call again"
        )
    return [] if len(whole) == len(rows) else whole


def _statements(key: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """The paper's orderings that ran, of a table whose notebook has been executed: nothing is trained."""
    found = open_table(key, **parameters).statements()
    return found[found["p"].notna()].to_dict("records")


def _state(notebook: Path, parameters: dict[str, Any], key: str) -> str:
    """A digest of the notebook's cells, its parameters and, for a table, the finished runs that it shows."""
    cells = [cell["source"] for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]]
    experiment, shown = open_table(key, **parameters) if key in TABLES else None, []
    for dataset in experiment.table.datasets if experiment else ():
        for config in experiment.configs(dataset):
            run = find(config, (parameters["runs_root"], parameters["records"]))
            shown.append([config.name, (run.folder / "metrics.json").read_text() if run else ""])
    return hashlib.sha256(json.dumps([cells, parameters, shown]).encode()).hexdigest()[:16]


def _read(path: Path) -> list[Entry]:
    if not path.is_file():
        return []
    try:
        return [Entry(**line) for line in json.loads(path.read_text())]
    except (ValueError, TypeError):  # of another version, or damaged: everything is done again
        return []


def _write(
    out: Path, entries: dict[str, Entry], articles: dict[str, str], failed: dict[str, str], parameters: dict[str, Any]
) -> None:
    """report.json and the page. articles: key -> what a notebook has to say; those that are not there yet are read and kept."""
    order = [*TABLES, *figure_keys()]
    ordered = sorted(entries.values(), key=lambda entry: order.index(entry.key) if entry.key in order else len(order))
    for entry in ordered:
        if entry.page and entry.key not in articles:
            with suppress(NotebookError):  # lost since; the notebook is executed again on the next call
                articles[entry.key] = to_article((out / entry.page).with_suffix(".ipynb"))
    write_json(out / "report.json", [asdict(entry) for entry in ordered])
    write_text(out / "index.html", report_html(ordered, articles, failed, parameters))
