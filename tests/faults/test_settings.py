"""Odd values of settings and options."""

from faults.battery import ERROR, WORKS, faults


def setting(text, says=""):
    expected = ERROR(says or text.partition("=")[0])
    return text[:60], expected, lambda lab: lab.train("--set", text, model="maaf")


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
    setting("model.word_vectors=" + "x" * 5000, "path"),
    ("no equals sign", ERROR("name=value"), lambda lab: lab.train("--set", "model.heads")),
    ("an unknown part", ERROR("unknown part"), lambda lab: lab.train("--set", "modle.heads=3")),
    ("the same command again", WORKS, lambda lab: (lab.train(), lab.train())[1]),
)
def test_settings(fault, lab):
    fault(lab)
