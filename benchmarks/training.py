"""Where a training step's time goes, evaluation time and peak memory, for the rows of Table 1 in a profile.

    python benchmarks/training.py --data-root data/css [--profile laptop] [--steps 10]

Writes benchmarks/training.json. Shares of one step are what to compare between machines; seconds are this machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from maaf_lab.data import registry as datasets
from maaf_lab.data.batches import Collator, GroupSampler, set_seed
from maaf_lab.data.cache import pixel_cache
from maaf_lab.data.text import Vocabulary
from maaf_lab.data.transforms import build_transform
from maaf_lab.models.registry import build_model
from maaf_lab.paper.tables import row_configs, table
from maaf_lab.retrieval.embed import embed_split
from maaf_lab.retrieval.gallery import rank
from maaf_lab.training.fit import batch_softmax_loss, parameter_groups
from maaf_lab.training.frozen import freeze_image_model, kept_maps

PARTS = ("load", "encode", "fuse", "backward", "optimizer")


def measure_steps(config, split, cache, steps: int) -> dict[str, float]:
    """Median seconds of each part of a step, after two steps of warm-up. Where the image model is frozen, its maps are kept."""
    set_seed(0)
    model = build_model(config.model, Vocabulary.build(split.texts)).train()
    frozen = not config.train.image_learning_rate
    if frozen:
        freeze_image_model(model)
    optimizer = torch.optim.SGD(parameter_groups(model, config.train), momentum=config.train.momentum)
    collate = Collator(split.queries, model.vocabulary)
    sampler = GroupSampler(collate.sources, config.train.batch_size, config.train.group_size, 0)
    transform = build_transform(config.data.transform, config.data.pixels)
    shown = kept_maps(model, cache, transform, config.train, progress=False) if frozen else cache
    model.train()
    if frozen:
        freeze_image_model(model)
    times = defaultdict(list)
    for step in range(steps + 2):
        marks = [time.perf_counter()]
        batch = collate(sampler.batch(step))
        images = shown.batch(batch.images)
        if not isinstance(images, dict):
            images = transform.train(images, torch.Generator())
        marks.append(time.perf_counter())
        features = model.features_of(images) if isinstance(images, dict) else model.encode(images)
        marks.append(time.perf_counter())
        queries, _ = model.fuse({r: t[batch.source] for r, t in features.items()}, model.read(batch.text))
        targets, _ = model.project({r: t[batch.target] for r, t in features.items()})
        normal = torch.nn.functional.normalize
        loss = batch_softmax_loss(normal(queries, dim=-1), normal(targets, dim=-1), model.scale)
        marks.append(time.perf_counter())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        marks.append(time.perf_counter())
        optimizer.step()
        marks.append(time.perf_counter())
        if step >= 2:
            for part, seconds in zip(PARTS, np.diff(marks), strict=True):
                times[part].append(seconds)
    return {part: float(np.median(times[part])) for part in PARTS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True, type=Path)
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--steps", default=10, type=int)
    parser.add_argument("--out", default=Path(__file__).with_suffix(".json"), type=Path)
    arguments = parser.parse_args()
    origin = datasets.origin("css", arguments.data_root)
    train, test = (datasets.load("css", arguments.data_root, name) for name in ("train", "test"))
    result = {
        "profile": arguments.profile,
        "data": origin,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "rows": {},
    }
    for row in table("1").rows:
        if row.changes is None:
            continue
        (config,) = row_configs("1", row.label, arguments.profile, origin, (0,))
        cache = pixel_cache(train, config.data.pixels, progress=False)
        parts = measure_steps(config, train, cache, arguments.steps)
        total = sum(parts.values())
        model = build_model(config.model, Vocabulary.build(train.texts))
        start = time.perf_counter()
        embedded = embed_split(model, test, pixel_cache(test, config.data.pixels, progress=False), progress=False)
        embed_seconds = time.perf_counter() - start
        rank(*embedded, test, progress=False)
        result["rows"][row.label] = {
            "step_seconds": round(total, 4),
            "shares": {part: round(seconds / total, 3) for part, seconds in parts.items()},
            "embed_seconds": round(embed_seconds, 2),
            "rank_seconds": round(time.perf_counter() - start - embed_seconds, 2),
        }
        shares = "  ".join(f"{part} {100 * seconds / total:4.0f}%" for part, seconds in parts.items())
        print(
            f"{row.label:12} {total:.3f} s a step: {shares}   test split: embed {embed_seconds:.1f} s, "
            f"rank {result['rows'][row.label]['rank_seconds']:.1f} s"
        )
    result["peak_memory_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(f"peak memory {result['peak_memory_mib']} MiB, {result['threads']} threads, torch {torch.__version__}")
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
