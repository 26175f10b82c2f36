"""MAAF: stack image and text tokens, attend, pool (paper section 2; every switch of Tables 2, S1, S2, S3).

Shapes: B batch, N image tokens of all resolutions, T words, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maaf_lab.config import ModelConfig
from maaf_lab.data.text import TextBatch, Vocabulary
from maaf_lab.models.base import Features, FusedTokens
from maaf_lab.models.layers.attention import AttentionRecord, FusionStack, Positions


class MAAF(FusedTokens):
    """Modality-Agnostic Attention Fusion: self-attention over the tokens of image and text together (section 2.1)."""

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.stack = FusionStack(config)
        self.positions = Positions(config.positions, sum(r * r for r in config.resolutions), config.width, config.dropout)

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, AttentionRecord | None]:
        words_BTD = self.text(text)
        image_BND = torch.cat(list(features.values()), 1)
        tokens = torch.cat([image_BND, words_BTD.to(image_BND.dtype)], 1)
        mask = torch.cat([text.mask.new_ones(image_BND.shape[:2]), text.mask], 1)
        tokens, weights = self.stack(self.positions(tokens), mask, return_attention)
        count = image_BND.shape[1]
        pooled = self._pool(features, tokens[:, :count], tokens[:, count:], text.mask)
        return pooled, self._record(features, weights, text) if return_attention else None

    def project(self, features: Features, return_attention: bool = False) -> tuple[Tensor, AttentionRecord | None]:
        tokens = torch.cat(list(features.values()), 1)
        if not self.config.image_through_attention:
            return self._pool(features, tokens, None, None), None
        tokens, weights = self.stack(self.positions(tokens), return_weights=return_attention)
        return self._pool(features, tokens, None, None), self._record(features, weights, None) if return_attention else None
