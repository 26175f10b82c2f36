"""Baselines leave out what they do not look at."""

import torch
from oracles import CAPTIONS, close, pictures


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
