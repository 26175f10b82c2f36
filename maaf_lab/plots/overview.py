"""The README's picture: a query, what a trained MAAF ranks first, and where its words attend."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure

from maaf_lab.data.cache import PixelCache
from maaf_lab.data.split import Split
from maaf_lab.data.transforms import build_transform
from maaf_lab.models.base import ComposedModel
from maaf_lab.retrieval.gallery import Gallery
from maaf_lab.retrieval.relevance import Relevance


@torch.inference_mode()
def overview_figure(model: ComposedModel, split: Split, cache: PixelCache, gallery: torch.Tensor, rows: list[int]) -> Figure:
    """A line a query: reference, text, the first five images of the gallery (the right ones framed), attention of the last word.

    gallery: unit vectors (G, D) of all images of the split. rows: query indices.
    """
    prepare, searched, relevance = build_transform("plain", cache.size), Gallery(gallery), Relevance(split)
    figure = Figure(figsize=(11, 1.75 * len(rows) + 0.5), layout="constrained")
    figure.suptitle(f"{split.title}: {split.origin.split(' v')[0].replace('made css', 'synthetic data')}", fontsize=10)
    axes = figure.subplots(len(rows), 8, squeeze=False, width_ratios=[1, 1.35, 1, 1, 1, 1, 1, 1])
    for line, row in enumerate(rows):
        query = split.queries[row]
        image = prepare.eval(cache.batch(np.array([query.source])))
        vector, record = model.embed_query(image, list(query.texts), return_attention=True)
        order = searched.search(vector[0], 5, ~relevance.candidates(row)).images
        for axis in axes[line]:
            axis.set_xticks([])
            axis.set_yticks([])
        axes[line, 0].imshow(cache.image(query.source), interpolation="nearest")
        axes[line, 1].axis("off")
        axes[line, 1].text(0.5, 0.5, "+ “" + "\n".join(_lines(query.texts[0])) + "”", ha="center", va="center", fontsize=11)
        for place, found in enumerate(order):
            axis = axes[line, 2 + place]
            axis.imshow(cache.image(int(found)), interpolation="nearest")
            right = relevance.is_relevant(found, row)
            for spine in axis.spines.values():
                spine.set(color="#2f9e44" if right else "#cccccc", linewidth=4 if right else 1)
        maps = record.words_to_image("7x7")[0, 0].mean(0)  # (words, 7, 7), mean over heads
        axes[line, 7].imshow(maps[-1].numpy(), cmap="gray")
        word = record.tokens[0][-1]
        if line == 0:
            for axis, title in zip(axes[0], ("reference", "", "ranked 1", "2", "3", "4", "5", ""), strict=True):
                axis.set_title(title, fontsize=10)
        axes[line, 7].set_title(f"“{word}”\nattends to", fontsize=9)
    return figure


def _lines(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 18)
