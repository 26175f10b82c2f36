"""What was tried to raise R1 on synthetic CSS: a line a finished run, how its settings differ, and where it gains or loses.

    maaf-lab train ... --runs-root RUNS --set model.dropout=0        # one run a variant
    python benchmarks/variants.py RUNS [RUNS ...] --base NAME

Test asks for pairs of color and shape that training never showed, so recalls are split by what the text names: a color with a
cube or a cylinder is such an unseen pair; a text without a color leaves it open, and a model that has learned which colors
cubes have in training guesses wrong.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from maaf_lab.data.datasets.css_scenes import COLORS
from maaf_lab.experiments.ledger import ledger
from maaf_lab.experiments.runs import Run


def differences(settings: dict, base: dict) -> dict[str, object]:
    """Dotted names of the settings that are not the base's, with their values."""
    return {
        f"{part}.{name}": value
        for part in ("data", "model", "train")
        for name, value in settings[part].items()
        if base[part].get(name) != value
    }


def by_text(run: Run) -> dict[str, float]:
    """R1 in percent by kind of modification and by what the text names."""
    frame, hits = run.rankings.frame, run.rankings.hits(1)
    words = frame["text"].str.split()
    color = words.apply(lambda w: bool(set(w) & set(COLORS)))
    pair = color & words.apply(lambda w: bool(set(w) & {"cube", "cylinder"}))
    kind = words.str[0].replace({"make": "change"})
    names = np.where(pair, "unseen pair", np.where(color, "color", "no color"))
    means = 100 * pd.Series(hits).groupby([kind, pd.Series(names)]).mean()
    return {f"{k}, {name}": round(value, 1) for (k, name), value in means.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("roots", nargs="+", type=Path)
    parser.add_argument("--base", required=True, help="name of the run that the others are compared with")
    parser.add_argument("--out", default=Path(__file__).with_suffix(".json"), type=Path)
    arguments = parser.parse_args()
    names = dict.fromkeys(ledger(*arguments.roots)["run"])
    runs = {name: next(Run(root / name) for root in arguments.roots if (root / name).is_dir()) for name in names}
    base = runs[arguments.base].config.to_dict()
    lines = []
    for name, run in sorted(runs.items(), key=lambda item: -item[1].metrics["metrics"]["R1"]["value"]):
        e = run.metrics["metrics"]["R1"]
        lines.append(
            {
                "run": name,
                "settings": differences(run.config.to_dict(), base),
                "steps": run.config.train.steps,
                "R1": round(e["value"], 1),
                "low": round(e["low"], 1),
                "high": round(e["high"], 1),
                "last_loss": round(float(run.log["loss"].iloc[-1]), 3),
                "minutes": round(run.environment["train_seconds"] / 60, 1),
                "by_text": by_text(run),
            }
        )
        print(
            name, lines[-1]["settings"] or "base", f"R1 {e['value']:.1f} [{e['low']:.1f}, {e['high']:.1f}]", lines[-1]["by_text"]
        )
    if arguments.out.is_file():  # runs measured earlier, whose folders are gone, keep their lines
        earlier = json.loads(arguments.out.read_text())
        if earlier["base"] == arguments.base:
            lines += [line for line in earlier["runs"] if line["run"] not in names]
            lines.sort(key=lambda line: -line["R1"])
    result = {"data": runs[arguments.base].metrics["data"], "base": arguments.base, "runs": lines}
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
