"""Text encoders: word ids to one token per word (paper sections 2 and 3.2.3; Table 5 compares them).

Shapes: B batch, T words, E width of a word embedding, D width.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from maaf_lab.config import Layers, ModelConfig, Share, Switch, Width, name_in
from maaf_lab.data.text import TextBatch, Vocabulary
from maaf_lab.errors import ConfigError
from maaf_lab.models.encoders.word_vectors import WordVectors, word_vectors
from maaf_lab.models.layers.attention import FusionBlock, LayerNorm, sinusoidal_positions, xavier
from maaf_lab.utils.registry import TEXT_ENCODERS


class WordConfig(ModelConfig):
    """The settings of word embeddings, and of an LSTM after them."""

    reads_text: ClassVar[bool] = True

    text_width: Width = 512
    """Width of word embedding and LSTM state."""
    text_dropout: Share = 0.1
    """Dropout on the LSTM's outputs and in the transformer."""
    word_vectors: str = "none"
    """Start of the word embeddings: "none" (random), "glove" (the [pretrained] extra's, 50 wide), or a file in GloVe's format."""
    word_width: Annotated[int, Field(ge=0, le=8192)] = 0
    """Width of the word embedding; 0 means `text_width`. Word vectors have their own."""
    freeze_text: Switch = False
    """Word embeddings (for BERT: all weights) are not trained."""

    def read(self) -> frozenset[str]:
        return super().read() - (set() if self.word_vectors == "none" else {"word_width"})


class TextConfig(WordConfig):
    """The settings of a system with a text encoder; the encoder's `reads` names those that it uses."""

    text_encoder: Annotated[str, name_in(TEXT_ENCODERS)] = "lstm"
    """"lstm", "embedding", "linear", "transformer", "bert" (Table 5), or a registered one."""
    text_layers: Layers = 1
    """Layers of the LSTM or the transformer."""
    text_projection: Switch = True
    """A linear layer with dropout after the LSTM, as in the authors' code; the paper has none."""
    layer_norm: Literal["code", "standard"] = "code"
    """"code": unbiased deviation + 1e-6, as in the authors' code; "standard"."""
    bert: str = "bert-base-uncased"
    """"bert-base-uncased" (transformers' cache or hub), "minilm" (small, from a package), a folder, or "none" (from scratch)."""

    def read(self) -> frozenset[str]:
        return super().read() - TEXT_OPTIONS | TEXT_ENCODERS[self.text_encoder].reads(self)


TEXT_OPTIONS = frozenset({*TextConfig.model_fields} - {*ModelConfig.model_fields, "text_encoder"})


class TextEncoder(nn.Module):
    """Base of all text encoders."""

    @classmethod
    def reads(cls, config: TextConfig) -> set[str]:
        """The settings that it reads besides `text_encoder` and `width`; they may depend on others of `config`."""
        return set()

    @classmethod
    def vocabulary_of(cls, config: TextConfig, texts: Iterable[str]) -> Any:
        """Its vocabulary: the words of the training texts."""
        return Vocabulary.build(texts)


