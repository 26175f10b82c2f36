"""The profiles: what smoke, laptop and paper set, and a dataset on top of them (`Dataset.settings`).

They are defaults: a system takes what it reads.
"""

from __future__ import annotations

from typing import Any

from maaf_lab.arguments import checked
from maaf_lab.config import RunConfig
from maaf_lab.errors import ConfigError
from maaf_lab.utils.registry import DATASETS
from maaf_lab.utils.wording import did_you_mean

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
    # an image model that learned from other drawings and stays as it is: with 80 image tokens, a step is a quarter of a second
    "data.pixels": 64,
    "model.image_channels": (16, 16, 32, 64, 128),
    "model.map_sides": (16, 8, 4),
    "model.attention_dropout": 0.0,
    "train.batch_size": 32,
    "train.steps": 900,
    "train.learning_rate": 0.02,
    "train.image_learning_rate": 0.0,
    "train.schedule": "cosine",
    "train.warmup_steps": 100,
    "train.checkpoint_every": 200,
}
PROFILES: dict[str, dict[str, Any]] = {"paper": {}, "laptop": _LAPTOP, "smoke": _SMOKE}


@checked
def profile_config(profile: str, dataset: str, **changes: Any) -> RunConfig:
    """The settings of `profile` ("smoke", "laptop", "paper") for `dataset`, with dotted `changes` on top.

    A system takes those settings of the profile that it reads. Raises ConfigError for a change that is not read, an unknown
    profile or an unknown dataset.
    """
    if profile not in PROFILES:
        raise ConfigError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}{did_you_mean(profile, PROFILES)}")
    own = DATASETS[dataset].settings
    base = {**PROFILES[profile], **own.get("", {}), **own.get(profile, {})}
    return RunConfig.of({"profile": profile, "data.dataset": dataset, **base}, **changes)
