"""Pretrains the small image encoder on each kind of drawings and writes the weights that the lab ships.

    python benchmarks/pretrain.py [--kind scenes ...] [--out maaf_lab/pretrained/images]

The result: minutes on this machine, and the accuracy on 1,000 pictures held out, in percent, of each label and of all.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from maaf_lab.training.pretrain import KINDS, pretrain

VERSION = "v1"  # of the weights: raise it when they change, so that runs on others have another name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--out", default=Path(__file__).parents[1] / "maaf_lab" / "pretrained" / "images", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    result = Path(__file__).with_suffix(".json")
    found = json.loads(result.read_text()) if result.is_file() else {}
    for kind in args.kind:
        told = pretrain(kind, args.out / f"{kind}-{VERSION}.safetensors")
        mean = {r: round(sum(of.values()) / len(of), 1) for r, of in told["accuracy"].items()}
        found[f"{kind}-{VERSION}"] = {**told, "mean_accuracy": mean}
        result.write_text(json.dumps(found, indent=1) + "\n")
        print(kind, told["minutes"], mean, flush=True)


if __name__ == "__main__":
    main()
