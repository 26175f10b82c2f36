"""Every system: it learns, in bf16 too, comes back from its files, and shows its attention where it has any."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from maaf_lab.config import model_config
from maaf_lab.data.text import TextBatch, Vocabulary
from maaf_lab.data.transforms import normalize_pixels
from maaf_lab.errors import ConfigError
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.models.layers import attention_dropout as dropped
from maaf_lab.models.layers.attention import MultiHeadAttention, attention_weights
from maaf_lab.models.registry import build_model
from maaf_lab.models.systems.maaf import MAAF
from maaf_lab.models.systems.two_stream import steps_of
from maaf_lab.paper.tables import TABLE_4
from maaf_lab.synthetic.css.dataset import draw
from maaf_lab.synthetic.css.scenes import css_annotations
from maaf_lab.training.fit import batch_softmax_loss, parameter_groups
from maaf_lab.utils.registry import MODELS

# Table 4's six, beside the registry's own
SYSTEMS = [(name, {}) for name in MODELS if name != "two_stream"]
SYSTEMS += [("two_stream", {"model.two_stream": block}) for block in TABLE_4.values()]
IDS = [f"{name}-{changes['model.two_stream']}" if changes else name for name, changes in SYSTEMS]


@pytest.fixture(scope="module")
def sixty_four():
    """64 made queries, no two with the same text, reference or target: (images uint8, source, target, texts)."""
    part = css_annotations("full", 0)["train"]
    scenes, places, source, target, texts = [], {}, [], [], []

    def place(i):
        if i not in places:
            places[i] = len(scenes)
            scenes.append(part["objects_img"][i])
        return places[i]

    used = set()
    for mod in part["mods"]:
        pair = next(((a, b) for a, b in zip(mod["from"], mod["to"], strict=True) if not {a, b} & used), None)
        if pair is None or mod["to_str"] in texts:
            continue
        used |= set(pair)
        source.append(place(pair[0]))
        target.append(place(pair[1]))
        texts.append(mod["to_str"])
        if len(texts) == 64:
            break
    images = torch.from_numpy(draw(scenes, 56)).permute(0, 3, 1, 2)
    return normalize_pixels(images), torch.tensor(source), torch.tensor(target), texts


def recall_at_1(model, images, source, target, texts):
    model.eval()
    with torch.no_grad():
        cosine = model.embed_query(images[source], texts) @ model.embed_images(images).T
    cosine[torch.arange(len(source)), source] = -2
    return 100 * float((cosine.argmax(1) == target).float().mean())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "changes"), SYSTEMS, ids=IDS)
def test_it_overfits_64_queries(sixty_four, smoke, name, changes):
    images, source, target, texts = sixty_four
    if name == "relationship":  # pairs of places: a quarter of the places, a sixteenth of the time
        images = images[..., ::2, ::2]
    assert len(set(texts)) == len(set(target.tolist())) == len(set(source.tolist())) == 64
    config = smoke(name, {"model.dropout": 0.0, "model.text_dropout": 0.0}, **changes)
    torch.manual_seed(0)
    model = build_model(config.model, Vocabulary.build(texts))
    optimizer = torch.optim.AdamW(parameter_groups(model, config.train), lr=3e-3)
    text, best = model.read(texts), 0.0
    for step in range(1, 241):
        model.train()
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = 3e-3
        queries, targets = model(images, source, target, text)
        loss = batch_softmax_loss(queries, targets, model.scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0 and loss < 0.5 and (best := recall_at_1(model, images, source, target, texts)) >= 95:
            return
    pytest.fail(f"{name}: R1 {best:.1f} after {step} steps, loss {float(loss):.3f}")


@pytest.mark.parametrize(("name", "changes"), SYSTEMS, ids=IDS)
def test_it_trains_in_smoke_and_comes_back_from_its_files(tmp_path, tiny_css, smoke, css_test, name, changes):
    config = smoke(name, **{"train.steps": 3, "train.warmup_steps": 1, "train.precision": "bf16", **changes})
    run = train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)
    assert run.log["loss"].notna().all() and set(run.metrics["metrics"]) == {"R1", "R5", "R10", "R50"}
    model, saved = run.load_model(), load_file(run.folder / "model.safetensors")
    assert set(saved) == set(model.state_dict()) and all(torch.equal(saved[k], v) for k, v in model.state_dict().items())
    moved = tmp_path / "elsewhere"
    shutil.copytree(run.folder, moved)
    images = torch.randn(2, 3, 56, 56)
    assert torch.equal(
        model.embed_query(images, ["make red cube blue", ""]),
        type(run)(moved).load_model().embed_query(images, ["make red cube blue", ""]),
    )


IDLE = [
    {"model.two_stream": block, "model.include_text": False, "model.image_through_attention": ita, "model.blocks": 2}
    for block in (*TABLE_4.values(), "xmm_mff_xff")
    for ita in (True, False)
]


@pytest.mark.parametrize(("name", "changes"), SYSTEMS + [("two_stream", changes) for changes in IDLE])
def test_every_parameter_that_learns_gets_a_gradient(made_model, name, changes):
    """Several processes wait for the gradient of each; one that never comes would stop the run."""
    model = made_model(name, **changes).train()
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    text, places = model.read(["make red cube blue", "add cube", "remove sphere", "add red sphere"]), torch.arange(4)
    queries, targets = model(torch.randn(8, 3, 56, 56), places, places + 4, text)
    batch_softmax_loss(queries, targets, model.scale).backward()
    assert {n for n, p in model.named_parameters() if p.grad is None} == frozen, "frozen is what has no part in the outcome"


def test_the_shells_help_names_every_system(shell, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    assert "a system: " + ", ".join(MODELS) in shell("train", "--help")[1]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler, and there is no g++")
def test_a_compiled_step_is_the_same_step(tmp_path, tiny_css, smoke):
    """Same batches and weights, no dropout: the losses of a compiled run are those of a plain one, but for rounding."""
    plain = {"train.steps": 3, "train.warmup_steps": 1, "train.log_every": 1, "model.dropout": 0.0, "model.text_dropout": 0.0}
    runs = [
        train_and_evaluate(smoke(**plain, **{"train.compile": on}), tiny_css, tmp_path, device="cpu", progress=False)
        for on in (False, True)
    ]
    dropping = {"train.steps": 1, "train.warmup_steps": 1, "train.compile": True}  # and with dropout, on the weights too
    run = train_and_evaluate(smoke(**dropping), tiny_css, tmp_path, device="cpu", progress=False)
    assert run.log["loss"].notna().all()
    assert runs[0].name != runs[1].name
    assert runs[1].log["loss"].tolist() == pytest.approx(runs[0].log["loss"].tolist(), rel=1e-3)


# --- dropout on the weights -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["softmax", "identity"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("chunk", [1, 120, 10**6])
def test_dropped_attention_equals_autograd(monkeypatch, kind, masked, chunk):
    monkeypatch.setattr(dropped, "CHUNK", chunk)
    torch.manual_seed(1)
    q, k, v = (torch.randn(5, 2, n, 6, dtype=torch.float64, requires_grad=True) for n in (4, 7, 7))
    mask = torch.rand(5, 7) > 0.4 if masked else None
    if masked:
        mask[2] = False  # an example with nothing to attend to
    torch.manual_seed(3)
    found = dropped.attention_with_dropout(q, k, v, mask, kind, 0.3)
    torch.manual_seed(3)
    drawn = [dropped.keep_mask((len(q[part]), 2, 4, 7), 0.3) for part in dropped.chunks(q, k)]
    keep, factor = torch.cat([mask for mask, _ in drawn]), drawn[0][1]
    expected = (attention_weights(q, k, mask, kind) * keep * factor) @ v
    assert torch.allclose(found, expected, atol=1e-12) and 0 < keep.double().mean() < 1
    for a, b in zip(*(torch.autograd.grad(x.square().sum(), (q, k, v)) for x in (found, expected)), strict=True):
        assert torch.allclose(a, b, atol=1e-11) and a.isfinite().all()


def test_what_is_kept_has_the_right_share_and_mean():
    torch.manual_seed(0)
    for rate in (0.1, 0.5):
        keep, factor = dropped.keep_mask((999, 1001), rate)
        assert keep.shape == (999, 1001) and abs(float(keep.double().mean()) - (1 - rate)) < 2e-3
        assert factor * (1 - rate) == pytest.approx(1, abs=1e-4)
        assert abs(float(keep[:, :-1].logical_xor(keep[:, 1:]).double().mean()) - 2 * rate * (1 - rate)) < 3e-3, "independent"


# --- attention --------------------------------------------------------------------------------------------------------


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
    place = {"x": slice(0, n), "m": slice(n, n + t)}
    for operation, weights in zip(done, record.weights, strict=True):
        rest = weights.clone()
        rest[:, :, place[operation[0]], place[operation[1]]] = 0
        assert (rest == 0).all(), "only the operation's own tokens take part"
        if attention == "softmax":
            assert torch.allclose(weights[0, :, place[operation[0]]].sum(-1), torch.ones(()), atol=1e-5)
        if operation[1] == "m":
            assert (weights[1, :, :, n + 2 :] == 0).all(), "padding is not attended to"


def test_val_and_local_features_record(made_model):
    images, texts = torch.randn(2, 3, 56, 56), ["make red cube blue", "add cube"]
    vectors, record = made_model("val").embed_query(images, texts, return_attention=True)
    assert record.operations == ("28x28", "14x14", "7x7")
    assert record.spans == {"28x28": (0, 784), "14x14": (784, 980), "7x7": (980, 1029)}
    rows = record.weights.sum(-1)
    for i, (start, stop) in enumerate(record.spans.values()):
        assert torch.allclose(rows[i, :, :, start:stop], torch.ones(()), atol=1e-4)
        assert (rows[i, :, :, :start] == 0).all() and (rows[i, :, :, stop:] == 0).all()
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)
    _, record = made_model("locally_bounded").embed_query(images, texts, return_attention=True)
    assert record.operations == ("1 xmm", "1 xxx")


# --- two streams against loops ----------------------------------------------------------------------------------------


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


def test_catalogue_images_of_two_streams_pass_with_a_dummy_word(made_model):
    """As the authors' code: the dummy word gets all attention of the cross step, and it is pooled in the place of a token."""
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


