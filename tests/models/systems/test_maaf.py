"""MAAF against an oracle written as loops; every switch does something; what its attention's record holds."""

import math

import numpy as np
import pytest
import torch
from oracles import ATTENTIONS, CAPTIONS, as_numpy, close, linear, pictures, shaken, slow_words
from torch.nn.functional import normalize

from maaf_lab.errors import ConfigError
from maaf_lab.models.systems.maaf import MAAF


def slow_norm(x, p, name):
    out = np.empty_like(x)
    for i, row in enumerate(x):
        out[i] = p[f"{name}.gain"] * (row - row.mean()) / (row.std(ddof=1) + 1e-6) + p[f"{name}.bias"]
    return out


def slow_stack(x, p, config):
    """Tokens (N, D) without padding through all blocks and the final norm."""
    for n in range(config.blocks):
        at = f"stack.blocks.{n}"
        y = slow_norm(x, p, f"{at}.attention_norm")
        q, k, v = (linear(y, p, f"{at}.attention.{name}") for name in ("query", "key", "value"))
        side = config.width // config.heads
        mixed = np.zeros_like(x)
        for h in range(config.heads):
            part = slice(h * side, (h + 1) * side)
            for i in range(len(x)):
                scores = np.array([q[i, part] @ k[j, part] / math.sqrt(side) for j in range(len(x))])
                weights = np.exp(scores) / np.exp(scores).sum() if config.attention == "softmax" else scores
                mixed[i, part] = sum(w * v[j, part] for j, w in enumerate(weights))
        x = x + linear(mixed, p, f"{at}.attention.out")
        y = slow_norm(x, p, f"{at}.feedforward_norm")
        x = x + linear(np.maximum(linear(y, p, f"{at}.feedforward.0"), 0), p, f"{at}.feedforward.3")
    return slow_norm(x, p, "stack.norm")


def slow_maaf(model, images, text):
    """One picture and one caption ("" under ITA: a gallery picture) -> unit vector, by loops."""
    config, p = model.config, as_numpy(model)
    with torch.no_grad():
        features = [t[0].numpy().astype(np.float64) for t in model.encode(images[None]).values()]
    words = slow_words(model.vocabulary.ids(text), p) if text else np.zeros((0, config.width))
    x = slow_stack(np.concatenate([*features, words]), p, config)
    parts, start = [], 0
    for tokens in features:
        parts.append(x[start : start + len(tokens)].mean(0))
        start += len(tokens)
    if not config.resolutionwise_pooling:
        parts = [x[:start].mean(0)]
    vector = sum(parts) / len(parts)
    if len(words) and config.include_text:
        spoken = x[start:].mean(0)
        vector = (vector + spoken) / 2 if config.pooling_weights == "code" else (sum(parts) + spoken) / (len(parts) + 1)
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model.attention": "identity"},
        {"model.blocks": 2, "model.heads": 2, "model.attention": "identity"},
        {"model.resolutions": (7, 14), "model.pooling_weights": "paper"},
        {"model.resolutions": (7, 14), "model.pooling_weights": "code"},
        {"model.resolutions": (7, 14), "model.resolutionwise_pooling": False},
        {"model.include_text": False},
    ],
    ids=str,
)
def test_maaf_equals_the_loops(made_model, changes):
    small = {"model.width": 8, "model.text_width": 8, "model.heads": 4, "model.feedforward": 12}
    model = shaken(made_model("maaf", **{**small, **changes}))
    images = pictures(2)
    captions = CAPTIONS[:2]  # of different lengths, so one is padded
    with torch.no_grad():
        queries, gallery = model.embed_query(images, captions), model.embed_images(images)
    for b in range(2):
        assert close(queries[b], slow_maaf(model, images[b], captions[b]))
    assert close(gallery[0], slow_maaf(model, images[0], ""))


def test_without_ita_catalogue_images_are_pooled_as_they_are(made_model):
    images = pictures(2)
    model = shaken(made_model("maaf", **{"model.image_through_attention": False, "model.resolutions": (7, 14)}))
    with torch.no_grad():
        vectors, record = model.embed_images(images, return_attention=True)
        features = model.encode(images)
    assert record is None
    assert close(vectors, normalize((features[7].mean(1) + features[14].mean(1)) / 2, dim=-1))


def outputs(made_model, **changes):
    """Queries, gallery, parameter shapes and the model; parameters that fit are the same in every model."""
    model = made_model("maaf", **changes)
    random = {}
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not name.endswith("running_var"):
            seed = int.from_bytes(name.encode()[-6:], "big") % 2**31
            random[name] = 0.3 * torch.randn(value.shape, generator=torch.Generator().manual_seed(seed))
    model.load_state_dict(random, strict=False)
    images = pictures(3)
    with torch.no_grad():
        queries, gallery = model.embed_query(images, CAPTIONS), model.embed_images(images)
    return queries, gallery, {name: value.shape for name, value in model.state_dict().items()}


BOTH = {"model.resolutions": (7, 14)}


@pytest.mark.parametrize(
    ("change", "query", "gallery"),
    [
        ({"model.attention": "identity"}, True, True),
        ({"model.positions": "sinusoidal"}, True, True),
        ({"model.resolutionwise_pooling": False}, True, True),
        ({"model.image_through_attention": False}, False, True),
        ({"model.include_text": False}, True, False),
        ({"model.pooling_weights": "paper"}, True, False),
        ({"model.layer_norm": "standard"}, True, True),
        ({"model.heads": 2}, True, True),
        ({"model.dropout": 0.5, "model.text_dropout": 0.5}, False, False),
    ],
    ids=str,
)
def test_a_switch_changes_the_vectors_that_it_should(made_model, change, query, gallery):
    before, after = outputs(made_model, **BOTH), outputs(made_model, **{**BOTH, **change})
    assert before[2] == after[2]  # the same parameters
    assert (not close(before[0], after[0], 1e-6)) == query
    assert (not close(before[1], after[1], 1e-6)) == gallery


