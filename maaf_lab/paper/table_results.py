"""A table's runs beside what the paper prints, and whether its rows differ by more than chance."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from maaf_lab.analysis.by_modification import by_modification_type
from maaf_lab.arguments import checked
from maaf_lab.experiments.executors import Executor, first_line, run_missing
from maaf_lab.experiments.runs import Run, finished_run
from maaf_lab.paper.printed import paper_table
from maaf_lab.paper.tables import Comparison, Table, different_seeds, row_configs, table
from maaf_lab.retrieval.metrics import Estimate, Side, holm, mean_recall, paired_gain, paired_p, recalls

FRAME_COLUMNS = (
    "row",
    "column",
    "dataset",
    "here",
    "low",
    "high",
    "spread",
    "seeds",
    "steps",
    "minutes",
    "rise",
    "paper",
    "paper_std",
    "status",
    "note",
    "runs",
    "recorded",
)


NOTHING = Estimate(np.nan, np.nan, np.nan)


class TableRuns(UserDict[str, list[Run]]):
    """A row's label -> its finished runs, a run a seed. failed: label -> why a row that was to run has none."""

    def __init__(self, runs: Mapping[str, list[Run]] | None = None, failed: Mapping[str, str] | None = None) -> None:
        super().__init__(runs or {})
        self.failed = dict(failed or {})


@checked
def run_table(
    key: str | int,
    profile: str,
    data_root: str | Path | Callable[[], Path],
    runs_root: str | Path,
    *,
    origin: str,
    dataset: str | None = None,
    seeds: Iterable[int] = (0,),
    rows: Iterable[str] = (),
    records: str | Path = "",
    device: str | torch.device | None = None,
    executor: str | Executor = "local",
    progress: bool = True,
    **changes: Any,
) -> TableRuns:
    """Every row that can run here -> its finished runs, training those that neither `runs_root` nor `records` has.

    data_root: the folder of `dataset` (one of the table's; None for its first), or a function that draws and returns it, called
    only when something has to be trained.
    rows: labels, none for all. seeds: each once. executor: where runs are trained, "local", "ray" or a function (see
    `executors.Executor`).
    A row that fails (a missing package, a loss that is not finite) leaves the others running; if every row fails, the first
    error is raised.
    """
    chosen, data = table(key), data_root if callable(data_root) else lambda: Path(data_root)
    seeds = different_seeds(seeds)
    labels = [chosen.row(label).label for label in rows] or [row.label for row in chosen.rows]
    configs = {label: row_configs(key, label, profile, origin, seeds, dataset, **changes) for label in labels}
    failed = run_missing(
        [(data, [config for of_row in configs.values() for config in of_row])],
        runs_root,
        records,
        executor=executor,
        device=device,
        progress=progress,
        title=f"Table {chosen.key}",
    )
    runs = {
        label: [run for c in of_row if c.name not in failed and (run := finished_run(c, (runs_root, records)))]
        for label, of_row in configs.items()
    }
    if failed and not any(runs.values()):
        raise next(iter(failed.values()))
    return TableRuns(
        {label: finished for label, finished in runs.items() if finished},
        {label: first_line(failed[c.name]) for label, of_row in configs.items() for c in of_row if c.name in failed},
    )


# --- beside the paper -------------------------------------------------------------------------------------------------


@checked
def table_frame(key: str | int | Table, runs: Mapping[str, list[Run]], dataset: str | None = None) -> pd.DataFrame:
    """A line for each row and column of the table: what was run here beside what the paper prints.

    here (percent; mean over seeds), low and high (95% interval over queries, and over seeds where there are several), spread
    (standard deviation over seeds, where there are several), seeds, steps, minutes (of training, mean over seeds), rise (see
    `rise`), paper, paper_std, status ("run", "reported only", "not run", "failed"), note, runs (their names), recorded (or in
    folders of their own). runs: of `dataset`, None for the table's first.
    """
    chosen, printed = table(key), paper_table(table(key).key)
    dataset, failed = dataset or chosen.datasets[0], getattr(runs, "failed", {})
    lines: list[dict[str, Any]] = []
    for row in chosen.rows:
        finished, columns = runs.get(row.label, []), [column for column in chosen.columns if column.dataset == dataset]
        metrics = [column.metric for column in columns]
        together, of_seeds = _values(chosen, finished, metrics), [_values(chosen, [run], metrics) for run in finished]
        for column in columns:
            match = printed[(printed["row"] == row.paper) & (printed["column"] == column.label)]
            missing = "failed" if row.label in failed else "not run" if row.changes is not None else "reported only"
            notes = [part for part in (failed.get(row.label, ""), row.note) if part]
            here = together.get(column.metric, NOTHING)
            lines.append(
                {
                    "row": row.label,
                    "column": column.label,
                    "dataset": dataset,
                    "here": here.value,
                    "low": here.low,
                    "high": here.high,
                    "spread": np.std([one.get(column.metric, NOTHING).value for one in of_seeds], ddof=1)
                    if len(finished) > 1
                    else np.nan,
                    "seeds": len(finished),
                    "steps": finished[0].config.train.steps if finished else np.nan,
                    "minutes": np.mean([run.environment.get("train_seconds", np.nan) for run in finished]) / 60
                    if finished
                    else np.nan,
                    "rise": rise(finished, ks_of(chosen, dataset)),
                    "paper": match["value"].iloc[0] if len(match) else np.nan,
                    "paper_std": match["std"].iloc[0] if len(match) else np.nan,
                    "status": "run" if finished else missing,
                    "note": "; ".join(notes),
                    "runs": " ".join(run.name for run in finished),
                    "recorded": any(run.record is not None for run in finished),
                }
            )
    return pd.DataFrame(lines, columns=list(FRAME_COLUMNS))


