"""The maaf-lab command (also `python -m maaf_lab`)."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from maaf_lab.errors import LabError
from maaf_lab.utils.paths import NOTEBOOKS, given_path, own_folder
from maaf_lab.utils.registry import DATASETS, DRAWN_BESIDE, MODELS, SYNTHETIC, YOUR_MODULES, import_yours
from maaf_lab.utils.wording import did_you_mean, printable

if TYPE_CHECKING:
    from maaf_lab.experiments.runs import Run


class _Commands(TyperGroup):
    """typer takes an EOFError, as a cut file raises it, for the end of what somebody types, and says "Aborted." alone."""

    def invoke(self, context: typer.Context) -> object:
        try:
            return super().invoke(context)
        except EOFError as error:
            raise RuntimeError(f"a file ends too early: {error}") from error


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The lab for composed image retrieval: MAAF, the systems it is compared with, its tables and figures.",
    epilog="A folder that is left out is the lab's own, as in the notebooks: data/, runs/ or report/ in the folder that "
    "MAAF_LAB_HOME names, else in the lab's clone, else here.",
)

YOURS = "; or one of your own (maaf-lab --with MODULE)"
OWN = "the lab's own {}/"  # shown as a default, see `own_folder`
Root = Annotated[Path, typer.Option("--root", callback=given_path, help="the dataset's folder, in its published layout")]
DataRoot = Annotated[
    str, typer.Option(help="the dataset's folder, or the folder that holds it under its name", show_default=OWN.format("data"))
]
DataRoots = Annotated[str, typer.Option(help="folder of all datasets, one below it for each", show_default=OWN.format("data"))]
Workers = Annotated[int, typer.Option(help="processes that read batches ahead; changes nothing but the speed")]
RunsRoot = Annotated[str, typer.Option(help="folder of all runs", show_default=OWN.format("runs"))]
Profile = Annotated[str, typer.Option(help="smoke, laptop or paper")]
Steps = Annotated[int | None, typer.Option(help="train for this many steps instead of the profile's")]
Seed = Annotated[int, typer.Option(help="seed of weights, sampling and dropout")]
Seeds = Annotated[int, typer.Option(min=1, max=1000, help="runs a row, with seeds 0, 1, ...")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; left out: a GPU where there is one")]


@app.callback()
def your_modules(
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", help="a module of yours that registers datasets, systems or encoders; stands before the command"),
    ] = None,
) -> None:
    if with_:
        sys.path.append(os.getcwd())  # a console script does not look there by itself
        os.environ[YOUR_MODULES] = ",".join([*filter(None, [os.environ.get(YOUR_MODULES)]), *with_])
        import_yours()  # before anything is trained


@app.command()
def make(
    dataset: Annotated[str, typer.Argument(help="a dataset: " + ", ".join((*SYNTHETIC, *DRAWN_BESIDE)))],
    out: Annotated[str, typer.Option(help="folder to write", show_default="the profile's, in the lab's own data/")] = "",
    profile: Annotated[str, typer.Option(help="smoke or laptop: folder, size and pixels that `train` and `table` look for")] = "",
    size: Annotated[str, typer.Option(help="tiny or full", show_default="the profile's, else full")] = "",
    pixels: Annotated[
        int | None, typer.Option(help="side of the images; left out: the profile's, else 56 for css, 64 for css2d, else 224")
    ] = None,
    seed: Annotated[int, typer.Option(help="same seed, same bytes")] = 0,
) -> None:
    """Draw a synthetic dataset and write it in the published layout; css2d: draw the scenes of a CSS folder flat, beside it."""
    from maaf_lab.errors import ConfigError

    if dataset not in (known := (*SYNTHETIC, *DRAWN_BESIDE)):
        raise ConfigError(f"unknown synthetic dataset {dataset!r}; known: {', '.join(known)}{did_you_mean(dataset, known)}")
    folder, beside = given_path(Path(out)), dataset in DRAWN_BESIDE
    if profile:
        from maaf_lab.experiments.sources import SYNTHETIC_SIZE, Source

        if profile not in SYNTHETIC_SIZE:
            raise ConfigError(f"--profile: expected {' or '.join(SYNTHETIC_SIZE)}, which draw their data, found {profile!r}")
        source = Source(dataset, own_folder("", "data"), profile)
        folder, size = folder if out else source.folder, size or SYNTHETIC_SIZE[profile]
        pixels = source.pixels if pixels is None and not beside else pixels
    elif not out:
        raise ConfigError("expected --out FOLDER, or --profile laptop for the folder of that profile, found neither")
    if beside:
        _print(DRAWN_BESIDE[dataset](folder, 64 if pixels is None else pixels))
        return
    from maaf_lab.synthetic import registry as sets

    _print(sets.make(dataset, folder, size or "full", pixels, seed))


@app.command()
def check(dataset: Annotated[str, typer.Argument(help="the dataset, e.g. fashion_iq")], root: Root) -> None:
    """Say what of a dataset is there, what is missing and what that costs; exit code 0 only when it is whole."""
    from maaf_lab.data import registry as datasets

    report = datasets.check(dataset, root)
    _print(report)
    raise typer.Exit(0 if report.complete else 1)


@app.command()
def train(
    model: Annotated[str, typer.Option(help="a system: " + ", ".join(MODELS) + YOURS)],
    dataset: Annotated[str, typer.Option(help="a dataset: " + ", ".join(DATASETS) + YOURS)],
    data_root: DataRoot = "",
    runs_root: RunsRoot = "",
    profile: Profile = "laptop",
    steps: Steps = None,
    seed: Seed = 0,
    device: Device = None,
    workers: Workers = 0,
    recompute: Annotated[bool, typer.Option("--recompute", help="less memory, more time; changes no number")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="any setting (`maaf-lab settings` lists them), e.g. --set model.attention=identity"),
    ] = None,
) -> None:
    """Train and evaluate one run and print its folder; the same command goes on with a run that was stopped.

    Smoke and laptop draw the dataset into the lab's own data/ where it is not there, but nothing into a folder that you name.
    """
    from maaf_lab.data import registry as datasets
    from maaf_lab.experiments.runs import Run
    from maaf_lab.experiments.sources import Source
    from maaf_lab.experiments.train import train_and_evaluate
    from maaf_lab.profiles import profile_config

    source = Source(dataset, own_folder(data_root, "data"), profile)
    folder = source.folder if data_root or source.published else source.draw()
    changes = {"model.name": model, "train.seed": seed, "data.origin": datasets.origin(dataset, folder)}
    if steps is not None:
        changes |= {"train.steps": steps}
    config = profile_config(profile, dataset, **changes, **_settings(set_ or []))
    runs = own_folder(runs_root, "runs")
    finished = Run(runs / config.name).finished
    run = train_and_evaluate(config, folder, runs, device=device, workers=workers, recompute=recompute)
    if finished:
        _say(_finished_earlier(run))
    _say(_summary(run))
    _print(run.folder)


@app.command()
def settings(model: Annotated[str, typer.Argument(help="a system: " + ", ".join(MODELS) + YOURS)] = "maaf") -> None:
    """List every setting of a run with this system: what it is, what is expected, its default."""
    from maaf_lab.config import DataConfig, TrainConfig

    for kind in (DataConfig, MODELS[model].Config, TrainConfig):
        for name, text in kind.describe().items():
            _print(f"{kind.part}.{name}: {text}")


@app.command()
def evaluate(
    run: Annotated[str, typer.Argument(help="a run's folder, or its name in the folder of all runs")],
    data_root: Annotated[
        str,
        typer.Option(
            help="the dataset's folder, or the folder that holds it under its name", show_default="where the run was trained"
        ),
    ] = "",
    missing: Annotated[
        str,
        typer.Option(help="error or skip: stop at missing and damaged images, or drop their queries", show_default="the run's"),
    ] = "",
    runs_root: RunsRoot = "",
    device: Device = None,
) -> None:
    """Rank the test split again with a run's trained model and write its metrics and rankings."""
    from maaf_lab.errors import RunError
    from maaf_lab.experiments.runs import PRETRAINED, find_run
    from maaf_lab.experiments.sources import dataset_folder
    from maaf_lab.experiments.train import evaluate as again

    opened = find_run(run, runs_root)
    if opened.record is not None or opened.folder.parent == PRETRAINED:
        raise RunError(f"{run}: expected a run that was trained here, found one of the lab's own results: they stay as they are")
    config = opened.config
    root = data_root or opened.data_root or own_folder("", "data")
    _print(_summary(again(opened, dataset_folder(config.data.dataset, root, config.profile), missing=missing, device=device)))


