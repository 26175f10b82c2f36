"""Locally Bounded Features (Hosseinzadeh & Wang, "Composed Query Image Retrieval Using Locally Bounded Features", CVPR 2020).

Features of image regions and of words are joined by cross-modal attention before anything is pooled. No code was published.
Kept from the paper: local image entities and words are both sequences, each region attends to its words and is fused with the
result, and the composed entities are pooled last. Our choices: the regions are the cells of the last stage's map (the paper takes
a detector's proposals, which the MAAF paper calls fixed); one step of attention from regions to words, a feed-forward part and
one step of attention among the regions, each residual with a norm before it; the mean as pooling; gallery images are the mean of
their regions, through the same self-attention.
Shapes: B batch, N regions, T words, D width.
"""

from __future__ import annotations

from typing import ClassVar

from maaf_lab.models.base import FusedTokens
from maaf_lab.models.systems.two_stream import TwoStream

BLOCK = "xmm_xff_xxx"  # regions to words, feed-forward, among the regions


class LocallyBounded(TwoStream):
    """Regions attend to words, then to each other; the query is their mean."""

    class Config(FusedTokens.Config):
        """A two-stream model's other settings are fixed."""

        name: str = "locally_bounded"
        """The system."""
        two_stream: ClassVar[str] = BLOCK
        blocks: ClassVar[int] = 1
        resolutions: ClassVar[tuple[int, ...]] = (7,)
        attention: ClassVar[str] = "softmax"
        positions: ClassVar[str] = "none"
        resolutionwise_pooling: ClassVar[bool] = True
        image_through_attention: ClassVar[bool] = True
        include_text: ClassVar[bool] = False
        pooling_weights: ClassVar[str] = "paper"
