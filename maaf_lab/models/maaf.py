"""MAAF: stack image and text tokens, attend, pool (paper section 2; every switch of Tables 2, S1, S2, S3).

Shapes: B batch, N image tokens of all resolutions, T words, D width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from maaf_lab.config import ModelConfig
from maaf_lab.data.text import UNKNOWN, TextBatch, Vocabulary
from maaf_lab.models.attention import AttentionRecord, FusionStack, Positions
from maaf_lab.models.base import Features, TokenModel
from maaf_lab.models.text import TEXT_ENCODERS


class FusedTokens(TokenModel):
    """Systems that fuse image tokens with word tokens and pool the outcome: MAAF, and the two-stream variants.

    Where paper and code differ (`pooling_weights`, `token_projection`, `text_projection`, `layer_norm`) the default is the code.
    A caption without words is the paper's "null caption": the query is then the image alone, as a catalogue image is under ITA.
    """

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.text = TEXT_ENCODERS[config.text_encoder](config, vocabulary)

    def _pool(self, features: Features, image_BND: Tensor, words_BTD: Tensor | None, mask_BT: Tensor | None) -> Tensor:
        """RP, IT and the weights of each kind of token (section 2.3) -> (B, D)."""
        parts = self._parts(features, image_BND)
        if not self.config.resolutionwise_pooling:
            parts = [torch.cat(parts, 1)]
        image_BD = torch.stack([part.mean(1) for part in parts]).mean(0)
        if words_BTD is None or not self.config.include_text:
            return image_BD
        counts_B1 = mask_BT.sum(1, keepdim=True)
        text_BD = (words_BTD * mask_BT[..., None]).sum(1) / counts_B1.clamp_min(1)
        share = 1 / 2 if self.config.pooling_weights == "code" else 1 / (len(parts) + 1)
        share_B1 = share * (counts_B1 > 0)  # no words, no share
        return (1 - share_B1) * image_BD + share_B1 * text_BD

    def _parts(self, features: Features, image_BND: Tensor) -> list[Tensor]:
        """The image's tokens of each resolution, in the order of `features`."""
        return list(image_BND.split([tokens.shape[1] for tokens in features.values()], 1))

    def _record(
        self, features: Features, weights: list[Tensor], text: TextBatch | None, operations: tuple[str, ...] = ()
    ) -> AttentionRecord:
        spans, start = {}, 0
        for tokens in features.values():
            side = math.isqrt(tokens.shape[1])
            spans[f"{side}x{side}"] = (start, start + side * side)
            start += side * side
        if text is not None:
            spans["text"] = (start, start + text.ids.shape[1])
        stacked = torch.stack(weights) if weights else torch.empty(0, device=self.device)
        names = TokenNames(self.vocabulary, dict(spans), text, len(features[min(features)]))
        return AttentionRecord(stacked, names, spans, self.config.attention == "softmax", operations)


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


class TokenNames:
    """The names of an AttentionRecord's tokens, spelled only when somebody reads them (training never does).

    `names[b]` is a tuple: "7x7:2,3" for row 2, column 3; a word, "?" for an unknown one; "" for padding.
    """

    def __init__(self, vocabulary: Vocabulary, spans: dict[str, tuple[int, int]], text: TextBatch | None, count: int) -> None:
        self._words, self._spans, self._text, self._count = vocabulary.words, spans, text, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, b: int) -> tuple[str, ...]:
        if not -self._count <= b < self._count:
            raise IndexError(f"expected an example below {self._count}, found {b}")
        names = []
        for grid, (start, stop) in self._spans.items():
            if grid == "text":
                ids, mask = self._text.ids[b].tolist(), self._text.mask[b].tolist()
                words = ["?" if i == UNKNOWN else self._words[i - 1] for i in ids]
                names += [word if real else "" for word, real in zip(words, mask, strict=True)]
            else:
                side = math.isqrt(stop - start)
                names += [f"{grid}:{i // side},{i % side}" for i in range(side * side)]
        return tuple(names)