@app.command()
def record(
    run: Annotated[
        str, typer.Argument(help="a finished run's folder or name, or a figure's arrays: a file in figures/ of the runs")
    ],
    out: Annotated[Path, typer.Option(callback=given_path, help="folder of records, such as notebooks/records")],
    runs_root: RunsRoot = "",
) -> None:
    """Add a finished run's settings, log, metrics and ranks to the records in OUT, small enough to commit; prints its name."""
    from maaf_lab.experiments.records import add_figure
    from maaf_lab.experiments.runs import find_run, save_record

    if (file := Path(run)).suffix == ".npz":
        add_figure(out, given_path(file))
        _print(file.stem)
    else:
        _print(save_record(find_run(run, runs_root), out).name)


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
    _print(table_text(experiment.frame(), experiment.caption()))
    if experiment.table.comparisons:
        _print(f"\nThe paper's orderings, tested on these runs:\n{statements_text(experiment.statements())}")


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
        _print(f"{name}: {entry.status}" + (f": {entry.why.splitlines()[0]}" if entry.why else ""))
    _print(f"\n{own_folder(out, 'report') / 'index.html'}")
    raise typer.Exit(0 if all(entry.status != "failed" for entry in entries) else 1)


DEMO_ROWS = ("Image only", "Text only", "TIRG", "MAAF")