class WordText(TextEncoder):
    """Encoders that begin with an embedding of each word, which starts at random or from word vectors.

    vectors: the word vectors that the embedding started from; None where it started at random or was loaded from a run.
    """

    def __init__(self, config: WordConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vectors: WordVectors | None = None
        if config.word_vectors == "none":
            self.embedding = nn.Embedding(len(vocabulary), self.fresh_width(config))
        else:
            self.vectors = word_vectors(config.word_vectors, vocabulary.words)
            self.embedding = nn.Embedding.from_pretrained(self.vectors.matrix, freeze=False)
        self.embedding.weight.requires_grad_(not config.freeze_text)
        self.word_width = self.embedding.embedding_dim

    @staticmethod
    def fresh_width(config: WordConfig) -> int:
        """E without word vectors."""
        return config.word_width or config.text_width

    @classmethod
    def reads(cls, config: TextConfig) -> set[str]:
        return {"word_vectors", "freeze_text"} | ({"word_width"} if config.word_vectors == "none" else set())


class EmbeddingText(WordText):
    """A word's embedding is its token: a bag of words (Table 5's "Embedding Layer"). E is D."""

    def __init__(self, config: TextConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        if self.word_width != config.width:
            raise ConfigError(
                f'text_encoder "embedding": expected words as wide as the tokens ({config.width}), found {self.word_width}; '
                'use "linear", which maps one to the other'
            )

    @staticmethod
    def fresh_width(config: TextConfig) -> int:
        return config.width

    @classmethod
    def reads(cls, config: TextConfig) -> set[str]:
        return super().reads(config) - {"word_width"}

    def forward(self, text: TextBatch) -> Tensor:
        """-> tokens (B, T, D); those of padding must be masked."""
        return self.embedding(text.ids)


class LinearText(WordText):
    """A linear map of each word's embedding (Table 5's "Linear Layer with GLOVE"): E -> D."""

    def __init__(self, config: TextConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.project = nn.Linear(self.word_width, config.width)

    @classmethod
    def reads(cls, config: TextConfig) -> set[str]:
        own = {"text_width"} if config.word_vectors == "none" and not config.word_width else set()
        return super().reads(config) | own

    def forward(self, text: TextBatch) -> Tensor:
        """-> tokens (B, T, D); those of padding must be masked."""
        return self.project(self.embedding(text.ids))


class LstmText(WordText):
    """Embedding, LSTM, then (authors' code) dropout and a linear map on each output: one token per word.

    Padding comes after the words and the LSTM reads from left to right, so padding changes no word's token.
    """

    def __init__(self, config: TextConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.lstm = nn.LSTM(self.word_width, config.text_width, config.text_layers, batch_first=True)
        self.project: nn.Module
        if config.text_projection:
            self.project = nn.Sequential(nn.Dropout(config.text_dropout), nn.Linear(config.text_width, config.width))
        elif config.text_width == config.width:
            self.project = nn.Identity()
        else:
            self.project = nn.Linear(config.text_width, config.width)

    @classmethod
    def reads(cls, config: TextConfig) -> set[str]:
        own = {"text_width", "text_layers", "text_projection"}
        return super().reads(config) | own | ({"text_dropout"} if config.text_projection else set())

    def forward(self, text: TextBatch) -> Tensor:
        """-> tokens (B, T, D); those of padding must be masked."""
        return self.project(read_in_order(self.lstm, self.embedding(text.ids)))


class TransformerText(WordText):
    """Embedding, sinusoidal positions, then `text_layers` self-attention blocks with one head and a final norm (authors' code).

    The blocks are those of the fusion, D wide in their feed-forward part too. Where E is not D, a linear map comes first.
    """

    def __init__(self, config: TextConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.widen = nn.Identity() if self.word_width == config.width else nn.Linear(self.word_width, config.width)
        self.dropout = nn.Dropout(config.text_dropout)
        self.blocks = nn.ModuleList(
            FusionBlock(config.width, 1, config.width, "softmax", config.layer_norm, config.text_dropout)
            for _ in range(config.text_layers)
        )
        self.norm = LayerNorm(config.width, config.layer_norm)
        xavier(self.blocks)

    @staticmethod
    def fresh_width(config: TextConfig) -> int:
        return config.word_width or config.width

    @classmethod
    def reads(cls, config: TextConfig) -> set[str]:
        return super().reads(config) | {"text_layers", "text_dropout", "layer_norm"}

    def forward(self, text: TextBatch) -> Tensor:
        """-> tokens (B, T, D); those of padding must be masked."""
        words = self.widen(self.embedding(text.ids))
        x = self.dropout(words + sinusoidal_positions(words.shape[1], words.shape[2], words.device).to(words.dtype))
        for block in self.blocks:
            x, _ = block(x, text.mask)
        return self.norm(x)


def read_in_order(lstm: nn.LSTM, inputs_BTE: Tensor) -> Tensor:
    """The LSTM's states (B, T, S), on a CPU always in float32: PyTorch has no bf16 LSTM for training there."""
    if inputs_BTE.device.type != "cpu":
        return lstm(inputs_BTE)[0]
    with torch.autocast("cpu", enabled=False):
        return lstm(inputs_BTE.to(lstm.weight_ih_l0.dtype))[0]


def last_token(tokens_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """The token of each caption's last word -> (B, D); zeros for an empty caption."""
    last = (mask_BT.sum(1) - 1).clamp_min(0)
    picked = tokens_BTD.gather(1, last[:, None, None].expand(-1, 1, tokens_BTD.shape[-1])).squeeze(1)
    return picked * mask_BT.any(1, keepdim=True)
