"""Images a second from the cache against decoding the originals, and the memory that caching takes as a split grows.

    python benchmarks/pixels.py --photos DIR [--quick]

DIR holds photographs (.jpg or .png, at any depth); nothing is downloaded. Prints tables and writes pixels.json beside this file.
Batches of 32 random images at 224 px, with and without the training transform (random crops, flips, noise). All ways take turns
in one run, and a ratio is the median over rounds of what was measured side by side. Originals are decoded with Pillow, by one
thread and by as many as there are cores; ratios are against the quicker of the two. On a busy machine read the columns "per CPU
second". Memory is a process's own (RssAnon; Linux): mapped files are given back when others need the room. It is measured in
new processes, on 1,000, 10,000 and 100,000 small pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import PIL
import torch
from PIL import Image as PILImage

from maaf_lab.data.cache import PixelCache, pixel_cache
from maaf_lab.data.images import decode, to_square
from maaf_lab.data.split import Image, Split
from maaf_lab.data.transforms import Crops
from maaf_lab.utils.parallel import cores

SIZE, BATCH, STORES = 224, 32, ("raw", "jpeg")
LOAD = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
CORES = cores()


def listed(paths: list[Path]) -> Split:
    return Split("train", [Image(str(i), path, str(i)) for i, path in enumerate(paths)], [], dataset="benchmark")


# --- speed ------------------------------------------------------------------------------------------------------------


def speeds(photos: Path, limit: int, rounds: int, batches: int) -> dict:
    """Every way of getting a batch, in turn, `rounds` times."""
    paths = sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))[:limit]
    if len(paths) < BATCH:
        sys.exit(f"{photos}: expected at least {BATCH} photographs (.jpg, .png), found {len(paths)}")
    split, crops, draw = listed(paths), Crops(SIZE), np.random.default_rng(0)
    builds, caches = {}, {}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(CORES) as pool:
        for store in STORES:
            start = time.perf_counter(), time.process_time()
            caches[store] = pixel_cache(split, SIZE, folder, progress=False, store=store)
            wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
            builds[store] = {
                "images_per_s": round(len(paths) / wall),
                "cores_used": round(cpu / wall, 2),
                "mb": round(caches[store].path.stat().st_size / 1e6, 1),
            }

        def original(i: int) -> np.ndarray:
            return to_square(decode(paths[i]), SIZE)

        def batch_of(squares) -> torch.Tensor:
            return torch.from_numpy(np.stack(list(squares))).permute(0, 3, 1, 2)

        ways: dict[str, Callable[[np.ndarray], torch.Tensor]] = {
            "originals, 1 thread": lambda rows: batch_of(map(original, rows)),
            f"originals, {CORES} threads": lambda rows: batch_of(pool.map(original, rows)),
            "cache, raw": caches["raw"].batch,
            "cache, jpeg": caches["jpeg"].batch,
        }
        with_transform = {
            f"{name} + transform": lambda rows, way=way: crops.train(way(rows), torch.Generator().manual_seed(0))
            for name, way in ways.items()
        }
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in (*ways, *with_transform)}
        for round_ in range(-1, rounds):  # the first is a warm-up
            for name, way in {**ways, **with_transform}.items():
                rows = [draw.integers(0, len(paths), BATCH) for _ in range(batches)]
                start = time.perf_counter(), time.process_time()
                for some in rows:
                    way(some)
                if round_ >= 0:
                    measured[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    images = BATCH * batches
    rates = [
        {
            "way": name,
            "images_per_s": round(images / median(wall for wall, _ in times)),
            "images_per_cpu_s": round(images / median(cpu for _, cpu in times)),
        }
        for name, times in measured.items()
    ]
    ratios = []
    for store in STORES:
        for tail in ("", " + transform"):
            one, all_, cache = (measured[name + tail] for name in (*list(ways)[:2], f"cache, {store}"))
            ratios.append(
                {
                    "cache": store + tail,
                    "times_originals": round(median(min(a[0], b[0]) / c[0] for a, b, c in zip(one, all_, cache)), 1),
                    "times_originals_1_thread": round(median(a[0] / c[0] for a, c in zip(one, cache)), 1),
                    "times_originals_per_cpu_s": round(median(min(a[1], b[1]) / c[1] for a, b, c in zip(one, all_, cache)), 1),
                }
            )
    return {
        "photos": len(paths),
        "pixels": SIZE,
        "batch": BATCH,
        "batches": batches,
        "rounds": rounds,
        "mean_original_kb": round(sum(path.stat().st_size for path in paths) / len(paths) / 1e3, 1),
        "builds": builds,
        "rates": rates,
        "ratios": ratios,
    }


# --- memory -----------------------------------------------------------------------------------------------------------


def resident() -> tuple[float, float]:
    """(of its own, of mapped files) in MB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) / 1024, int(lines["RssFile"].split()[0]) / 1024


