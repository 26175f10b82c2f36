"""Embedding a split: as one image and one query after another, each image once."""

from __future__ import annotations

import pytest
import torch

from maaf_lab.data.split import Query, Split
from maaf_lab.data.text import join
from maaf_lab.data.transforms import build_transform
from maaf_lab.retrieval.embed import embed_split


@pytest.fixture(scope="module")
def part(css_test):
    """The first 50 images of the test split, and queries from them, a few of them on one reference."""
    queries = [q for q in css_test.queries if q.source < 50][:40]
    free = [Query(q.source, q.texts, css_test.images[q.source].label) for q in queries]  # targets may lie outside the 50
    return Split("part", css_test.images[:50], free, css_test.protocol, "css", "a test")


@pytest.mark.parametrize("name", ["maaf", "tirg", "image_only", "text_only"])
@pytest.mark.parametrize("chunk", [7, 256])
def test_embedding_a_split_equals_one_by_one(made_model, part, css_test_cache, name, chunk):
    model = made_model(name)
    queries, gallery = embed_split(model, part, css_test_cache, chunk=chunk, progress=False)
    prepare = build_transform("plain", 56)
    with torch.no_grad():
        for i in range(0, 50, 9):
            assert torch.allclose(gallery[i], model.embed_images(prepare.eval(css_test_cache.batch([i])))[0], atol=1e-5)
        for i in range(0, len(part.queries), 7):
            q = part.queries[i]
            one = model.embed_query(prepare.eval(css_test_cache.batch([q.source])), [join(q.texts)])[0]
            assert torch.allclose(queries[i], one, atol=1e-5)
    assert queries.shape == (len(part.queries), 32) and gallery.shape == (50, 32)


@pytest.mark.parametrize("chunk", [7, 50, 256])
def test_each_image_goes_through_the_backbone_once(made_model, part, css_test_cache, chunk):
    model, seen = made_model("maaf").train(), []
    model.backbone.register_forward_hook(lambda _m, inputs, _o: seen.extend(image.numpy().tobytes() for image in inputs[0]))
    embed_split(model, part, css_test_cache, chunk=chunk, progress=False)
    assert len(part.queries) > len({q.source for q in part.queries})
    assert len(seen) == 50 and len(set(seen)) == len({css_test_cache.image(i).tobytes() for i in range(50)})
    assert model.training  # as it was
