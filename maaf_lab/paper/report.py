"""Run tables and figures in one go: train what is missing, execute every notebook, write one page that shows it all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from maaf_lab.errors import ConfigError, LabError, RunError
from maaf_lab.experiments.executors import Executor, first_line, get_executor, run_missing
from maaf_lab.experiments.sources import SYNTHETIC_SIZE
from maaf_lab.notebooks import NotebookError, check_kernel, declared_parameters, execute, to_article
from maaf_lab.notebooks.cleaning import hider
from maaf_lab.paper.report_page import report_html
from maaf_lab.paper.table_experiment import TableExperiment, open_table
from maaf_lab.paper.tables import TABLES, table
from maaf_lab.utils.files import make_folder, write_json, write_text
from maaf_lab.utils.paths import NOTEBOOKS, own_folder, records_folder
from maaf_lab.utils.wording import did_you_mean


@dataclass(frozen=True)
class Entry:
    """What became of one notebook. key: a table's number or a figure notebook's name, such as "figure3".

    page: the executed notebook as HTML, relative to the report's folder. state: a digest of what the page was made from; while
    it stays the same there is nothing to do. statements: of a table, the lines of `table_results.statements_frame` that ran.
    """

    key: str
    title: str
    status: str  # "done" or "failed"; "unchanged" where a call had nothing to do
    why: str
    page: str
    state: str
    statements: list[dict[str, Any]] = field(default_factory=list)


def notebook_of(key: str, notebooks: Path = NOTEBOOKS) -> Path:
    """A table's or a figure's notebook. Raises RunError where there is none, as where the package stands without them."""
    if (found := figure_notebooks(notebooks).get(key)) is not None:
        return found
    tables = sorted(notebooks.glob(f"table{table(key).key}_*.ipynb"))
    if len(tables) != 1:
        raise RunError(
            f"table {key}: expected one notebook table{key}_*.ipynb in {notebooks.name}/, found {len(tables)}. Run "
            f"`maaf-lab tables` from a clone of the lab; `maaf-lab table {key}` needs no notebook"
        )
    return tables[0]


def figure_notebooks(notebooks: Path = NOTEBOOKS) -> dict[str, Path]:
    """The figure notebooks of a clone by key: "figure1", ... "figureS2" in the paper's order, then those beyond the paper."""
    paper = {path.stem.split("_")[0]: path for path in sorted(notebooks.glob("figure*_*.ipynb"))}
    beyond = {path.stem: path for path in sorted(notebooks.glob("heads_*.ipynb"))}
    return paper | beyond


def chosen_keys(keys: Sequence[str], notebooks: Path = NOTEBOOKS) -> list[str]:
    """Table numbers and names of figures, each once, in the order given.

    "all" or none is every table and figure, "tables" every table, "figures" every figure.
    """
    figures = list(figure_notebooks(notebooks))
    every = {"tables": list(TABLES), "figures": figures, "all": [*TABLES, *figures]}
    chosen: list[str] = []
    for key in map(str, keys or ["all"]):
        names = {name.lower(): name for name in figures}
        if key.lower() in every:
            chosen += every[key.lower()]
        elif key.lower() in names:
            chosen.append(names[key.lower()])
        else:
            meant = did_you_mean(key, [*figures, *(f"table{name}" for name in TABLES), *every])
            if key.lower().startswith("fig"):
                known = ", ".join(figures) or "none, the notebooks are not here"
                meant = "" if key.lower().rstrip("0123456789") in ("figure", "figures") else meant  # no typing error
                raise ConfigError(f"no figure {key!r} in the lab; known: {known}; figures for all of them{meant}")
            try:
                chosen.append(table(key).key)
            except ConfigError as error:
                raise ConfigError(f"{error}{meant}") from None
    return list(dict.fromkeys(chosen))


def _title(key: str, notebook: Path | None) -> str:
    """A notebook's name for people: its first heading, or the table's own where there is no notebook."""
    with suppress(OSError, ValueError, LookupError):
        if notebook is not None:
            first = json.loads(notebook.read_text(encoding="utf-8"))["cells"][0]["source"]
            return ("".join(first).splitlines() or [key])[0].lstrip("# ")
    return f"Table {key}: {TABLES[key].title}" if key in TABLES else key


