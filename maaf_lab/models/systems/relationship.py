"""Relationship: every pair of image regions, with the text, through a network (Santoro et al., NeurIPS 2017; 1706.01427).

Vo et al. (CVPR 2019) use it for retrieval. As in Santoro et al., each region carries its coordinates, g has four layers and f
three, all with ReLU between. Our choices: the width of the hidden layers is `feedforward`; the regions are the cells of the last
stage's map; pairs are ordered, and a region is also paired with itself; f's dropout is `dropout`; regions and words go through
a layer norm each, and the networks start from He's weights (PyTorch's own shrink what goes through seven layers): without
both, the text is hardly heard beside a pretrained image model's features, and little is learned.
Shapes: B batch, C channels of the last stage, N regions, D width, G width of g.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maaf_lab.config import Hidden, Share
from maaf_lab.data.text import TextBatch, Vocabulary
from maaf_lab.models.base import Features, TextVectorModel

FEW = 8  # queries whose pairs a CPU computes at once: they stay in its cache, and memory is used again (twice as fast and more)


class Relationship(TextVectorModel):
    """f(mean over pairs i, j of g(x_i, x_j, t)). g's first layer is a sum of three linear maps, so that no pair is stacked."""

    class Config(TextVectorModel.Config):
        name: str = "relationship"
        """The system."""
        feedforward: Hidden = 256
        """Width of the hidden layers of g and f."""
        dropout: Share = 0.1
        """Before f's last layer."""

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        wide, region = config.feedforward, self.backbone.channels[7] + 2
        self.normal, self.normal_words = nn.LayerNorm(region - 2), nn.LayerNorm(config.width)
        self.first, self.second, self.words = nn.Linear(region, wide), nn.Linear(region, wide), nn.Linear(config.width, wide)
        self.g = nn.Sequential(nn.ReLU(), *(layer for _ in range(3) for layer in (nn.Linear(wide, wide), nn.ReLU())))
        self.f = nn.Sequential(
            nn.Linear(wide, wide),
            nn.ReLU(),
            nn.Linear(wide, wide),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(wide, config.width),
        )
        for layer in (*self.g, *self.f):
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, None]:
        x_BNC = self.normal(features[7].flatten(2).transpose(1, 2))
        h, w = features[7].shape[2:]
        rows, columns = (torch.linspace(-1, 1, n, device=x_BNC.device, dtype=x_BNC.dtype) for n in (h, w))
        at_N2 = torch.cartesian_prod(rows, columns)
        regions = torch.cat([x_BNC, at_N2.expand(len(x_BNC), -1, -1)], -1)
        words_BG = self.words(self.normal_words(self.text_vector(text)))
        parts = (self.first(regions), self.second(regions), words_BG)
        if words_BG.device.type != "cpu":
            return self.f(self._related(*parts)), None
        few = [self._related(*some) for some in zip(*(part.split(FEW) for part in parts), strict=True)]
        return self.f(torch.cat(few)), None

    def _related(self, first_BNG: Tensor, second_BNG: Tensor, words_BG: Tensor) -> Tensor:
        """The mean of g over all pairs of regions -> (B, G)."""
        pairs_BNNG = first_BNG[:, :, None] + second_BNG[:, None] + words_BG[:, None, None]
        return self.g(pairs_BNNG).mean((1, 2))
