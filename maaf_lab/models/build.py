"""The registry: a system's key to its class. A new system is one file beside this one and one line here."""

from __future__ import annotations

from maaf_lab.config import ModelConfig
from maaf_lab.data.text import Vocabulary
from maaf_lab.errors import ConfigError
from maaf_lab.models.base import ComposedModel
from maaf_lab.models.maaf import MAAF
from maaf_lab.models.single import ImageOnly, TextOnly
from maaf_lab.models.text import TEXT_ENCODERS
from maaf_lab.models.tirg import TIRG

MODELS: dict[str, type[ComposedModel]] = {"maaf": MAAF, "tirg": TIRG, "image_only": ImageOnly, "text_only": TextOnly}


def build_model(config: ModelConfig, vocabulary: Vocabulary) -> ComposedModel:
    """The system that `config` names, with fresh weights from torch's random state. Unknown keys list the known ones."""
    if config.name not in MODELS:
        raise ConfigError(f"unknown model {config.name!r}; known: {', '.join(MODELS)}")
    if config.text_encoder not in TEXT_ENCODERS:
        raise ConfigError(f"unknown text encoder {config.text_encoder!r}; known: {', '.join(TEXT_ENCODERS)}")
    return MODELS[config.name](config, vocabulary)
