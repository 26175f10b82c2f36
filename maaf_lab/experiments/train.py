"""Train a run and evaluate it."""

from __future__ import annotations

import contextlib
import hashlib
import math
import shlex
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch

from maaf_lab.arguments import checked
from maaf_lab.config import RunConfig
from maaf_lab.data import registry as datasets
from maaf_lab.data.batches import check_workers, set_seed
from maaf_lab.data.cache import PixelCache, image_files, pixel_cache
from maaf_lab.data.split import Split, is_synthetic
from maaf_lab.errors import ConfigError, DataError, LabError, RunError, SaveError
from maaf_lab.experiments.runs import FOLDERS, IMAGE_FILES, Run, environment
from maaf_lab.models.base import ComposedModel
from maaf_lab.models.checkpoints import load_earlier, save_model
from maaf_lab.models.encoders.image import DRAWN
from maaf_lab.models.registry import build_model, build_vocabulary
from maaf_lab.models.weights import fingerprint
from maaf_lab.retrieval.embed import embed_split
from maaf_lab.retrieval.gallery import rank
from maaf_lab.retrieval.metrics import recalls
from maaf_lab.retrieval.rankings import Rankings
from maaf_lab.training.devices import make_accelerator, processes_of_this_run
from maaf_lab.training.fit import check_compile, fit
from maaf_lab.utils.files import remove_leftovers, why_not_writable, write_json
from maaf_lab.utils.parallel import torch_device
from maaf_lab.utils.wording import printable


