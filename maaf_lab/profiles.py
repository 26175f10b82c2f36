"""The profiles: what smoke, laptop and paper set for each dataset. They are defaults: a system takes what it reads."""

from __future__ import annotations

from typing import Any

from maaf_lab.config import RunConfig
from maaf_lab.errors import ConfigError

_CSS_MODEL = {"model.resolutions": (7,), "model.blocks": 1}  # section 3.1: block 4 only, one attention block
_CROPS = {"data.transform": "crops"}
_SMALL = {"data.pixels": 56, "model.image_encoder": "tiny", "model.image_weights": "none"}
_SMOKE = {
    **_SMALL,
    "model.image_channels": (8, 16, 16, 32),
    "model.width": 32,
    "model.text_width": 32,
    "model.feedforward": 64,
    "model.heads": 4,
    "train.steps": 30,
    "train.batch_size": 16,
    "train.image_learning_rate": 0.01,
    "train.schedule": "cosine",
    "train.warmup_steps": 5,
    "train.checkpoint_every": 10,
    "train.log_every": 5,
}
_LAPTOP = {
    **_SMALL,
    "model.width": 128,
    "model.text_width": 128,
    "model.feedforward": 256,
    "model.heads": 8,
    "train.steps": 600,
    "train.batch_size": 96,
    "train.learning_rate": 0.02,
    "train.image_learning_rate": 0.02,
    "train.schedule": "cosine",
    "train.warmup_steps": 100,
    "train.checkpoint_every": 200,
}
# 245 image tokens: the paper's batches of 32, attention without its weights and 300 steps are what a core does in minutes.
_LAPTOP_TOKENS = {**_LAPTOP, "model.attention_dropout": 0.0, "train.batch_size": 32, "train.steps": 300}
# What each dataset asks of every profile: transforms and batches as in the authors' code.
_CSS_BATCHES = {"train.group_size": 4}  # groups of queries that share a reference: the hard negatives
_FASHION_IQ = {**_CROPS, "train.single_category": True}
_MIT_STATES = {"train.group_size": 2}  # a draw holds two queries of each reference

PROFILES: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "css": {**_CSS_MODEL, **_CSS_BATCHES, "train.steps": 75_000, "train.image_learning_rate": 0.01},
        "fashion_iq": _FASHION_IQ,
        "fashion200k": {},
        "mit_states": {**_MIT_STATES, "model.feedforward": 32, "model.blocks": 1},  # the authors' script; the paper is silent
        "birds_to_words": {**_CROPS, "train.steps": 30_000},  # section 3.3; the authors' script: 50,000, decay every 10,000
        "spot_the_diff": {**_CROPS, "train.steps": 90_000, "train.decay_every": 30_000},  # the authors' script
    },
    "laptop": {
        "css": {**_CSS_MODEL, **_LAPTOP, **_CSS_BATCHES},
        "fashion_iq": {**_LAPTOP_TOKENS, **_FASHION_IQ},
        "fashion200k": _LAPTOP_TOKENS,
        "mit_states": {**_LAPTOP_TOKENS, **_MIT_STATES},
        "birds_to_words": {**_LAPTOP_TOKENS, **_CROPS},
        "spot_the_diff": {**_LAPTOP_TOKENS, **_CROPS},
    },
    "smoke": {
        "css": {**_CSS_MODEL, **_SMOKE, **_CSS_BATCHES},
        "fashion_iq": {**_SMOKE, **_FASHION_IQ},
        "fashion200k": _SMOKE,
        "mit_states": {**_SMOKE, **_MIT_STATES},
        "birds_to_words": {**_SMOKE, **_CROPS},
        "spot_the_diff": {**_SMOKE, **_CROPS},
    },
}
for _variant in ("css2d", "css2d3d"):  # read from CSS's folder; trained as CSS is
    for _profile in PROFILES.values():
        _profile[_variant] = _profile["css"]


def profile_config(profile: str, dataset: str, **changes: Any) -> RunConfig:
    """The settings of `profile` ("smoke", "laptop", "paper") for `dataset`, with dotted `changes` on top.

    Of the profile a system takes what it reads; a change that is not read is a ConfigError, as are unknown profiles and datasets.
    """
    if profile not in PROFILES:
        raise ConfigError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}")
    if dataset not in PROFILES[profile]:
        raise ConfigError(f"profile {profile!r} knows no dataset {dataset!r}; known: {', '.join(PROFILES[profile])}")
    return RunConfig.of({"profile": profile, "data.dataset": dataset, **PROFILES[profile][dataset]}, **changes)
