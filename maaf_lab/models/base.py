"""The base of all systems: images once through the backbone, then queries and gallery images to unit vectors.

Shapes: U distinct images, B queries, N tokens, D width.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from maaf_lab.arguments import expected
from maaf_lab.data.text import TextBatch, Vocabulary, unread
from maaf_lab.errors import ConfigError
from maaf_lab.models.encoders.image import ImageConfig, TokenProjection, build_image_encoder
from maaf_lab.models.encoders.text import TextConfig, last_token
from maaf_lab.models.encoders.word_vectors import WordVectors
from maaf_lab.models.layers.attention import AttentionRecord, BlockConfig, TokenNames
from maaf_lab.utils.registry import TEXT_ENCODERS
from maaf_lab.utils.wording import counted

LEAST_PIXELS = 8  # side of the smallest image, as in `DataConfig.pixels`
FARTHEST = 10.0  # from 0: ImageNet's normalization gives -2.1 to 2.6, and none in use gives a picture such values
Features = dict[int, Tensor]  # resolution (7, 14, 28) -> tokens (B, N, D), or a feature map (B, C, h, w) in a `VectorModel`
Texts = Annotated[Iterable[str] | TextBatch, "a list of texts, one an image"]


def unit(vectors: Tensor) -> Tensor:
    """Vectors (..., D) at length 1, in float32, whatever the precision in which they were computed; zeros stay zeros."""
    return normalize(vectors.float(), dim=-1)


class ComposedModel(nn.Module):
    """Base of all systems. A system defines `features_of` (each image once), `fuse` (queries) and `project` (gallery images).

    The last two work on features, so an image that belongs to several queries, or is a target too, goes through the backbone
    once. Most systems start from `TokenModel` or `VectorModel` below. Each has its own `Config`: the settings that it reads.
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
        """The learned s: both unit vectors are multiplied by it, so logits are s^2 * cosine."""
        return self.log_scale.exp()

    @property
    def device(self) -> torch.device:
        return self.log_scale.device

    def encode(self, images: Tensor) -> Features:
        """Normalized images (U, 3, S, S) -> the features that `fuse` and `project` read, tensors of U rows each."""
        if images.dim() != 4 or images.shape[1] != 3:
            raise ConfigError(f"expected images (B, 3, S, S), found {tuple(images.shape)}")
        return self.features_of(self.backbone(images))

    def features_of(self, maps: dict[int, Tensor]) -> Features:
        """The backbone's maps, resolution -> (U, C, h, w), to this system's features."""
        raise NotImplementedError(f"{type(self).__name__}: expected its own `features_of`, found none; define it")

    def read(self, texts: Iterable[str] | TextBatch) -> TextBatch:
        """Captions -> ids on the model's device. Unknown words share one id; an empty caption is a row of padding."""
        batch = texts if isinstance(texts, TextBatch) else self.vocabulary.batch(list(texts))
        return batch.to(self.device)

    def _checked_images(self, images: Tensor, door: str) -> Tensor:
        """The images. Raises ConfigError where they are none that this model can embed, saying how they are made."""
        if not isinstance(images, Tensor):
            found = type(images).__name__
        elif images.dim() != 4 or images.shape[1] != 3 or min(images.shape[2:]) < LEAST_PIXELS:
            found = f"the shape {tuple(images.shape)}"
        elif images.device != self.device:
            found = f"them on {images.device}, and the model on {self.device}"
        elif images.dtype != self.log_scale.dtype and not (
            images.is_floating_point() and torch.is_autocast_enabled(images.device.type)
        ):
            found = str(images.dtype)
        elif images.numel() and not all(abs(end) <= FARTHEST for end in images.detach().aminmax()):  # also where one is no number
            found = f"values from {images.detach().amin():.4g} to {images.detach().amax():.4g}"
        else:
            return images
        raise ConfigError(
            f"{door}: expected normalized float images (B, 3, S, S), S at least {LEAST_PIXELS}, found {found}. "
            f"One of a file: pixels = torch.from_numpy(square(path, S)).permute(2, 0, 1)[None]; of a picture of Pillow's: "
            'to_square(np.array(picture.convert("RGB")), S) in place of square(path, S); then '
            f'build_transform("plain", S).eval(pixels.to(model.device)). They are in maaf_lab.data.images and '
            "maaf_lab.data.transforms; S is the run's config.data.pixels"
        )

    def _checked_texts(self, texts: Iterable[str] | TextBatch, count: int) -> TextBatch:
        """`read` of one text an image; warns of those without a word that the model knows. Raises ConfigError for other texts."""
        if not isinstance(expected("embed_query", "texts", texts, Texts), TextBatch):
            texts = list(texts)
        read = self.read(texts)
        if len(read.ids) != count:
            raise ConfigError(f"embed_query: expected one text per image, found {count} images and {len(read.ids)} texts")
        if isinstance(texts, list):
            known = read.ids.any(1).tolist()  # UNKNOWN is 0
            if told := [unread(self.vocabulary, text) for text, knows in zip(texts, known) if text.strip() and not knows]:
                more = f" ({counted(len(told) - 1, 'other text')} without a word that it knows)" if len(told) > 1 else ""
                warnings.warn(told[0] + more, stacklevel=3)
        return read

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, AttentionRecord | None]:
        """Query vectors (B, D) before normalization, and on request their attention (None where a system has none)."""
        raise NotImplementedError(f"{type(self).__name__}: expected its own `fuse`, found none; define it")

    def project(self, features: Features, return_attention: bool = False) -> tuple[Tensor, AttentionRecord | None]:
        """Gallery vectors (B, D) before normalization, and on request their attention."""
        raise NotImplementedError(f"{type(self).__name__}: expected its own `project`, found none; define it")

    def _pair(self, found: tuple[Tensor, AttentionRecord | None], of: str) -> tuple[Tensor, AttentionRecord | None]:
        """What a system's `fuse` or `project` returned. Raises ConfigError where it is no pair."""
        if not isinstance(found, tuple) or len(found) != 2:
            raise ConfigError(
                f"{type(self).__name__}.{of}: expected a pair, vectors (B, D) and attention or None; found "
                f"{type(found).__name__}. Return `vectors, None`"
            )
        return found

    def embed_query(
        self, images: Tensor, texts: Iterable[str] | TextBatch, return_attention: bool = False
    ) -> Tensor | tuple[Tensor, AttentionRecord | None]:
        """Reference images (B, 3, S, S) and one text each -> unit vectors (B, D), on request with their AttentionRecord.

        images: normalized as by `data.transforms.build_transform`, of the model's dtype and on its device. texts: "" for the
        image alone; a text without a word that the model knows is warned of. Raises ConfigError for other images, other texts,
        or another number of them.
        """
        images = self._checked_images(images, "embed_query")
        text = self._checked_texts(texts, len(images))
        vectors, record = self._pair(self.fuse(self.encode(images), text, return_attention), "fuse")
        vectors = unit(vectors)
        return (vectors, record) if return_attention else vectors

    def embed_images(self, images: Tensor, return_attention: bool = False) -> Tensor | tuple[Tensor, AttentionRecord | None]:
        """Gallery images (B, 3, S, S) -> unit vectors (B, D), on request with their AttentionRecord.

        images: as in `embed_query`. Raises ConfigError for others.
        """
        images = self._checked_images(images, "embed_images")
        vectors, record = self._pair(self.project(self.encode(images), return_attention), "project")
        vectors = unit(vectors)
        return (vectors, record) if return_attention else vectors

    def forward(
        self, images: Tensor | dict[int, Tensor], source: Tensor, target: Tensor, text: TextBatch
    ) -> tuple[Tensor, Tensor]:
        """A training batch: distinct images (U, 3, S, S), or the backbone's maps of them, resolution -> (U, C, h, w); source,
        target (B,) index them -> unit query, target vectors (B, D)."""
        features = self.features_of(images) if isinstance(images, dict) else self.encode(images)
        queries, _ = self._pair(self.fuse({r: tokens[source] for r, tokens in features.items()}, text), "fuse")
        targets, _ = self._pair(self.project({r: tokens[target] for r, tokens in features.items()}), "project")
        return unit(queries), unit(targets)

    def backbone_parameters(self) -> list[nn.Parameter]:
        """The parameters that are trained at `image_learning_rate`."""
        return list(self.backbone.parameters())

    def text_parameters(self) -> list[nn.Parameter]:
        """The text encoder's parameters, which are trained at `text_learning_rate` where that is set."""
        return [p for name, module in self.named_children() if name in ("text", "words") for p in module.parameters()]

    def word_vectors(self) -> WordVectors | None:
        """The word vectors that the word embeddings started from; None where they started at random."""
        return next((found for module in self.modules() if (found := getattr(module, "vectors", None)) is not None), None)


