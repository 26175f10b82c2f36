"""A run, in its own folder or among records (see `records`), and the ledger that joins all runs into one tidy frame.

{dataset}-{model}-{hash}/  config.json  environment.json  vocabulary.json  log.csv  model.safetensors  state/
                           rankings.parquet  metrics.json   (written last: a folder with it is finished)
                           folders.json   (where its data stood on this machine: never recorded or copied)
                           metrics-{what}.json  rankings-{what}.parquet   (of another split, or of other annotations or images)
"""

from __future__ import annotations

import contextlib
import io
import json
import platform
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from maaf_lab.arguments import expected
from maaf_lab.config import RunConfig
from maaf_lab.data import registry as datasets
from maaf_lab.data.split import reworded
from maaf_lab.errors import LabError, RunError
from maaf_lab.experiments.records import Record, add_record, records
from maaf_lab.models.base import ComposedModel
from maaf_lab.models.checkpoints import load_model, read_config, refuse_weights_of_another
from maaf_lab.retrieval.rankings import Rankings
from maaf_lab.utils.files import parse_json, write_atomically
from maaf_lab.utils.paths import given_path, own_folder, records_folder
from maaf_lab.utils.wording import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

PRETRAINED = Path(__file__).parents[1] / "pretrained"  # models that come with the lab
FOLDERS = "folders.json"
IMAGE_FILES = "image_files"  # in metrics.json a hash; in environment.json and folders.json one of each split
RETRAIN = "Put the file back, or delete the run's folder and train it again."
RANK_AGAIN = "Run `maaf-lab evaluate` on the run: its numbers stand there, and are counted again."


def _again(part: str) -> str:
    """What to do about a file of a run that is damaged."""
    if part.startswith("metrics"):
        return RANK_AGAIN
    return {FOLDERS: "Delete it, and name the data: maaf-lab evaluate RUN --data-root DIR."}.get(part, RETRAIN)


