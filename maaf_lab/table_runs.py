"""Run a table's missing rows, join what they gave with what the paper prints, and say whether rows differ by more than chance."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from maaf_lab.data.modifiers import has_modifier
from maaf_lab.engines import FAILURES, first_line
from maaf_lab.metrics import Estimate, bootstrap_mean, mean_recall, paired_gain
from maaf_lab.paper import paper_table
from maaf_lab.runs import Run, find, train_and_evaluate
from maaf_lab.tables import Comparison, Table, row_configs, table

FRAME_COLUMNS = ("row", "column", "dataset", "here", "low", "high", "spread", "seeds", "steps", "minutes", "paper", "paper_std",
                 "status", "note", "runs")


class TableRuns(UserDict[str, list[Run]]):
    """A row's label -> its finished runs, a run a seed. failed: label -> why a row that was to run has none."""

    def __init__(self, runs: Mapping[str, list[Run]] | None = None, failed: Mapping[str, str] | None = None) -> None:
        super().__init__(runs or {})
        self.failed = dict(failed or {})


def run_table(
    key: str | int, profile: str, data_root: str | Path, runs_root: str | Path, *, origin: str, dataset: str | None = None,
    seeds: Sequence[int] = (0,), rows: Sequence[str] = (), records: str | Path = "", device: str | None = None,
    progress: bool = True, **changes: Any,
) -> TableRuns:
    """Every row that can run here -> its finished runs, training those that neither `runs_root` nor `records` has.

    data_root: the folder of `dataset` (one of the table's; None for its first); opened only when something has to be trained.
    rows: labels, none for all. A row that fails (a missing package, a loss that is not finite) leaves the others running; if
    every row fails, the first error is raised.
    """
    chosen = table(key)
    labels = [chosen.row(label).label for label in rows] or [row.label for row in chosen.rows]
    jobs = [(label, config) for label in labels for config in row_configs(key, label, profile, origin, seeds, dataset, **changes)]
    done = {config.name: run for _, config in jobs if (run := find(config, (runs_root, records)))}
    todo = {config.name: (label, config) for label, config in jobs if config.name not in done}
    failed: dict[str, str] = {}
    first_error: Exception | None = None
    for label, config in tqdm(todo.values(), desc=f"Table {chosen.key}", unit="run", disable=not progress or not todo):
        try:
            done[config.name] = train_and_evaluate(config, data_root, runs_root, device=device, progress=progress)
        except FAILURES as error:
            failed[label] = first_line(error)
            first_error = first_error or error
    if first_error and not done:
        raise first_error
    found: dict[str, list[Run]] = {}
    for label, config in jobs:
        if config.name in done:
            found.setdefault(label, []).append(done[config.name])
    return TableRuns(found, failed)


# --- beside the paper -------------------------------------------------------------------------------------------------


def table_frame(key: str | int, runs: Mapping[str, list[Run]], dataset: str | None = None) -> pd.DataFrame:
    """One line a row and column of the table: what was run here beside what the paper prints.

    here (percent; mean over seeds), low and high (95% interval over queries, mean over seeds), spread (standard deviation over
    seeds, where there are several), seeds, steps, minutes (of training, mean over seeds), paper, paper_std, status ("run",
    "reported only", "not run", "failed"), note, runs (their names). runs: of `dataset`, None for the table's first.
    """
    chosen, printed = table(key), paper_table(key)
    dataset, failed = dataset or chosen.datasets[0], getattr(runs, "failed", {})
    lines: list[dict[str, Any]] = []
    for row in chosen.rows:
        made = runs.get(row.label, [])
        for column in (column for column in chosen.columns if column.dataset == dataset):
            match = printed[(printed["row"] == row.paper) & (printed["column"] == column.label)]
            missing = "failed" if row.label in failed else "not run" if row.changes is not None else "reported only"
            notes = [part for part in (failed.get(row.label, ""), row.note) if part]
            values = pd.DataFrame([_value(chosen, run, column.metric) for run in made], columns=["value", "low", "high"])
            lines.append({
                "row": row.label, "column": column.label, "dataset": dataset, "here": values["value"].mean(),
                "low": values["low"].mean(), "high": values["high"].mean(),
                "spread": values["value"].std() if len(made) > 1 else np.nan, "seeds": len(made),
                "steps": made[0].config.train.steps if made else np.nan,
                "minutes": np.mean([run.environment["train_seconds"] for run in made]) / 60 if made else np.nan,
                "paper": match["value"].iloc[0] if len(match) else np.nan,
                "paper_std": match["std"].iloc[0] if len(match) else np.nan,
                "status": "run" if made else missing, "note": "; ".join(notes),
                "runs": " ".join(run.name for run in made),
            })
    return pd.DataFrame(lines, columns=list(FRAME_COLUMNS))


def _value(chosen: Table, run: Run, metric: str) -> dict[str, float]:
    if not chosen.by_type:
        return run.metrics["metrics"][metric]
    found = by_modifier([run], (metric,)).get(metric, Estimate(np.nan, np.nan, np.nan))
    return {"value": found.value, "low": found.low, "high": found.high}


