"""Are the synthetic sets worth learning from? Image only, text only, TIRG and MAAF, equal steps, laptop profile, one seed.

    python benchmarks/learning.py [--data-root data] [--runs-root runs] [--steps 300] [--dataset fashion_iq ...]

Recall at the protocol's middle k (the lower one of two) with a bootstrap interval, what MAAF gains on each of the others on the
same queries, and what chance gives. Sets that are not there are drawn at full size. Finished runs are not trained again.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from pathlib import Path

from maaf_lab.data import registry as datasets
from maaf_lab.data.split import Split
from maaf_lab.experiments.sources import Source
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.profiles import profile_config
from maaf_lab.retrieval.metrics import paired_gain, recall
from maaf_lab.synthetic.registry import SYNTHETIC

MODELS = ("image_only", "text_only", "tirg", "maaf")


def by_chance(split: Split, k: int) -> float:
    """Percent of hits at k when every query's gallery is shuffled."""
    labels: dict[str | None, Counter] = {}
    for category in {q.category for q in split.queries}:
        labels[category] = Counter(i.label for i in split.images if category is None or category in i.categories)
    missed = []
    for q in split.queries:
        right = labels[q.category][q.target_label] - (split.images[q.source].label == q.target_label)
        wrong = labels[q.category].total() - 1 - right
        missed.append(math.prod((wrong - i) / (wrong + right - i) for i in range(k)))
    return 100 * (1 - sum(missed) / len(missed))


def compare(dataset: str, data_root: Path, runs_root: Path, steps: int) -> dict:
    folder = Source(dataset, data_root, "laptop").draw()
    split = datasets.load(dataset, folder, datasets.evaluation(dataset))
    k = split.protocol.ks[(len(split.protocol.ks) - 1) // 2]
    runs = {}
    for model in MODELS:
        changes = {"model.name": model, "train.steps": steps, "data.origin": datasets.origin(dataset, folder)}
        runs[model] = train_and_evaluate(profile_config("laptop", dataset, **changes), folder, runs_root)
    found = {
        "data": runs["maaf"].metrics["data"],
        "queries": len(split.queries),
        "steps": steps,
        "k": k,
        "chance": round(by_chance(split, k), 2),
        "models": {},
    }
    for model, run in runs.items():
        e = recall(run.rankings, k)
        line = {
            "recall": round(e.value, 1),
            "low": round(e.low, 1),
            "high": round(e.high, 1),
            "minutes": round(run.environment["train_seconds"] / 60, 1),
            "run": run.name,
        }
        if model != "maaf":
            gain = paired_gain([[runs["maaf"].rankings]], [[run.rankings]], [k])
            line["maaf_gains"] = [round(gain.value, 1), round(gain.low, 1), round(gain.high, 1)]
        found["models"][model] = line
        print(dataset, f"R{k}", model, line, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", default=Path("data"), type=Path)
    parser.add_argument("--runs-root", default=Path("runs"), type=Path)
    parser.add_argument("--steps", default=300, type=int)
    parser.add_argument("--dataset", nargs="*", default=[d for d in SYNTHETIC if d != "css"])
    parser.add_argument("--out", default=Path(__file__).with_suffix(".json"), type=Path)
    arguments = parser.parse_args()
    result = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    for dataset in arguments.dataset:
        result[dataset] = compare(dataset, arguments.data_root, arguments.runs_root, arguments.steps)
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
