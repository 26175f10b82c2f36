"""What tests of retrieval share: pictures in a folder, vectors, splits and rankings, and a full sort."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from hypothesis import strategies as st
from PIL import Image as PILImage
from torch.nn.functional import normalize

from maaf_lab.data.images import decode, to_square
from maaf_lab.data.split import Image, Protocol, Query, Split
from maaf_lab.data.transforms import build_transform
from maaf_lab.retrieval.rankings import Rankings

PIXELS = 56


def draw(path, seed=0, size=(70, 60), **options):
    """A picture of a few large patches, another one for another seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    patches = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    PILImage.fromarray(patches).resize(size, PILImage.Resampling.NEAREST).save(path, **options)
    return path


def photos(folder, n):
    for i in range(n):
        draw(folder / f"{i:03d}.png", i)
    return folder


def by_hand(model, paths):
    """Each image alone through the model, (N, D)."""
    prepare = build_transform("plain", PIXELS)
    batches = [torch.from_numpy(to_square(decode(path), PIXELS).copy()).permute(2, 0, 1)[None] for path in paths]
    with torch.inference_mode():
        return torch.cat([model.embed_images(prepare.eval(batch)) for batch in batches]).numpy()


def full_sort(vectors, query, k, without=()):
    """The k nearest images and their cosines: every cosine in double precision, rounded to single; a stable sort."""
    scores = (vectors.astype(np.float64) * query.astype(np.float64)).sum(1).astype(np.float32)
    order = [i for i in np.argsort(-scores, kind="stable") if i not in set(without)][:k]
    return order, scores[order]


def kept_files(folder, kind=""):
    return sorted((folder / ".cache").glob(f"gallery-*{kind}"))


CATEGORIES = ("dress", "shirt", "toptee")


def vectors_of(seed, images, queries, width, kind):
    """Unit vectors (queries, gallery): "random", "tied" (few directions), "near" (last bits differ) or "zero" (one zero row)."""
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((images + queries, width))
    if kind in ("tied", "near"):
        vectors = vectors[random.integers(min(4, len(vectors)), size=len(vectors))] if len(vectors) else vectors
    if kind == "near":
        vectors = vectors + 3e-8 * random.standard_normal(vectors.shape)
    vectors = normalize(torch.from_numpy(vectors).float(), dim=1)
    if kind == "zero" and images:
        vectors[queries] = 0
    return vectors[:queries], vectors[queries:]


def split_of(gallery, images, queries, seed=0, exclude=True):
    """Shared labels, several categories per image, queries without a target, further images left out."""
    random = np.random.default_rng(seed)
    shown = [
        Image(
            f"im{i:03d}",
            None,
            f"label {random.integers(max(1, images // 2))}",
            tuple(c for c in CATEGORIES if random.random() < 0.5),
        )
        for i in range(images)
    ]
    asked = []
    for i in range(queries):
        target = None if i % 7 == 3 else int(random.integers(images))
        asked.append(
            Query(
                int(random.integers(images)),
                (f"text {i}",),
                None if target is None else shown[target].label,
                target,
                CATEGORIES[i % 3] if gallery == "category" else None,
                tuple(random.integers(images, size=i % 3).tolist()),
            )
        )
    return Split("toy", shown, asked, Protocol(gallery, exclude, (1, 5), "the label"), "toy", "a test")


def tied_split(exclude_source=True, gallery="split", images=60, queries=90, seed=0):
    """A split with shared labels, several categories per image, equal embeddings; (split, query vectors, gallery vectors)."""
    random = np.random.default_rng(seed)
    made = []
    for i in range(images):
        wears = tuple(c for c in CATEGORIES if random.random() < 0.5) or ("dress",)
        made.append(Image(f"im{i:03d}", None, f"label {random.integers(images // 2)}", wears))
    asked = []
    for i in range(queries):
        target = int(random.integers(images))
        label = None if i % 17 == 3 else made[target].label
        asked.append(
            Query(
                int(random.integers(images)),
                (f"text {i}", "more"),
                label,
                None if label is None else target,
                CATEGORIES[i % 3] if gallery == "category" else None,
            )
        )
    split = Split("toy", made, asked, Protocol(gallery, exclude_source, (1, 5), "the label"), "toy", "a test")
    directions = normalize(torch.from_numpy(random.standard_normal((7, 5))).float(), dim=-1)  # 60 images, 7 directions: ties
    return split, directions[random.integers(7, size=queries)], directions[random.integers(7, size=images)]


def rankings(ranks, sources=None, texts=None):
    n = len(ranks)
    return Rankings(
        pd.DataFrame(
            {
                "query": range(n),
                "source": sources or [f"s{i}" for i in range(n)],
                "text": texts or [f"t{i}" for i in range(n)],
                "target_label": ["x"] * n,
                "category": [None] * n,
                "rank": ranks,
                "top": [["a", "b"]] * n,
                "scores": [[0.5, 0.25]] * n,
            }
        ),
        "how it was ranked",
    )


cases = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10**6),
        "images": st.integers(0, 40),
        "queries": st.integers(0, 6),
        "width": st.integers(1, 20),
        "kind": st.sampled_from(["random", "tied", "near", "zero"]),
    }
)
