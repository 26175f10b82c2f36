"""What the image model was pretrained to tell decides Table 1's order: the same systems above two of them, one seed.

    python benchmarks/image_model.py [--data-root data] [--runs-root runs] [--rows TIRG MAAF ...] [--seed 0]

Both have seen the same 16,000 drawn scenes and stay as they are (`training.pretrain`). scenes-v1, the profile's, tells what
stands where from its pooled map, cells-v1 tells each of nine cells from its own part of the map. R1 on synthetic CSS, laptop
profile.
Finished runs, those that came with the lab among them, are not trained again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from maaf_lab.experiments.runs import finished_run
from maaf_lab.experiments.sources import Source
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.paper.tables import row_configs
from maaf_lab.utils.paths import records_folder

WEIGHTS = ("scenes-v1", "cells-v1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--runs-root", type=Path, default=Path("runs"))
    parser.add_argument("--rows", nargs="*", default=["TIRG", "Locally Bounded Features", "MAAF"])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    source, rows = Source("css", arguments.data_root, "laptop"), {}
    for label in arguments.rows:
        for weights in WEIGHTS:
            changes = {"model.image_weights": weights}
            config = row_configs("1", label, "laptop", source.origin, [arguments.seed], "css", **changes)[0]
            run = finished_run(config, (arguments.runs_root, records_folder("lab")))
            run = run or train_and_evaluate(config, source.draw(), arguments.runs_root)
            found = run.metrics["metrics"]["R1"]
            rows.setdefault(label, {})[weights] = {name: round(found[name], 1) for name in ("value", "low", "high")}
            print(label, weights, rows[label][weights], flush=True)
    result = {"data": source.origin, "seed": arguments.seed, "R1": rows}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
