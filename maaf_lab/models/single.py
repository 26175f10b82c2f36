"""Image only and text only: one modality's feature as the query (Table 6's baselines)."""

from __future__ import annotations

from torch import Tensor

from maaf_lab.data.text import TextBatch
from maaf_lab.models.base import Features, TextVectorModel, VectorModel


class ImageOnly(VectorModel):
    """The reference image's feature is the query; the text is not read."""

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, None]:
        return self.project(features)[0], None


class TextOnly(TextVectorModel):
    """The token of the caption's last word is the query; the image is not seen. An empty caption has one fixed vector."""

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, None]:
        return self.text_vector(text), None
