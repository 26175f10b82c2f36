"""TIRG against its formula."""

import numpy as np
import pytest
import torch
from oracles import CAPTIONS, as_numpy, close, linear, pictures, shaken, slow_words


def test_tirg_refuses_to_train_on_one(made_model):
    with pytest.raises(ValueError, match="at least 2 queries"):
        made_model("tirg").train().embed_query(pictures(1), ["red cube"])


def test_tirg_equals_its_formula(made_model):
    model, images = made_model("tirg"), pictures(3)
    assert model.weights.tolist() == [1.0, 10.0]
    weights = model.weights.detach().clone()
    shaken(model)
    with torch.no_grad():
        model.weights.copy_(weights)
        mean = model.encode(images)[7].mean((-2, -1)).double().numpy()
        found = model.embed_query(images, CAPTIONS)
        gallery = model.embed_images(images)
    p = as_numpy(model)
    x = linear(mean, p, "image_map")

    def bn_relu(a, name):
        a = (a - p[f"{name}.running_mean"]) / np.sqrt(p[f"{name}.running_var"] + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]
        return np.maximum(a, 0)

    t = np.array([slow_words(model.vocabulary.ids(text), p)[-1] for text in CAPTIONS])
    both = np.concatenate([x, t], 1)
    gate = 1 / (1 + np.exp(-linear(bn_relu(both, "gate.0"), p, "gate.2")))
    residual = linear(np.maximum(linear(bn_relu(both, "residual.0"), p, "residual.2"), 0), p, "residual.4")
    expected = 1 * gate * x + 10 * residual
    assert close(found, expected / np.linalg.norm(expected, axis=1, keepdims=True))
    assert close(gallery, x / np.linalg.norm(x, axis=1, keepdims=True))
