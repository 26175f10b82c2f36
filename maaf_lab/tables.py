"""Each table's rows as settings; run the missing ones; join with the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from maaf_lab.config import RunConfig, profile_config
from maaf_lab.errors import ConfigError
from maaf_lab.paper import paper_table
from maaf_lab.runs import Run, find, train_and_evaluate


@dataclass(frozen=True)
class Row:
    """A line of a table. paper: its name in the paper's table, None where the paper has no such row there.

    changes: the settings that make it, or None where this lab has no such system yet (`why` then says so).
    """

    label: str
    paper: str | None
    changes: dict[str, Any] | None
    why: str = ""


@dataclass(frozen=True)
class Table:
    """A results table of the paper: its dataset, the metric of each column, and its rows in order."""

    key: str
    dataset: str
    metrics: dict[str, str]  # the paper's column -> our metric
    rows: tuple[Row, ...]
    title: str

    def row(self, label: str) -> Row:
        for row in self.rows:
            if row.label == label:
                return row
        raise ConfigError(f"table {self.key} has no row {label!r}; rows: {', '.join(row.label for row in self.rows)}")


_LATER = "in the lab, not trained for this table yet"

TABLES: dict[str, Table] = {
    "1": Table("1", "css", {"R1": "R1"}, (
        Row("Image only", None, {"model.name": "image_only"}, "a baseline of Table 6, shown here too"),
        Row("Text only", None, {"model.name": "text_only"}, "a baseline of Table 6, shown here too"),
        Row("Show and Tell", "Show and Tell", None, _LATER),
        Row("Parameter hashing", "Parameter hashing", None, _LATER),
        Row("Relationship", "Relationship", None, _LATER),
        Row("FiLM", "FiLM", None, _LATER),
        Row("TIRG", "TIRG", {"model.name": "tirg"}),
        Row("Locally Bounded Features", "Locally Bounded Features", None, _LATER),
        Row("MAAF", "MAAF", {"model.name": "maaf", "model.attention": "identity"}, "f = identity (section 3.1)"),
    ), "Table 1: CSS, recall at 1"),
}


def table(key: str) -> Table:
    """The table of that number. Unknown keys list the known ones."""
    if str(key) not in TABLES:
        raise ConfigError(f"no table {key!r} in the lab; known: {', '.join(TABLES)}")
    return TABLES[str(key)]


def row_configs(key: str, label: str, profile: str, origin: str, seeds: Sequence[int], **changes: Any) -> list[RunConfig]:
    """The settings of one row, a run a seed. changes: dotted settings on top of the profile's and the row's."""
    chosen, row = table(key), table(key).row(label)
    if row.changes is None:
        return []
    base = {**row.changes, "data.origin": origin, **changes}
    return [profile_config(profile, chosen.dataset, **base, **{"train.seed": int(seed)}) for seed in seeds]


def run_table(
    key: str, profile: str, data_root: str | Path, runs_root: str | Path, *, origin: str, seeds: Sequence[int] = (0,),
    records: str | Path = "", device: str | None = None, progress: bool = True, **changes: Any,
) -> dict[str, list[Run]]:
    """Every row that can run here -> its finished runs, training those that neither `runs_root` nor `records` has.

    data_root: the dataset's own folder; it is opened only when something has to be trained.
    """
    chosen = table(key)
    jobs = [(row.label, config) for row in chosen.rows
            for config in row_configs(key, row.label, profile, origin, seeds, **changes)]
    done = {config.name: run for _, config in jobs if (run := find(config, (runs_root, records)))}
    todo = [config for _, config in jobs if config.name not in done]
    for config in tqdm(todo, desc=chosen.title, unit="run", disable=not progress or not todo):
        done[config.name] = train_and_evaluate(config, data_root, runs_root, device=device, progress=progress)
    found: dict[str, list[Run]] = {}
    for label, config in jobs:
        found.setdefault(label, []).append(done[config.name])
    return found


def table_frame(key: str, runs: dict[str, list[Run]]) -> pd.DataFrame:
    """One line a row and column of the table: what was run here beside what the paper prints.

    here (percent; mean over seeds), low and high (95% interval over queries, mean over seeds), spread (standard deviation over
    seeds, where there are several), seeds, minutes (of training), paper, paper_std, note. "not run" rows have no `here`.
    """
    chosen, printed = table(key), paper_table(key)
    lines = []
    for row in chosen.rows:
        for column, metric in chosen.metrics.items():
            line: dict[str, Any] = {"row": row.label, "column": column}
            made = runs.get(row.label, [])
            values = pd.DataFrame([run.metrics["metrics"][metric] for run in made])
            line["here"] = values["value"].mean() if made else None
            line["low"], line["high"] = (values["low"].mean(), values["high"].mean()) if made else (None, None)
            line["spread"] = values["value"].std() if len(made) > 1 else None
            line["seeds"] = len(made)
            line["minutes"] = sum(run.environment["train_seconds"] for run in made) / 60 / len(made) if made else None
            match = printed[(printed["row"] == row.paper) & (printed["column"] == column)]
            line["paper"] = match["value"].iloc[0] if len(match) else None
            line["paper_std"] = match["std"].iloc[0] if len(match) else None
            line["note"] = row.why
            lines.append(line)
    return pd.DataFrame(lines)
