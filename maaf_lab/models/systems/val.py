"""VAL: visiolinguistic attention at three depths (Chen, Gong & Bazzani, CVPR 2020; code yanbeic/VAL).

At each depth the text is joined with the image's map, and a "composite transformer" changes the map in two ways: self-attention
over its regions, and a joint attention (a gate per channel times a gate per region) that keeps parts of the reference. The three
composed features are matched with the target's three (hierarchical matching).
As in the authors' code: a 1x1 convolution joins image and text, there are two heads, the joint part's weight starts at 1 and the
self-attention's at 0, and each region's gate depends on all regions. Our choices: the cosine is the mean of the three depths'
cosines (embeddings are the three unit vectors side by side), trained with this lab's loss instead of a triplet loss, without the
second (text) matching loss; the depths are the stages of 28x28, 14x14 and 7x7; the regions' gates are a linear map over the
regions, so the sides of the maps are settings (`map_sides`). Dropout on the attention's weights is `dropout`.
Shapes: B batch, C channels, h, w sides, N = h w regions, H heads, S = C / H, D width (a third of it for each depth).
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import AfterValidator
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from maaf_lab.config import ADDED_LATER, CountList, Share
from maaf_lab.data.text import TextBatch, Vocabulary
from maaf_lab.errors import ConfigError
from maaf_lab.models.base import ComposedModel, Features, unit
from maaf_lab.models.encoders.text import TextConfig, last_token
from maaf_lab.models.layers.attention import AttentionRecord, TokenNames, attention_weights
from maaf_lab.utils.registry import TEXT_ENCODERS

DEPTHS, HEADS = (28, 14, 7), 2


def _three(value: tuple[int, ...]) -> tuple[int, ...]:
    if len(value) != len(DEPTHS):
        raise ConfigError(f"expected {len(DEPTHS)} sides, one a depth; found {list(value)}")
    return value


class CompositeTransformer(nn.Module):
    """Maps (B, C, h, w) and a text (B, D) -> composed maps, and on request the self-attention's weights (B, H, N, N)."""

    def __init__(self, channels: int, regions: int, width: int, dropout: float) -> None:
        super().__init__()
        self.join = nn.Sequential(nn.Conv2d(channels + width, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
        self.channel_gate, self.place_gate = nn.Linear(channels, channels), nn.Linear(regions, regions)
        self.query, self.key, self.value, self.out = (nn.Conv2d(channels, channels, 1, bias=False) for _ in range(4))
        self.joint_weight, self.self_weight = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(0.0))
        self.dropout = dropout

    def forward(self, x_BChw: Tensor, text_BD: Tensor, return_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        h, w = x_BChw.shape[2:]
        regions = self.place_gate.in_features
        if h * w != regions:
            raise ConfigError(
                f"VAL was made for maps of {regions} regions, found {h}x{w}: use images of its side, or set model.map_sides"
            )
        both = self.join(torch.cat([x_BChw, text_BD[..., None, None].expand(-1, -1, h, w).to(x_BChw.dtype)], 1))
        channel = self.channel_gate(both.mean((-2, -1))).sigmoid()[..., None, None]
        region = self.place_gate(both.mean(1).flatten(1)).sigmoid().unflatten(-1, (1, h, w))
        q, k, v = (m(both).flatten(2).unflatten(1, (HEADS, -1)).transpose(-2, -1) for m in (self.query, self.key, self.value))
        rate, weights = self.dropout if self.training else 0.0, None
        if return_weights:
            weights = attention_weights(q, k, None, "softmax")
        attended = scaled_dot_product_attention(q, k, v, dropout_p=rate).transpose(-2, -1).flatten(1, 2).unflatten(-1, (h, w))
        return self.joint_weight * channel * region * x_BChw + self.self_weight * self.out(attended), weights


class VAL(ComposedModel):
    """Composed features at three depths, each pooled over space, mapped and normalized."""

    class Config(TextConfig, ComposedModel.Config):
        name: str = "val"
        """The system."""
        dropout: Share = 0.1
        """On the attention's weights."""
        map_sides: Annotated[CountList, AfterValidator(_three), ADDED_LATER] = DEPTHS
        """Sides of the three maps, the largest first: 28, 14, 7 at each network's own image size (224 px; 56 for `tiny`)."""

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        wide = self.backbone.channels
        self.text = TEXT_ENCODERS[config.text_encoder](config, vocabulary)
        self.composers = nn.ModuleDict(
            {
                str(r): CompositeTransformer(wide[r], side * side, config.width, config.dropout)
                for r, side in zip(DEPTHS, config.map_sides, strict=True)
            }
        )
        shares = [config.width // 3 + (i < config.width % 3) for i in range(3)]
        self.maps = nn.ModuleDict({str(r): nn.Linear(wide[r], share) for r, share in zip(DEPTHS, shares, strict=True)})

    def features_of(self, maps: dict[int, Tensor]) -> Features:
        """-> the maps of the three depths."""
        return {r: maps[r] for r in DEPTHS}

    def _vector(self, maps: Features) -> Tensor:
        """The three depths' unit vectors side by side -> (B, D): the cosine of two such vectors is the mean of three."""
        return torch.cat([unit(self.maps[str(r)](maps[r].mean((-2, -1)))) for r in DEPTHS], -1)

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, AttentionRecord | None]:
        text_BD = last_token(self.text(text), text.mask)
        composed, found = {}, []
        for r in DEPTHS:
            composed[r], weights = self.composers[str(r)](features[r], text_BD, return_attention)
            found.append(weights)
        return self._vector(composed), self._record(features, found, text) if return_attention else None

    def project(self, features: Features, return_attention: bool = False) -> tuple[Tensor, None]:
        """Gallery images are not changed, so they have no attention."""
        return self._vector(features), None

    def _record(self, features: Features, found: list[Tensor], text: TextBatch) -> AttentionRecord:
        """One block per depth, with its weights at its own tokens and zeros elsewhere; no word is attended to."""
        sizes = [maps.shape[2] * maps.shape[3] for maps in features.values()]
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        whole = found[0].new_zeros(len(found), *found[0].shape[:2], sum(sizes), sum(sizes))
        spans = {}
        for i, (weights, start, size) in enumerate(zip(found, starts, sizes, strict=True)):
            whole[i, :, :, start : start + size, start : start + size] = weights
            side = math.isqrt(size)
            spans[f"{side}x{side}"] = (start, start + size)
        names = TokenNames(self.vocabulary, spans, text, len(text.ids))
        return AttentionRecord(whole, names, spans, True, tuple(f"{r}x{r}" for r in DEPTHS))
