"""Where runs are trained: here, one after another, or as tasks of a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from maaf_lab.config import RunConfig
from maaf_lab.errors import ConfigError, LabError
from maaf_lab.experiments.train import train_and_evaluate

FAILURES = (LabError, ImportError, OSError, RuntimeError)  # what ends one run and leaves the others running
RETRIES = 3  # how often a task is started again after its worker died


@dataclass(frozen=True)
class Job:
    """One run to train and evaluate. data_root: its dataset's own folder; both folders are seen by every worker."""

    config: RunConfig
    data_root: str
    runs_root: str
    device: str | None = None


def run_job(job: Job, progress: bool = False) -> str:
    """Train and evaluate; "" when the run is finished, else the first line of what went wrong."""
    try:
        train_and_evaluate(job.config, job.data_root, job.runs_root, device=job.device, progress=progress)
    except FAILURES as error:
        return first_line(error)
    return ""


def first_line(error: Exception) -> str:
    """What an error says, in a line; its name where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def local(jobs: Iterable[Job], *, progress: bool = True, **_options: Any) -> Iterator[tuple[Job, str]]:
    """One after another in this process; yields each job with what went wrong ("" for nothing) as it ends."""
    for job in jobs:
        yield job, run_job(job, progress)


def ray(
    jobs: Iterable[Job], *, address: str = "", cpus: float = 1, gpus: float | None = None, progress: bool = True, **_options: Any
) -> Iterator[tuple[Job, str]]:
    """Each run a task of a Ray cluster; yields each job with what went wrong as it ends, in the order of ending.

    address: of a running cluster ("auto", "ray://..."); "" joins the one that RAY_ADDRESS names, or starts one on this machine.
    cpus, gpus: the share of each run (gpus None: one where the cluster has any). A task whose worker dies is started again up to
    3 times and goes on from its run's last checkpoint; the run's lock and name keep it from being trained twice.
    Raises ConfigError where ray is not installed.
    """
    try:
        import ray as cluster
    except ImportError as error:
        raise ConfigError('executor "ray": expected the package ray, found none; pip install "maaf-lab[scale]"') from error
    started = not cluster.is_initialized()
    if started:
        running = address or os.environ.get("RAY_ADDRESS", "")
        cluster.init(**({"address": running} if running else {"log_to_driver": False, "include_dashboard": False}))
    try:
        if gpus is None:
            gpus = 1 if cluster.cluster_resources().get("GPU", 0) else 0
        task = cluster.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_on_a_worker)
        waiting = {task.remote(job, int(max(cpus, 1))): job for job in jobs}
        while waiting:
            (ended, *_), _ = cluster.wait(list(waiting), num_returns=1)
            job = waiting.pop(ended)
            try:
                yield job, cluster.get(ended)
            except cluster.exceptions.RayError as error:  # its workers died again and again, or its code failed
                yield job, f"ray: {first_line(error)}"
    finally:
        if started:
            cluster.shutdown()


def _on_a_worker(job: Job, threads: int) -> str:
    import torch

    torch.set_num_threads(threads)
    return run_job(job)


EXECUTORS: dict[str, Callable[..., Iterator[tuple[Job, str]]]] = {"local": local, "ray": ray}


def executor(name: str) -> Callable[..., Iterator[tuple[Job, str]]]:
    """The executor of that name; unknown names list the known ones."""
    if name not in EXECUTORS:
        raise ConfigError(f"no executor {name!r}; known: {', '.join(EXECUTORS)}")
    return EXECUTORS[name]