def by_modifier(runs: Sequence[Run], kinds: Sequence[str], ks: Sequence[int] = (10, 50)) -> dict[str, Estimate]:
    """Mean recall at `ks` over the queries that hold a keyword of each type (Table S4): percent, with interval.

    Several runs (seeds) of one row are averaged query by query. Types that no query has are left out.
    """
    rankings = [run.rankings for run in runs]
    hits = np.mean([np.mean([r.hits(k) for k in ks], axis=0) for r in rankings], axis=0)
    found = {}
    for kind in kinds:
        rows = has_modifier(rankings[0].frame["text"].tolist(), kind)
        if rows.any():
            found[kind] = bootstrap_mean([hits[rows]])
    return found


def modifier_counts(run: Run, kinds: Sequence[str]) -> dict[str, int]:
    """How many of a run's queries hold a keyword of each type (the row "N" of Table S4)."""
    texts = run.rankings.frame["text"].tolist()
    return {kind: int(has_modifier(texts, kind).sum()) for kind in kinds}


# --- more than chance? ------------------------------------------------------------------------------------------------


def ks_of(chosen: Table, dataset: str) -> tuple[int, ...]:
    """The k's of a table's one number: R10 and R50 where it prints their mean, else the smallest that it prints."""
    metrics = [column.metric for column in chosen.columns if column.dataset == dataset]
    if chosen.by_type or "mean" in metrics:
        return (10, 50)
    return (min(int(metric.split()[0][1:]) for metric in metrics),)


def compare_rows(
    key: str | int, runs: Mapping[str, list[Run]], better: Sequence[str], worse: Sequence[str], dataset: str | None = None
) -> Estimate | None:
    """How many points the rows `better` gain on the rows `worse`, means over rows and seeds, on the same queries.

    The number compared is the table's one (see `ks_of`). None where a row on either side has no run.
    """
    chosen = table(key)
    ks = ks_of(chosen, dataset or chosen.datasets[0])
    if not all(runs.get(label) for label in (*better, *worse)):
        return None
    first, second = ([run.rankings for label in side for run in runs[label]] for side in (better, worse))
    return paired_gain(first, second, ks)


def comparisons_frame(key: str | int, runs: Mapping[str, list[Run]], dataset: str | None = None) -> pd.DataFrame:
    """Every row that ran against the table's standard row: row, against, gained (points), low, high, verdict."""
    chosen, lines = table(key), []
    for label in runs:
        if label != chosen.standard and (gain := compare_rows(key, runs, [label], [chosen.standard], dataset)):
            lines.append({"row": label, "against": chosen.standard, "gained": gain.value, "low": gain.low, "high": gain.high,
                          "verdict": "more" if gain.low > 0 else "less" if gain.high < 0 else "undecided"})
    return pd.DataFrame(lines, columns=["row", "against", "gained", "low", "high", "verdict"])


def statements_frame(key: str | int, runs: Mapping[str, list[Run]], dataset: str | None = None) -> pd.DataFrame:
    """The paper's orderings, held against what ran here: statement, gained (points), low, high, verdict.

    "A over B" holds where A gains on the strongest row of B by more than chance, does not hold where that row gains so on A, and
    is undecided otherwise; where A has several rows (a switch), their mean is held against the mean of B's. "Changes little"
    holds where the interval of the difference lies within the margin, does not hold where it lies outside, and is undecided
    where it crosses; where one row is held against several (a width among widths) all of them have to lie within, and what is
    shown is the largest difference. The interval is over queries: it does not know how much another seed would change.
    """
    lines = []
    for statement in table(key).comparisons:
        gain, verdict = _verdict(key, runs, statement, dataset)
        lines.append({"statement": statement.statement, "gained": gain.value if gain else np.nan,
                      "low": gain.low if gain else np.nan, "high": gain.high if gain else np.nan, "verdict": verdict})
    return pd.DataFrame(lines, columns=["statement", "gained", "low", "high", "verdict"])


def _verdict(
    key: str | int, runs: Mapping[str, list[Run]], statement: Comparison, dataset: str | None
) -> tuple[Estimate | None, str]:
    if not all(runs.get(label) for label in (*statement.better, *statement.worse)):
        return None, "not run"
    if statement.margin:
        others = [[label] for label in statement.worse] if len(statement.better) == 1 else [statement.worse]
        gains = [compare_rows(key, runs, statement.better, other, dataset) for other in others]
        outside = any(gain.low > statement.margin or gain.high < -statement.margin for gain in gains)
        inside = all(-statement.margin < gain.low and gain.high < statement.margin for gain in gains)
        largest = max(gains, key=lambda gain: abs(gain.value))
        return largest, "holds" if inside else "does not hold" if outside else "undecided"
    if len(statement.better) > 1:  # a switch: the mean of the rows that have it against the mean of those that do not
        gain = compare_rows(key, runs, statement.better, statement.worse, dataset)
    else:
        ks = ks_of(table(key), dataset or table(key).datasets[0])
        strongest = max(statement.worse, key=lambda label: mean_recall([run.rankings for run in runs[label]], ks))
        gain = compare_rows(key, runs, statement.better, [strongest], dataset)
    return gain, "holds" if gain.low > 0 else "does not hold" if gain.high < 0 else "undecided"

