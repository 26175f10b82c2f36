"""Galleries of shipped models as 16-bit numbers, half the size, in which every query keeps its rank.

Plain rounding changes a cosine by a few millionths, which swaps images in about one query of a thousand. Each component lies
between two 16-bit numbers: where the nearer ones would swap a relevant image with another, some components take the other one.

Shapes: Q queries, G gallery images, D width, P pairs of images that are close for a query.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from maaf_lab.data.split import Split
from maaf_lab.errors import LabError
from maaf_lab.retrieval.gallery import Gallery
from maaf_lab.retrieval.relevance import Relevance
from maaf_lab.utils.files import write_atomically

CLOSE = 6e-5  # ten times the usual change of a cosine by rounding: images further apart are not compared
MARGIN = 1e-6  # kept between two cosines: five times the difference between a query's vectors of two batches or machines
ROUNDS = 500


def read_gallery(path: Path) -> np.ndarray:
    """Unit vectors (G, D) float32 that `save_gallery` wrote as 16-bit numbers: components are within 2e-5 of the model's."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return restored(file["vectors"])
    except (OSError, ValueError, KeyError) as error:
        raise LabError(f"{path}: expected a gallery's vectors, found damage ({error}); install the lab again") from error


def save_gallery(vectors: np.ndarray, path: Path, queries: np.ndarray | None = None, split: Split | None = None) -> None:
    """Write unit vectors (G, D) as 16-bit numbers; with the vectors (Q, D) of a split's queries, each query keeps its rank."""
    numbers = rounded(vectors, queries, split)

    def write(beside: Path) -> None:
        with open(beside, "wb") as stream:
            np.savez_compressed(stream, vectors=numbers)

    write_atomically(path, write)


def restored(numbers: np.ndarray) -> np.ndarray:
    """16-bit numbers -> unit vectors, (G, D) float32."""
    vectors = numbers.astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def rounded(vectors: np.ndarray, queries: np.ndarray | None = None, split: Split | None = None) -> np.ndarray:
    """Unit vectors (G, D) -> int16 (G, D), one scale for all; with the queries (Q, D) of a split, their ranks stay the same.

    Raises LabError where no rounding is found that keeps every rank.
    """
    exact = vectors / (np.abs(vectors).max() / 32767)
    numbers = np.round(exact).astype(np.int16)
    if queries is None or split is None:
        return numbers
    row, ahead, behind = _close_pairs(vectors, queries, split)
    query, size = queries[row].astype(np.float64), np.linalg.norm(exact, axis=1).mean()
    for _ in range(ROUNDS):
        found = restored(numbers).astype(np.float64)
        gap = ((found[ahead] - found[behind]) * query).sum(1)
        if not len(swapped := np.flatnonzero(gap < MARGIN)):
            return numbers
        for n in swapped:
            for image, sign in ((ahead[n], 1), (behind[n], -1)):  # each moves half of the way
                step = (sign * np.sign(query[n])).astype(np.int16)
                beside = np.abs(numbers[image] + step - exact[image]) < 1  # still one of the two numbers beside the exact one
                gains = np.where(beside, np.abs(query[n]) / size, np.inf)
                best = np.abs(gains - (1.3 * MARGIN - gap[n]) / 2).argmin()
                numbers[image, best] += step[best]
    raise LabError(
        f"expected a rounding that keeps all ranks, found {len(swapped)} pairs of images still swapped after "
        f"{ROUNDS} rounds; keep this gallery as 32-bit numbers"
    )


def _close_pairs(vectors: np.ndarray, queries: np.ndarray, split: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(P,) queries, images that have to stay ahead, and the images behind them; one of the two is the first relevant image."""
    relevance, gallery, pairs = Relevance(split), Gallery(vectors), []
    everything = np.arange(len(vectors))
    for query, vector in enumerate(queries):
        among = relevance.candidates(query)
        relevant = np.flatnonzero(among & relevance.is_relevant(everything, query))
        if not len(relevant):
            continue
        first = gallery.search(vector, 1, np.isin(everything, relevant, invert=True)).images[0]
        rough = vectors @ vector
        near = np.flatnonzero(among & (np.abs(rough - rough[first]) < CLOSE))
        order = gallery.search(vector, len(near), np.isin(everything, near, invert=True)).images.tolist()
        n = order.index(first)
        pairs += [(query, image, first) for image in order[:n]] + [(query, first, image) for image in order[n + 1 :]]
    return tuple(np.array(pairs, np.int64).reshape(-1, 3).T)
