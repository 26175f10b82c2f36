"""Image only and text only: one modality's feature as the query (Table 6's baselines)."""

from __future__ import annotations

from torch import Tensor

from maaf_lab.config import ModelConfig
from maaf_lab.data.text import TextBatch, Vocabulary
from maaf_lab.models.base import Features, VectorModel
from maaf_lab.models.text import TEXT_ENCODERS, last_token


class ImageOnly(VectorModel):
    """The reference image's feature is the query; the text is not read."""

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, None]:
        return self.project(features)[0], None


class TextOnly(VectorModel):
    """The token of the caption's last word is the query; the image is not seen. An empty caption has one fixed vector."""

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.text = TEXT_ENCODERS[config.text_encoder](config, len(vocabulary))

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, None]:
        return last_token(self.text(text), text.mask), None