class Peak:
    """The most of a process's own memory while the block ran, sampled every few milliseconds."""

    def __enter__(self) -> Peak:
        self.before, self.files = resident()
        self.peak, self.done = self.before, threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while not self.done.wait(0.005):
            self._look()

    def _look(self) -> None:
        own, files = resident()
        self.peak, self.files = max(self.peak, own), max(self.files, files)

    def __exit__(self, *error: object) -> None:
        self._look()
        self.done.set()
        self.thread.join()

    def result(self) -> dict:
        return {
            "before_mb": round(self.before),
            "peak_mb": round(self.peak),
            "grown_mb": round(self.peak - self.before),
            "mapped_mb": round(self.files),
        }


def child(what: str, folder: Path, store: str, size: int, batches: int) -> dict:
    """Run in a new process: build the cache of a folder's images, or read random batches from it."""
    known = folder / f"{store}.pickle"
    if what == "build":
        split = listed(sorted((folder / "images").iterdir()))
        with Peak() as peak:
            cache = pixel_cache(split, size, folder / "cache", progress=False, store=store)
        known.write_bytes(pickle.dumps(cache))
        return {**peak.result(), "file_mb": round(cache.path.stat().st_size / 1e6, 1)}
    cache: PixelCache = pickle.loads(known.read_bytes())
    crops, draw = Crops(size), np.random.default_rng(0)
    for _ in range(5):
        crops.train(cache.batch(draw.integers(0, len(cache), 96)), torch.Generator())
    with Peak() as peak:
        for _ in range(batches):
            crops.train(cache.batch(draw.integers(0, len(cache), 96)), torch.Generator())
    return peak.result()


def pictures(folder: Path, n: int) -> None:
    """`n` files of 64 px, most of them further names of a few: quick to make, and read like any other."""
    draw = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for i in range(n):
        path, first = folder / f"{i:06}.jpg", folder / f"{i % 64:06}.jpg"
        if path == first:
            coarse = PILImage.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            coarse.resize((64, 64), PILImage.Resampling.BICUBIC).save(path, quality=90)
        else:
            try:
                os.link(first, path)
            except OSError:
                shutil.copyfile(first, path)


def memory(counts: tuple[int, ...], size: int, batches: int) -> dict:
    """Building and reading, raw and JPEG, for splits of `counts` images, each in a process of its own."""
    rows = []
    for n in counts:
        with tempfile.TemporaryDirectory() as folder:
            pictures(Path(folder) / "images", n)
            for store in STORES:
                for what in ("build", "read"):
                    args = [sys.executable, __file__, "--child", what, folder, store, str(size), str(batches)]
                    out = subprocess.run(args, stdout=subprocess.PIPE, text=True, check=True)
                    rows.append({"images": n, "store": store, "what": what, **json.loads(out.stdout)})
    return {"pixels": size, "read_batches": batches, "read_batch": 96, "rows": rows}


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        what, folder, store, size, batches = sys.argv[2:]
        print(json.dumps(child(what, Path(folder), store, int(size), int(batches))))
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--quick", action="store_true", help="fewer photographs, rounds and images: does it run?")
    options = parser.parse_args()
    result = {
        "machine": f"{CORES} cores",
        "load_before": round(LOAD, 1),
        "quick": options.quick,
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pillow": PIL.__version__,
        "speed": speeds(options.photos, *((96, 2, 2) if options.quick else (10_000, 9, 8))),
        "memory": memory((1_000, 10_000) if options.quick else (1_000, 10_000, 100_000), 32, 50 if options.quick else 500),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    speed = result["speed"]
    print(f"{result['machine']} (load {LOAD:.1f} before), {speed['photos']} photographs -> {SIZE} px, batches of {BATCH}")
    for store, built in speed["builds"].items():
        print(f"built {store}: {built['images_per_s']:,} images/s on {built['cores_used']} cores, {built['mb']:,.1f} MB")
    print(f"{'':<34} {'images/s':>9} {'per CPU s':>10}")
    for row in speed["rates"]:
        print(f"{row['way']:<34} {row['images_per_s']:>9,} {row['images_per_cpu_s']:>10,}")
    print(f"{'times the originals':<34} {'at best':>9} {'1 thread':>10} {'per CPU s':>10}")
    for row in speed["ratios"]:
        print(
            f"{row['cache']:<34} {row['times_originals']:>9} {row['times_originals_1_thread']:>10} "
            f"{row['times_originals_per_cpu_s']:>10}"
        )
    print(f"{'memory in MB':<24} {'before':>8} {'peak':>8} {'grown':>8} {'mapped':>8}")
    for row in result["memory"]["rows"]:
        name = f"{row['what']} {row['store']} {row['images']:,}"
        print(f"{name:<24} {row['before_mb']:>8,} {row['peak_mb']:>8,} {row['grown_mb']:>8,} {row['mapped_mb']:>8,}")


if __name__ == "__main__":
    main()