def _values(chosen: Table, runs: Sequence[Run], metrics: Sequence[str]) -> dict[str, Estimate]:
    """A line of cells: of a row's runs, a run a seed."""
    if chosen.by_type:
        return by_modification_type(runs, metrics) if runs else {}
    if len(runs) < 2:  # counted when the run was
        return {metric: Estimate(**run.metrics["metrics"][metric]) for run in runs for metric in metrics}
    ks = [int(name[1:].split()[0]) for name in runs[0].metrics["metrics"] if name[0] == "R"]
    return recalls([run.rankings for run in runs], list(dict.fromkeys(ks)))


def rise(runs: Sequence[Run], ks: Sequence[int]) -> float:
    """By how many percent the last quarter of the steps raised recall (mean at `ks`), seeds together; NaN where nobody kept it.

    A row has learned what it can from its steps where this is small (see `plots.tables.learning`).
    """
    found = [run.metrics for run in runs]
    if not found or not all("earlier" in one for one in found):
        return np.nan
    names = ["mean"] if "mean" in found[0]["metrics"] and len(ks) > 1 else [f"R{k}" for k in ks]
    ends = np.mean([one["metrics"][name]["value"] for one in found for name in names])
    before = np.mean([one["earlier"]["metrics"][name] for one in found for name in names])
    return 100 * (ends / before - 1) if before else np.nan


# --- more than chance? ------------------------------------------------------------------------------------------------


def ks_of(chosen: Table, dataset: str) -> tuple[int, ...]:
    """The k's whose mean recall compares rows: 10 and 50 where the table prints the mean of R10 and R50, else its smallest k."""
    metrics = [column.metric for column in chosen.columns if column.dataset == dataset]
    if chosen.by_type or "mean" in metrics:
        return (10, 50)
    return (min(int(metric.split()[0][1:]) for metric in metrics),)


def compare_rows(
    key: str | int | Table, runs: Mapping[str, list[Run]], better: Sequence[str], worse: Sequence[str], dataset: str | None = None
) -> Estimate | None:
    """How many points the rows `better` gain on the rows `worse`, means over rows and seeds, on the same queries.

    What is compared is the recall that `ks_of` gives. None where a side has no seed that all of its rows have.
    """
    if not (_seeds(runs, better) and _seeds(runs, worse)):
        return None
    return paired_gain(*_sides(key, runs, better, worse, dataset))


def _sides(
    key: str | int | Table, runs: Mapping[str, list[Run]], better: Sequence[str], worse: Sequence[str], dataset: str | None
) -> tuple[Side, Side, tuple[int, ...]]:
    """What `paired_gain` and `paired_p` compare: the rankings of both sides, and the k's."""
    chosen = table(key)
    first, second = (_by_seed(runs, side) for side in (better, worse))
    return first, second, ks_of(chosen, dataset or chosen.datasets[0])


def _by_seed(runs: Mapping[str, list[Run]], labels: Sequence[str]) -> Side:
    """The rankings of several rows, seed by seed."""
    of_row = [{run.config.train.seed: run for run in runs[label]} for label in labels]
    return [[row[seed].rankings for row in of_row] for seed in _seeds(runs, labels)]


def _seeds(runs: Mapping[str, list[Run]], labels: Sequence[str]) -> list[int]:
    """The seeds that all of these rows have."""
    of_row = [[run.config.train.seed for run in runs.get(label, ())] for label in labels]
    return [seed for seed in of_row[0] if all(seed in row for row in of_row)]


