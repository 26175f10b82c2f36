"""Relationship against a loop over pairs."""

import torch


def test_relationship_equals_a_loop_over_pairs(made_model):
    model = made_model("relationship")
    features, text = model.encode(torch.randn(2, 3, 40, 40)), model.read(["remove cube", "add red sphere"])
    with torch.no_grad():  # as after training: the norms are no longer those of the beginning
        for norm in (model.normal, model.normal_words):
            norm.weight.normal_()
            norm.bias.normal_()
    maps, words = features[7], model.normal_words(model.text_vector(text))
    h, w = maps.shape[2:]
    at = [[-1 + 2 * i / (h - 1), -1 + 2 * j / (w - 1)] for i in range(h) for j in range(w)]
    for b in range(2):
        cells = [torch.cat([model.normal(maps[b, :, i, j]), torch.tensor(at[i * w + j])]) for i in range(h) for j in range(w)]
        pairs = [model.g(model.first(p) + model.second(q) + model.words(words[b])) for p in cells for q in cells]
        assert torch.allclose(model.fuse(features, text)[0][b], model.f(sum(pairs) / len(pairs)), atol=1e-5)


def test_a_text_weighs_as_much_as_an_image_at_the_start(made_model):
    """A pretrained image model's features are fifty times as large as a new text model's: without norms the text is not heard."""
    model = made_model("relationship").eval()
    images, text = torch.randn(16, 3, 56, 56), model.read(["remove cube", "add red sphere", "make small cube blue"])
    with torch.no_grad():
        features = {r: 50 * maps for r, maps in model.encode(images).items()}
        one = {r: maps[:1].expand(3, -1, -1, -1) for r, maps in features.items()}
        by_text = model.fuse(one, text)[0].std(0).mean()
        by_image = model.fuse(features, model.read(["remove cube"] * 16))[0].std(0).mean()
    assert by_text > by_image / 4
