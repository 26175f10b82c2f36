"""The runs that somebody asks for: which are missing, and where they are trained: here, or as tasks of a Ray cluster."""

from __future__ import annotations

import os
import socket
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from maaf_lab.config import RunConfig
from maaf_lab.errors import ConfigError, RunError
from maaf_lab.experiments.runs import finished_run
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.utils.wording import did_you_mean

ANSWER = 10  # seconds in which a machine has to answer
RETRIES = 3  # how often a task is started again after its worker died


@dataclass(frozen=True)
class Job:
    """One run to train and evaluate. data_root: its dataset's own folder; every worker sees both folders."""

    config: RunConfig
    data_root: str | Path
    runs_root: str | Path
    device: str | None = None


Ended = Iterator[tuple[Job, Exception | None]]  # each job as it ends, with what went wrong; None where its run is finished
Executor = Callable[..., Ended]  # called with the jobs and progress=


def run_job(job: Job, progress: bool = False) -> Exception | None:
    """Train and evaluate; what went wrong, None when the run is finished."""
    try:
        train_and_evaluate(job.config, job.data_root, job.runs_root, device=job.device, progress=progress)
    except Exception as error:  # a torn checkpoint raises EOFError, other libraries what they like: the other runs go on
        part: BaseException | None = error
        while part is not None:  # an error that is kept must not keep the run's model and memory
            traceback.clear_frames(part.__traceback__)
            part = part.__cause__ or part.__context__
        return error
    return None


def first_line(error: Exception) -> str:
    """What an error says, in a line; its name where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def local(jobs: Iterable[Job], *, progress: bool = True, **_options: Any) -> Ended:
    """One after another in this process."""
    for job in jobs:
        yield job, run_job(job, progress)


def ray(
    jobs: Iterable[Job], *, address: str = "", cpus: float = 1, gpus: float | None = None, progress: bool = True, **_options: Any
) -> Ended:
    """Each run a task of a Ray cluster, in the order in which they end.

    address: of a running cluster ("auto", "ray://..."); "" joins the one that RAY_ADDRESS names, or starts one on this machine.
    cpus, gpus: the share of each run (gpus None: one where the cluster has any). A task whose worker dies is started again up to
    3 times and goes on from its run's last checkpoint; the run's lock and name keep it from being trained twice.
    Raises ConfigError where ray is not installed or no cluster answers at the address.
    """
    try:
        import ray as cluster
    except ImportError as error:
        raise ConfigError('executor "ray": expected the package ray, found none; pip install "maaf-lab[scale]"') from error
    started = not cluster.is_initialized()
    if started:
        if running := address or os.environ.get("RAY_ADDRESS", ""):
            _join(cluster.init, running)
        else:
            cluster.init(log_to_driver=False, include_dashboard=False)
    try:
        if gpus is None:
            gpus = 1 if cluster.cluster_resources().get("GPU", 0) else 0
        task = cluster.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(on_a_worker)
        waiting = {task.remote(job, int(max(cpus, 1))): job for job in jobs}
        while waiting:
            (ended, *_), _ = cluster.wait(list(waiting), num_returns=1)
            job = waiting.pop(ended)
            try:
                why = cluster.get(ended)
            except cluster.exceptions.RayError as error:  # its workers died again and again, or its code failed
                why = f"ray: {first_line(error)}"
            yield job, RunError(why) if why else None
    finally:
        if started:
            cluster.shutdown()


def _join(init: Callable[..., Any], address: str) -> None:
    """Joins a running cluster. Ray by itself asks for minutes, without a word, whoever is there."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    try:
        if colon and port.isdecimal():
            socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()
        ended: Future[Any] = Future()

        def join() -> None:
            try:
                ended.set_result(init(address=address))
            except Exception as error:
                ended.set_exception(RuntimeError(first_line(error)))  # whatever Ray says

        threading.Thread(target=join, daemon=True).start()  # with what never answers it is left behind
        ended.result(6 * ANSWER)
    except (OSError, OverflowError, ValueError, RuntimeError) as error:  # TimeoutError is an OSError
        why = f"none answered in {6 * ANSWER} seconds" if isinstance(error, TimeoutError) else first_line(error)
        raise ConfigError(
            f'executor "ray": expected a Ray cluster at {address!r}, found none ({why}). Start one with `ray start --head` and '
            "give the address that it prints, or leave the address out for one on this machine"
        ) from error


def on_a_worker(job: Job, threads: int) -> str:
    """What went wrong in a line, "" for nothing: not every error can be sent from one process to another."""
    import torch

    torch.set_num_threads(threads)
    error = run_job(job)
    return first_line(error) if error else ""


EXECUTORS: dict[str, Executor] = {"local": local, "ray": ray}


def get_executor(name: str | Executor, **options: Any) -> Executor:
    """The executor of that name with its options (see `ray`), or a function as it is. Unknown names list the known ones."""
    if not isinstance(name, str):
        return name
    if name not in EXECUTORS:
        raise ConfigError(f"no executor {name!r}; known: {', '.join(EXECUTORS)}{did_you_mean(name, EXECUTORS)}")
    return partial(EXECUTORS[name], **options)


def run_missing(
    wanted: Iterable[tuple[Callable[[], Path], Iterable[RunConfig]]],
    runs_root: str | Path,
    records: str | Path = "",
    *,
    executor: str | Executor = "local",
    device: str | None = None,
    progress: bool = True,
    title: str = "runs",
) -> dict[str, Exception]:
    """Train the runs that neither folder has, each once; a run that fails stops no other. Returns the failures: run -> error.

    A finished run whose files are damaged has failed too: it is not trained again, which would take what is left of it.
    wanted: of each dataset a function that gives its folder, and draws synthetic data where there is none, and the settings of
    the runs on it; the function is called only where a run is missing. title: of the progress bar.
    """
    failed: dict[str, Exception] = {}
    jobs: dict[str, Job] = {}
    for data, configs in wanted:
        found = {c.name: (c, finished_run(c, (runs_root, records))) for c in configs if c.name not in jobs}
        failed |= {name: why for name, (_, run) in found.items() if run is not None and (why := run.damage(name))}
        missing = {name: config for name, (config, run) in found.items() if run is None}
        try:
            folder = data() if missing else ""
            jobs |= {name: Job(config, folder, runs_root, device) for name, config in missing.items()}
        except Exception as error:
            failed |= dict.fromkeys(missing, error)
    ended = get_executor(executor)(list(jobs.values()), progress=progress) if jobs else ()
    for job, error in tqdm(ended, title, len(jobs), unit="run", disable=not progress or not jobs):
        if error is not None:
            failed[job.config.name] = error
    return failed