@pytest.mark.parametrize(
    "change",
    [
        {"model.blocks": 2},
        {"model.blocks": 0},
        {"model.resolutions": (7, 14)},
        {"model.resolutions": (14,)},
        {"model.feedforward": 48},
        {"model.token_projection": "paper"},
        {"model.text_projection": False},
        {"model.width": 64},
        {"model.text_width": 16},
        {"model.image_channels": (8, 8, 16, 24)},
    ],
    ids=str,
)
def test_a_switch_changes_the_parameters(made_model, change):
    before, after = outputs(made_model), outputs(made_model, **change)
    assert before[2] != after[2]
    assert after[0].isfinite().all() and after[1].isfinite().all()
    if before[0].shape == after[0].shape:
        assert not close(before[0], after[0], 1e-6)


@pytest.mark.parametrize("change", [{"model.resolutionwise_pooling": False}, {"model.pooling_weights": "paper"}], ids=str)
def test_pooling_switches_need_two_resolutions(made_model, change):
    before, after = outputs(made_model), outputs(made_model, **change)
    assert close(before[0], after[0], 1e-6) and close(before[1], after[1], 1e-6)


def test_dropout_acts_in_training_only(made_model):
    model, images = made_model("maaf", **{"model.dropout": 0.5}), pictures(2)
    assert torch.equal(model.embed_query(images, CAPTIONS[:2]), model.embed_query(images, CAPTIONS[:2]))
    model.stack.train()
    assert not close(model.embed_query(images, CAPTIONS[:2]).detach(), model.embed_query(images, CAPTIONS[:2]).detach())


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_an_empty_caption_is_the_image_alone(made_model, attention):
    model, images = shaken(made_model("maaf", **{"model.attention": attention})), pictures(2)
    with torch.no_grad():
        gallery = model.embed_images(images)
        assert close(model.embed_query(images, ["", "..."]), gallery)
        mixed = model.embed_query(images, ["", "red cube"])
    assert close(mixed[0], gallery[0]) and not close(mixed[1], gallery[1])


def test_unknown_words_are_all_the_same(made_model):
    model, image = made_model("maaf"), pictures(1)
    with torch.no_grad():
        one, other, known = (model.embed_query(image, [text]) for text in ("zebra", "quagga", "cube"))
    assert torch.equal(one, other) and not close(one, known)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_batch_of_one_trains_maaf(made_model, attention):
    model = made_model("maaf", **{"model.attention": attention}).train()
    loss = (model.embed_query(pictures(1), ["red cube"]) * model.embed_images(pictures(1, seed=1))).sum()
    loss.backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert loss.isfinite() and grads and all(g.isfinite().all() for g in grads)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_record(made_model, attention):
    model = made_model("maaf", **{"model.attention": attention, "model.resolutions": (7, 14), "model.blocks": 2})
    captions = ["remove zebra", "add red cube to top-left"]
    with torch.no_grad():
        _, record = model.embed_query(pictures(2), captions, return_attention=True)
    N = 49 + 196 + 5
    assert record.weights.shape == (2, 2, 4, N, N)
    assert record.spans == {"7x7": (0, 49), "14x14": (49, 245), "text": (245, 250)}
    assert record.normalized == (attention == "softmax")
    names = record.tokens[0]
    assert len(names) == N and names[0] == "7x7:0,0" and names[9] == "7x7:1,2" and names[49 + 15] == "14x14:1,1"
    assert names[245:] == ("remove", "?", "", "", "")
    assert record.tokens[1][245:] == ("add", "red", "cube", "to", "topleft")
    if record.normalized:
        assert close(record.weights.sum(-1), torch.ones(2, 2, 4, N))
    else:
        assert (record.weights < 0).any()
    assert (record.weights[:, 0, :, :, 247:] == 0).all()  # nobody looks at padding
    for grid, start, side in (("7x7", 0, 7), ("14x14", 49, 14)):
        looks = record.words_to_image(grid)
        assert looks.shape == (2, 2, 4, 5, side, side)
        assert looks[1, 0, 2, 1, 3, 5] == record.weights[1, 0, 2, 246, start + 3 * side + 5]


def test_mixed_positions_learn_for_the_image_and_count_for_the_text(made_model):
    model = made_model(**{"model.positions": "mixed"})
    assert model.positions.learned.shape == (49, 32) and model.positions.learned.requires_grad
    tokens = torch.zeros(1, 52, 32)
    positions = model.positions(tokens)[0]
    assert torch.equal(positions[:49], model.positions.learned)
    assert torch.equal(positions[49], torch.tensor([0.0, 1.0] * 16))  # the first word's position is 0
    with pytest.raises(ValueError, match="made for 49 image tokens, found 36"):
        model.embed_images(torch.randn(1, 3, 48, 48))
    with pytest.raises(ConfigError, match=r"model\.positions: expected one of 'none', 'sinusoidal'; found 'mixed'"):
        made_model("two_stream", **{"model.positions": "mixed"})
    assert isinstance(model, MAAF)