class TokenModel(ComposedModel):
    """Systems that read an image as tokens: each resolution's map through its own projection (paper section 2).

    A subclass's `Config` has `resolutions`, as a setting or fixed.
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
    """Systems that read an image as one vector: a linear map of the last stage's mean over space (TIRG's code, the authors')."""

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
    """Systems that also read the text as one vector: the token of the caption's last word (TIRG's code), zeros for no word."""

    class Config(TextConfig, VectorModel.Config):
        """Image and text encoder, width and scale."""

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.text = TEXT_ENCODERS[config.text_encoder](config, vocabulary)

    def text_vector(self, text: TextBatch) -> Tensor:
        """-> (B, D)."""
        return last_token(self.text(text), text.mask)

    def refuse_one(self, x_BD: Tensor) -> None:
        """Raises ConfigError where batch statistics would come from a single query."""
        if self.training and len(x_BD) < 2:
            raise ConfigError(
                f"{type(self).__name__} trains on batch statistics: expected at least 2 queries, found 1; "
                "call eval() to embed one"
            )


class FusedTokens(TokenModel):
    """Systems that fuse image tokens with word tokens and pool the result: MAAF and the two-stream variants.

    Where paper and code differ (`pooling_weights`, `token_projection`, `text_projection`, `layer_norm`) the default is the code.
    A caption without words is the paper's "null caption": the query is then the image alone, as a gallery image is under ITA.
    """

    class Config(BlockConfig, TextConfig, TokenModel.Config):
        """Encoders, tokens and attention blocks."""

        def read(self) -> frozenset[str]:
            return super().read() | {"layer_norm"}  # of the blocks, whether or not the text encoder reads it

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.text = TEXT_ENCODERS[config.text_encoder](config, vocabulary)

    def _pool(self, features: Features, image_BND: Tensor, words_BTD: Tensor | None, mask_BT: Tensor | None) -> Tensor:
        """RP, IT and the weights of image and text (section 2.3) -> (B, D)."""
        parts = self._parts(features, image_BND)
        if not self.config.resolutionwise_pooling:
            parts = [torch.cat(parts, 1)]
        image_BD = torch.stack([part.mean(1) for part in parts]).mean(0)
        if words_BTD is None or not self.config.include_text:
            return image_BD
        counts_B1 = mask_BT.sum(1, keepdim=True)
        text_BD = (words_BTD * mask_BT[..., None]).sum(1) / counts_B1.clamp_min(1)
        share = 1 / 2 if self.config.pooling_weights == "code" else 1 / (len(parts) + 1)
        share_B1 = share * (counts_B1 > 0)  # 0 without words
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
