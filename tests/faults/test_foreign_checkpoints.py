"""Checkpoints of the authors' programs as people saved them again, and such as ask for what no file should get."""

import argparse
import pathlib
from functools import cache

import numpy as np
import torch
from faults.battery import ERROR, WORKS, faults

import maaf_lab
from maaf_lab.config import model_config
from maaf_lab.data.text import Vocabulary
from maaf_lab.models.registry import build_model

OPTIONS = {"model": "imgonly", "embed_dim": 16, "image_model_arch": "resnet18", "text_model_arch": "lstm"}


@cache
def tensors():
    """An image-only model under the program's names."""
    torch.manual_seed(0)
    model = build_model(model_config("image_only", image_encoder="resnet18", image_weights="none", width=16), Vocabulary(()))
    state = {"normalization_layer.norm_s": model.log_scale.detach().exp().reshape(1)}
    for name, value in model.state_dict().items():
        first, *rest = name.split(".")
        if first == "backbone":
            inside = [("conv1", "bn1")[int(rest[1])], *rest[2:]] if rest[0] == "stem" else rest
            state[".".join(("img_model.model", *inside))] = value
        elif first == "image_map":
            state[f"img_model.model.fc.0.{rest[0]}"] = value
    return model.state_dict(), state


def read(options=(), change=dict, **beside):
    """Read a checkpoint with these options and values beside the weights, whose tensors are change(state)."""

    def how(lab):
        wanted, state = tensors()
        opt = argparse.Namespace(**{**OPTIONS, **dict(options)})
        torch.save({"it": 10, "opt": opt, "model_state_dict": change(state), **beside}, lab.folder / "checkpoint.pth")
        made = maaf_lab.load_foreign_checkpoint(lab.folder / "checkpoint.pth", ["is red"]).state_dict()
        assert all(torch.equal(made[name].half(), value.half()) for name, value in wanted.items())

    return how


def with_module(state):
    return {name.replace("img_model.", "img_model.module."): value for name, value in state.items()}


def with_nan(state):
    return {name: value * float("nan") if "fc" in name else value for name, value in state.items()}


class Bomb:
    """A pickle of 60 bytes that numpy would make 2 GB of."""

    def __reduce__(self):
        return np._core.multiarray.scalar, (np.dtype(("V", 2_000_000_000)), b"x")


MAAF = {"model": "sequence_concat_attention"}


@faults(
    ("as it was written", WORKS, read()),
    ("module. before all names", WORKS, read(change=lambda s: {f"module.{name}": value for name, value in s.items()})),
    ("module. in the middle of names", WORKS, read(change=with_module)),
    (
        "both, with different numbers",
        ERROR("twice, with different numbers"),
        read(change=lambda s: s | {"module." + n: v + 1 for n, v in s.items()}),
    ),
    (
        "numpy's numbers beside the weights",
        WORKS,
        read(it=np.int64(3), best=np.float64(0.4), on=np.bool_(True), name=np.str_("a")),
    ),
    ("numpy's numbers in the options", WORKS, read({"embed_dim": np.int64(16), "dropout_rate": np.float32(0.5)})),
    ("paths in the options", WORKS, read({"dataset_path": pathlib.PosixPath("data/fiq")})),
    ("a device and a type in the options", WORKS, read({"device": torch.device("cuda:0"), "dtype": torch.float16})),
    ("half precision", WORKS, read(change=lambda s: {name: v.half() if v.is_floating_point() else v for name, v in s.items()})),
    ("NaN", ERROR("expected finite weights, found NaN"), read(change=with_nan)),
    ("a numpy value of 2 GB", ERROR("cannot be read as a checkpoint"), read(bomb=Bomb())),
    (
        "10^9 blocks",
        ERROR(r"model\.blocks: expected .*at most 100; found 1000000000"),
        read({**MAAF, "number_attention_blocks": 10**9}),
    ),
    (
        "100 blocks of the greatest width",
        ERROR(r"checkpoint\.pth"),
        read({**MAAF, "number_attention_blocks": 100, "embed_dim": 8192}),
    ),
    ("a width of 10^9", ERROR(r"model\.width: expected"), read({"embed_dim": 10**9})),
    ("a width in words", ERROR(r"opt\.embed_dim: expected a whole number, found 'wide'"), read({"embed_dim": "wide"})),
    ("no width", ERROR(r"opt\.embed_dim: expected a whole number"), read({"embed_dim": None})),
    ("half a width", ERROR(r"opt\.embed_dim: expected a whole number"), read({"embed_dim": 16.5})),
    ("an infinite dropout", ERROR(r"model\.dropout"), read({**MAAF, "dropout_rate": float("inf")})),
    ("layers of infinity", ERROR(r"opt\.text_model_layers"), read({**MAAF, "text_model_layers": float("inf")})),
    ("a system that is a list", ERROR(r"opt\.model: this lab reads"), read({"model": ["imgonly"]})),
    ("rare words in words", ERROR(r"opt\.threshold_rare_words"), read({"threshold_rare_words": "few"})),
)
def test_foreign_checkpoints(fault, lab):
    fault(lab)
