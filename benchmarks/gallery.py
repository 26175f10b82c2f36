"""How fast a folder of one's own images is opened and searched: 100,000 vectors, 500 pictures, one photograph of 50 megapixels.

python benchmarks/gallery.py [--vectors 100000] [--width 512] [--pictures 500]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

from maaf_lab.experiments.runs import pretrained_run
from maaf_lab.retrieval.folder_gallery import FolderGallery, open_folder, square
from maaf_lab.utils.parallel import cores


def seconds(work, *args, **options) -> float:
    start = time.perf_counter()
    work(*args, **options)
    return time.perf_counter() - start


def measure_search(n: int, width: int, queries: int = 20, k: int = 10) -> dict[str, float]:
    """Milliseconds a query over random unit vectors: the median, and the slowest after a first one that warms up."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((n, width), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    asked = random.standard_normal((queries, width), dtype=np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    names = tuple(map(str, range(n)))
    found = FolderGallery("random", names, tuple(map(Path, names)), vectors)
    found.search(asked[0], k)
    took = [1000 * seconds(found.search, vector, k) for vector in asked]
    return {
        "vectors": n,
        "width": width,
        "queries": queries,
        "k": k,
        "median_ms": round(float(np.median(took)), 1),
        "slowest_ms": round(max(took), 1),
    }


def draw(folder: Path, n: int) -> None:
    """Pictures of 640 x 480, JPEG: soft patches, another picture for each number."""
    for i in range(n):
        patches = np.random.default_rng(i).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        PILImage.fromarray(patches).resize((640, 480), PILImage.Resampling.BICUBIC).save(folder / f"{i:04d}.jpg", quality=90)


def measure_folder(model_name: str, n: int) -> dict[str, float]:
    """Images a second when a folder is opened first (median of three), and seconds when nothing changed since (of five)."""
    run = pretrained_run(model_name)
    model, options = run.load_model(), {"pixels": run.config.data.pixels, "name": model_name, "progress": False}
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), n)
        first = np.median([seconds(open_folder, folder, model, kept=f"{folder}/kept{i}", **options) for i in range(3)])
        open_folder(folder, model, **options)
        again = np.median([seconds(open_folder, folder, model, **options) for _ in range(5)])
    return {"pictures": n, "images_per_second": round(float(n / first), 1), "second_open_s": round(float(again), 3)}


def peak_mb() -> float:
    """Most memory that this process had; not a number outside Linux. (getrusage counts what its parent had.)"""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), float("nan"))


def measure_photo(file: str) -> tuple[float, float]:
    """Seconds to read a square of 224 px, and how much the process's peak memory grew, in MB."""
    before = peak_mb()
    took = seconds(square, file, 224)
    return took, peak_mb() - before


def large_photo() -> dict[str, float]:
    """In a process of its own, whose memory holds nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "large.jpg"
        patches = np.random.default_rng(0).integers(0, 256, (1000, 1500, 3), dtype=np.uint8)
        PILImage.fromarray(patches).resize((8660, 5774), PILImage.Resampling.BICUBIC).save(file, quality=90)
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            took, grew = process.submit(measure_photo, str(file)).result()
    return {"megapixels": 50, "seconds": round(took, 2), "peak_mb": round(grew, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", default=100_000, type=int)
    parser.add_argument("--width", default=512, type=int)
    parser.add_argument("--pictures", default=500, type=int)
    parser.add_argument("--out", default=Path(__file__).with_suffix(".json"), type=Path)
    arguments = parser.parse_args()
    result = {"cores": cores(), "cpus": os.cpu_count(), "search": measure_search(arguments.vectors, arguments.width)}
    print("search", result["search"], flush=True)
    result["folders"] = {}
    for name in ("css-laptop", "garments-laptop"):
        result["folders"][name] = measure_folder(name, arguments.pictures)
        print(name, result["folders"][name], flush=True)
    result["large_jpeg"] = large_photo()
    print("large JPEG", result["large_jpeg"], flush=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