def run_tables(
    keys: Sequence[str] = (),
    *,
    profile: str = "laptop",
    data_root: str | Path = "",
    runs_root: str | Path = "",
    records: str | Path = "",
    out: str | Path = "",
    seeds: int = 1,
    steps: int = 0,
    executor: str | Executor = "local",
    device: str = "",
    notebooks: str | Path = NOTEBOOKS,
    progress: bool = True,
    again: bool = False,
) -> list[Entry]:
    """Train the runs that tables lack, execute the notebooks of tables and figures into `out`, and write `out/index.html`.

    keys: see `chosen_keys`. Folders and executor: as in `open_table`; out: "" for report/. notebooks: the folder that has them.
    A run or a notebook that fails is named on the page and stops nothing else; a row with a failed run is left out of its
    notebook. What is done is not done again: finished runs are kept, and a notebook is executed again only where it, its
    parameters or the runs it shows have changed, or with `again`, as after a change of the lab's code. Pictures of the figures go
    to `out/figures`.
    """
    out, notebooks, executor = own_folder(out, "report").resolve(), Path(notebooks), get_executor(executor)
    keys = chosen_keys(keys, notebooks)
    if not 1 <= seeds <= 1000:
        raise ConfigError(f"seeds: expected at least 1 and at most 1,000, found {seeds}")
    records = records_folder(records)
    if records and not records.is_dir():
        raise ConfigError(
            f'records: expected a folder, or "lab" for the records that came with the lab, found nothing at {records}'
        )
    # notebooks run in their own folder, so all paths are made absolute
    parameters = {
        "profile": profile,
        "data_root": str(own_folder(data_root, "data").resolve()),
        "runs_root": str(own_folder(runs_root, "runs").resolve()),
        "records": str(records.resolve() if records else ""),
        "seeds": list(range(seeds)),
        "rows": [],
        "steps": steps,
        "device": device,
    }
    sources: dict[str, Path] = {}
    experiments: dict[str, TableExperiment] = {}
    wanted, absent = [], {}
    for key in keys:
        try:
            sources[key] = notebook_of(key, notebooks)
            check_kernel(sources[key])
            if key in TABLES:
                experiment = open_table(key, **parameters)
                wanted += experiment.wanted()
                experiments[key] = experiment
        except LabError as error:  # no notebook, or no data that could be named
            absent[key] = error
    if len(absent) == len(keys):
        raise next(iter(absent.values()), RunError("expected notebooks beside the package, found none; run this from a clone"))
    make_folder(out)
    errors = run_missing(
        wanted, parameters["runs_root"], parameters["records"], executor=executor, device=device or None, progress=progress
    )
    report = _Report(
        out,
        notebooks,
        parameters,
        {name: first_line(error) for name, error in errors.items()},
        profile in SYNTHETIC_SIZE or any(experiment.synthetic for experiment in experiments.values()),
        {entry.key: entry for entry in _read(out / "report.json")},
    )
    for key, error in absent.items():
        report.entries[key] = Entry(key, _title(key, sources.get(key)), "failed", str(error), "", "")
    for key in tqdm([key for key in keys if key not in absent], desc="notebooks", unit="notebook", disable=not progress):
        report.bring_up_to_date(key, sources[key], experiments.get(key), again)
    report.write()
    return [replace(report.entries[key], status="unchanged") if key in report.unchanged else report.entries[key] for key in keys]


@dataclass
class _Report:
    """The report while it is made. failed: run -> why. articles: key -> a notebook's article, read when it is needed."""

    out: Path
    notebooks: Path
    parameters: Mapping[str, Any]
    failed: Mapping[str, str]
    synthetic: bool
    entries: dict[str, Entry]
    articles: dict[str, str] = field(default_factory=dict)
    unchanged: set[str] = field(default_factory=set)

    def bring_up_to_date(self, key: str, notebook: Path, experiment: TableExperiment | None, again: bool) -> None:
        """Execute a notebook and write the report; unless `again`, only where the notebook or what it shows has changed."""
        given = self.parameters if experiment else _figure_parameters(notebook, self.parameters, self.out)
        old, state = self.entries.get(key), _state(notebook, given, experiment)
        if not again and old and old.status == "done" and old.state == state and (self.out / old.page).is_file():
            self.unchanged.add(key)
            return
        title, said = _title(key, notebook), []
        try:
            if experiment:
                experiment = experiment.without(self.failed)
                given = {**given, "rows": list(experiment.rows)}
            done = execute(notebook, self.out / "notebooks", given, progress=False)
            for file in done:  # the cell of parameters names folders
                write_text(file, self._hide(file.read_text(encoding="utf-8")))
            if experiment:  # what the notebook has trained is finished: nothing is trained here
                found = experiment.statements()
                said = found[found["p"].notna()].to_dict("records")
            self.entries[key] = Entry(key, title, "done", "", os.path.relpath(done.html, self.out), state, said)
            self.articles.pop(key, None)
        except LabError as error:
            self.entries[key] = Entry(key, title, "failed", str(error), "", state)
        self.write()

    @cached_property
    def _hide(self) -> Callable[[str], str]:
        given = self.parameters
        return hider(self.notebooks / "x", OUT=self.out, DATA=given["data_root"], RUNS=given["runs_root"])

    def write(self) -> None:
        """report.json and the page."""
        order = [*TABLES, *figure_notebooks(self.notebooks)]
        ordered = sorted(self.entries.values(), key=lambda e: order.index(e.key) if e.key in order else len(order))
        for entry in ordered:
            if entry.page and entry.key not in self.articles:
                with suppress(NotebookError):  # lost since; the notebook is executed again on the next call
                    self.articles[entry.key] = to_article((self.out / entry.page).with_suffix(".ipynb"))
        ordered = [replace(entry, why=self._hide(entry.why)) for entry in ordered]
        failed = {name: self._hide(why) for name, why in self.failed.items()}
        write_json(self.out / "report.json", [asdict(entry) for entry in ordered])
        page = report_html(ordered, self.articles, failed, self.parameters, self.synthetic)
        write_text(self.out / "index.html", page)


def _figure_parameters(notebook: Path, parameters: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Those parameters of the call that a figure's notebook has."""
    given = {**parameters, "out": str(out / "figures")}
    return {name: given[name] for name in declared_parameters(notebook) if name in given}


def _state(notebook: Path, parameters: Mapping[str, Any], experiment: TableExperiment | None) -> str:
    """A digest of the notebook's cells, its parameters and, for a table, the finished runs that it shows."""
    cells = [cell["source"] for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]]
    shown = experiment.digest() if experiment else ""
    return hashlib.sha256(json.dumps([cells, parameters, shown]).encode()).hexdigest()[:16]


def _read(path: Path) -> list[Entry]:
    if not path.is_file():
        return []
    try:
        return [Entry(**line) for line in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError):  # of another version, or damaged: everything is done again
        return []
