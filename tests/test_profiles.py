"""Profiles: defaults of which a system takes what it reads."""

import json
from itertools import product

import pytest

from maaf_lab.config import RunConfig
from maaf_lab.errors import ConfigError
from maaf_lab.paper.tables import TABLES
from maaf_lab.profiles import profile_config
from maaf_lab.utils.registry import MODELS


def test_a_profile_is_a_default():
    """What a profile says and a system does not read is left out, and has no part in the run's name."""
    tirg = profile_config("laptop", "fashion_iq", **{"model.name": "tirg"})
    assert not {"blocks", "heads", "attention_dropout", "resolutions"} & set(tirg.to_dict()["model"])
    assert "decay_every" not in tirg.to_dict()["train"]
    for profile in ("smoke", "laptop", "paper"):
        for dataset in ("css", "fashion_iq", "mit_states"):
            for name in MODELS:
                config = profile_config(profile, dataset, **{"model.name": name})
                assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_profiles_know_every_dataset():
    for profile, dataset in product(("smoke", "laptop", "paper"), {d for t in TABLES.values() for d in t.datasets}):
        assert profile_config(profile, dataset).data.dataset == dataset


def test_profiles_of_css():
    assert profile_config("paper", "css").train.steps == 75_000 and profile_config("paper", "css").model.resolutions == (7,)
    assert profile_config("laptop", "css").model.image_encoder == "tiny"
    assert profile_config("laptop", "css").model.image_weights == "scenes-v1"
    for flat in ("css2d", "css2d3d"):  # the image model of rendered scenes is not theirs
        config = profile_config("laptop", flat)
        assert (config.model.image_weights, config.train.image_learning_rate, config.train.steps) == ("none", 0.02, 600)
    with pytest.raises(ConfigError, match="unknown dataset 'mnist'; known: css"):
        profile_config("smoke", "mnist")