@dataclass(frozen=True)
class Run:
    """One run, read on demand. Missing parts raise RunError saying how to get them.

    folder: its own. record: where it is read from instead; such a run has no weights, and its folder is a name only.
    result: which of its results `metrics` and `rankings` are, "" for its own (see `train.evaluate`).
    """

    folder: Path
    record: Record | None = field(default=None, compare=False)
    result: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(expected("Run", "folder", self.folder, str | Path)))  # people pass text

    @property
    def name(self) -> str:
        return self.folder.resolve().name if self.folder.name in ("", "..") else self.folder.name  # "." has no name

    @property
    def finished(self) -> bool:
        return self.record is not None or (self.folder / "metrics.json").is_file()

    @property
    def trained(self) -> bool:
        """Whether its weights are here; those of a record are not."""
        return (self.folder / "model.safetensors").is_file()

    def text(self, part: str) -> str | None:
        """A file of the run as it stands, such as "metrics.json"; None where there is none."""
        if self.record is not None:
            return self.record.text(part)
        path = self.folder / part
        try:
            return path.read_text(encoding="utf-8") if path.is_file() else None
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{path}: expected UTF-8 text, found damage ({error}). {_again(part)}") from error

    def _json(self, name: str, **needed: type | tuple[type, ...]) -> dict[str, Any]:
        """The object in a JSON file, with the keys `needed` and values of these types; else a RunError that names the file."""
        path, again = self.folder / name, _again(name)
        if (text := self.text(name)) is None:
            self._expect_folder()
            raise RunError(f"{self.folder}: expected {name}, found none: not finished. Start the run again to go on.")
        try:
            found = parse_json(text)
        except (ValueError, RecursionError) as error:
            raise RunError(f"{path}: expected JSON, found damage ({error}). {again}") from error
        if not isinstance(found, dict):
            raise RunError(f"{path}: expected a JSON object, found {str(found)[:80]!r}. {again}")
        if wrong := [key for key, kind in needed.items() if not isinstance(found.get(key), kind)]:
            raise RunError(f"{path}: expected {', '.join(needed)}, found no {', '.join(wrong)} as they should be. {again}")
        return found

    def _expect_folder(self) -> None:
        if self.record is None and not self.folder.is_dir():
            by_name = f"; by its name alone a run is found with maaf_lab.experiments.runs.find_run({self.name!r})"
            raise RunError(f"{self.folder}: no such run folder{by_name if len(self.folder.parts) == 1 else ''}")

    @property
    def config(self) -> RunConfig:
        if self.record is None and (self.folder / "config.json").is_file():
            return read_config(self.folder)
        return RunConfig.from_dict(self._json("config.json"), older=True)

    @property
    def environment(self) -> dict[str, Any]:
        return self._json("environment.json")

    @property
    def metrics(self) -> dict[str, Any]:
        name = f"metrics{self.result}.json"
        metrics = self._json(name, data=str, split=str, queries=int, protocol=str, interval=str, metrics=dict)
        for value in metrics["metrics"].values():
            if not isinstance(value, dict) or not all(
                isinstance(value.get(key), (int, float)) for key in ("value", "low", "high")
            ):
                raise RunError(
                    f"{self.folder / name}: expected a value, low and high of each metric, found {str(value)[:80]}. {RANK_AGAIN}"
                )
        return {**metrics, "protocol": reworded(metrics["protocol"])}

    @property
    def log(self) -> pd.DataFrame:
        """Training curve: step, loss (mean since the row before), learning_rate, seconds since the start."""
        import pandas as pd

        if (text := self.text("log.csv")) is None:
            self._expect_folder()
            raise RunError(f"{self.folder}: expected log.csv, found none: the run was not started here")
        try:
            log = pd.read_csv(io.StringIO(text))
        except ValueError as error:
            raise RunError(
                f"{self.folder / 'log.csv'}: expected the training curve, found damage ({error}). {RETRAIN}"
            ) from error
        if missing := [name for name in ("step", "loss") if name not in log.columns]:
            raise RunError(f"{self.folder}/log.csv: expected the training curve, found no {', '.join(missing)}. {RETRAIN}")
        return log

    @property
    def data_root(self) -> Path | None:
        """The folder of the data that the run was trained on here; None where that is not known. RunError where it is gone."""
        if (self.record is not None) or not (self.folder / FOLDERS).is_file():
            return None
        root = Path(self._json(FOLDERS, data_root=str)["data_root"])
        if not root.is_dir():
            raise RunError(
                f"{self.folder}: expected its data in {root}, where it was trained, found no such folder. Say where the data is "
                f"now: data_root, or maaf-lab evaluate {self.folder} --data-root DIR"
            )
        return root

    def image_files(self, split: str) -> str:
        """The hash of the images of a split on which the run's numbers rest (see `PixelCache.files`); "" where it is not known:
        of synthetic data, whose origin says everything, and of runs of earlier versions."""
        with contextlib.suppress(LabError):  # damaged, or none yet
            usual = split == datasets.evaluation(self.config.data.dataset)
            if isinstance(found := Run(self.folder, self.record, "" if usual else f"-{split}").metrics.get(IMAGE_FILES), str):
                return found
        with contextlib.suppress(LabError):
            if isinstance(both := self.environment.get(IMAGE_FILES), dict):
                return str(both.get(split, ""))
        return ""

    @property
    def began_with(self) -> dict[str, str]:
        """A split -> the hash of the images with which the training began here; empty where that is not known."""
        with contextlib.suppress(LabError):
            if isinstance(both := self._json(FOLDERS).get(IMAGE_FILES), dict):
                return both
        return {}

    @property
    def rankings(self) -> Rankings:
        if self.record is not None:
            return self.record.rankings
        self._expect_folder()
        return Rankings.load(self.folder / f"rankings{self.result}.parquet")

    def damage(self, settings: str = "") -> LabError | None:
        """Why a finished run cannot be shown, in a table for instance; None where all of it can be read.

        settings: the name that its settings have to give, where it was looked for by them.
        """
        try:
            config, metrics, ranked = self.config, self.metrics, len(self.rankings)
            _ = self.environment, self.log if self.text("log.csv") is not None else None
        except LabError as error:
            return error
        if settings and config.name != settings:
            return RunError(
                f"{self.folder}: expected the settings of {settings} in config.json, found those of {config.name}. {RETRAIN}"
            )
        if ranked != metrics["queries"]:
            return RunError(
                f"{self.folder}: expected {metrics['queries']:,} ranks, as metrics.json says, found {ranked:,}. {RANK_AGAIN}"
            )
        return None

    def load_model(self, device: str = "cpu") -> ComposedModel:
        """The trained model, in evaluation mode."""
        self._expect_folder()
        return load_model(self.folder, device)

    def __repr__(self) -> str:
        return f"Run({self.name}: {'finished' if self.finished else 'unfinished'})"


