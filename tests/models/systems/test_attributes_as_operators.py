"""Attributes as operators against their formula."""

import torch


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
