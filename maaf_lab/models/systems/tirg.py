"""TIRG: text as a gated residual on the image feature (Vo et al., CVPR 2019, arXiv 1812.07119), and its variant on the last maps.

Shapes: B batch, C channels of the last stage, h, w its sides, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maaf_lab.data.text import TextBatch, Vocabulary
from maaf_lab.models.base import Features, TextVectorModel


class TIRG(TextVectorModel):
    """w_g * sigmoid(gate(x, t)) * x + w_r * residual(x, t), with w_g = 1 and w_r = 10 at the start (authors' code).

    x is the image's vector, t the token of the caption's last word. gate and residual are small networks on
    [x, t] that begin with batch norm, so training needs at least two queries a batch.
    """

    class Config(TextVectorModel.Config):
        name: str = "tirg"
        """The system."""

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        width = config.width
        self.gate = nn.Sequential(nn.BatchNorm1d(2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.residual = nn.Sequential(
            nn.BatchNorm1d(2 * width), nn.ReLU(), nn.Linear(2 * width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )
        self.weights = nn.Parameter(torch.tensor([1.0, 10.0]))

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, None]:
        x = self.image_vector(features).float()
        self.refuse_one(x)
        both = torch.cat([x, self.text_vector(text).float()], 1)
        gated, added = self.gate(both).sigmoid() * x, self.residual(both)
        return self.weights[0] * gated + self.weights[1] * added, None


class TIRGLastConv(TextVectorModel):
    """TIRG on the last stage's maps: the text is repeated at every cell, gate and residual are 3x3 convolutions (authors' code).

    The composed maps then become a vector as every image does: mean over space, linear map.
    """

    class Config(TextVectorModel.Config):
        name: str = "tirg_last_conv"
        """The system."""

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        maps = self.backbone.channels[7]
        both = maps + config.width
        self.gate, self.residual = (
            nn.Sequential(
                nn.BatchNorm2d(both), nn.Conv2d(both, both, 3, padding=1), nn.ReLU(), nn.Conv2d(both, maps, 3, padding=1)
            )
            for _ in range(2)
        )
        self.weights = nn.Parameter(torch.tensor([1.0, 10.0]))

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, None]:
        x_BChw = features[7]
        t_BD = self.text_vector(text).to(x_BChw.dtype)
        both = torch.cat([x_BChw, t_BD[..., None, None].expand(-1, -1, *x_BChw.shape[2:])], 1)
        composed = self.weights[0] * self.gate(both).sigmoid() * x_BChw + self.weights[1] * self.residual(both)
        return self.image_vector({7: composed}), None
