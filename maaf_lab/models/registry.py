"""The registry: a system's key to its class. A new system is one file beside this one and one line here."""

from __future__ import annotations

from collections.abc import Iterable

from maaf_lab.config import ModelConfig
from maaf_lab.data.text import Vocabulary, WordPieces
from maaf_lab.errors import ConfigError
from maaf_lab.models.base import ComposedModel
from maaf_lab.models.encoders.bert import word_pieces
from maaf_lab.models.encoders.text import TEXT_ENCODERS
from maaf_lab.models.systems.attributes_as_operators import AttributesAsOperators
from maaf_lab.models.systems.baselines import Addition, Concat, ImageOnly, TextOnly
from maaf_lab.models.systems.film import FiLM
from maaf_lab.models.systems.locally_bounded import LocallyBounded
from maaf_lab.models.systems.maaf import MAAF
from maaf_lab.models.systems.parameter_hashing import ParameterHashing
from maaf_lab.models.systems.relationship import Relationship
from maaf_lab.models.systems.show_and_tell import ShowAndTell
from maaf_lab.models.systems.tirg import TIRG, TIRGLastConv
from maaf_lab.models.systems.two_stream import TwoStream
from maaf_lab.models.systems.val import VAL

MODELS: dict[str, type[ComposedModel]] = {
    "maaf": MAAF,
    "two_stream": TwoStream,
    "tirg": TIRG,
    "tirg_last_conv": TIRGLastConv,
    "image_only": ImageOnly,
    "text_only": TextOnly,
    "concat": Concat,
    "addition": Addition,
    "show_and_tell": ShowAndTell,
    "parameter_hashing": ParameterHashing,
    "relationship": Relationship,
    "film": FiLM,
    "attributes_as_operators": AttributesAsOperators,
    "locally_bounded": LocallyBounded,
    "val": VAL,
}


def _check(config: ModelConfig) -> None:
    if config.name not in MODELS:
        raise ConfigError(f"unknown model {config.name!r}; known: {', '.join(MODELS)}")
    if config.text_encoder not in TEXT_ENCODERS:
        raise ConfigError(f"unknown text encoder {config.text_encoder!r}; known: {', '.join(TEXT_ENCODERS)}")


def build_vocabulary(config: ModelConfig, texts: Iterable[str]) -> Vocabulary | WordPieces:
    """What `config`'s text encoder reads: the words of the training texts, or BERT's own pieces."""
    _check(config)
    return word_pieces(config.bert) if config.text_encoder == "bert" else Vocabulary.build(texts)


def build_model(config: ModelConfig, vocabulary: Vocabulary | WordPieces) -> ComposedModel:
    """The system that `config` names, with fresh weights from torch's random state. Unknown keys list the known ones."""
    _check(config)
    return MODELS[config.name](config, vocabulary)
