"""Synthetic data drawn on demand, and the shipped lists that let it start sooner."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from maaf_lab.data import registry as datasets
from maaf_lab.data.cache import pixel_cache
from maaf_lab.synthetic.css.dataset import load_sidecar
from maaf_lab.synthetic.garments.fashion_iq import make_fashion_iq
from maaf_lab.synthetic.registry import lazy_split


def test_css_on_demand_is_css_on_disk(tiny_css):
    loaded = datasets.load("css", tiny_css, "test")
    split, pixels = lazy_split(loaded.origin, "test", 56)
    assert [(i.id, i.label, i.categories) for i in split.images] == [(i.id, i.label, i.categories) for i in loaded.images]
    assert list(split.queries) == list(loaded.queries) and split.protocol == loaded.protocol and split.origin == loaded.origin
    cache = pixel_cache(loaded, 56, progress=False)
    some = np.array([3, 0, 359, 3])
    assert torch.equal(pixels.batch(some), cache.batch(some)) and np.array_equal(pixels.image(7), cache.image(7))
    assert lazy_split(loaded.origin, "test", 40)[1].image(5).shape == (40, 40, 3)
    assert pixels.pictures([3, 5], 90).shape == (2, 90, 90, 3)
    sidecar = load_sidecar(tiny_css, "test")
    rows = np.flatnonzero(sidecar["image"] == 11)
    expected = sidecar["box"][rows[np.argsort(sidecar["object"][rows])]] / 56
    assert np.allclose(pixels.boxes(11), expected)
    with pytest.raises(IndexError):
        pixels.image(360)


def test_garments_on_demand_are_garments_on_disk(tmp_path):
    folder = make_fashion_iq(tmp_path / "garments", "tiny", 64, 3, progress=False)
    loaded = datasets.load("fashion_iq", folder, "val")
    split, pixels = lazy_split(loaded.origin, "val", 56)
    assert [(i.id, i.label, i.categories) for i in split.images] == [(i.id, i.label, i.categories) for i in loaded.images]
    assert list(split.queries) == list(loaded.queries) and split.protocol == loaded.protocol
    cache = pixel_cache(loaded, 56, progress=False)
    assert torch.equal(pixels.batch(range(40)), cache.batch(range(40))), "through JPEG, as the files went"
    assert pixels.boxes(0) is None


@pytest.mark.parametrize(
    "origin",
    [
        "published sha256:123",
        "synthetic css v0 size=tiny pixels=56 seed=0",
        "synthetic birds_to_words v1 size=tiny pixels=64 seed=0",
    ],
)
def test_what_cannot_be_drawn_on_demand(origin):
    assert lazy_split(origin, "test", 56) is None and gc.isenabled()


def test_shipped_scenes_are_the_generators():
    """The file that lets the explorers open sooner holds what the generator draws, to the last bit."""
    from maaf_lab.synthetic.css.scenes import draw_split, scene_labels, shipped_split

    kept, drawn = shipped_split("test", "full", 0), draw_split("test", "full", 0)
    there = drawn[0].shape >= 0
    assert all(np.array_equal(getattr(kept[0], name), getattr(drawn[0], name)) for name in ("shape", "color", "size"))
    assert np.array_equal(kept[1][there], drawn[1][there]) and kept[2] == drawn[2]
    assert scene_labels(kept[0]) == scene_labels(drawn[0]) and shipped_split("train", "full", 0) is None


def test_the_shipped_shop_is_the_generators():
    """As below, for the garments: every attribute, gallery, query and caption, in their order."""
    from maaf_lab.synthetic.garments.fashion_iq import make_split, shipped_split

    kept, drawn = shipped_split("val", "full", 0), make_split("val", "full", 0)
    assert list(kept.garments.items()) == list(drawn.garments.items())
    assert kept.galleries == drawn.galleries and kept.queries == drawn.queries and shipped_split("train", "full", 0) is None