def test_mixed_positions_learn_for_the_image_and_count_for_the_text(made_model):
    model = made_model(**{"model.positions": "mixed"})
    assert model.positions.learned.shape == (49, 32) and model.positions.learned.requires_grad
    tokens = torch.zeros(1, 52, 32)
    placed = model.positions(tokens)[0]
    assert torch.equal(placed[:49], model.positions.learned)
    assert torch.equal(placed[49], torch.tensor([0.0, 1.0] * 16))  # the first word's place is 0
    with pytest.raises(ValueError, match="made for 49 image tokens, found 36"):
        model.embed_images(torch.randn(1, 3, 48, 48))
    with pytest.raises(ConfigError, match=r"model\.positions: expected one of 'none', 'sinusoidal'; found 'mixed'"):
        made_model("two_stream", **{"model.positions": "mixed"})
    assert isinstance(model, MAAF)


# --- single formulas --------------------------------------------------------------------------------------------------


def test_attributes_act_one_after_another_and_unknown_words_do_nothing(made_model):
    model = made_model("attributes_as_operators")
    x = torch.randn(1, 32)
    word = {w: model.operators.weight[model.vocabulary.ids(w)[0]].reshape(32, 32) for w in ("red", "cube")}
    features = {7: x[..., None, None]}
    model.image_map = torch.nn.Identity()
    found = model.fuse(features, model.read(["red zebra cube"]))[0]
    first = word["red"] @ x[0]
    first = first / first.norm() * x.norm()
    second = word["cube"] @ first
    assert torch.allclose(found[0], second / second.norm() * x.norm(), atol=1e-5)
    assert torch.equal(model.fuse(features, model.read(["zebra"]))[0], x)


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


