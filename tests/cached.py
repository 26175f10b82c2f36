"""Shared by the tests of the cache: images to cache, and what a build that Ctrl-C stopped leaves."""

import numpy as np
import pytest
from PIL import Image as PILImage

from maaf_lab.data.cache import build as cache_build
from maaf_lab.data.split import Image, Split

NOISE = np.random.default_rng(0)


def noise(height=16, width=16):
    return NOISE.integers(0, 256, (height, width, 3), dtype=np.uint8)


def write(root, n, size=16):
    (root / "images").mkdir(parents=True)
    images = [Image(f"im{i}", root / "images" / f"im{i}.png", f"label {i}") for i in range(n)]
    for image in images:
        PILImage.fromarray(noise(size, size)).save(image.path)
    return Split("test", images, [], dataset="toy", origin="a test")


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def squares(cache):
    return np.stack([cache.image(i) for i in range(len(cache))])


def stopped(make, split, folder, monkeypatch, after):
    """A build that Ctrl-C stopped when `after` images had been decoded; what it left, by name."""
    real, seen = cache_build.Listing.encoded, []

    def stop(self, start):
        for image in real(self, start):
            if len(seen) == after:
                raise KeyboardInterrupt
            seen.append(image)
            yield image

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cache_build.Listing, "encoded", stop)
        make(split, 16, folder)
    return {path.name.partition(".")[2]: path for path in folder.iterdir()}
