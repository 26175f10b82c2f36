"""Tables of many runs, and the demo."""

from __future__ import annotations

from typing import Annotated

import typer

from maaf_lab.cli.app import answer, app
from maaf_lab.cli.options import OWN, DataRoots, Device, Profile, RunsRoot, Seed, Seeds, Steps
from maaf_lab.utils.paths import NOTEBOOKS, own_folder


@app.command()
def table(
    key: Annotated[str, typer.Argument(help="the table's number in the paper: 1 to 7, S1 to S5")],
    data_root: DataRoots = "",
    runs_root: RunsRoot = "",
    profile: Profile = "laptop",
    steps: Steps = None,
    seeds: Seeds = 1,
    row: Annotated[list[str] | None, typer.Option(help="only this row; can be given several times")] = None,
    device: Device = None,
) -> None:
    """Run the rows of a table that are not run yet and print it beside the paper."""
    from maaf_lab.paper.table_experiment import open_table
    from maaf_lab.plots.tables import statements_text, table_text

    experiment = open_table(
        key,
        profile=profile,
        data_root=data_root,
        runs_root=runs_root,
        steps=steps or 0,
        seeds=range(seeds),
        rows=row or (),
        device=device or "",
    )
    answer(table_text(experiment.frame(), experiment.caption()))
    if experiment.table.comparisons:
        answer(f"\nThe paper's orderings, tested on these runs:\n{statements_text(experiment.statements())}")


@app.command()
def tables(
    keys: Annotated[list[str] | None, typer.Argument(help="table numbers, names such as figure3; tables, figures, all")] = None,
    profile: Profile = "laptop",
    data_root: DataRoots = "",
    runs_root: RunsRoot = "",
    records: Annotated[str, typer.Option(help="finished runs that are read, never written; lab: those of the notebooks")] = "",
    out: Annotated[str, typer.Option(help="folder of the report", show_default=OWN.format("report"))] = "",
    seeds: Seeds = 1,
    steps: Steps = None,
    executor: Annotated[
        str, typer.Option("--executor", "--engine", help="local, or ray: each run a task of a Ray cluster")
    ] = "local",
    address: Annotated[str, typer.Option(help="of the Ray cluster; left out: RAY_ADDRESS, or one on this machine")] = "",
    device: Device = None,
    again: Annotated[
        bool, typer.Option("--again", help="execute unchanged notebooks too, as after a change of the lab's code; trains no more")
    ] = False,
) -> None:
    """Train what tables lack, execute the notebooks of tables and figures, write OUT/index.html; nothing is done twice."""
    from maaf_lab.experiments.executors import get_executor
    from maaf_lab.paper.report import run_tables
    from maaf_lab.paper.tables import TABLES

    entries = run_tables(
        keys or (),
        profile=profile,
        data_root=data_root,
        runs_root=runs_root,
        records=records,
        out=out,
        seeds=seeds,
        steps=steps or 0,
        executor=get_executor(executor, address=address),
        device=device or "",
        again=again,
    )
    for entry in entries:
        name = f"Table {entry.key}" if entry.key in TABLES else entry.key
        answer(f"{name}: {entry.status}" + (f": {entry.why.splitlines()[0]}" if entry.why else ""))
    answer(f"\n{own_folder(out, 'report') / 'index.html'}")
    raise typer.Exit(0 if all(entry.status != "failed" for entry in entries) else 1)


DEMO_ROWS = ("Image only", "Text only", "TIRG", "MAAF")


@app.command()
def demo(data_root: DataRoots = "", runs_root: RunsRoot = "", steps: Steps = None, seed: Seed = 0) -> None:
    """Train four rows of Table 1 in the laptop profile and execute its notebook; says where the results are.

    The other rows come from the lab's records, where they have runs of that many steps and that seed; the table says so.
    """
    from maaf_lab.errors import RunError
    from maaf_lab.experiments.runs import finished_run
    from maaf_lab.notebooks import execute
    from maaf_lab.paper.table_experiment import open_table

    notebook = NOTEBOOKS / "table1_css.ipynb"
    if not notebook.is_file():
        raise RunError(f"expected the lab's notebooks beside the package, found no {notebook.name}: run the demo from a clone")
    data, runs = own_folder(data_root, "data").resolve(), own_folder(runs_root, "runs").resolve()
    asked = {"profile": "laptop", "data_root": str(data), "runs_root": str(runs), "steps": steps or 0, "seeds": [seed]}
    open_table("1", **asked, rows=DEMO_ROWS).run()
    whole = open_table("1", **asked, records="lab")
    there = [
        row.label
        for row in whole.table.rows
        if all(finished_run(config, (runs, whole.records)) for config in whole.configs(rows=[row.label]))
    ]
    done, page = execute(notebook, runs / "notebooks", {**asked, "records": "lab", "rows": there})
    answer(f"\nexecuted notebook: {done}\nHTML page:         {page}")