def comparisons_frame(key: str | int | Table, runs: Mapping[str, list[Run]], dataset: str | None = None) -> pd.DataFrame:
    """Every row that ran against the table's standard row: row, against, gained (points), low, high, p, seeds,
    p_holm, verdict.

    low, high and p: of one row alone. p_holm and the verdict at 5%: corrected over all rows of the frame (Holm).
    """
    chosen, lines = table(key), []
    for label in runs:
        if label != chosen.standard and (gain := compare_rows(key, runs, [label], [chosen.standard], dataset)):
            p = paired_p(*_sides(key, runs, [label], [chosen.standard], dataset))
            seeds = max(len(_seeds(runs, [one])) for one in (label, chosen.standard))
            lines.append(
                [label, chosen.standard, gain.value, gain.low, gain.high, p, "more" if gain.value > 0 else "less", seeds]
            )
    return judged(pd.DataFrame(lines, columns=["row", "against", *_TESTED])).drop(columns="direction")


def statements_frame(key: str | int | Table, runs: Mapping[str, list[Run]], dataset: str | None = None) -> pd.DataFrame:
    """The paper's orderings, tested on what ran here: statement, gained (points), low, high, p, direction, seeds,
    p_holm, verdict.

    "A over B" holds where A gains more than chance on every row of B, does not hold where a row of B gains more than chance on
    A, and is undecided otherwise. Shown is the gain on the strongest row of B. Where A has several rows (a switch), the mean of
    A's rows is compared with the mean of B's.
    "A and B differ by less than the margin" holds where the difference is smaller than the margin by more than chance, does not
    hold where it is larger by more than chance, and is undecided otherwise. Where one row is compared with several (a width with
    other widths), each difference has to be smaller; shown is the largest.

    low and high: the 95% interval of this statement alone. p (see `paired_p`): of this statement alone, for the direction that
    is shown ("holds" or "does not hold"). Of several rows it is the largest p where each row has to agree, and the smallest
    times their number where one row is enough to refute. p_holm and the verdict at 5% are corrected over all statements of the
    frame (Holm; see `judged`). seeds: of the side that has more. Chance is that of queries and seeds; where rows have one seed,
    how much another would change is not in these numbers.
    """
    lines = [[statement.statement, *_tested(key, runs, statement, dataset)] for statement in table(key).comparisons]
    return judged(pd.DataFrame(lines, columns=["statement", *_TESTED]))


_TESTED = ("gained", "low", "high", "p", "direction", "seeds")


def judged(frame: pd.DataFrame) -> pd.DataFrame:
    """p_holm, Holm's correction over all lines that ran, and the verdict: the direction where p_holm is below 5%.

    frame: statements of one table or of several, with p and direction.
    """
    ran = frame["p"].notna().to_numpy()
    adjusted = np.full(len(frame), np.nan)
    adjusted[ran] = holm(frame["p"][ran])
    verdict = np.where(ran, np.where(adjusted < 0.05, frame["direction"], "undecided"), "not run")
    return frame.assign(p_holm=adjusted, verdict=verdict)


def _tested(
    key: str | int | Table, runs: Mapping[str, list[Run]], statement: Comparison, dataset: str | None
) -> tuple[float, float, float, float, str, int]:
    """A statement's values of `_TESTED`."""
    seeds = [len(_seeds(runs, side)) for side in (statement.better, statement.worse)]
    if not all(seeds):
        return np.nan, np.nan, np.nan, np.nan, "not run", 0
    several = [[label] for label in statement.worse] if len(statement.better) == 1 else [list(statement.worse)]
    sides = [_sides(key, runs, statement.better, other, dataset) for other in several]
    gains, p = [paired_gain(*side) for side in sides], [paired_p(*side, statement.margin) for side in sides]
    if statement.margin:
        shown = max(range(len(gains)), key=lambda n: abs(gains[n].value))
        against = [value for gain, value in zip(gains, p, strict=True) if abs(gain.value) >= statement.margin]
    else:
        shown = max(range(len(gains)), key=lambda n: mean_recall(sides[n][1], sides[n][2]))  # the strongest of the other side
        against = [value for gain, value in zip(gains, p, strict=True) if gain.value <= 0]
    gain = gains[shown]
    if against:
        return gain.value, gain.low, gain.high, min(1.0, min(against) * len(p)), "does not hold", max(seeds)
    return gain.value, gain.low, gain.high, max(p), "holds", max(seeds)
