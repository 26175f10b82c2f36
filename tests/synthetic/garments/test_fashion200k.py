"""Synthetic Fashion200k: captions that differ by one word, products with partners."""

import re
from collections import Counter

import pytest

from maaf_lab.data.datasets.fashion200k import Fashion200k
from maaf_lab.synthetic.garments import fashion200k
from maaf_lab.synthetic.garments.fashion_iq import read_attributes
from maaf_lab.synthetic.random_stream import RandomStream


@pytest.fixture(scope="module")
def made_200k(drawn):
    return drawn("fashion200k")


def test_fashion200k_loads(made_200k):
    layout = Fashion200k(made_200k)
    train, test = layout.load("train"), layout.load("test")
    assert len(train.images) == 200 and len(test.images) == 100 and len(test.queries) == 60
    assert len(train.queries) > 150 and not {i.id for i in train.images} & {i.id for i in test.images}
    assert not layout.check(progress=False).problems
    shown = read_attributes(made_200k / "attributes.json")
    for query in test.queries:
        source, target = test.images[query.source].label.split(), query.target_label.split()
        ((old, new),) = [(a, b) for a, b in zip(source, target, strict=True) if a != b]
        assert query.texts == (f"replace {old} with {new}",)
    for image in train.images:
        g = shown[image.id]
        color = {"grey": "gray", "maroon": "burgundy", "light blue": "light-blue"}.get(g.color, g.color)
        assert image.label.split()[0] == color and ("striped" in image.label) == (g.pattern == "striped")


def test_full_fashion200k_has_partners_and_company():
    pictures = fashion200k.make_split("test", "full", 0)
    captions = Counter(p.caption for p in pictures)
    assert len(pictures) == 4000 == len({p.path for p in pictures}) and 800 < len(captions) < 2000
    pairs = fashion200k.draw_queries(pictures, 4000, RandomStream(0))
    assert len(set(pairs)) == 4000 and len({source for source, _ in pairs}) > 3500
    assert all(re.fullmatch(r"women/(dresses|jackets|pants|skirts|tops)/[a-z_-]+/(\d+)/\2_\d\.jpeg", p.path) for p in pictures)