def test_show_and_tell_reads_the_image_first(made_model):
    model = made_model("show_and_tell")
    features = model.encode(torch.randn(2, 3, 56, 56))
    text = model.read(["remove cube", ""])
    image = model.enter(model.image_vector(features))
    with_words = torch.stack([image[0], *model.words.embedding(text.ids[0])])
    states = model.lstm(with_words[None])[0][0]
    found = model.fuse(features, text)[0]
    assert torch.allclose(found[0], model.leave(states[-1]), atol=1e-5)
    assert torch.allclose(found[1], model.leave(model.lstm(image[1][None, None])[0][0, -1]), atol=1e-5)


def test_val_starts_as_a_gated_reference(made_model):
    model = made_model("val")
    assert [c.self_weight.item() for c in model.composers.values()] == [0.0] * 3
    features = model.encode(torch.randn(1, 3, 56, 56))
    vector = model.project(features)[0][0]
    for start, stop in ((0, 11), (11, 22), (22, 32)):  # 32 over three depths: cosines are their mean, each of length 1
        assert float(vector[start:stop].norm()) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="made for maps of 784 places, found 24x24"):
        model.embed_query(torch.randn(1, 3, 48, 48), TextBatch(torch.ones(1, 1).long(), torch.ones(1, 1).bool()))
