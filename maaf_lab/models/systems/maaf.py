"""MAAF: stack image and text tokens, attend, pool (paper section 2; every switch of Tables 2, S1, S2, S3).

Shapes: B batch, N image tokens of all resolutions, T words, D width.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import AfterValidator
from torch import Tensor

from maaf_lab.config import CountList, Switch
from maaf_lab.data.text import TextBatch, Vocabulary
from maaf_lab.errors import ConfigError
from maaf_lab.models.base import Features, FusedTokens
from maaf_lab.models.layers.attention import AttentionRecord, FusionConfig, FusionStack, Positions


def _each_once(value: tuple[int, ...]) -> tuple[int, ...]:
    if not value or len(set(value)) != len(value) or not set(value) <= {7, 14, 28}:
        raise ConfigError(f"expected some of 7, 14 and 28, each once; found {value}")
    return value


class PoolingConfig(FusionConfig):
    """Which tokens are fused and how they are pooled (Table 2's switches)."""

    resolutions: Annotated[CountList, AfterValidator(_each_once)] = (7, 14)
    """Image tokens, named as in the paper, at 224 px: 7 is the last stage, 14 and 28 are the ones before."""
    resolutionwise_pooling: Switch = True
    """RP: each resolution's tokens have the same weight."""
    image_through_attention: Switch = True
    """ITA: gallery images pass through the attention too."""
    include_text: Switch = True
    """IT: word tokens are pooled with the image's."""
    pooling_weights: Literal["code", "paper"] = "code"
    """"code": image 1/2, text 1/2; "paper": each resolution and the text equal (section 2.3)."""


class MAAF(FusedTokens):
    """Modality-Agnostic Attention Fusion: self-attention over the tokens of image and text together (section 2.1)."""

    class Config(PoolingConfig, FusedTokens.Config):
        name: str = "maaf"
        """The system."""
        positions: Literal["none", "sinusoidal", "mixed"] = "none"
        """"mixed": learned for image tokens, sinusoidal for words."""

        def read(self) -> frozenset[str]:
            return super().read() - (set() if self.include_text else {"pooling_weights"})

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
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
