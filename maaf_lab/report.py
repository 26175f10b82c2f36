"""Run tables and their notebooks in one go: train what is missing, execute every notebook, write one page that shows it all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from maaf_lab.engines import Job, engine
from maaf_lab.errors import ConfigError, LabError, RunError
from maaf_lab.models.checkpoints import write_json, write_text
from maaf_lab.notebooks import execute
from maaf_lab.runs import find
from maaf_lab.tables import TABLES, table
from maaf_lab.workbench import open_table

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


@dataclass(frozen=True)
class Entry:
    """What became of one notebook. state: what its outcome rests on; the same again means there is nothing to do."""

    key: str
    title: str
    status: str  # "done" or "failed"
    why: str
    page: str
    state: str


def notebook_of(key: str) -> Path:
    """A table's notebook. Raises RunError where there is none, as where the package stands without its notebooks."""
    found = sorted(NOTEBOOKS.glob(f"table{table(key).key}_*.ipynb"))
    if len(found) != 1:
        raise RunError(f"table {key}: expected one notebook table{key}_*.ipynb in {NOTEBOOKS.name}/, found {len(found)}. Run "
                       f"`maaf-lab tables` from a clone of the lab; `maaf-lab table {key}` needs no notebook")
    return found[0]


def chosen_keys(keys: Sequence[str]) -> list[str]:
    """Table numbers, each once, in the order given; "all" or none is every table."""
    if not keys or any(str(key).lower() == "all" for key in keys):
        return list(TABLES)
    return list(dict.fromkeys(table(key).key for key in keys))


def run_tables(
    keys: Sequence[str] = (), *, profile: str = "laptop", data_root: str | Path = "data", runs_root: str | Path = "runs",
    records: str | Path = "", out: str | Path = "report", seeds: int = 1, steps: int = 0, engine_name: str = "local",
    device: str = "", progress: bool = True, **engine_options: Any,
) -> list[Entry]:
    """Train the runs that the tables lack, execute their notebooks into `out`, and write `out/index.html`.

    A run or a notebook that fails is told on the page and stops nothing else; a row with a failed run is left out of its
    notebook. What is done is not done again: finished runs
    are kept, and a notebook is executed again only where it, its parameters or the runs it shows have changed.
    """
    out, keys, run_engine = Path(out).resolve(), chosen_keys(keys), engine(engine_name)
    if seeds < 1:
        raise ConfigError(f"seeds: expected at least 1, found {seeds}")
    # notebooks run in their own folder, so all paths are made absolute
    data_root, runs_root = Path(data_root).resolve(), Path(runs_root).resolve()
    records = Path(records).resolve() if records else ""
    sources: dict[str, Path] = {}
    absent: dict[str, str] = {}
    for key in keys:
        try:
            sources[key] = notebook_of(key)
        except RunError as error:
            absent[key] = str(error)
    if not sources:
        raise RunError(next(iter(absent.values())))
    out.mkdir(parents=True, exist_ok=True)
    parameters = {"profile": profile, "data_root": str(data_root), "runs_root": str(runs_root), "records": str(records),
                  "seeds": list(range(seeds)), "rows": [], "steps": steps, "device": device}

    jobs, failed = _missing(list(sources), parameters), {}
    bar = tqdm(total=len(jobs), desc="runs", unit="run", disable=not progress or not jobs)
    for job, why in run_engine(jobs, progress=progress, **engine_options):
        if why:
            failed[job.config.name] = why
        bar.update()
    bar.close()

    before = {entry.key: entry for entry in _read(out / "report.json")}
    entries = dict(before)
    for key, why in absent.items():
        entries[key] = Entry(key, table(key).title, "failed", why, "", "")
    for key in tqdm(sources, desc="notebooks", unit="notebook", disable=not progress):
        state = _state(sources[key], parameters, key)
        old = before.get(key)
        if old and old.status == "done" and old.state == state and (out / old.page).is_file():
            continue
        try:
            shown = {**parameters, "rows": _whole_rows(key, parameters, failed)}
            done = execute(sources[key], out / "notebooks", shown, progress=False)
            page = os.path.relpath(done.html, out)
            entries[key] = Entry(key, table(key).title, "done", "", page, _state(sources[key], parameters, key))
        except LabError as error:
            entries[key] = Entry(key, table(key).title, "failed", str(error), "", state)
        _write(out, entries, failed, parameters)
    _write(out, entries, failed, parameters)
    return [entries[key] for key in keys]


