"""Two streams: every block of Table 4 against loops, its attention, and lines that make no sense."""

import pytest
import torch

from maaf_lab.config import model_config
from maaf_lab.errors import ConfigError
from maaf_lab.models.systems.two_stream import steps_of
from maaf_lab.paper.tables import TABLE_4


@pytest.mark.parametrize("attention", ["softmax", "identity"])
@pytest.mark.parametrize("block", TABLE_4.values())
def test_two_stream_record(made_model, block, attention):
    model = made_model("two_stream", **{"model.two_stream": block, "model.attention": attention})
    images, texts = torch.randn(2, 3, 56, 56), ["make red cube blue", "add cube"]
    vectors, record = model.embed_query(images, texts, return_attention=True)
    assert torch.allclose(vectors, model.embed_query(images, texts), atol=1e-6)
    done = [operation for step in steps_of(block) for operation in step if not operation.endswith("ff")]
    assert record.operations == tuple(f"1 {operation}" for operation in done)
    n, t = record.spans["7x7"][1], record.spans["text"][1] - record.spans["text"][0]
    assert record.weights.shape == (len(done), 2, 4, n + t, n + t)
    tokens_of = {"x": slice(0, n), "m": slice(n, n + t)}
    for operation, weights in zip(done, record.weights, strict=True):
        rest = weights.clone()
        rest[:, :, tokens_of[operation[0]], tokens_of[operation[1]]] = 0
        assert (rest == 0).all(), "only the operation's own tokens take part"
        if attention == "softmax":
            assert torch.allclose(weights[0, :, tokens_of[operation[0]]].sum(-1), torch.ones(()), atol=1e-5)
        if operation[1] == "m":
            assert (weights[1, :, :, n + 2 :] == 0).all(), "padding is not attended to"


def slow_layer_norm(x, norm):
    mean = sum(x) / len(x)
    deviation = (sum((v - mean) ** 2 for v in x) / (len(x) - 1)) ** 0.5
    return torch.stack([g * (v - mean) / (deviation + 1e-6) + b for v, g, b in zip(x, norm.gain, norm.bias)])


def slow_attention(layer, queries, keys, real, kind):
    """Rows of `queries` attend to the rows of `keys` that are real, head by head (equations 3 and 4)."""
    heads, out = layer.heads, []
    width = queries.shape[1] // heads
    q, k, v = layer.query(queries), layer.key(keys), layer.value(keys)
    for i in range(len(queries)):
        joined = []
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            scores = torch.stack([q[i, part] @ k[j, part] / width**0.5 for j in range(len(keys)) if real[j]])
            weights = scores.exp() / scores.exp().sum() if kind == "softmax" else scores
            joined.append(sum(w * v[j, part] for w, j in zip(weights, [j for j in range(len(keys)) if real[j]])))
        out.append(layer.out(torch.cat(joined)))
    return torch.stack(out)


@pytest.mark.parametrize("kind", ["softmax", "identity"])
@pytest.mark.parametrize("block", [*TABLE_4.values(), "mxx_mff_xmm_xff"])
def test_a_block_equals_the_loops(made_model, block, kind):
    from maaf_lab.models.systems.two_stream import StreamBlock

    torch.manual_seed(0)
    layer = StreamBlock(model_config("two_stream", width=8, heads=2, feedforward=6, two_stream=block, attention=kind)).eval()
    for parameter in layer.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape))
    x, m, real = torch.randn(1, 4, 8), torch.randn(1, 3, 8), [True, True, False]
    streams = {"x": x[0], "m": m[0]}
    everything = [True] * 4
    for norm, step in zip(layer.norms, steps_of(block), strict=True):
        before = dict(streams)
        for operation in step:
            old = before[operation[0]]
            y = torch.stack([slow_layer_norm(row, norm) for row in old])
            if operation.endswith("ff"):
                net = layer.feedforward[operation]
                new = torch.relu(y @ net[0].weight.T + net[0].bias) @ net[3].weight.T + net[3].bias
            else:
                keys = y if operation[0] == operation[1] else before[operation[1]]
                new = slow_attention(layer.attention[operation], y, keys, real if operation[1] == "m" else everything, kind)
            streams[operation[0]] = old + new
    found_x, found_m, _ = layer(x, m, torch.tensor([real]))
    assert torch.allclose(found_x[0], streams["x"], atol=1e-5)
    assert torch.allclose(found_m[0], streams["m"], atol=1e-5)


def test_catalogue_images_of_two_streams_pass_with_a_dummy_word(made_model):
    """As the authors' code: the dummy word gets all attention of the cross step, and it is pooled instead of a token."""
    model = made_model("two_stream", **{"model.two_stream": "xmm_xff", "model.resolutions": [14, 7]}).eval()
    features = model.encode(torch.randn(2, 3, 56, 56))
    image = torch.cat(list(features.values()), 1)
    dummy = torch.zeros(2, 1, image.shape[2])
    x, m, _ = model.blocks[0](image, dummy, None)
    x, m = model.norm_x(x), model.norm_m(m)
    expected = (x[:, :196].mean(1) + torch.cat([x[:, 197:], m], 1).mean(1)) / 2
    assert torch.allclose(model.project(features)[0], expected, atol=1e-5)
    own = made_model(
        "two_stream", **{"model.two_stream": "xmm_xff", "model.resolutions": [14, 7], "model.pooling_weights": "paper"}
    )
    assert torch.allclose(own.project(features)[0], (x[:, :196].mean(1) + x[:, 196:].mean(1)) / 2, atol=1e-5)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("xxx_xmn_xff", "unknown operation 'xmn'; known: xxx, xmm, mmm, mxx, xff, mff"),
        ("", "unknown operation ''"),
        ("xxx.xmm_xff", "xxx.xmm changes one stream twice at once"),
    ],
)
def test_a_block_that_makes_no_sense(made_model, block, message):
    with pytest.raises(ConfigError, match=message):
        made_model("two_stream", **{"model.two_stream": block})
