"""A run's folder, and the ledger that joins all runs into one tidy frame.

    {dataset}-{model}-{hash}/  config.json  environment.json  vocabulary.json  log.csv  model.safetensors  state/
                               rankings.parquet  metrics.json   (written last: a folder with it is finished)
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from maaf_lab.config import RunConfig
from maaf_lab.data import datasets
from maaf_lab.data.batches import set_seed
from maaf_lab.data.cache import pixel_cache
from maaf_lab.data.layout import MARK
from maaf_lab.data.split import Split
from maaf_lab.errors import ConfigError, RunError
from maaf_lab.gallery import rank
from maaf_lab.made.sets import made_origin, make
from maaf_lab.metrics import recalls
from maaf_lab.models.base import ComposedModel
from maaf_lab.models.build import build_model, build_vocabulary
from maaf_lab.models.checkpoints import load_model, save_model
from maaf_lab.rankings import Rankings
from maaf_lab.retrieval import embed_split
from maaf_lab.training import fit, make_accelerator, processes_of_this_run
from maaf_lab.utils.files import write_json

if TYPE_CHECKING:
    import pandas as pd

MADE_SIZE = {"smoke": "tiny", "laptop": "full"}  # profiles that learn from made data, and how much of it


def drawn_pixels(dataset: str, pixels: int) -> int:
    """Side of the pictures that the lab draws for a model of `pixels`: CSS as they go in, all others with room for crops."""
    return pixels if dataset.startswith("css") else -(-pixels * 8 // 7)  # 56 -> 64, 224 -> 256


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
        return RunConfig.from_dict(self._json("config.json"))

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


def train_and_evaluate(
    config: RunConfig, data_root: str | Path, runs_root: str | Path, *, device: str | None = None, workers: int = 0,
    recompute: bool = False, progress: bool = True,
) -> Run:
    """Train what is not trained, evaluate what is not evaluated; a finished run is returned as it is.

    data_root: the folder of `config.data.dataset`. Everything that could stop the run (missing images, an unknown name) is
    checked before the first step. The same call goes on with a run that was stopped. workers, recompute: see
    `training.fit`.
    Under `accelerate launch` all processes call this; the first one alone writes and evaluates.
    """
    run = Run(Path(runs_root) / config.name)
    if run.finished:
        return run
    found = datasets.origin(config.data.dataset, data_root)
    if config.data.origin and config.data.origin != found:
        raise ConfigError(f"{run.name}: expected the data {config.data.origin!r}, found {found!r} in {data_root}; "
                          "name the folder that holds it, or make it again")
    processes = processes_of_this_run(device)
    if not (run.folder / "model.safetensors").is_file():
        train_split = datasets.load(config.data.dataset, data_root, "train", config.data.missing)
        with processes.main_process_first():
            cache = pixel_cache(train_split, config.data.pixels, progress=progress and processes.is_main_process,
                                store=config.data.cache)
        set_seed(config.train.seed)
        model = build_model(config.model, build_vocabulary(config.model, train_split.vocabulary_texts))
        if processes.is_main_process:
            write_json(run.folder / "config.json", config.to_dict())
        seconds = fit(model, train_split, cache, config, run.folder, device=device, workers=workers, recompute=recompute,
                      progress=progress)
        if processes.is_main_process:
            around = {"train_seconds": round(seconds, 1), "train_data": train_split.origin}
            if (vectors := model.word_vectors()) is not None:
                around["word_vectors"] = str(vectors)
            write_json(run.folder / "environment.json", {**environment(model.device), **around})
            save_model(run.folder, model, config)
    if processes.is_main_process:
        evaluate(run, data_root, device=device, progress=progress)
    processes.wait_for_everyone()
    return run


def evaluate(
    run: Run, data_root: str | Path, *, split: str | None = None, device: str | None = None, progress: bool = True
) -> Run:
    """Rank a split, by default the dataset's usual one, with the run's trained model; writes rankings.parquet, metrics.json."""
    config = run.config
    test = datasets.load(config.data.dataset, data_root, split or datasets.evaluation(config.data.dataset), config.data.missing)
    if any(q.target_label is None for q in test.queries):
        raise RunError(f"{test.title}: published without answers, so nothing can be counted; rank another split")
    cache = pixel_cache(test, config.data.pixels, progress=progress, store=config.data.cache)
    model = run.load_model(make_accelerator("fp32", device).device)
    start = time.monotonic()
    queries, gallery = embed_split(model, test, cache, transform=config.data.transform, progress=progress)
    rankings = rank(queries, gallery, test, progress=progress)
    rankings.save(run.folder / "rankings.parquet")
    found = summary(rankings, test, time.monotonic() - start)
    trained_on = run.environment.get("train_data", "") if (run.folder / "environment.json").is_file() else ""
    if "dropped" in trained_on:  # said on every result, also where the ranked split is whole
        found["data"] += f" (trained on: {trained_on})"
    write_json(run.folder / "metrics.json", found)
    return run


def summary(rankings: Rankings, split: Split, seconds: float) -> dict[str, Any]:
    """Recall at the protocol's k with intervals, in percent, and what they were measured on (see `metrics.recalls`)."""
    values = recalls(rankings, split.protocol.ks)
    return {
        "dataset": split.dataset, "split": split.name, "data": split.origin, "queries": len(split.queries),
        "images": len(split.images), "protocol": rankings.protocol, "interval": "95%, bootstrap over queries",
        "metrics": {
            name: {"value": round(e.value, 3), "low": round(e.low, 3), "high": round(e.high, 3)} for name, e in values.items()
        },
        "evaluate_seconds": round(seconds, 1),
    }


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
        "python": platform.python_version(), "system": platform.system(), "versions": versions, "commit": _commit(),
        "device": f"{device.type} ({name})", "threads": torch.get_num_threads(),
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
                lines.append({
                    "run": run.name, "dataset": config.data.dataset, "model": config.model.name, "profile": config.profile,
                    "seed": config.train.seed, "steps": config.train.steps, "metric": metric, **e, "queries": metrics["queries"],
                    "split": metrics["split"], "data": metrics["data"], "protocol": metrics["protocol"],
                    "train_seconds": around.get("train_seconds"), "device": around.get("device"), "commit": around.get("commit"),
                    "finished": around.get("finished"),
                })
    return pd.DataFrame(lines, columns=LEDGER_COLUMNS)


