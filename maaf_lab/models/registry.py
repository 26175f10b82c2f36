"""From settings to a model: its vocabulary, and the system with fresh weights (`utils.registry` has the names)."""

from __future__ import annotations

from collections.abc import Iterable

from maaf_lab.config import ModelConfig
from maaf_lab.data.text import Vocabulary, WordPieces
from maaf_lab.models.base import ComposedModel
from maaf_lab.utils.registry import MODELS, TEXT_ENCODERS


def build_vocabulary(config: ModelConfig, texts: Iterable[str]) -> Vocabulary | WordPieces:
    """The vocabulary of `config`'s text encoder: the words of the training texts, or BERT's own word pieces."""
    encoder = getattr(config, "text_encoder", None)  # a system without one reads words or no text
    return Vocabulary.build(texts) if encoder is None else TEXT_ENCODERS[encoder].vocabulary_of(config, texts)


def build_model(config: ModelConfig, vocabulary: Vocabulary | WordPieces) -> ComposedModel:
    """The system that `config` names, with fresh weights from torch's random state."""
    return MODELS[config.name](config, vocabulary)
