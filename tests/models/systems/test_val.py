"""VAL starts as a gated reference; its attention, and that of locally bounded features."""

import pytest
import torch

from maaf_lab.config import model_config
from maaf_lab.data.text import TextBatch
from maaf_lab.errors import ConfigError


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


def test_val_starts_as_a_gated_reference(made_model):
    model = made_model("val")
    assert [c.self_weight.item() for c in model.composers.values()] == [0.0] * 3
    features = model.encode(torch.randn(1, 3, 56, 56))
    vector = model.project(features)[0][0]
    for start, stop in ((0, 11), (11, 22), (22, 32)):  # 32 over three depths: cosines are their mean, each of length 1
        assert vector[start:stop].norm().item() == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="made for maps of 784 regions, found 24x24"):
        model.embed_query(torch.randn(1, 3, 48, 48), TextBatch(torch.ones(1, 1).long(), torch.ones(1, 1).bool()))


def test_vals_gates_take_the_sides_of_the_maps(made_model):
    model = made_model("val", **{"model.map_sides": (24, 12, 6)})
    assert [c.place_gate.in_features for c in model.composers.values()] == [576, 144, 36]
    assert model.embed_query(torch.randn(2, 3, 48, 48), ["add cube", "remove"]).shape == (2, 32)
    with pytest.raises(ConfigError, match=r"map_sides: expected 3 sides, one a depth; found \[28, 14\]"):
        model_config("val", map_sides=(28, 14))