LEDGER_COLUMNS: Sequence[str] = (
    "run", "dataset", "model", "profile", "seed", "steps", "metric", "value", "low", "high", "queries", "split", "data",
    "protocol", "train_seconds", "device", "commit", "finished",
)


def dataset_folder(dataset: str, data_root: str | Path, profile: str = "laptop") -> Path:
    """Where a dataset stands: `data_root` itself where it is that dataset's folder, else the folder of its name in it.

    The smoke profile's tiny set has a folder of its own, `{dataset}-tiny`.
    """
    data_root, layout = Path(data_root), datasets.layout(dataset, data_root)
    if layout.looks_right():
        return data_root
    return data_root / (layout.made_as() + ("-tiny" if profile == "smoke" else ""))


def dataset_origin(dataset: str, data_root: str | Path, profile: str, *, pixels: int, seed: int = 0) -> str:
    """What the data below `data_root` is; of data that the profile makes and nobody has drawn yet, what it will be."""
    root = dataset_folder(dataset, data_root, profile)
    if profile not in MADE_SIZE or (root / MARK).is_file():
        return datasets.origin(dataset, root)
    return made_origin(dataset, MADE_SIZE[profile], pixels, seed)


def dataset_root(dataset: str, data_root: str | Path, profile: str, *, pixels: int, seed: int = 0, progress: bool = True) -> Path:
    """The folder of a dataset below `data_root`; the smoke and laptop profiles make it where it is missing."""
    root = dataset_folder(dataset, data_root, profile)
    if profile in MADE_SIZE and not (root / MARK).is_file():
        make(dataset, root, MADE_SIZE[profile], pixels, seed, progress=progress)
    return root


def load_pretrained(name: str = "css-laptop", device: str = "cpu") -> ComposedModel:
    """A model that ships with the lab, ready to embed. Its record is in `pretrained_run(name)`."""
    return pretrained_run(name).load_model(device)


def pretrained_run(name: str = "css-laptop") -> Run:
    """The record of a shipped model: settings, log, metrics. Unknown names list the known ones."""
    folder = Path(__file__).parent / "pretrained"
    known = sorted(path.parent.name for path in folder.glob("*/model.safetensors"))
    if name not in known:
        raise RunError(f"no pretrained model {name!r}; known: {', '.join(known) or 'none'}")
    return Run(folder / name)
