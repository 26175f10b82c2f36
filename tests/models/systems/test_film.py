"""FiLM and parameter hashing against their formulas."""

import torch


def test_film_and_hashing_equal_their_formulas(made_model):
    texts = ["remove cube", "add red sphere"]
    model = made_model("film")
    features, text = model.encode(torch.randn(2, 3, 56, 56)), model.read(texts)
    gamma, beta = model.modulate(model.text_vector(text)).chunk(2, 1)
    for b in range(2):
        channels = [torch.relu((1 + gamma[b, c]) * features[7][b, c] + beta[b, c]).mean() for c in range(len(gamma[b]))]
        assert torch.allclose(model.fuse(features, text)[0][b], model.image_map(torch.stack(channels)), atol=1e-5)
    model = made_model("parameter_hashing")
    mean, candidates = features[7].mean((2, 3)), model.candidates(model.text_vector(text))
    for b in range(2):
        rows = [
            sum(model.sign[d, c] * candidates[b, model.hash[d, c]] * mean[b, c] for c in range(mean.shape[1])) for d in range(32)
        ]
        expected = torch.stack(rows) / mean.shape[1] ** 0.5 + model.bias
        assert torch.allclose(model.fuse(features, text)[0][b], expected, atol=1e-5)
