"""How fast synthetic CSS is drawn: pictures a second, drawn alone and drawn, encoded and written.

    python benchmarks/render.py [--images N]

Prints a table and writes render.json beside this file. On a busy machine read the column "per CPU second": a picture's cost in
time that was ours, of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from functools import partial
from pathlib import Path

import torch

from maaf_lab.synthetic.css import dataset as css
from maaf_lab.synthetic.css import render
from maaf_lab.synthetic.css.scenes import css_annotations
from maaf_lab.utils.parallel import cores

SIZES = (56, 64, 112)


def rate(run, n: int, repeats: int = 3) -> tuple[int, int]:
    """Pictures a second and a CPU second, best of `repeats`: other work on the machine only ever slows a run."""
    wall, cpu = [], []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])
    return round(n / min(wall)), round(n / min(cpu))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=1024, help="pictures a timing (default: 1024)")
    n = parser.parse_args().images
    start = time.perf_counter()
    scenes = css_annotations("full", 0)["test"]["objects_img"][-n:]  # targets: the bulk of a set
    annotate = time.perf_counter() - start
    rows = []
    for pixels in SIZES:
        render.draw(scenes[:64], pixels, "cpu")
        drawn, cost = rate(lambda: [None for _ in render.stream(scenes, pixels, "cpu")], len(scenes))  # noqa: B023
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "images").mkdir()
            save = partial(css._save, Path(folder), "test")
            written, _ = rate(lambda: [None for _ in render.stream(scenes, pixels, "cpu", save)], len(scenes))  # noqa: B023
        rows.append({"pixels": pixels, "drawn_per_s": drawn, "drawn_per_cpu_s": cost, "drawn_and_written_per_s": written})
    result = {
        "images": len(scenes),
        "cpus": cores(),
        "load_before": round(LOAD, 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "annotations_s": round(annotate, 2),
        "rows": rows,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    print(f"{result['cpus']} CPUs (load {LOAD:.1f} before), torch {result['torch']}; full annotations {annotate:.1f} s")
    print(f"{'pixels':>6} {'drawn/s':>9} {'per CPU second':>15} {'drawn and written/s':>20}")
    for row in rows:
        print(f"{row['pixels']:>6} {row['drawn_per_s']:>9,} {row['drawn_per_cpu_s']:>15,} {row['drawn_and_written_per_s']:>20,}")


LOAD = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")

if __name__ == "__main__":
    main()
