"""Avoidance: of a word that looks at a known place, and of a real model."""

import numpy as np
import pytest

from maaf_lab.analysis.avoidance import avoidance, coverage, describing_words
from maaf_lab.analysis.word_attention import WordMap
from maaf_lab.data.datasets.css import CSS
from maaf_lab.data.datasets.css_scenes import parse_modification
from maaf_lab.data.text import tokenize
from maaf_lab.errors import ConfigError
from maaf_lab.synthetic.css.dataset import load_sidecar


def test_coverage_of_boxes():
    whole = coverage(np.array([[0, 0, 56, 56]]), 56, 7)
    assert np.allclose(whole, 1)
    part = coverage(np.array([[8, 0, 20, 8], [8, 0, 16, 8]]), 56, 7)  # the second lies in the first: counted once
    expected = np.zeros((7, 7))
    expected[0, 1], expected[0, 2] = 1, 0.5
    assert np.allclose(part, expected)
    assert coverage(np.array([[3, 5, 30, 41]]), 56, 5).sum() * (56 / 5) ** 2 == pytest.approx(27 * 36), "area is kept"


def test_words_that_describe():
    told = [(1, "position"), (2, "size"), (3, "color"), (4, "shape")]
    assert describing_words("make middle-center small red cube blue") == told
    assert describing_words("remove object") == [] == describing_words("add red cube to top-left")


def looking(monkeypatch, scenes, sidecar, towards):
    """Words look where `towards` says: 1 at their referents' tokens alone, -1 past them."""
    boxes = {}
    for image, number, box in zip(sidecar["image"], sidecar["object"], sidecar["box"], strict=True):
        boxes.setdefault(int(image), {})[int(number)] = box

    def words(model, split, cache, positions_of, **_options):
        for i, q in enumerate(split.queries):
            for position in positions_of(tokenize(q.texts[0])):
                fits = parse_modification(q.texts[0]).fits
                region = coverage(np.stack([boxes[q.source][n] for n, o in enumerate(scenes[q.source]) if fits(o)]), 56, 7)
                yield WordMap(i, position, ((1 + towards) / 2 * region + (1 - towards) / 2 * (region == 0))[None, None])

    monkeypatch.setattr("maaf_lab.analysis.avoidance.word_attention", words)


@pytest.mark.parametrize("towards", [1, -1])
def test_avoidance_of_a_word_that_looks_at_a_known_place(monkeypatch, made_model, tiny_css, css_test, css_test_cache, towards):
    scenes, sidecar = CSS(tiny_css).objects("test"), load_sidecar(tiny_css, "test")
    looking(monkeypatch, scenes, sidecar, towards)
    table = avoidance(made_model("maaf"), css_test, css_test_cache, scenes, sidecar, progress=False)
    assert set(table["kind"]) == {"position", "color", "shape", "size"} and (table["words"] > 20).all()
    if towards == 1:
        assert (table["score"] > 0.8).all() and (table["chance"] < 0.3).all()
    else:
        assert (table["score"] < -0.7).all() and (table["chance"] > table["score"] + 0.3).all()
    assert (table["low"] <= table["score"]).all() and (table["score"] <= table["high"]).all()


def test_avoidance_of_a_real_model(made_model, tiny_css, css_test, css_test_cache):
    scenes, sidecar = CSS(tiny_css).objects("test"), load_sidecar(tiny_css, "test")
    model = made_model("maaf", **{"model.blocks": 2})
    table = avoidance(model, css_test, css_test_cache, scenes, sidecar, progress=False)
    assert len(table) == 4 * 2 * 4 and table[["score", "chance"]].abs().max().max() <= 1
    again = avoidance(model, css_test, css_test_cache, scenes, sidecar, chunk=31, progress=False)
    assert np.allclose(table["score"], again["score"], atol=1e-5)
    with pytest.raises(ConfigError, match="expected softmax attention, found identity"):
        avoidance(made_model("maaf", **{"model.attention": "identity"}), css_test, css_test_cache, scenes, sidecar)