def _missing(keys: Sequence[str], parameters: dict[str, Any]) -> list[Job]:
    """The runs that neither folder has, each once; made data is drawn first where there is none."""
    jobs: dict[str, Job] = {}
    roots = parameters["runs_root"], parameters["records"]
    for key in keys:
        bench = open_table(key, **parameters)
        for dataset in bench.table.datasets:
            lacking = [c for c in bench.configs(dataset) if c.name not in jobs and find(c, roots) is None]
            if lacking:
                folder = str(bench.data(dataset))
                jobs |= {c.name: Job(c, folder, parameters["runs_root"], parameters["device"] or None) for c in lacking}
    return list(jobs.values())


def _whole_rows(key: str, parameters: dict[str, Any], failed: dict[str, str]) -> list[str]:
    """The rows that a notebook may show without training again what has just failed; [], which is all, where nothing has."""
    bench, whole = open_table(key, **parameters), []
    rows = [row.label for row in bench.table.rows if row.changes is not None]
    for label in rows:
        alone = open_table(key, **{**parameters, "rows": [label]})
        if not any(config.name in failed for dataset in bench.table.datasets for config in alone.configs(dataset)):
            whole.append(label)
    if not whole:
        raise RunError(f"table {key}: expected a row whose runs are finished, found none: every row has a run that failed. They "
                       "are listed on this page with their reasons; mend those and call again")
    return [] if len(whole) == len(rows) else whole


def _state(notebook: Path, parameters: dict[str, Any], key: str) -> str:
    """A digest of the notebook's cells, its parameters and the finished runs that it shows."""
    cells = [cell["source"] for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]]
    bench, shown = open_table(key, **parameters), []
    for dataset in bench.table.datasets:
        for config in bench.configs(dataset):
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


def _write(out: Path, entries: dict[str, Entry], failed: dict[str, str], parameters: dict[str, Any]) -> None:
    ordered = [entries[key] for key in TABLES if key in entries]
    write_json(out / "report.json", [asdict(entry) for entry in ordered])
    write_text(out / "index.html", report_html(ordered, failed, parameters))


def report_html(entries: Sequence[Entry], failed: dict[str, str], parameters: dict[str, Any]) -> str:
    """The page: what ran, what failed and why, and every notebook in a frame below its title."""
    bad = [entry for entry in entries if entry.status != "done"]
    told = f"{len(entries) - len(bad)} of {len(entries)} notebooks done"
    made = "" if parameters["profile"] == "paper" else " <b>MADE DATA: not comparable with the paper's numbers.</b>"
    links = "".join(f"<li><a href='#{escape(e.key)}'>Table {escape(e.key)}: {escape(e.title)}</a>"
                    f"{'' if e.status == 'done' else ' – failed'}</li>" for e in entries)
    trouble = "".join(f"<li><code>{escape(name)}</code>: {escape(why)}</li>" for name, why in failed.items())
    trouble = f"<h2>Runs that failed</h2><ul>{trouble}</ul>" if trouble else ""
    parts = []
    for e in entries:
        title = f"<h2 id='{escape(e.key)}'>Table {escape(e.key)}: {escape(e.title)}</h2>"
        if e.status == "done":
            parts.append(f"{title}<p><a href='{escape(e.page)}'>the notebook as a page of its own</a></p>"
                         f"<iframe src='{escape(e.page)}' title='Table {escape(e.key)}' loading='lazy'></iframe>")
        else:
            parts.append(f"{title}<p>failed:</p><pre>{escape(e.why)}</pre>")
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>maaf_lab: tables</title>"
        "<meta name='viewport' content='width=device-width'><style>"
        "body{font:16px/1.5 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem;color:#222}"
        "iframe{width:100%;height:44rem;border:1px solid #ccc}pre{white-space:pre-wrap;background:#f6f6f6;padding:.8rem}"
        f"</style></head><body><h1>Tables of the paper, reproduced</h1><p>Profile {escape(parameters['profile'])}, "
        f"{len(parameters['seeds'])} seed(s); {told}.{made}</p><ul>{links}</ul>{trouble}{''.join(parts)}</body></html>\n"
    )

