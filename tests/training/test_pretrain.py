"""Pretraining the small image encoder on drawings, and its weights in a run."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from maaf_lab.config import model_config
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.models.encoders import image
from maaf_lab.models.encoders.image import DRAWN, build_image_encoder
from maaf_lab.training import pretrain as module
from maaf_lab.training.pretrain import KINDS, pretrain


def encoder(weights, channels=(16, 32, 64, 128)):
    return build_image_encoder(
        model_config("image_only", image_encoder="tiny", image_weights=str(weights), image_channels=channels)
    )


@pytest.fixture
def few(monkeypatch, cores):
    cores(1)
    monkeypatch.setattr(module, "_HELD_OUT", 16)
    monkeypatch.setattr(module, "_WARMUP", 2)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_learned_and_read_again(kind, few, tmp_path):
    told = pretrain(kind, tmp_path / "w.safetensors", pictures=48, steps=3, progress=False)
    assert set(told["accuracy"]) == ({"7"} if kind in ("scenes", "cells") else {"7", "14"})
    assert all(0 <= percent <= 100 for of_map in told["accuracy"].values() for percent in of_map.values())
    net = encoder(tmp_path / "w.safetensors", tuple(told["channels"]))
    state = load_file(tmp_path / "w.safetensors")
    assert all(torch.equal(tensor, state[name].to(tensor.dtype)) for name, tensor in net.state_dict().items())


def test_more_steps_tell_more(few, tmp_path):
    def mean(steps):
        found = pretrain("birds", tmp_path / "w", pictures=400, steps=steps, progress=False)["accuracy"]["7"]
        return sum(found.values()) / len(found)

    assert mean(60) > mean(1) + 5


def test_the_same_settings_give_the_same_bytes(few, tmp_path):
    for name in "ab":
        pretrain("scenes", tmp_path / name, pictures=40, steps=2, progress=False)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_cannot_be_pretrained_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"expected scenes, cells, .*; found 'scene'. Did you mean 'scenes'"):
        pretrain("scene", tmp_path / "w")
    with pytest.raises(ConfigError, match="at least 2,000 pictures, 1,000 are held out; found 1,500"):
        pretrain("scenes", tmp_path / "w", pictures=1_500)


@pytest.mark.parametrize("name", DRAWN)
def test_the_lab_ships_the_weights_that_it_names(name):
    kind = KINDS[name.rpartition("-")[0]]
    torch.manual_seed(0)
    net, fresh = encoder(name, kind.channels), encoder("none", kind.channels)
    assert not torch.equal(net.stage3[0].path[0].weight, fresh.stage3[0].path[0].weight)


@pytest.mark.parametrize("content", [[1, 2], {"stem.0.weight": "text"}, torch.zeros(3)], ids=str)
def test_a_file_of_other_things_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(DataError, match=r"tiny: expected a dictionary of weights in .*w.pt, which cannot be read as one"):
        encoder(tmp_path / "w.pt")


def test_weights_of_other_widths_are_refused():
    with pytest.raises(ConfigError, match=r"image_channels: expected \[16, 32, 64, 128\], the widths of scenes-v1; found \[8, "):
        encoder("scenes-v1", (8, 16, 16, 32))
    shipped = Path(image.__file__).parents[2] / "pretrained" / "images" / "scenes-v1.safetensors"
    with pytest.raises(DataError, match=r"expected the weights of a tiny encoder of \[8, 16, 16, 32\] channels, found those of"):
        encoder(shipped, (8, 16, 16, 32))
    with pytest.raises(DataError, match="expected a weights file at scene-v1, found none"):
        encoder("scene-v1")
    with pytest.raises(ConfigError, match="has no ImageNet weights: expected 'scenes-v1'"):
        encoder("imagenet")
