"""One run: its training, settings, evaluation and record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maaf_lab.cli.app import answer, app, say
from maaf_lab.cli.options import YOURS, DataRoot, Device, Profile, RunsRoot, Seed, Steps, Workers
from maaf_lab.utils.paths import given_path, own_folder
from maaf_lab.utils.registry import DATASETS, MODELS

if TYPE_CHECKING:
    from maaf_lab.experiments.runs import Run


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
    from maaf_lab.experiments.sources import Source, given_folder
    from maaf_lab.experiments.train import train_and_evaluate
    from maaf_lab.profiles import profile_config

    changes = {"model.name": model, "train.seed": seed, **({} if steps is None else {"train.steps": steps})}
    changes |= _settings(set_ or [])
    profile_config(profile, dataset, **changes)  # what is wrong with these is told before the data is looked for
    source = Source(dataset, own_folder(data_root, "data"), profile)
    found = given_folder(dataset, data_root, profile) if data_root else None
    folder = found or (source.folder if source.published else source.draw())
    config = profile_config(profile, dataset, **changes, **{"data.origin": datasets.origin(dataset, folder)})
    runs = own_folder(runs_root, "runs")
    before = Run(runs / config.name)
    finished = before.finished and before.trained
    run = train_and_evaluate(config, folder, runs, device=device, workers=workers, recompute=recompute)
    if finished:
        say(_finished_earlier(run))
    say(_summary(run))
    answer(run.folder)


@app.command()
def settings(model: Annotated[str, typer.Argument(help="a system: " + ", ".join(MODELS) + YOURS)] = "maaf") -> None:
    """List every setting of a run with this system: what it is, what is expected, its default."""
    from maaf_lab.config import DataConfig, TrainConfig

    for kind in (DataConfig, MODELS[model].Config, TrainConfig):
        for name, text in kind.describe().items():
            answer(f"{kind.part}.{name}: {text}")


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
    from maaf_lab.experiments.sources import folder_of
    from maaf_lab.experiments.train import evaluate as again

    opened = find_run(run, runs_root)
    if opened.record is not None or opened.folder.parent == PRETRAINED:
        raise RunError(f"{run}: expected a run that was trained here, found one of the lab's own results: they stay as they are")
    answer(_summary(again(opened, folder_of(opened, data_root), missing=missing, device=device)))


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
        answer(file.stem)
    else:
        answer(save_record(find_run(run, runs_root), out).name)


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
        if name in made:
            raise ConfigError(f"--set {name}: given twice; leave one out")
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
