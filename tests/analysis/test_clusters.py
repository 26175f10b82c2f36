"""Images that look alike."""

import numpy as np

from maaf_lab.analysis.clusters import largest_cluster, mean_image
from maaf_lab.data.cache import PixelCache


def test_the_largest_cluster_is_what_looks_alike(tmp_path):
    """Twelve dark squares among bright and gray ones: they are found, whatever their order."""
    shades = np.repeat([20, 250, 130, 90, 200], [12, 3, 2, 2, 2])
    order = np.random.default_rng(0).permutation(len(shades))
    noise = np.random.default_rng(1).integers(0, 5, (len(shades), 8, 8, 3))
    cache = PixelCache("", (shades[order][:, None, None, None] + noise).astype(np.uint8), None)
    found = largest_cluster(cache, np.arange(len(shades)))
    assert found.tolist() == np.flatnonzero(order < 12).tolist()
    assert mean_image(cache, found).shape == (8, 8, 3) and 18 <= mean_image(cache, found).mean() <= 26
