"""Parameter hashing: the text predicts the image model's last linear layer (Noh et al., CVPR 2016, arXiv 1511.05756, "DPPnet").

The text gives a vector of candidate weights; a fixed hash chooses the candidate and the sign of each entry of the layer's
matrix. Vo et al. (CVPR 2019) replace an image network's fully connected layer by it. Our choices, where both papers are silent:
4 D candidates; the hash is drawn once, from a seed of its own, and saved with the weights; the layer's output is divided by the
root of its input width, so that it starts as large as an ordinary layer's.
Shapes: B batch, C channels of the last stage, D width, P candidates.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from maaf_lab.data.text import TextBatch, Vocabulary
from maaf_lab.models.base import Features, TextVectorModel


class ParameterHashing(TextVectorModel):
    """W(t) mean(image) + b, where W(t)[d, c] = sign[d, c] * candidates(t)[hash[d, c]]; gallery images take the ordinary map."""

    class Config(TextVectorModel.Config):
        name: str = "parameter_hashing"
        """The system."""

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        channels, width = self.backbone.channels[7], config.width
        self.candidates = nn.Linear(width, 4 * width)
        self.bias = nn.Parameter(torch.zeros(width))
        fixed = torch.Generator().manual_seed(0)
        self.register_buffer("hash", torch.randint(4 * width, (width, channels), generator=fixed))
        self.register_buffer("sign", torch.randint(2, (width, channels), generator=fixed).float() * 2 - 1)

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, None]:
        mean_BC = features[7].mean((-2, -1)).float()
        candidates_BP = self.candidates(self.text_vector(text)).float()
        matrix_BDC = candidates_BP[:, self.hash] * self.sign
        return torch.einsum("bdc,bc->bd", matrix_BDC, mean_BC) / math.sqrt(mean_BC.shape[1]) + self.bias, None
