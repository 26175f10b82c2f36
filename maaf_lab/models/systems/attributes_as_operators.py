"""Attributes as operators: each word is a matrix applied to the image's vector (Nagarajan & Grauman, ECCV 2018; 1803.09851).

The paper learns one matrix an attribute for MIT-States and applies it to an object's embedding, with losses of its own
(inverses, commutation); Vo et al. (CVPR 2019) apply it to the image's vector with the loss of all their systems, as here. The
sources do not say what captions of several words do: here the words act one after another, in order. Matrices start as the
identity plus a little noise (paper: identity). Padding and words unknown from training leave the vector as it is.
A vocabulary of V words has V D^2 numbers: 4,000 words at D = 512 are 4 GB, so where D is larger the words' matrices act in a
space of 64 dimensions, S, between two linear maps (our choice; MIT-States has 115 words).
Shapes: B batch, T words, D width, S side of a word's matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maaf_lab.data.text import UNKNOWN, TextBatch, Vocabulary
from maaf_lab.models.base import Features, VectorModel, unit

WIDEST = 64


class AttributesAsOperators(VectorModel):
    """x -> M_T ... M_2 M_1 x, each product scaled back to the length of x."""

    class Config(VectorModel.Config):
        name: str = "attributes_as_operators"
        """The system."""

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.side = min(config.width, WIDEST)
        narrow = config.width > WIDEST
        self.enter: nn.Module = nn.Linear(config.width, self.side) if narrow else nn.Identity()
        self.leave: nn.Module = nn.Linear(self.side, config.width) if narrow else nn.Identity()
        self.operators = nn.Embedding(len(vocabulary), self.side * self.side)
        with torch.no_grad():
            self.operators.weight.mul_(0.1 / self.side**0.5).add_(torch.eye(self.side).flatten())

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, None]:
        x_BS = self.enter(self.image_vector(features)).float()
        length_B1 = x_BS.norm(dim=1, keepdim=True)
        known_BT = text.mask & (text.ids != UNKNOWN)
        for t in range(text.ids.shape[1]):
            matrix_BSS = self.operators(text.ids[:, t]).unflatten(-1, (self.side, self.side))
            moved = torch.einsum("bij,bj->bi", matrix_BSS, x_BS)
            moved = unit(moved) * length_B1  # hundreds of words must not make it vanish or explode
            x_BS = torch.where(known_BT[:, t, None], moved, x_BS)
        return self.leave(x_BS), None
