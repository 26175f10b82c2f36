"""What every system does: images once through the backbone, then queries and gallery images to unit vectors.

Shapes: U distinct images, B queries, N tokens, D width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from maaf_lab.data.text import TextBatch, Vocabulary
from maaf_lab.models.encoders.image import ImageConfig, TokenProjection, build_image_encoder
from maaf_lab.models.encoders.text import TextConfig, last_token
from maaf_lab.models.encoders.word_vectors import WordVectors
from maaf_lab.models.layers.attention import AttentionRecord, BlockConfig, TokenNames
from maaf_lab.utils.registry import TEXT_ENCODERS

Features = dict[int, Tensor]  # resolution (7, 14) -> tokens (B, N, D), or a feature map (B, C, h, w) in a `VectorModel`


def unit(vectors: Tensor) -> Tensor:
    """Vectors (..., D) at length 1, in float32, whatever the precision in which they were computed; zeros stay zeros."""
    return normalize(vectors.float(), dim=-1)


class ComposedModel(nn.Module):
    """Base of all systems. A system writes `features_of` (images, once each), `fuse` (queries) and `project` (gallery images).

    The last two work on features, so an image that serves several queries and is a target too goes through the backbone once.
    Most systems start from `TokenModel` or `VectorModel` below. Each has a `Config` of its own: the settings that it reads.
    """

    class Config(ImageConfig):
        """Image encoder, width and scale."""

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.backbone = build_image_encoder(config)
        self.log_scale = nn.Parameter(torch.tensor(math.log(config.scale)))

    @property
    def scale(self) -> Tensor:
        """The learned s; embeddings are unit vectors times s on both sides, so logits are s^2 * cosine."""
        return self.log_scale.exp()

    @property
    def device(self) -> torch.device:
        return self.log_scale.device

    def encode(self, images: Tensor) -> Features:
        """Normalized images (U, 3, S, S) -> what `fuse` and `project` read: dictionaries of tensors of U rows."""
        if images.dim() != 4 or images.shape[1] != 3:
            raise ValueError(f"expected images (B, 3, S, S), found {tuple(images.shape)}")
        return self.features_of(self.backbone(images))

    def features_of(self, maps: dict[int, Tensor]) -> Features:
        """The backbone's maps, resolution -> (U, C, h, w), made into this system's features."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it takes from the image model")

    def read(self, texts: Sequence[str] | TextBatch) -> TextBatch:
        """Captions -> ids on the model's device. Unknown words share one id; an empty caption is a row of padding."""
        batch = texts if isinstance(texts, TextBatch) else self.vocabulary.batch(list(texts))
        return batch.to(self.device)

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, AttentionRecord | None]:
        """Query vectors (B, D), not yet normalized, and on request their attention (None where a system has none)."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it fuses an image and a text")

    def project(self, features: Features, return_attention: bool = False) -> tuple[Tensor, AttentionRecord | None]:
        """Gallery vectors (B, D), not yet normalized, and on request their attention."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it represents a gallery image")

    def embed_query(
        self, images: Tensor, texts: Sequence[str] | TextBatch, return_attention: bool = False
    ) -> Tensor | tuple[Tensor, AttentionRecord | None]:
        """Reference images (B, 3, S, S) and one text each -> unit vectors (B, D), on request with their AttentionRecord."""
        text = self.read(texts)
        if len(text.ids) != len(images):
            raise ValueError(f"expected one text an image, found {len(images)} images and {len(text.ids)} texts")
        vectors, record = self.fuse(self.encode(images), text, return_attention)
        vectors = unit(vectors)
        return (vectors, record) if return_attention else vectors

    def embed_images(self, images: Tensor, return_attention: bool = False) -> Tensor | tuple[Tensor, AttentionRecord | None]:
        """Gallery images (B, 3, S, S) -> unit vectors (B, D), on request with their AttentionRecord."""
        vectors, record = self.project(self.encode(images), return_attention)
        vectors = unit(vectors)
        return (vectors, record) if return_attention else vectors

    def forward(self, images: Tensor, source: Tensor, target: Tensor, text: TextBatch) -> tuple[Tensor, Tensor]:
        """A training batch: distinct images (U, 3, S, S); source, target (B,) index them -> unit query, target vectors (B, D)."""
        features = self.encode(images)
        queries, _ = self.fuse({r: tokens[source] for r, tokens in features.items()}, text)
        targets, _ = self.project({r: tokens[target] for r, tokens in features.items()})
        return unit(queries), unit(targets)

    def backbone_parameters(self) -> list[nn.Parameter]:
        """The parameters that learn at `image_learning_rate`."""
        return list(self.backbone.parameters())

    def text_parameters(self) -> list[nn.Parameter]:
        """The parameters that learn at `text_learning_rate`, where one is set: those of the text encoder."""
        return [p for name, module in self.named_children() if name in ("text", "words") for p in module.parameters()]

    def word_vectors(self) -> WordVectors | None:
        """Where the word embeddings started and which words had no vector there; None where they started at random."""
        return next((found for module in self.modules() if (found := getattr(module, "vectors", None)) is not None), None)