@contextlib.contextmanager
def _threads_as_before() -> Iterator[None]:
    """A run that goes on takes the number of threads that it began with; what comes after it does not."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


@checked
@_threads_as_before()
def train_and_evaluate(
    config: Annotated[RunConfig, "a RunConfig, as profile_config makes it"],
    data_root: str | Path,
    runs_root: str | Path,
    *,
    device: str | torch.device | None = None,
    workers: int = 0,
    recompute: bool = False,
    progress: bool = True,
) -> Run:
    """Train what is not trained, evaluate what is not evaluated; a finished run is returned as it is.

    data_root: the folder of `config.data.dataset`. Everything that could stop the run (missing images, an unknown name) is
    checked before the first step. The same call goes on with a run that was stopped. workers, recompute: see
    `training.fit`. Raises ConfigError for arguments of another kind.
    Under `accelerate launch` all processes call this; the first one alone writes and evaluates.
    """
    run = Run(Path(runs_root) / config.name)
    if device:
        torch_device(device)  # what is not there is told of a finished run too
    check_workers(workers)
    other = _other_images(run, config, data_root) if run.finished or run.trained else ""
    if run.finished and run.trained:
        if why := run.damage(config.name):
            raise why
        if other:
            warnings.warn(f"{other}. The run's numbers are of its own, and nothing was trained or ranked", stacklevel=4)
        return run
    if other:
        raise RunError(f"{other}. Name the folder that holds its own, or delete {run.folder} to train it again on these")
    if run.finished:
        warnings.warn(f"{run.name}: its metrics are there and its weights are gone: these are made again", stacklevel=4)
    check_compile(config, recompute)
    if why := why_not_writable(Path(runs_root)):
        raise SaveError(f"{runs_root}: expected a folder for runs that can be written; {why}. Name another folder")
    found = datasets.origin(config.data.dataset, data_root)
    if config.data.origin and config.data.origin != found:
        raise ConfigError(
            f"{run.name}: expected the data {config.data.origin!r}, found {found!r} in {data_root}; "
            "name the folder that holds it, or make it again"
        )
    processes = processes_of_this_run(device)
    if not run.trained:
        train_split = datasets.load(config.data.dataset, data_root, "train", config.data.missing)
        with processes.main_process_first():
            if processes.is_main_process:  # damage among the images to rank is found now, not after training
                test = datasets.load(
                    config.data.dataset, data_root, datasets.evaluation(config.data.dataset), config.data.missing
                )
                test_cache = pixel_cache(test, config.data.pixels, progress=progress, store=config.data.cache)
            cache = pixel_cache(
                train_split, config.data.pixels, progress=progress and processes.is_main_process, store=config.data.cache
            )
        if processes.is_main_process:
            _tell_remarks(config, data_root, (train_split, test))
        pictures = {}
        if not is_synthetic(train_split.origin) and processes.is_main_process:
            pictures = {IMAGE_FILES: {test.name: test_cache.files, train_split.name: cache.files}}
            _expect_images_of_checkpoint(run, pictures[IMAGE_FILES], data_root)
        set_seed(config.train.seed)
        model = build_model(config.model, build_vocabulary(config.model, train_split.vocabulary_texts))
        if processes.is_main_process:
            write_json(run.folder / "config.json", config.to_dict())
            write_json(run.folder / FOLDERS, {"data_root": str(Path(data_root).resolve()), **pictures})
        seconds = fit(
            model, train_split, cache, config, run.folder, device=device, workers=workers, recompute=recompute, progress=progress
        )
        if processes.is_main_process:
            if told := _at_chance(run):
                print(told, file=sys.stderr)
            ran = {"train_seconds": round(seconds, 1), "train_data": train_split.origin, **pictures}
            ran["weights"] = fingerprint(model.state_dict())
            if (vectors := model.word_vectors()) is not None:
                ran["word_vectors"] = str(vectors)
            write_json(run.folder / "environment.json", {**environment(model.device), **ran})
            save_model(run.folder, model, config)
    if processes.is_main_process:
        evaluate(run, data_root, device=device, progress=progress)
    processes.wait_for_everyone()
    return run


def _tell_remarks(config: RunConfig, data_root: str | Path, splits: tuple[Split, ...]) -> None:
    """What is odd about complete data, or about this model on it, before hours of training."""
    dataset = config.data.dataset
    opened = datasets.open_dataset(dataset, data_root)
    if told := [text for split in splits for text in opened.remarks(split)]:
        asked = f"maaf-lab check {dataset} --root {shlex.quote(str(data_root))}"
        print(printable("\n".join([*told, f"Training goes on; `{asked}` says more"]), "\n"), file=sys.stderr)
    weights = getattr(config.model, "image_weights", "")
    if weights in DRAWN and not is_synthetic(splits[0].origin):
        print(
            f"{config.name}: its image model ({weights}) was pretrained on drawings, and these images are not the lab's. For "
            "photographs: --set model.image_encoder=efficientnet_lite0 --set model.image_weights=imagenet",
            file=sys.stderr,
        )


def _at_chance(run: Run) -> str:
    """That nothing was learned: the last loss is not below that of a model which finds all targets of a batch alike."""
    loss, targets = run.log["loss"].iloc[-1], run.config.train.batch_size
    if loss < math.log(targets):
        return ""
    return (
        f"{run.name}: nothing was learned: the last loss, {loss:.3f}, is not below {math.log(targets):.3f}, that of choosing "
        f"among {targets} targets by chance. Lower the learning rates, set train.warmup_steps or train.clip_norm, or train longer"
    )


def _other_images(run: Run, config: RunConfig, data_root: str | Path) -> str:
    """That a folder has other images than those that a trained run rests on; "" where it has the same, or nobody knows."""
    data, other = config.data, []
    for split in dict.fromkeys((datasets.evaluation(data.dataset), "train")):
        if own := run.image_files(split):
            try:
                found = image_files(datasets.load(data.dataset, data_root, split, data.missing), data.pixels, data.cache)
            except DataError:  # missing or damaged: at least these are not the run's
                found = "some that cannot be read"
            if found != own:
                other.append(f"{split} {own}, found {found}")
    return f"{run.name}: expected its images ({'; '.join(other)} in {data_root})" if other else ""


def _expect_images_of_checkpoint(run: Run, found: dict[str, str], data_root: str | Path) -> None:
    """Raises RunError where a run that was stopped would go on with other images than it began with."""
    if (run.folder / "state" / "checkpoint.pt").exists() and found != (began := run.began_with or found):
        other = "; ".join(
            f"{split} {began.get(split)}, found {files}" for split, files in found.items() if files != began.get(split)
        )
        raise RunError(
            f"{run.name}: expected the images that it began with ({other} in {data_root}); name the folder that holds them, or "
            f"delete {run.folder / 'state'} to begin anew with these"
        )


def evaluate(
    run: Run,
    data_root: str | Path,
    *,
    split: str | None = None,
    missing: str = "",
    device: str | None = None,
    progress: bool = True,
) -> Run:
    """Rank a split, by default the dataset's usual one, with the run's trained model; writes rankings.parquet, metrics.json.

    missing: "error" or "skip" instead of what the run's settings say of queries whose images are missing or damaged.
    The ranks of another split, of other data than the run's settings name, or of other images than its own result was ranked on,
    are no numbers of this run: they are written to files of their own, metrics-{what}.json and rankings-{what}.parquet, which
    the returned run reads.
    """
    config = run.config
    usual = datasets.evaluation(config.data.dataset)
    test = datasets.load(config.data.dataset, data_root, split or usual, missing or config.data.missing)
    if any(q.target_label is None for q in test.queries):
        raise RunError(f"{test.title}: published without answers, so nothing can be counted; rank another split")
    own = config.data.origin
    dropped = config.data.missing == "skip" and test.origin.startswith(f"{own}; ")  # what follows says how many queries
    elsewhere = bool(own) and test.origin != own and not dropped
    model = run.load_model(make_accelerator("fp32", device).device)
    cache = pixel_cache(test, config.data.pixels, progress=progress, store=config.data.cache)
    images = "" if is_synthetic(test.origin) else cache.files  # what a synthetic origin names has no other images
    own_images = run.image_files(test.name)
    redrawn = not elsewhere and bool(own_images and images) and images != own_images
    what = hashlib.sha256(f"{test.origin} {images}".strip().encode()).hexdigest()[:8]
    named = [test.name] * (test.name != usual) + [what] * (elsewhere or redrawn)
    run = Run(run.folder, result="".join(f"-{part}" for part in named))
    start = time.monotonic()
    queries, gallery = embed_split(model, test, cache, transform=config.data.transform, progress=progress)
    rankings = rank(queries, gallery, test, progress=progress)
    remove_leftovers(run.folder, age=3600)
    rankings.save(run.folder / f"rankings{run.result}.parquet")
    found = summary(rankings, test, time.monotonic() - start)
    if not run.result and (earlier := _earlier(run, model, test, cache, progress)):
        found["earlier"] = earlier
    trained_on = run.environment.get("train_data", "") if (run.folder / "environment.json").is_file() else ""
    if images:
        found[IMAGE_FILES] = images
    if elsewhere or redrawn:
        kind, expected, there = ("images", own_images, images) if redrawn else ("data", own, test.origin)
        found["data"] += f" (other {kind} than the run's: {expected})"
        warnings.warn(
            f"{run.name}: expected its {kind}, {expected!r}, found {there!r}: what follows is of these, and is kept in "
            f"metrics{run.result}.json. The run's own numbers stay as they are",
            stacklevel=2,
        )
    elif "dropped" in trained_on:  # said on every result, also where the ranked split is whole
        found["data"] += f" (trained on: {trained_on})"
    write_json(run.folder / f"metrics{run.result}.json", found)
    return run


def _earlier(run: Run, model: ComposedModel, test: Split, cache: PixelCache, progress: bool) -> dict[str, Any] | None:
    """Recall with the weights of three quarters of the steps: {"step", "metrics": name -> percent}; changes `model`.

    None where those weights are not kept, as in runs of earlier versions.
    """
    if (step := load_earlier(run.folder, model)) is None:
        with contextlib.suppress(LabError):  # a copy that is ranked again, whose metrics may be damaged
            return run.metrics.get("earlier") if run.finished else None
        return None
    queries, gallery = embed_split(model, test, cache, transform=run.config.data.transform, progress=progress)
    values = recalls(rank(queries, gallery, test, progress=progress), test.protocol.ks)
    return {"step": step, "metrics": {name: round(one.value, 3) for name, one in values.items()}}


def summary(rankings: Rankings, split: Split, seconds: float) -> dict[str, Any]:
    """Recall at the protocol's k with intervals, in percent, and what they were measured on (see `metrics.recalls`)."""
    values = recalls(rankings, split.protocol.ks)
    return {
        "dataset": split.dataset,
        "split": split.name,
        "data": split.origin,
        "queries": len(split.queries),
        "images": len(split.images),
        "protocol": rankings.protocol,
        "interval": "95%, bootstrap over queries",
        "metrics": {
            name: {"value": round(e.value, 3), "low": round(e.low, 3), "high": round(e.high, 3)} for name, e in values.items()
        },
        "evaluate_seconds": round(seconds, 1),
    }
