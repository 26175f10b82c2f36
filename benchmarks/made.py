"""How fast the synthetic stand-ins are drawn: images a second at 224 px, drawn, encoded and written, on all cores of one machine.

python benchmarks/made.py [--pixels 224] [--images 600]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from importlib import import_module
from pathlib import Path

from maaf_lab.synthetic import registry as sets
from maaf_lab.utils.parallel import cores, in_processes


class _Enough(Exception):
    """Raised when the measured part is done: the rest of the set need not be drawn."""


def measure(dataset: str, pixels: int, images: int) -> dict[str, float]:
    """Draw the first `images` jobs of a full set after a warm-up that starts the processes' imports."""
    module = import_module(sets.SYNTHETIC[dataset].make.__module__)
    found: dict[str, float] = {}

    def timed(function, items, desc, **options):
        def rate(workers):
            drawn = in_processes(function, items[: images + 64 * workers], desc, progress=False, workers=workers, chunk=16)
            for _ in range(64 * workers):
                next(drawn)
            start = time.perf_counter()
            count = sum(1 for _ in drawn)
            return count / (time.perf_counter() - start)

        found["images"] = images
        found["images_per_second"] = round(rate(cores()), 1)
        found["one_core"] = round(rate(1), 1)
        raise _Enough

    kept, module.in_processes = module.in_processes, timed
    try:
        with tempfile.TemporaryDirectory() as folder:
            sets.make(dataset, Path(folder) / dataset, "full", pixels, 0, progress=False)
    except _Enough:
        pass
    finally:
        module.in_processes = kept
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pixels", default=224, type=int)
    parser.add_argument("--images", default=600, type=int)
    parser.add_argument("--out", default=Path(__file__).with_suffix(".json"), type=Path)
    arguments = parser.parse_args()
    result = {"pixels": arguments.pixels, "cores": cores(), "cpus": os.cpu_count(), "sets": {}}
    for dataset in sets.SYNTHETIC:
        if dataset == "css":
            continue  # drawn in torch: benchmarks/render.py
        result["sets"][dataset] = measure(dataset, arguments.pixels, arguments.images)
        print(dataset, result["sets"][dataset], flush=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
