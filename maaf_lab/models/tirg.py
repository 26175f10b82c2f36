"""TIRG: text as a gated residual on the image feature (Vo et al., CVPR 2019, arXiv 1812.07119).

Shapes: B batch, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maaf_lab.config import ModelConfig
from maaf_lab.data.text import TextBatch, Vocabulary
from maaf_lab.models.base import Features, VectorModel
from maaf_lab.models.text import TEXT_ENCODERS, last_token


class TIRG(VectorModel):
    """w_g * sigmoid(gate(x, t)) * x + w_r * residual(x, t), with w_g = 1 and w_r = 10 at the start (authors' code).

    x is the image's vector, t the token of the caption's last word. gate and residual are small networks on
    [x, t] that begin with batch norm, so training needs at least two queries a batch.
    """

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        width = config.width
        self.text = TEXT_ENCODERS[config.text_encoder](config, len(vocabulary))
        self.gate = nn.Sequential(nn.BatchNorm1d(2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.residual = nn.Sequential(
            nn.BatchNorm1d(2 * width), nn.ReLU(), nn.Linear(2 * width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )
        self.weights = nn.Parameter(torch.tensor([1.0, 10.0]))

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, None]:
        x = self.image_vector(features).float()
        if self.training and len(x) < 2:
            raise ValueError("TIRG trains on batch statistics: expected at least 2 queries, found 1; call eval() to embed one")
        both = torch.cat([x, last_token(self.text(text), text.mask).float()], 1)
        gated, added = self.gate(both).sigmoid() * x, self.residual(both)
        return self.weights[0] * gated + self.weights[1] * added, None
