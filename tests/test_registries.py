"""A dataset, a system and an encoder of somebody else's: one file each, none of ours touched."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image as PILImage

from maaf_lab.errors import ConfigError
from maaf_lab.utils.registry import DATASETS, MODELS

MINE = '''
import json
from types import MappingProxyType

import torch

from maaf_lab.data.dataset import Dataset, Part
from maaf_lab.data.split import Image, Protocol, Query
from maaf_lab.models.base import TextVectorModel
from maaf_lab.models.encoders.image import ImageEncoder
from maaf_lab.errors import ConfigError
from maaf_lab.utils.registry import DATASETS, IMAGE_ENCODERS, MODELS


@DATASETS.register("squares")
class Squares(Dataset):
    """Squares of one color; a text names the color of the target."""

    key = "squares"
    title = "Squares"
    download = "images/ and triplets.json"
    protocol = Protocol(ks=(1, 5), relevant="an image of the target color")
    settings = MappingProxyType({"smoke": {"train.steps": 4, "train.batch_size": 8, "train.warmup_steps": 1}})
    modification_types = MappingProxyType({"color": frozenset({"red", "green", "blue"})})

    def annotations(self):
        return [self.root / "triplets.json"]

    def read(self, split):
        rows = json.loads((self.root / "triplets.json").read_text())[split]
        names = sorted({name for row in rows for name in (row["reference"], row["target"])})
        place = {name: i for i, name in enumerate(names)}
        images = [Image(name, self.root / "images" / name, name) for name in names]
        queries = [Query(place[r["reference"]], (r["text"],), r["target"], place[r["target"]]) for r in rows]
        return Part(images, queries, self.protocol)


@IMAGE_ENCODERS.register("mean_color")
class MeanColor(ImageEncoder):
    """The mean color of each cell, one map for every resolution."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(3))
        self.channels = {28: 3, 14: 3, 7: 3}

    def forward(self, images):
        pool = torch.nn.functional.adaptive_avg_pool2d
        return {side: pool(images, side) * self.scale[:, None, None] for side in (28, 14, 7)}


@MODELS.register("weighted_sum")
class WeightedSum(TextVectorModel):
    """The image's vector plus `share` times the text's."""

    class Config(TextVectorModel.Config):
        name: str = "weighted_sum"
        """The system."""
        share: float = 1.0
        """Weight of the text's vector."""

    def fuse(self, features, text, return_attention=False):
        return self.image_vector(features).float() + self.config.share * self.text_vector(text).float(), None
'''


@pytest.fixture
def theirs(tmp_path):
    """A folder with a module of somebody else's and data in a layout of its own."""
    (tmp_path / "their_module.py").write_text(MINE)
    images = tmp_path / "squares" / "images"
    images.mkdir(parents=True)
    colors = {"red": (200, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 200)}
    for name, color in colors.items():
        for i in range(8):
            shade = np.clip(np.array(color) + 5 * i, 0, 255).astype(np.uint8)
            PILImage.fromarray(np.tile(shade, (56, 56, 1))).save(images / f"{name}{i}.png")
    rows = [
        {"reference": f"{a}{i}.png", "text": f"make it {b}", "target": f"{b}{i}.png"}
        for i in range(8)
        for a in colors
        for b in colors
        if a != b
    ]
    (tmp_path / "squares" / "triplets.json").write_text(json.dumps({"train": rows, "test": rows[:12]}))
    return tmp_path


def lab(folder, *args):
    return started(folder, "-m", "maaf_lab", *args)


def started(folder, *args):
    return subprocess.run(
        [sys.executable, *map(str, args)],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_a_dataset_a_system_and_an_encoder_of_ones_own_train_in_smoke(theirs):
    asked = (
        "train",
        "--model=weighted_sum",
        "--dataset=squares",
        f"--data-root={theirs}",  # only what the lab draws has a folder squares-tiny
        f"--runs-root={theirs / 'runs'}",
        "--profile=smoke",
        "--set=model.image_encoder=mean_color",
        "--set=model.share=0.5",
    )
    done = lab(theirs, "--with", "their_module", *asked)
    assert done.returncode == 0, done.stderr
    folder = done.stdout.strip()
    assert re.search(r"squares-weighted_sum-\w{10}$", folder)
    with open(f"{folder}/config.json") as file:
        config = json.load(file)
    assert config["model"]["share"] == 0.5 and config["model"]["image_encoder"] == "mean_color"
    assert config["train"]["steps"] == 4, "what the dataset sets in this profile"
    with open(f"{folder}/metrics.json") as file:
        assert json.load(file)["queries"] == 12

    again = lab(theirs, "--with=their_module", "evaluate", folder, f"--data-root={theirs / 'squares'}")
    assert again.returncode == 0 and "12 queries" in again.stdout, again.stderr
    reference = theirs / "squares" / "images" / "red0.png"
    wanted = (f"--run={folder}", f"--image={reference}", f"--gallery={reference.parent}", "--text=make it blue", "--k=3")
    found = lab(theirs, "--with=their_module", "search", *wanted)
    assert found.returncode == 0 and len(found.stdout.splitlines()) == 3, found.stderr
    alone = lab(theirs, "search", *wanted)
    assert alone.returncode == 2 and "unknown system 'weighted_sum'" in alone.stderr
    assert "if it is yours, name its module: maaf-lab --with MODULE, or MAAF_LAB_MODULES" in alone.stderr

    refused = lab(theirs, "--with=their_module", *asked, "--set=model.blocks=2")
    assert refused.returncode == 2 and "weighted_sum has no such setting" in refused.stderr and "share" in refused.stderr
    unknown = lab(theirs, *asked)
    assert unknown.returncode == 2 and "unknown dataset 'squares'; known: css" in unknown.stderr
    lost = lab(theirs, "--with=nowhere", *asked)
    assert lost.returncode == 2 and "'nowhere' could not be imported" in lost.stderr and "Traceback" not in lost.stderr


IN_PYTHON = """
import sys

import their_module

from maaf_lab.errors import ConfigError
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.profiles import profile_config

changes = {"model.name": "weighted_sum", "train.steps": 2, "train.warmup_steps": 1}
config = profile_config("smoke", "squares", **changes, **{"model.share": 2})
run = train_and_evaluate(config, "squares", "runs", device="cpu", progress=False)
assert run.config == config and run.load_model().config.share == 2.0
try:
    profile_config("smoke", "squares", **changes, **{"model.blocks": 2})
except ConfigError as error:
    sys.exit(str(error))
"""


def test_they_are_trained_from_python_too(theirs):
    done = started(theirs, "-c", IN_PYTHON)
    assert done.returncode == 1 and "model.blocks: weighted_sum has no such setting; it reads " in done.stderr, done.stderr
    assert "share" in done.stderr


def test_a_name_of_the_labs_is_taken():
    with pytest.raises(ConfigError, match=r"system 'tirg' is maaf_lab\.models\.systems\.tirg:TIRG; take another name"):
        MODELS.register("tirg")(object)


def test_the_help_of_train_names_every_dataset_and_system(theirs):
    asked = lab(theirs, "--with=their_module", "train", "--help")
    told = set(re.findall(r"\w+", asked.stdout))
    assert asked.returncode == 0 and {*DATASETS, *MODELS} <= told
