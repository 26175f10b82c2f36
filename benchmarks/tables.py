"""All tables in the laptop profile: how long they take together, and which of the paper's orderings come out on synthetic data.

    python benchmarks/tables.py [--records notebooks/records] [--runs-root runs] [--seeds 3]

Verdicts are corrected over all statements that ran (Holm). Reads finished runs and trains nothing: of each table the seeds that
all its rows have; rows without a run are named.
Times are what the runs themselves measured: of training
(one core each, two or three runs at a time on two cores, beside other work) and of embedding and ranking. A run that several
tables show is counted once.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from maaf_lab.experiments.runs import Run, finished_run
from maaf_lab.paper.table_experiment import open_table
from maaf_lab.paper.table_results import TableRuns, judged, statements_frame
from maaf_lab.paper.tables import TABLES, row_configs


def main() -> None:
    here = Path(__file__)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=here.parent.parent / "notebooks" / "records")
    parser.add_argument("--runs-root", type=Path, default=Path("runs"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=here.with_suffix(".json"))
    arguments = parser.parse_args()

    told, every, frames = {}, {}, []
    for key, table in TABLES.items():
        experiment = open_table(key, data_root="none", seeds=range(arguments.seeds))
        lacking = []
        for dataset in table.datasets:
            by_seed: dict[str, dict[int, Run]] = {}
            for row in table.rows:
                configs = row_configs(key, row.label, "laptop", experiment.origin(dataset), experiment.seeds, dataset)
                found = [finished_run(config, (arguments.runs_root, arguments.records)) for config in configs]
                if any(found):
                    by_seed[row.label] = {run.config.train.seed: run for run in found if run}
                elif row.changes is not None:
                    lacking.append(f"{row.label} ({dataset})")
            seeds = sorted(set.intersection(*map(set, by_seed.values()))) if by_seed else []
            runs = {label: [of[seed] for seed in seeds] for label, of in by_seed.items()}
            every |= {run.name: run for of in runs.values() for run in of}
            frames.append(statements_frame(key, TableRuns(runs), dataset).assign(table=key, dataset=dataset))
        told[key] = {"statements": [], "rows_without_a_run": lacking}
        if lacking:
            print(f"{key:>3}  {len(lacking)} rows without a run")
    statements = judged(pd.concat(frames, ignore_index=True))
    for line in statements.itertuples():
        said = {"statement": line.statement, "dataset": line.dataset, "verdict": line.verdict}
        if line.gained == line.gained:
            said |= {
                "gained": round(line.gained, 1),
                "low": round(line.low, 1),
                "high": round(line.high, 1),
                "p": round(line.p, 4),
                "p_holm": round(line.p_holm, 4),
            }
        told[line.table]["statements"].append(said)
        gained = f"{line.gained:+6.1f} [{line.low:+.1f}, {line.high:+.1f}] p {line.p_holm:.4f}" if "gained" in said else ""
        print(f"{line.table:>3}  {line.verdict:<14} {gained:<31} {line.statement} ({line.dataset})")
    training = sum(run.environment["train_seconds"] for run in every.values()) / 60
    ranking = sum(run.metrics["evaluate_seconds"] for run in every.values()) / 60
    verdicts = statements["verdict"].tolist()
    counts = {verdict: verdicts.count(verdict) for verdict in ("holds", "does not hold", "undecided", "not run")}
    print(f"{len(every)} distinct runs: {training:.0f} minutes of training, {ranking:.0f} of embedding and ranking; {counts}")
    result = {
        "profile": "laptop, synthetic data",
        "seeds": arguments.seeds,
        "runs": len(every),
        "training_minutes": round(training),
        "ranking_minutes": round(ranking),
        "verdicts": counts,
        "tables": told,
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
