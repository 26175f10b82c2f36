"""A run's folder, and the ledger that joins all runs into one tidy frame.

{dataset}-{model}-{hash}/  config.json  environment.json  vocabulary.json  log.csv  model.safetensors  state/
                           rankings.parquet  metrics.json   (written last: a folder with it is finished)
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from maaf_lab.config import RunConfig
from maaf_lab.errors import RunError
from maaf_lab.models.base import ComposedModel
from maaf_lab.models.checkpoints import load_model
from maaf_lab.retrieval.rankings import Rankings
from maaf_lab.utils.paths import own_folder, records_folder

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """One run's folder, read on demand. Missing parts raise RunError saying how to get them."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def finished(self) -> bool:
        return (self.folder / "metrics.json").is_file()

    def _json(self, name: str) -> dict[str, Any]:
        try:
            return json.loads((self.folder / name).read_text())
        except FileNotFoundError as error:
            raise RunError(f"{self.folder}: expected {name}, found none: not finished. Start the run again to go on.") from error
        except ValueError as error:
            raise RunError(f"{self.folder / name}: expected JSON, found damage ({error}). Delete it and start again.") from error

    @property
    def config(self) -> RunConfig:
        return RunConfig.from_dict(self._json("config.json"), older=True)

    @property
    def environment(self) -> dict[str, Any]:
        return self._json("environment.json")

    @property
    def metrics(self) -> dict[str, Any]:
        return self._json("metrics.json")

    @property
    def log(self) -> pd.DataFrame:
        """Training curve: step, loss (mean since the row before), learning_rate, seconds since the start."""
        import pandas as pd

        path = self.folder / "log.csv"
        if not path.is_file():
            raise RunError(f"{self.folder}: expected log.csv, found none: the run was not started here")
        return pd.read_csv(path)

    @property
    def rankings(self) -> Rankings:
        return Rankings.load(self.folder / "rankings.parquet")

    def load_model(self, device: str = "cpu") -> ComposedModel:
        """The trained model, in evaluation mode."""
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
        "commit": _commit(),
        "device": f"{device.type} ({name})",
        "threads": torch.get_num_threads(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _commit() -> str:
    """The lab's commit, with "+" where files differ from it; "unknown" outside a repository."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        dirty = subprocess.run(["git", "status", "--porcelain", "--", "."], cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


RECORD = ("config.json", "environment.json", "log.csv", "metrics.json")


def save_record(run: Run, folder: str | Path, *, weights: bool = False) -> Run:
    """Copy what a finished run's numbers rest on into `folder`, small enough to commit; returns the copy.

    Rankings are kept without the lists of what came first, and what was asked stands once beside all records of `folder.parent`
    (`Rankings.save_ranks`). weights: the trained model and its vocabulary too; such a record stands alone.
    Raises RunError when the run is not finished.
    """
    if not run.finished:
        raise RunError(f"{run.folder}: expected a finished run, found no metrics.json. Start it again to go on.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*RECORD, *(("vocabulary.json", "model.safetensors") if weights else ())):
        shutil.copyfile(run.folder / name, folder / name)
    if weights:
        run.rankings.without_lists().save(folder / "rankings.parquet")
    else:
        run.rankings.save_ranks(folder / "rankings.parquet", folder.parent)
    return Run(folder)


def find(config: RunConfig, roots: Iterable[str | Path]) -> Run | None:
    """The finished run of `config` in the first of the folders that has it."""
    for root in roots:
        if root and (run := Run(Path(root) / config.name)).finished:
            return run
    return None


def ledger(*roots: str | Path) -> pd.DataFrame:
    """All finished runs below `roots` as one tidy frame: a line per run and metric, with protocol and provenance."""
    import pandas as pd

    lines = []
    for root in roots:
        for path in sorted(Path(root).glob("*/metrics.json")) if root else ():
            run = Run(path.parent)
            config, metrics, around = run.config, run.metrics, run.environment
            for metric, e in metrics["metrics"].items():
                lines.append(
                    {
                        "run": run.name,
                        "dataset": config.data.dataset,
                        "model": config.model.name,
                        "profile": config.profile,
                        "seed": config.train.seed,
                        "steps": config.train.steps,
                        "metric": metric,
                        **e,
                        "queries": metrics["queries"],
                        "split": metrics["split"],
                        "data": metrics["data"],
                        "protocol": metrics["protocol"],
                        "train_seconds": around.get("train_seconds"),
                        "device": around.get("device"),
                        "commit": around.get("commit"),
                        "finished": around.get("finished"),
                    }
                )
    return pd.DataFrame(lines, columns=LEDGER_COLUMNS)


LEDGER_COLUMNS: Sequence[str] = (
    "run",
    "dataset",
    "model",
    "profile",
    "seed",
    "steps",
    "metric",
    "value",
    "low",
    "high",
    "queries",
    "split",
    "data",
    "protocol",
    "train_seconds",
    "device",
    "commit",
    "finished",
)


def load_pretrained(name: str = "css-laptop", device: str = "cpu") -> ComposedModel:
    """A model that ships with the lab, ready to embed. Its record is in `pretrained_run(name)`."""
    return pretrained_run(name).load_model(device)


def pretrained_run(name: str = "css-laptop") -> Run:
    """The record of a shipped model: settings, log, metrics. Unknown names list the known ones."""
    folder = Path(__file__).parents[1] / "pretrained"
    known = sorted(path.parent.name for path in folder.glob("*/model.safetensors"))
    if name not in known:
        raise RunError(f"no pretrained model {name!r}; known: {', '.join(known) or 'none'}")
    return Run(folder / name)


def find_run(run: str | Path, runs_root: str | Path = "") -> Run:
    """A run by its folder, its name in `runs_root`, among the lab's records, or a shipped one's name; else RunError."""
    text = str(run)
    for folder in (Path(text), own_folder(runs_root, "runs") / text, (records_folder("lab") or Path()) / text):
        if text and (folder / "config.json").is_file():
            return Run(folder)
    try:
        return pretrained_run(text)
    except RunError as error:
        if Path(text).is_dir():
            why = f"{text}: expected a run's folder with its config.json, found none; name a run that was trained"
            raise RunError(why) from None
        raise RunError(f"{text!r} is no run's folder, no run in {own_folder(runs_root, 'runs')}, and {error}") from None
