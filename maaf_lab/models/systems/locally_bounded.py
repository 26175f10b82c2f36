"""Locally Bounded Features (Hosseinzadeh & Wang, "Composed Query Image Retrieval Using Locally Bounded Features", CVPR 2020).

Features of image regions and of words are joined by cross-modal attention before anything is pooled. No code was published.
Kept from the paper: local image entities and words are both sequences, each region looks for its words by attention, what it
finds is fused with it, and the composed entities are pooled last. Our choices: the regions are the places of the last stage's
maps (the paper takes a detector's proposals, which the MAAF paper calls fixed); one block of attention from regions to words and
one among the regions, each residual with a norm before it and a feed-forward part behind; the mean as pooling; gallery images
are the mean of their regions, through the same self-attention.
Shapes: B batch, N regions, T words, D width.
"""

from __future__ import annotations

from dataclasses import replace

from maaf_lab.config import ModelConfig
from maaf_lab.data.text import Vocabulary
from maaf_lab.models.systems.two_stream import TwoStream

BLOCK = "xmm_xff_xxx"  # regions to words, feed-forward, among the regions


class LocallyBounded(TwoStream):
    """Regions attend to words, then to each other; the query is their mean."""

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__(
            replace(
                config,
                two_stream=BLOCK,
                blocks=1,
                resolutions=(7,),
                include_text=False,
                positions="none",
                pooling_weights="paper",
                image_through_attention=True,
                attention="softmax",
            ),
            vocabulary,
        )
