"""How long until a recall is reached: MAAF in the laptop profile as it is and as it was before its image model was pretrained.

    python benchmarks/quality.py --data-root data [--dataset css fashion_iq] [--profile new old] [--steps 0]

Each profile trains once, seed 0, with its own schedule; its weights are kept twelve times on the way and ranked afterwards. Told
are the minutes of training (without ranking) at the first of them that reaches each recall, and the highest recall. Both profiles
have to run on one machine: what counts is the ratio. What is not measured keeps the lines of the last result.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from maaf_lab.data import registry as datasets
from maaf_lab.data.cache import pixel_cache
from maaf_lab.experiments.sources import Source
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.models.checkpoints import save_state
from maaf_lab.paper.tables import row_configs
from maaf_lab.retrieval.embed import embed_split
from maaf_lab.retrieval.gallery import rank
from maaf_lab.retrieval.metrics import recalls

TABLES = {"css": ("1", "R1", (60, 70, 75, 80)), "fashion_iq": ("3", "mean", (40, 55, 70, 75))}
FROM_SCRATCH = {"model.image_weights": "none", "train.image_learning_rate": 0.02, "train.learning_rate": 0.02}
BEFORE: dict[str, dict[str, Any]] = {  # the laptop profile of October 2026; steps as far as it goes on learning
    "css": {**FROM_SCRATCH, "model.attention_dropout": None, "train.steps": 1800},
    "fashion_iq": {
        **FROM_SCRATCH,
        "data.pixels": 56,
        "data.transform": "crops",
        "model.image_channels": (16, 32, 64, 128),
        "train.batch_size": 32,
        "train.steps": 1200,
    },
}
PARTS = 12


def curve(dataset: str, changes: dict[str, Any], data_root: Path) -> list[dict[str, float]]:
    """Step, minutes of training and recall in percent, at each twelfth of a run's steps."""
    key, metric, _ = TABLES[dataset]
    folder = Source(dataset, data_root, "laptop").draw()
    (config,) = row_configs(key, "MAAF", "laptop", datasets.origin(dataset, folder), (0,), dataset, **changes)
    config = config.replace(**{"train.checkpoint_every": config.train.steps // PARTS, "train.log_every": 10})
    kept: list[tuple[int, float, dict[str, torch.Tensor]]] = []

    def keep(path: Path, state: dict[str, Any]) -> None:
        save_state(path, state)
        kept.append((state["step"], state["seconds"], {name: tensor.clone() for name, tensor in state["model"].items()}))

    with tempfile.TemporaryDirectory() as runs, mock.patch("maaf_lab.training.fit.save_state", keep):
        run = train_and_evaluate(config, folder, runs)
        model, split = run.load_model(), datasets.load(dataset, folder, datasets.evaluation(dataset))
    cache, points = pixel_cache(split, config.data.pixels), []
    for step, seconds, state in kept:
        model.load_state_dict(state)
        found = rank(*embed_split(model, split, cache, transform=config.data.transform, progress=False), split, progress=False)
        value = recalls(found, split.protocol.ks)[metric].value
        points.append({"step": step, "minutes": round(seconds / 60, 2), "recall": round(value, 1)})
        print(dataset, changes.get("train.steps", "as it is"), points[-1], flush=True)
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", default=Path("data"), type=Path)
    parser.add_argument("--dataset", nargs="*", default=list(TABLES))
    parser.add_argument("--profile", nargs="*", default=["new", "old"])
    parser.add_argument("--steps", default=0, type=int, help="instead of each profile's own")
    parser.add_argument("--out", default=Path(__file__).with_suffix(".json"), type=Path)
    arguments = parser.parse_args()
    result = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    for dataset in arguments.dataset:
        _, metric, goals = TABLES[dataset]
        for profile in arguments.profile:
            changes = dict(BEFORE[dataset]) if profile == "old" else {}
            points = curve(dataset, changes | ({"train.steps": arguments.steps} if arguments.steps else {}), arguments.data_root)
            reached = {goal: next((p["minutes"] for p in points if p["recall"] >= goal), None) for goal in goals}
            result.setdefault(dataset, {"metric": metric})[profile] = {
                "minutes_until": {str(goal): minutes for goal, minutes in reached.items()},
                "highest": max(p["recall"] for p in points),
                "threads": torch.get_num_threads(),
                "cores": os.cpu_count(),
                "points": points,
            }
            arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
