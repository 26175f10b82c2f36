"""Concatenation and addition: the simplest ways to join an image's vector and a text's (TIRG's code, Vo et al., CVPR 2019).

Shapes: B batch, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maaf_lab.config import Share
from maaf_lab.data.text import TextBatch, Vocabulary
from maaf_lab.models.base import Features, TextVectorModel, VectorModel


class Addition(TextVectorModel):
    """The sum of the image's vector and the text's. An empty caption adds nothing."""

    class Config(TextVectorModel.Config):
        name: str = "addition"
        """The system."""

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, None]:
        return self.image_vector(features).float() + self.text_vector(text).float(), None


class Concat(TextVectorModel):
    """Both vectors side by side through two layers (authors' code): 2D -> 2D -> D, each after batch norm and ReLU."""

    class Config(TextVectorModel.Config):
        name: str = "concat"
        """The system."""
        dropout: Share = 0.1
        """Before the last layer."""

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        width = config.width
        self.compose = nn.Sequential(
            nn.BatchNorm1d(2 * width),
            nn.ReLU(),
            nn.Linear(2 * width, 2 * width),
            nn.BatchNorm1d(2 * width),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(2 * width, width),
        )

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, None]:
        x = self.image_vector(features).float()
        self.refuse_one(x)
        return self.compose(torch.cat([x, self.text_vector(text).float()], 1)), None


class ImageOnly(VectorModel):
    """The reference image's feature is the query; the text is not read."""

    class Config(VectorModel.Config):
        name: str = "image_only"
        """The system."""

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, None]:
        return self.project(features)[0], None


class TextOnly(TextVectorModel):
    """The token of the caption's last word is the query; the image is not seen. An empty caption has one fixed vector."""

    class Config(TextVectorModel.Config):
        name: str = "text_only"
        """The system."""

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, None]:
        return self.text_vector(text), None
