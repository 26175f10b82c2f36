"""What every model promises: empty, unknown and long captions, batches of one, attention as a return value, other devices."""

import pytest
import torch
from oracles import ATTENTIONS, CAPTIONS, close, pictures, shaken

from maaf_lab.data.text import TextBatch
from maaf_lab.errors import ConfigError
from maaf_lab.models.layers import attention as attention_module
from maaf_lab.models.registry import build_model
from maaf_lab.training.fit import batch_softmax_loss
from maaf_lab.utils.registry import MODELS


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


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_of_one_embeds(made_model, name):
    model = made_model(name)
    assert model.embed_query(pictures(1), ["red cube"]).shape == model.embed_images(pictures(1)).shape == (1, 32)


def test_wrong_shapes_are_refused(made_model):
    model = made_model("maaf")
    with pytest.raises(ValueError, match="2 images and 1 texts"):
        model.embed_query(pictures(2), ["red"])
    with pytest.raises(ValueError, match=r"expected normalized float images \(B, 3, S, S\), .* found the shape \(2, 1, 8, 8\)"):
        model.embed_images(torch.zeros(2, 1, 8, 8))


@pytest.mark.parametrize("what", ["fuse", "project"])
def test_a_system_that_returns_no_pair_is_told(made_model, monkeypatch, what):
    model, images, two = made_model("film"), pictures(2), torch.tensor([0, 1])
    monkeypatch.setattr(type(model), what, lambda self, features, *_: self.image_vector(features))
    expected = rf"FiLM\.{what}: expected a pair, vectors .*; found Tensor\. Return `vectors, None`"
    with pytest.raises(ConfigError, match=expected):
        model(images, two, two, model.read(CAPTIONS[:2]))
    with pytest.raises(ConfigError, match=expected):
        model.embed_query(images, CAPTIONS[:2]) if what == "fuse" else model.embed_images(images)


@pytest.mark.parametrize("name", MODELS)
def test_a_training_batch_equals_embedding_one_by_one(made_model, name):
    """`forward` with shared images gives the vectors of `embed_query` and `embed_images`."""
    model, images = shaken(made_model(name)), pictures(3)
    source, target = torch.tensor([0, 0, 2]), torch.tensor([1, 2, 1])
    with torch.no_grad():
        queries, targets = model(images, source, target, model.read(CAPTIONS))
        assert close(queries, model.embed_query(images[source], CAPTIONS))
        assert close(targets, model.embed_images(images[target]))


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


def meta_step(config, vocabulary, train=True):
    """Forward and loss with all inputs and weights on `meta`; a tensor made on the CPU meanwhile is an error."""
    model = build_model(config, vocabulary).to("meta").train(train)
    size = 56 if config.image_encoder == "tiny" else 224
    images = torch.empty(5, 3, size, size, device="meta")
    pairs = torch.empty(4, dtype=torch.int64, device="meta")
    text = TextBatch(torch.empty(4, 6, dtype=torch.int64, device="meta"), torch.empty(4, 6, dtype=torch.bool, device="meta"))
    queries, targets = model(images, pairs, pairs, text)
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
        real = attention_module.sinusoidal_positions
        monkeypatch.setattr(attention_module, "sinusoidal_positions", lambda n, d, device: real(n, d, torch.device("cpu")))
    else:
        real = torch.arange
        monkeypatch.setattr("maaf_lab.training.fit.torch.arange", lambda n, device=None: real(n))
    with pytest.raises((RuntimeError, NotImplementedError)):
        meta_step(smoke(**{"model.positions": "sinusoidal" if where == "positions" else "none"}).model, css_vocabulary)
