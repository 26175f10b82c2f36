"""Odd values of settings and options."""

import pytest
from faults.battery import ERROR, WORKS, faults


def setting(text, says=""):
    expected = ERROR(says or text.partition("=")[0])
    return text[:60], expected, lambda lab: lab.train("--set", text, model="maaf")


def without_compiler(lab):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(lab.folder))
        patch.delenv("CXX", raising=False)
        patch.setattr("maaf_lab.data.registry.load", None)  # nothing slow comes first
        return lab.train("--set", "train.compile=true")


@faults(
    *map(
        setting,
        (
            "model.resolutions=7",
            "model.image_channels=8",
            "model.image_channels=5",
            "model.image_channels=[8,16,16,-3]",
            'model.image_channels=["a"]',
            "model.scale=abc",
            "model.scale=NaN",
            "model.width=32.0",
            "model.width=" + "[" * 3000,
            "model.blocks=1.5",
            "model.text_layers=1.5",
            "model.word_vectors=5",
            "train.batch_size=abc",
            "train.batch_size=16.0",
            "train.checkpoint_every=2.5",
            "data.pixels=56.5",
            "train.learning_rate=" + "9" * 70,
        ),
    ),
    setting("train.momentum=1"),
    ("train.compile without a compiler", ERROR("C\\+\\+ compiler"), lambda lab: without_compiler(lab)),
    ("train.compile and recompute", ERROR("Leave one out"), lambda lab: lab.train("--set", "train.compile=true", "--recompute")),
    setting("model.word_vectors=" + "x" * 5000, "path"),
    ("no equals sign", ERROR("name=value"), lambda lab: lab.train("--set", "model.heads")),
    ("a setting twice", ERROR("heads: given twice"), lambda lab: lab.train("--set", "model.heads=2", "--set", "model.heads=4")),
    ("an unknown part", ERROR("unknown part"), lambda lab: lab.train("--set", "modle.heads=3")),
    ("the same command again", WORKS, lambda lab: (lab.train(), lab.train())[1]),
)
def test_settings(fault, lab):
    fault(lab)
