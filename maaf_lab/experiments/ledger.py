"""All results in one frame."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maaf_lab.arguments import checked
from maaf_lab.errors import LabError, RunError
from maaf_lab.experiments.runs import finished_runs
from maaf_lab.utils.paths import own_folder, records_folder

if TYPE_CHECKING:
    import pandas as pd

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


@checked
def ledger(*roots: str | Path) -> pd.DataFrame:
    """All finished runs in some folders as one tidy frame: a line per run and metric, with protocol and provenance.

    roots: folders of runs or of records; "lab" for the records that come with the lab, "" or none for the lab's own runs/.
    A run that cannot be read (damaged, or of a system that is not known here) is named in a warning and left out.
    Raises RunError for a folder that is not there.
    """
    import pandas as pd

    lines = []
    for root in roots or ("",):
        folder = records_folder(root) if root == "lab" else own_folder(root, "runs")
        if not folder.is_dir():
            raise RunError(
                f"{folder}: expected a folder of runs or of records, found none. Train a run first, or name another folder; "
                '"lab" is for the records that come with the lab'
            )
        for run in finished_runs(folder):
            try:
                config, metrics, environment = run.config, run.metrics, run.environment
            except LabError as error:
                warnings.warn(f"{run.folder} is left out: {error}", stacklevel=3)
                continue
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
                        "train_seconds": environment.get("train_seconds"),
                        "device": environment.get("device"),
                        "commit": environment.get("commit"),
                        "finished": environment.get("finished"),
                    }
                )
    return pd.DataFrame(lines, columns=LEDGER_COLUMNS)
