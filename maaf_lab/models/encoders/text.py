"""Text encoders: word ids to one token a word (paper sections 2 and 3.2.3; Table 5 compares them).

Shapes: B batch, T words, E width of a word embedding, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maaf_lab.config import ModelConfig
from maaf_lab.data.text import TextBatch, Vocabulary
from maaf_lab.errors import ConfigError
from maaf_lab.models.encoders.bert import BertText
from maaf_lab.models.encoders.word_vectors import WordVectors, word_vectors
from maaf_lab.models.layers.attention import FusionBlock, LayerNorm, sinusoidal_positions, xavier


class WordText(nn.Module):
    """Encoders that begin with an embedding of each word, at random or from word vectors.

    `vectors` says where the embedding started and which words had no vector there (None where it started at random, or came
    back from a saved run).
    """

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vectors: WordVectors | None = None
        if config.word_vectors == "none":
            self.embedding = nn.Embedding(len(vocabulary), config.word_width or self.usual_width(config))
        else:
            self.vectors = word_vectors(config.word_vectors, vocabulary.words)
            self.embedding = nn.Embedding.from_pretrained(self.vectors.matrix, freeze=False)
        self.embedding.weight.requires_grad_(not config.freeze_text)
        self.word_width = self.embedding.embedding_dim

    @staticmethod
    def usual_width(config: ModelConfig) -> int:
        """E where neither `word_width` nor word vectors set it."""
        return config.text_width


class EmbeddingText(WordText):
    """A word's embedding is its token: a bag of words ("Embedding Layer"). E is D."""

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        if self.word_width != config.width:
            raise ConfigError(
                f'text_encoder "embedding": expected words as wide as the tokens ({config.width}), found {self.word_width}; '
                'use "linear", which maps one onto the other'
            )

    @staticmethod
    def usual_width(config: ModelConfig) -> int:
        return config.width

    def forward(self, text: TextBatch) -> Tensor:
        """-> tokens (B, T, D); what stands at padding is to be masked."""
        return self.embedding(text.ids)


class LinearText(WordText):
    """A linear map of each word's embedding ("Linear Layer with GLOVE"): E -> D."""

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.project = nn.Linear(self.word_width, config.width)

    def forward(self, text: TextBatch) -> Tensor:
        """-> tokens (B, T, D); what stands at padding is to be masked."""
        return self.project(self.embedding(text.ids))


class LstmText(WordText):
    """Embedding, LSTM, then (authors' code) dropout and a linear map on each output: one token a word.

    Padding stands on the right and the LSTM reads left to right, so it cannot reach a real word.
    """

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.lstm = nn.LSTM(self.word_width, config.text_width, config.text_layers, batch_first=True)
        self.project: nn.Module
        if config.text_projection:
            self.project = nn.Sequential(nn.Dropout(config.text_dropout), nn.Linear(config.text_width, config.width))
        elif config.text_width == config.width:
            self.project = nn.Identity()
        else:
            self.project = nn.Linear(config.text_width, config.width)

    def forward(self, text: TextBatch) -> Tensor:
        """-> tokens (B, T, D); what stands at padding is to be masked."""
        return self.project(read_in_order(self.lstm, self.embedding(text.ids)))


class TransformerText(WordText):
    """Embedding, sinusoidal positions, then `text_layers` self-attention blocks with one head and a final norm (authors' code).

    The block is the fusion's own, D wide in its feed-forward part too. A linear map stands before it where E is not D.
    """

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
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
    def usual_width(config: ModelConfig) -> int:
        return config.width

    def forward(self, text: TextBatch) -> Tensor:
        """-> tokens (B, T, D); what stands at padding is to be masked."""
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


TEXT_ENCODERS: dict[str, type[nn.Module]] = {
    "lstm": LstmText,
    "embedding": EmbeddingText,
    "linear": LinearText,
    "transformer": TransformerText,
    "bert": BertText,
}
