"""Clusters in pixel space, whose average pictures are not just a blur: the paper's section S3 and Figure S1."""

from __future__ import annotations

import numpy as np
import torch

from maaf_lab.data.cache import PixelCache
from maaf_lab.data.transforms import GRAY
from maaf_lab.errors import ConfigError


def largest_cluster(cache: PixelCache, images: np.ndarray, *, clusters: int = 5, seed: int = 0) -> np.ndarray:
    """Those of `images` (N,), in their order, that are in the largest k-means cluster of gray pictures (the paper: k = 5).

    Raises ConfigError where there are fewer images than clusters.
    """
    from sklearn.cluster import KMeans

    if len(images) < clusters:
        raise ConfigError(f"expected at least {clusters} images for {clusters} clusters, found {len(images)}")
    gray = np.concatenate([_gray(cache, images[low : low + 512]) for low in range(0, len(images), 512)])
    labels = KMeans(clusters, n_init=4, random_state=seed).fit_predict(gray)
    return images[labels == np.bincount(labels).argmax()]


def _gray(cache: PixelCache, images: np.ndarray) -> np.ndarray:
    """(B, S * S) float32, 0 to 1."""
    shares = torch.tensor(GRAY).view(1, 3, 1, 1)
    return ((cache.batch(images).float() * shares).sum(1) / 255).flatten(1).numpy()


def mean_image(cache: PixelCache, images: np.ndarray) -> np.ndarray:
    """The average picture, uint8 (S, S, 3)."""
    total = np.zeros((cache.size, cache.size, 3))
    for low in range(0, len(images), 512):
        total += cache.batch(images[low : low + 512]).double().sum(0).permute(1, 2, 0).numpy()
    return (total / len(images)).round().astype(np.uint8)