class TokenModel(ComposedModel):
    """Systems that see an image as tokens: each resolution's map through its own projection (paper section 2).

    A subclass says which `resolutions` it takes, as a setting or for all of its kind.
    """

    class Config(ComposedModel.Config):
        token_projection: Literal["code", "paper"] = "code"
        """"code": 1x1 convolution, batch norm, ReLU; "paper": a linear map (section 2)."""

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        wide, style = self.backbone.channels, config.token_projection
        self.projections = nn.ModuleDict({str(r): TokenProjection(wide[r], config.width, style) for r in config.resolutions})

    def features_of(self, maps: dict[int, Tensor]) -> Features:
        """-> tokens of each resolution, each (U, N, D)."""
        return {r: self.projections[str(r)](maps[r]) for r in self.config.resolutions}


class VectorModel(ComposedModel):
    """Systems that see an image as one vector: a linear map of the last stage's mean over space (TIRG's code, the authors')."""

    def __init__(self, config: ComposedModel.Config, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.image_map = nn.Linear(self.backbone.channels[7], config.width)

    def features_of(self, maps: dict[int, Tensor]) -> Features:
        """-> {7: the last stage's map (U, C, h, w)}."""
        return {7: maps[7]}

    def image_vector(self, features: Features) -> Tensor:
        """-> (B, D)."""
        return self.image_map(features[7].mean((-2, -1)))

    def project(self, features: Features, return_attention: bool = False) -> tuple[Tensor, AttentionRecord | None]:
        return self.image_vector(features), None


class TextVectorModel(VectorModel):
    """Systems that see the text as one vector too: the token of the caption's last word (TIRG's code), zeros for no word."""

    class Config(TextConfig, VectorModel.Config):
        """Image and text encoder, width and scale."""

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.text = TEXT_ENCODERS[config.text_encoder](config, vocabulary)

    def text_vector(self, text: TextBatch) -> Tensor:
        """-> (B, D)."""
        return last_token(self.text(text), text.mask)

    def refuse_one(self, x_BD: Tensor) -> None:
        """ValueError where batch statistics are to be had from a single query."""
        if self.training and len(x_BD) < 2:
            raise ValueError(
                f"{type(self).__name__} trains on batch statistics: expected at least 2 queries, found 1; "
                "call eval() to embed one"
            )


class FusedTokens(TokenModel):
    """Systems that fuse image tokens with word tokens and pool the outcome: MAAF, and the two-stream variants.

    Where paper and code differ (`pooling_weights`, `token_projection`, `text_projection`, `layer_norm`) the default is the code.
    A caption without words is the paper's "null caption": the query is then the image alone, as a gallery image is under ITA.
    """

    class Config(BlockConfig, TextConfig, TokenModel.Config):
        """Encoders, tokens and attention blocks."""

        def read(self) -> frozenset[str]:
            return super().read() | {"layer_norm"}  # of the blocks, whatever the text encoder says

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
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
