"""FiLM: the text scales and shifts every channel of the image encoder's last maps (Perez et al., AAAI 2018, arXiv 1709.07871).

Perez et al. put such a layer into each of several residual blocks and train the image encoder for it; Vo et al. (CVPR 2019)
modulate a retrieval network's image features. Our choices: one layer, on the last stage's maps, its scale around 1; ReLU after it
as in a FiLM block; then the mean over space and the linear map, as for every image.
Shapes: B batch, C channels of the last stage, h, w its sides, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maaf_lab.data.text import TextBatch, Vocabulary
from maaf_lab.models.base import Features, TextVectorModel


class FiLM(TextVectorModel):
    """map(mean(relu((1 + gamma(t)) * x + beta(t))))."""

    class Config(TextVectorModel.Config):
        name: str = "film"
        """The system."""

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.modulate = nn.Linear(config.width, 2 * self.backbone.channels[7])

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, None]:
        gamma_BC, beta_BC = self.modulate(self.text_vector(text)).to(features[7].dtype).chunk(2, -1)
        changed = torch.relu((1 + gamma_BC[..., None, None]) * features[7] + beta_BC[..., None, None])
        return self.image_vector({7: changed}), None
