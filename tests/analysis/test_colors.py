"""What color words ignore (Figure 5)."""

import numpy as np
import torch

from maaf_lab.analysis.colors import FIGURE_5, color_images
from maaf_lab.data.datasets.css_scenes import COLORS, described_color
from maaf_lab.data.text import tokenize
from maaf_lab.data.transforms import build_transform


def test_colors_that_describe_the_reference():
    told = {
        "remove red cube": "red",
        "make red cube small": "red",
        "make red cube blue": "red",
        "make cube red": None,
        "add red cube to top-left": None,
        "remove cube": None,
    }
    assert {text: described_color(text) for text in told} == told


def test_color_images_equal_a_direct_computation(made_model, css_test, css_test_cache):
    model = made_model("maaf")
    found = color_images(model, css_test, css_test_cache, chunk=50, progress=False)
    prepare = build_transform("plain", 56)
    images, counts = {}, dict.fromkeys(COLORS, 0)
    for q in css_test.queries:
        color = described_color(q.texts[0])
        if color is None:
            continue
        with torch.no_grad():
            _, record = model.embed_query(prepare.eval(css_test_cache.batch([q.source])), q.texts, return_attention=True)
        looks = record.words_to_image()[0, 0, :, tokenize(q.texts[0]).index(color)].mean(0).double().numpy()
        weighted = (1 - np.kron(looks, np.ones((8, 8))))[:, :, None] * css_test_cache.image(q.source) / 255
        images[color] = images.get(color, 0) + weighted
        counts[color] += 1
    assert found.counts == {color: counts[color] for color in FIGURE_5} and sum(counts.values()) > 50
    mean = sum(images.values()) / sum(counts.values())
    for color, image in found.images.items():
        assert np.allclose(image, images[color] / counts[color] - mean, atol=1e-6)
    assert np.allclose(sum(found.images[c] * counts[c] for c in found.images), 0, atol=1e-6), "deviations from the mean"