@app.command()
def demo(data_root: DataRoots = "", runs_root: RunsRoot = "", steps: Steps = None, seed: Seed = 0) -> None:
    """Train four rows of Table 1 in the laptop profile and execute its notebook; says where the results are."""
    from maaf_lab.errors import RunError
    from maaf_lab.notebooks import execute
    from maaf_lab.paper.table_experiment import open_table

    notebook = NOTEBOOKS / "table1_css.ipynb"
    if not notebook.is_file():
        raise RunError(f"expected the lab's notebooks beside the package, found no {notebook.name}: run the demo from a clone")
    data, runs = own_folder(data_root, "data").resolve(), own_folder(runs_root, "runs").resolve()
    open_table("1", profile="laptop", data_root=data, runs_root=runs, steps=steps or 0, seeds=[seed], rows=DEMO_ROWS).run()
    done, page = execute(
        notebook,
        runs / "notebooks",
        {
            "profile": "laptop",
            "data_root": str(data),
            "runs_root": str(runs),
            "records": "",
            "steps": steps or 0,
            "seeds": [seed],
            "rows": list(DEMO_ROWS),
        },
    )
    _print(f"\nexecuted notebook: {done}\nHTML page:         {page}")


@app.command()
def search(
    image: Annotated[Path, typer.Option(callback=given_path, help="the reference image")],
    gallery: Annotated[
        Path,
        typer.Option(
            "--gallery", "--catalogue", callback=given_path, help="folder of the images to search, with those in folders below it"
        ),
    ],
    text: Annotated[
        str, typer.Option(help='the modification text, e.g. "is red and has longer sleeves"; empty: find what looks alike')
    ] = "",
    run: Annotated[str, typer.Option(help="css-laptop, garments-laptop (shipped), or a run's folder")] = "garments-laptop",
    k: Annotated[int, typer.Option(help="how many images to list")] = 10,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON list")] = False,
) -> None:
    """Find the images of a folder that match a reference image and a modification text; the folder is embedded once and kept."""
    import json

    import torch

    from maaf_lab.data.transforms import build_transform
    from maaf_lab.errors import ConfigError
    from maaf_lab.experiments.runs import find_run
    from maaf_lab.retrieval.folder_gallery import open_folder, square
    from maaf_lab.training.devices import make_accelerator

    if k < 1:
        raise ConfigError(f"--k: expected at least 1, found {k}")
    opened = find_run(run)
    data = opened.config.data
    start = torch.from_numpy(square(image, data.pixels)).permute(2, 0, 1)[None]  # (1, 3, S, S)
    model = opened.load_model(make_accelerator("fp32", device).device)
    _say(f"model {run} ({opened.config.model.name}), trained on {data.origin or data.dataset}")
    if not model.vocabulary.ids(text):
        _say(f"no word in the text {text!r}: the picture alone is the query")
    elif words := model.vocabulary.unknown(text):
        _say(f"words that the model does not know: {', '.join(words)}")
    found = open_folder(gallery, model, pixels=data.pixels, name=run)
    _say(f"{gallery}: {found.summary}")
    for name, why in found.broken[:5]:
        _say(f"  broken: {name}: {why}")
    if len(found.broken) > 5:
        _say(f"  and {len(found.broken) - 5:,} more")
    with torch.inference_mode():
        vector = model.embed_query(build_transform("plain", data.pixels).eval(start.to(model.device)), [text])[0]
    hits = found.search(vector, k, found.find(image))
    lines = [(i + 1, float(score), str(found.paths[at])) for i, (at, score) in enumerate(zip(*hits))]
    if as_json:
        _print(json.dumps([{"rank": rank, "score": round(score, 6), "path": path} for rank, score, path in lines], indent=2))
        return
    for rank, score, path in lines:
        _print(f"{rank:>3}  {score:.3f}  {path}")
    if not lines:
        _say("no image to list: the folder holds the picture itself and no other")


