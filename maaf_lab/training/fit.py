"""Batch softmax loss, parameter groups, schedule, the training loop and exact resume (paper 2.4).

Shapes: B queries of a batch, T targets, D width.
"""

from __future__ import annotations

import math
import os
import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from tqdm.auto import tqdm

from maaf_lab.config import RunConfig, TrainConfig
from maaf_lab.data.batches import Feed, batches
from maaf_lab.data.cache import PixelCache
from maaf_lab.data.split import Split
from maaf_lab.data.transforms import build_transform, some_in_gray
from maaf_lab.errors import ConfigError, RunError, SaveError, TrainingError
from maaf_lab.models.base import ComposedModel
from maaf_lab.models.checkpoints import FROM_THE_START, load_state, save_earlier, save_state
from maaf_lab.models.layers.attention_dropout import keep_out_of_graphs
from maaf_lab.training.devices import (
    cpu_has_bf16,
    gather_rows,
    give_back_memory,
    keep_blocks,
    make_accelerator,
    prepare_layout,
    processes_of_this_run,
    recompute_blocks,
)
from maaf_lab.training.frozen import freeze_image_model, kept_maps
from maaf_lab.training.stopping import TrainingStopped, stopped_by_signals
from maaf_lab.utils.files import locked, make_folder, remove_leftovers, write_text
from maaf_lab.utils.wording import counted

LOG_COLUMNS = ("step", "loss", "learning_rate", "seconds")
EARLIER = 0.75  # of the steps: the weights then are kept too, and whether the last quarter still raised recall is told from them


def batch_softmax_loss(queries_BD: Tensor, targets_TD: Tensor, scale: Tensor, first: int = 0) -> Tensor:
    """Cross-entropy of each query over the batch's targets (equation 5); logits are s^2 * cosine. Query -> target only.

    Query i's target is number `first` + i; T is B unless several processes share their targets.
    """
    logits_BT = scale.float() ** 2 * queries_BD.float() @ targets_TD.float().T
    return nn.functional.cross_entropy(logits_BT, first + torch.arange(len(logits_BT), device=logits_BT.device))


def spread_softmax_loss(queries_BD: Tensor, targets_BD: Tensor, scale: Tensor) -> Tensor:
    """`batch_softmax_loss` of this process's queries over the targets of all processes.

    The mean of the processes' gradients, as DistributedDataParallel computes it, is then the gradient of the whole batch's loss.
    """
    return batch_softmax_loss(queries_BD, gather_rows(targets_BD), scale, first=distributed.get_rank() * len(queries_BD))