def environment(device: torch.device) -> dict[str, Any]:
    """What a run ran on: versions, commit, device. No paths and no names of machines."""
    packages = ("maaf-lab", "torch", "torchvision", "numpy", "accelerate", "safetensors")
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "versions": versions,
        "commit": lab_commit(),
        "device": f"{device} ({name})",
        "threads": torch.get_num_threads(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def lab_commit() -> str:
    """The lab's commit, with "+" where files of the package differ from it; "unknown" outside a repository."""
    here = Path(__file__).parents[1]
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        dirty = subprocess.run(["git", "status", "--porcelain", "--", "."], cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def save_record(run: Run, folder: str | Path) -> Run:
    """Add what a finished run's numbers rest on to the records in `folder`, small enough to commit; returns the run in there.

    It is found by its settings, whatever its folder is called. Raises RunError when the run is not finished, when its weights are
    not of its settings, and where `folder` is the run's own.
    """
    name = _expect_finished(run).config.name
    if Path(folder).resolve() == run.folder.resolve():
        raise RunError(f"{folder}: expected a folder for the records of several runs, found the run's own folder; name another")
    log = run.text("log.csv")
    if log is None:
        raise RunError(f"{run.folder}: expected log.csv, found none: only a run that was trained here can be recorded")
    found = {"config": run.config.to_dict(), "environment": run.environment, "metrics": run.metrics}
    texts = {**{f"{part}.json": json.dumps(value) for part, value in found.items()}, "log.csv": log}
    add_record(Path(folder), name, run.config.data.dataset, texts, run.rankings)
    return Run(Path(folder) / name, records(folder)[name])


def save_copy(run: Run, folder: str | Path) -> Run:
    """Copy a finished run with its model to a folder of its own, without what only its training needs; returns the copy.

    Rankings are kept without the lists of what came first. Raises RunError when the run is not finished.
    """
    folder = Path(folder)
    _expect_finished(run)
    if folder.resolve() == run.folder.resolve():
        raise RunError(f"{folder}: expected a folder for the copy, found the run's own folder; name another")
    rankings = run.rankings.without_lists()
    for name in ("config.json", "environment.json", "log.csv", "vocabulary.json", "model.safetensors"):
        write_atomically(folder / name, lambda beside, name=name: shutil.copyfile(run.folder / name, beside) and None)
    rankings.save(folder / "rankings.parquet")
    write_atomically(folder / "metrics.json", lambda beside: shutil.copyfile(run.folder / "metrics.json", beside) and None)
    return Run(folder)  # metrics last: a folder with them is finished


def _expect_finished(run: Run) -> Run:
    if not run.finished:
        raise RunError(f"{run.folder}: expected a finished run, found no metrics.json. Start it again to go on.")
    if (run.folder / "model.safetensors").is_file():
        refuse_weights_of_another(run.folder, run.config)
    return run


def finished_run(config: RunConfig, roots: Iterable[str | Path]) -> Run | None:
    """The finished run of `config` in the first of the folders that has it, in a folder of its own or among records."""
    for root in roots:
        if not root:
            continue
        if (run := Run(Path(root) / config.name)).finished:
            return run
        if (record := records(root).get(config.name)) is not None:
            return Run(run.folder, record)
    return None


def finished_runs(root: str | Path) -> list[Run]:
    """All finished runs in a folder, those with a folder of their own and those among its records, by name."""
    own = {path.parent.name: Run(path.parent) for path in Path(root).glob("*/metrics.json")}
    recorded = {name: Run(Path(root) / name, record) for name, record in records(root).items()}
    return [run for _, run in sorted((recorded | own).items())]


def load_pretrained(name: str = "css-laptop", device: str = "cpu") -> ComposedModel:
    """A model that ships with the lab, ready to embed. Its run is `pretrained_run(name)`."""
    return pretrained_run(name).load_model(device)


def pretrained_run(name: str = "css-laptop") -> Run:
    """The run of a shipped model: settings, log, metrics. Unknown names list the known ones."""
    known = sorted(path.parent.name for path in PRETRAINED.glob("*/model.safetensors"))
    if name not in known:
        raise RunError(f"no pretrained model {name!r}; known: {', '.join(known) or 'none'}{did_you_mean(name, known)}")
    return Run(PRETRAINED / name)


def find_run(run: str | Path, runs_root: str | Path = "") -> Run:
    """A run by its folder, its name in `runs_root`, among the lab's records, or a shipped one's name; else RunError."""
    text = str(given_path(Path(run))) if str(run) else ""
    for folder in (Path(text), own_folder(runs_root, "runs") / text, (records_folder("lab") or Path()) / text):
        if text and (folder / "config.json").is_file():
            return Run(folder)
        if text and (record := records(folder.parent).get(folder.name)) is not None:
            return Run(folder, record)
    try:
        return pretrained_run(text)
    except RunError as error:
        if Path(text).is_dir():
            why = f"{text}: expected a run's folder with its config.json, found none; name a run that was trained"
            raise RunError(why) from None
        there, known = own_folder(runs_root, "runs"), str(error)
        if "Did you mean" not in known:
            names = {path.parent.name for path in there.glob("*/config.json")} | set(records(records_folder("lab") or ""))
            known += did_you_mean(Path(text).name, sorted(names))
        raise RunError(f"{text!r} is no run's folder, no run in {there}, and {known}") from None
