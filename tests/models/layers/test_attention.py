"""Attention, its layer norm and its positions against slow oracles written as loops."""

import math

import numpy as np
import pytest
import torch
from oracles import ATTENTIONS, close, shaken

from maaf_lab.config import model_config
from maaf_lab.errors import ConfigError
from maaf_lab.models.layers import attention as attention_module
from maaf_lab.models.layers.attention import LayerNorm, MultiHeadAttention, attention_weights


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


def test_sinusoidal_positions():
    found = attention_module.sinusoidal_positions(6, 8, torch.device("cpu"))
    for position in range(6):
        for d in range(8):
            angle = position / 10_000 ** (d // 2 * 2 / 8)
            assert found[position, d].item() == pytest.approx(math.cos(angle) if d % 2 else math.sin(angle), abs=1e-5)


def test_equation_10():
    """What one-stream attention does to image tokens: two sums, over image and over text, under one normaliser A."""
    torch.manual_seed(0)
    layer = MultiHeadAttention(6, 1, "softmax", 0.0).double().eval()
    for linear in (layer.query, layer.key, layer.value, layer.out):
        torch.nn.init.zeros_(linear.bias)
    torch.nn.init.eye_(layer.out.weight)
    w_q, w_k, w_v = layer.query.weight.T / 6**0.25, layer.key.weight.T / 6**0.25, layer.value.weight.T
    x, y = torch.randn(5, 6).double(), torch.randn(3, 6).double()
    to_image, to_text = (x @ w_q @ (x @ w_k).T).exp(), (x @ w_q @ (y @ w_k).T).exp()
    a = to_image.sum(1, keepdim=True) + to_text.sum(1, keepdim=True)
    expected = x + (to_image @ (x @ w_v)) / a + (to_text @ (y @ w_v)) / a
    phi = torch.cat([x, y])[None]
    assert torch.allclose((phi + layer(phi, phi)[0])[0, :5], expected, atol=1e-12)