def _print(text: object) -> None:
    """What a command answers."""
    print(printable(text, "\n\t"))


def _say(text: object) -> None:
    """What it says besides."""
    print(printable(text, "\n\t"), file=sys.stderr)


_OWN_OPTIONS = {
    "model.name": "--model",
    "data.dataset": "--dataset",
    "data.origin": "--data-root, which says what the data is",
    "train.seed": "--seed",
    "train.steps": "--steps",
    "profile": "--profile",
}


def _settings(pairs: list[str]) -> dict[str, object]:
    """["train.momentum=0.5"] -> {"train.momentum": 0.5}: numbers, true/false and lists as JSON, everything else as text."""
    import json

    from maaf_lab.errors import ConfigError

    made: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--set: expected name=value, found {pair!r}")
        if name in _OWN_OPTIONS:
            raise ConfigError(f"--set {name}: use {_OWN_OPTIONS[name]} instead")
        try:
            made[name] = json.loads(value)
        except (ValueError, RecursionError):  # text; thousands of brackets
            made[name] = value
    return made


def _summary(run: object) -> str:
    metrics = run.metrics
    vectors = run.environment.get("word_vectors", "") if run.text("environment.json") is not None else ""
    values = ", ".join(f"{name} {m['value']:.1f} [{m['low']:.1f}, {m['high']:.1f}]" for name, m in metrics["metrics"].items())
    return f"{run.name}: {values}\n{metrics['queries']:,} queries of {metrics['data']}; {metrics['protocol']}" + (
        f"\nword embeddings started from {vectors}" if vectors else ""
    )


def _finished_earlier(run: Run) -> str:
    from maaf_lab.experiments.runs import lab_commit

    then, now = run.environment.get("commit", "") if run.text("environment.json") is not None else "", lab_commit()
    changed = "; the lab's code has changed since" if then and then != now else ""
    if then == now and now.endswith("+"):  # edited then and now: whether in the same way is not known
        changed = "; the lab's code may have changed since"
    return f"finished earlier, nothing was trained{changed}. Delete {run.folder} to train again"


def main() -> None:
    """The console script: the lab's own errors are a message and exit code 2.

    Any other error is a defect of the lab: one line that says where its full report is, and exit code 1. What a terminal
    cannot show is replaced.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    warnings.formatwarning = lambda message, *_args, **_named: f"maaf-lab: {printable(message)}\n"
    try:
        app()
    except LabError as error:
        _say(f"maaf-lab: {error}")
        sys.exit(2)
    except Exception as error:
        said = printable(error).strip()[:200]
        _say(f"maaf-lab: a defect of the lab, {type(error).__name__}{f' ({said})' if said else ''}. {_report(error)}")
        sys.exit(1)


def _report(error: Exception) -> str:
    """Saves what a defect can be found by; says where."""
    text = "".join([f"maaf-lab {' '.join(sys.argv[1:])[:2000]}\n\n", *traceback.format_exception(error)])
    try:
        handle, name = tempfile.mkstemp(prefix="maaf-lab-", suffix=".txt")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as why:
        return f"Its report could not be saved ({why})"
    return f"The full report, to be sent to the lab's authors: {name}"


if __name__ == "__main__":
    main()
