"""Relationship against a loop over pairs."""

import torch


def test_relationship_equals_a_loop_over_pairs(made_model):
    model = made_model("relationship")
    features, text = model.encode(torch.randn(2, 3, 40, 40)), model.read(["remove cube", "add red sphere"])
    maps, words = features[7], model.text_vector(text)
    h, w = maps.shape[2:]
    at = [[-1 + 2 * i / (h - 1), -1 + 2 * j / (w - 1)] for i in range(h) for j in range(w)]
    for b in range(2):
        cells = [torch.cat([maps[b, :, i, j], torch.tensor(at[i * w + j])]) for i in range(h) for j in range(w)]
        pairs = [model.g(model.first(p) + model.second(q) + model.words(words[b])) for p in cells for q in cells]
        assert torch.allclose(model.fuse(features, text)[0][b], model.f(sum(pairs) / len(pairs)), atol=1e-5)