def learning_rate_factor(step: int, config: TrainConfig) -> float:
    """The factor of all learning rates at `step` (0, 1, 2, ...): linear warm-up, then "step" or "cosine" decay."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "step":
        return config.decay_factor ** -(step // config.decay_every)
    whole = max(config.steps - config.warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * (step - config.warmup_steps) / whole))


def parameter_groups(model: ComposedModel, config: TrainConfig) -> list[dict[str, Any]]:
    """The backbone at `image_learning_rate`, all other parameters at `learning_rate` (paper 2.4).

    Where `text_learning_rate` is set, the text encoder has a group at that rate. Frozen parameters are in no group.
    """
    backbone, text = model.backbone_parameters(), []
    if config.text_learning_rate is not None:
        text = model.text_parameters()
    inside = {id(p) for p in [*backbone, *text]}
    rest = [p for p in model.parameters() if id(p) not in inside]
    groups = [(rest, config.learning_rate), (backbone, config.image_learning_rate)]
    if text:
        groups.append((text, config.text_learning_rate))
    return [{"params": [p for p in group if p.requires_grad], "lr": rate, "base": rate} for group, rate in groups]


def _warn_of_slow_bf16(name: str) -> None:
    if cpu_has_bf16() is False:
        warnings.warn(
            f'{name}: precision "bf16" expects a CPU that computes in it (AVX512-BF16, AMX or Arm\'s BF16), found one without: '
            "an image model trains 2 (AVX-512) to 17 times (AVX2) slower than in fp32. Stop and set train.precision=fp32, or use "
            "a GPU",
            stacklevel=4,
        )


@contextmanager
def _alone(folder: Path, main: bool) -> Iterator[None]:
    """Only one process may train a run: two would overwrite each other's checkpoints. Files that killed ones left are removed.

    main: of several processes that train this run together, the first one holds the lock.
    """

    def held() -> None:
        raise RunError(f"{folder.parent.name}: another process is training this run; wait for it or stop it") from None

    make_folder(folder)
    if not main:
        yield
        return
    with locked(folder / "lock", held) as alone:
        if not alone:
            warnings.warn(
                f"{folder / 'lock'} cannot be locked here (no locks, or another user's file): make sure that no other "
                "process trains this run",
                stacklevel=4,
            )
        else:
            remove_leftovers(folder)
        yield


def fit(
    model: ComposedModel,
    split: Split,
    cache: PixelCache,
    config: RunConfig,
    folder: Path,
    *,
    device: str | None = None,
    workers: int = 0,
    recompute: bool = False,
    progress: bool = True,
) -> float:
    """Train `model` in place on `split` for `config.train.steps`, from the folder's checkpoint where there is one.

    On a CPU, a run that was killed and started again ends with the same bytes of weights as one that never stopped: the state
    of model, optimizer, schedule, sampling and random numbers is in the checkpoint or a function of the step. So is the number
    of threads, which stays set after this returns. The weights at three quarters of the steps stay in `state/`.
    workers: processes that read batches ahead. recompute: less memory, a little more time, same numbers (`recompute_blocks`).
    Under `accelerate launch` with several processes, each takes its share of every batch, and the loss compares each query with
    the targets of all processes; batch norm then uses each process's own images (on GPUs: all).
    Returns the seconds of training, summed over resumes. Raises TrainingError where the loss is not finite or a checkpoint
    cannot be saved; the last good checkpoint stays, and the message names the step.
    """
    check_compile(config, recompute)
    with _alone(folder / "state", processes_of_this_run(device).is_main_process):
        try:
            return _fit(model, split, cache, config, folder, device, workers, recompute, progress)
        except SaveError as error:
            raise TrainingError(str(error)) from error


def check_compile(config: RunConfig, recompute: bool) -> None:
    """Raises ConfigError for a run whose step is to be compiled and cannot be, before anything that takes time."""
    if not config.train.compile:
        return
    if recompute:
        raise ConfigError(
            f"{config.name}: expected recompute or train.compile, found both; a compiled step decides by itself "
            "what it computes again. Leave one out"
        )
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "cl"]
    if not any(shutil.which(name) for name in names):
        raise ConfigError(
            f"train.compile: expected a C++ compiler ({', '.join(names)}), found none; install one, name it in the environment "
            "variable CXX, or leave train.compile out"
        )


def _fit(
    model: ComposedModel,
    split: Split,
    cache: PixelCache,
    config: RunConfig,
    folder: Path,
    device: str | None,
    workers: int,
    recompute: bool,
    progress: bool,
) -> float:
    plan, checkpoint = config.train, folder / "state" / "checkpoint.pt"
    accelerator = make_accelerator(plan.precision, device)
    if plan.precision == "bf16" and accelerator.device.type == "cpu" and accelerator.is_main_process:
        _warn_of_slow_bf16(config.name)
    if frozen := not plan.image_learning_rate:
        freeze_image_model(model)
    optimizer = torch.optim.SGD(parameter_groups(model, plan), momentum=plan.momentum, weight_decay=plan.weight_decay)
    several = accelerator.num_processes > 1
    feed = Feed(split, model.vocabulary, plan, process=accelerator.process_index, processes=accelerator.num_processes)
    transform = build_transform(config.data.transform, config.data.pixels)

    start, log, window, seconds = 0, [], [], 0.0
    where = {"device": accelerator.device.type, "processes": accelerator.num_processes}
    if checkpoint.exists():
        state = _resumed(checkpoint, config, model, optimizer, where)
        start, log, window, seconds = state["step"], state["log"], state["window"], state["seconds"]
    if several and accelerator.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
    wrapped, optimizer = accelerator.prepare(prepare_layout(model), optimizer)
    frugal = recompute and accelerator.device.type == "cpu"
    if recompute:
        recompute_blocks(model)
    if checkpoint.exists():
        _set_random_state(state["random"])
        if accelerator.scaler is not None and state["scaler"]:
            accelerator.scaler.load_state_dict(state["scaler"])
    main = accelerator.is_main_process
    if main:
        write_text(folder / "log.csv", _log_text(log))

    def save(step: int) -> None:
        if not all(bool(p.isfinite().all()) for p in model.parameters()):
            raise TrainingError(_not_finite(config, step, checkpoint, "a weight"))
        if main:
            scaler = accelerator.scaler.state_dict() if accelerator.scaler is not None else {}
            save_state(
                checkpoint,
                {
                    "run": config.name,
                    "threads": torch.get_num_threads(),
                    **where,
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "random": _random_state(),
                    "scaler": scaler,
                    "step": step,
                    "log": log,
                    "window": window,
                    "seconds": seconds + time.monotonic() - clock,
                },
            )

    if plan.compile:
        keep_out_of_graphs()
        wrapped = torch.compile(wrapped, dynamic=True)
    clock = time.monotonic()
    shown = kept_maps(model, cache, transform, plan, progress and main) if frozen and start < plan.steps else cache
    wrapped.train()
    if frozen:
        freeze_image_model(model)
    bar = tqdm(
        total=plan.steps,
        initial=start,
        desc=f"{config.model.name} ({config.name[-10:]})",
        unit="step",
        disable=not (progress and main),
        mininterval=0.5,
    )
    with bar, stopped_by_signals(not several) as stopped:  # its line ends before an error's begins
        ahead = batches(feed, shown, range(start, plan.steps), workers)
        for step, (batch, pixels) in zip(range(start, plan.steps), ahead, strict=True):
            factor = learning_rate_factor(step, plan)
            for group in optimizer.param_groups:
                group["lr"] = group["base"] * factor
            process = [accelerator.process_index] if several else []
            random = torch.Generator().manual_seed(_seed([plan.seed, step, *process]))
            if several:  # dropout differs between processes, and the checkpoint needs no random state of each
                torch.manual_seed(_seed([plan.seed, step, *process, 3]))
            source, target, text = (part.to(accelerator.device) for part in batch[1:])
            if isinstance(pixels, dict):  # maps of a frozen image model
                images = {r: maps.to(accelerator.device) for r, maps in pixels.items()}
            else:
                pixels = pixels.to(accelerator.device)
                if plan.grayscale:
                    pixels = some_in_gray(pixels, source, target, plan.grayscale, random)
                images = transform.train(pixels, random)
            queries, targets = wrapped(images, source, target, text)
            loss = (spread_softmax_loss if several else batch_softmax_loss)(queries, targets, model.scale)
            value = accelerator.gather(loss.detach()).mean().item()
            if not math.isfinite(value):
                raise TrainingError(_not_finite(config, step, checkpoint, "the loss"))
            optimizer.zero_grad(set_to_none=True)
            if frugal:
                give_back_memory()
            accelerator.backward(loss)
            if plan.clip_norm:
                accelerator.clip_grad_norm_(model.parameters(), plan.clip_norm)
            optimizer.step()
            if frugal:
                give_back_memory()
            window.append(value)
            done = step + 1
            if done % plan.log_every == 0 or done == plan.steps:
                row = (done, float(np.mean(window)), factor * plan.learning_rate, round(seconds + time.monotonic() - clock, 2))
                log.append(row)
                window.clear()
                bar.set_postfix(loss=f"{row[1]:.3f}", refresh=False)
                if main:
                    _append(folder / "log.csv", _log_line(row))
            bar.update()
            if main and done == round(EARLIER * plan.steps):
                save_earlier(folder, model, done)
            if done < plan.steps and (done % plan.checkpoint_every == 0 or stopped):
                save(done)
            if done < plan.steps and stopped:
                raise TrainingStopped(done, stopped[0])
    if start < plan.steps:
        save(plan.steps)
    if stopped:
        raise TrainingStopped(plan.steps, stopped[0])
    if recompute:
        keep_blocks(model)
    return seconds + time.monotonic() - clock


def _append(path: Path, line: str) -> None:
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        raise SaveError(
            f"{path}: the training curve could not be written ({error}). Make room, then start again: the run goes on from "
            "its last checkpoint"
        ) from error


def _resumed(
    checkpoint: Path, config: RunConfig, model: ComposedModel, optimizer: torch.optim.Optimizer, where: dict[str, Any]
) -> dict[str, Any]:
    """The state that a run goes on from, put into model and optimizer.

    On a CPU it goes on with the threads that it began with: another number adds in another order, and its weights would be those
    of neither. A kind of device or a number of processes that is another one than before cannot be restored: it is told.
    Raises RunError for a state of another run, of a step that the run does not have, or that does not fit.
    """
    state = load_state(checkpoint)
    if state.get("run", config.name) != config.name:  # none: of an earlier version
        raise RunError(f"{checkpoint}: expected the state of {config.name}, found that of {state['run']}. {FROM_THE_START}")
    if not isinstance(state["step"], int) or not 0 <= state["step"] <= config.train.steps:
        raise RunError(
            f"{checkpoint}: expected a step of at most {config.train.steps:,}, which the run has, found {state['step']!r}. "
            f"{FROM_THE_START}"
        )
    try:
        if lacking := sorted({"model", "optimizer", "random", "scaler", "log", "window", "seconds"} - set(state)):
            raise ValueError(f"without {', '.join(lacking)}")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{checkpoint}: expected the state of {config.name}, found one that does not fit "
            f"({' '.join(str(error).split())[:300]}). {FROM_THE_START}"
        ) from error
    if changed := [f"{name} {state[name]}, now {now}" for name, now in where.items() if state.get(name, now) != now]:
        warnings.warn(
            f"{config.name} goes on elsewhere than it began ({'; '.join(changed)}): its weights will not be, to the byte, those "
            f"of a run that never stopped. To begin anew, delete {checkpoint.parent}",
            stacklevel=5,
        )
    if where["device"] == "cpu" and state.get("threads", torch.get_num_threads()) != torch.get_num_threads():
        warnings.warn(
            f"{config.name} goes on with {counted(state['threads'], 'thread')}, as it began, not with {torch.get_num_threads()}: "
            f"another number gives other weights. To begin anew with these, delete {checkpoint.parent}",
            stacklevel=5,
        )
        torch.set_num_threads(state["threads"])
    return state


def _seed(numbers: list[int]) -> int:
    """A seed from several whole numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _not_finite(config: RunConfig, step: int, checkpoint: Path, what: str) -> str:
    kept = f"step {load_state(checkpoint)['step']}" if checkpoint.exists() else "no checkpoint yet"
    return (
        f"{config.name}: {what} is not finite at step {step} (seed {config.train.seed}); the run stopped. Last good "
        f'checkpoint: {kept}. Lower the learning rates, set warmup_steps or clip_norm, or use precision "fp32".'
    )


def _log_line(row: tuple) -> str:
    return f"{row[0]},{row[1]:.6f},{row[2]:.8f},{row[3]:.2f}\n"


def _log_text(log: list[tuple]) -> str:
    return ",".join(LOG_COLUMNS) + "\n" + "".join(_log_line(tuple(row)) for row in log)


def _random_state() -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
