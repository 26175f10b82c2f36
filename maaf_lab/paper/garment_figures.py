"""Figures 1, 4, 6, S1 and S2: what a MAAF trained on Fashion IQ retrieves and attends to."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image as PILImage

from maaf_lab.analysis.clusters import largest_cluster, mean_image
from maaf_lab.analysis.retrievals import Retrieval, pick_queries
from maaf_lab.analysis.sentences import MarkedSentence, marked, sentence_attention
from maaf_lab.data.images import square
from maaf_lab.data.text import join
from maaf_lab.data.transforms import build_transform
from maaf_lab.errors import ConfigError
from maaf_lab.paper.figure_experiment import FigureExperiment
from maaf_lab.retrieval.embed import embed_split
from maaf_lab.retrieval.gallery import rank
from maaf_lab.retrieval.rankings import Rankings
from maaf_lab.synthetic.garments.fashion_iq import redraw
from maaf_lab.synthetic.registry import synthetic_origin

CATEGORIES = ("dress", "toptee", "shirt")  # the paper's order


class Structure(NamedTuple):
    """Figure 4's matrix. weights: (N, N), a row a token that looks. tokens: their names; spans: name -> (start, stop)."""

    weights: np.ndarray
    tokens: tuple[str, ...]
    spans: dict[str, tuple[int, int]]

    def shares(self) -> pd.DataFrame:
        """Percent of attention that each group of tokens (lines) gives to each group (columns); last line: an even spread.

        Signed scores (f = identity) add up to nothing; of them the absolute values count.
        """
        sizes = np.abs(self.weights)
        sizes = 100 * sizes / sizes.sum(1, keepdims=True)
        groups = {name: slice(*span) for name, span in self.spans.items()}
        lines = {a: {b: sizes[groups[a], groups[b]].sum(1).mean() for b in groups} for a in groups}
        lines["even"] = {b: 100 * (stop - start) / len(self.tokens) for b, (start, stop) in self.spans.items()}
        return pd.DataFrame(lines).T


class CategoryImages(NamedTuple):
    """Figure S1 for one category: the first pictures (n, S, S, 3) and the mean (S, S, 3) of all and of the largest cluster."""

    first: np.ndarray
    mean: np.ndarray
    count: int
    cluster_first: np.ndarray
    cluster_mean: np.ndarray
    cluster_count: int


class SentenceMaps(NamedTuple):
    """Figure 6 for one sentence. maps: (blocks, H, T, rows, columns), mean over `count` pictures of the largest cluster.

    mean: those pictures' average, uint8 (S, S, 3).
    """

    sentence: MarkedSentence
    maps: np.ndarray
    mean: np.ndarray
    count: int


class GarmentFigures(FigureExperiment):
    """Figures 1, 4, 6, S1 and S2."""

    dataset, shipped = "fashion_iq", "garments-laptop"

    def structure(self, query: int = 0, block: int = 0) -> Structure:
        """Figure 4: a block's attention of one query, mean over heads. Raises ConfigError for a query or block out of range."""

        def compute() -> dict[str, np.ndarray]:
            queries, blocks = len(self.split.queries), self.model.config.blocks
            if not (0 <= query < queries and 0 <= block < blocks):
                raise ConfigError(
                    f"expected a query from 0 to {queries - 1} and a block from 0 to {blocks - 1}, "
                    f"found query {query}, block {block}"
                )
            q = self.split.queries[query]
            image = build_transform("plain", self.cache.size).eval(self.cache.batch([q.source]).to(self.model.device))
            _, record = self.model.eval().embed_query(image, [join(q.texts)], return_attention=True)
            weights = record.weights[block, 0].mean(0).detach().float().cpu().numpy()
            return {
                "weights": weights,
                "tokens": np.array(record.tokens[0]),
                "names": np.array(list(record.spans)),
                "spans": np.array(list(record.spans.values())),
            }

        kept = self._kept("structure", compute, query, block)
        spans = {name: tuple(span) for name, span in zip(kept["names"].tolist(), kept["spans"].tolist(), strict=True)}
        return Structure(kept["weights"], tuple(kept["tokens"].tolist()), spans)

    def clusters(self, show: int = 10) -> dict[str, CategoryImages]:
        """Figure S1: each category's pictures and their average, of all and of the largest cluster in pixel space (k = 5)."""

        def compute() -> dict[str, np.ndarray]:
            arrays = {"categories": np.array(self.categories)}
            for category in self.categories:
                whole, part = self._images_of(category), self.cluster(category)
                for name, images in (("whole", whole), ("cluster", part)):
                    arrays[f"{category} {name}"] = np.stack([self.cache.image(i) for i in images[:show]])
                    arrays[f"{category} {name} mean"] = mean_image(self.cache, images)
                    arrays[f"{category} {name} count"] = np.array(len(images))
            return arrays

        kept = self._kept("clusters", compute, show)
        parts = [f"{name}{what}" for name in ("whole", "cluster") for what in ("", " mean", " count")]
        return {
            c: CategoryImages(*(array if (array := kept[f"{c} {part}"]).ndim else int(array) for part in parts))
            for c in kept["categories"].tolist()
        }

    def sentence(self, sentence: str, images: int = 200) -> SentenceMaps:
        """Figure 6: a sentence such as "dress: is *longer*" (see `analysis.sentences.marked`) put to the first `images` pictures
        of its category's largest cluster; attention to the finest grid.
        """
        asked = marked(sentence)
        if asked.category not in CATEGORIES:
            raise ConfigError(f"expected a category of Fashion IQ ({', '.join(CATEGORIES)}), found {asked.category!r}")

        def compute() -> dict[str, np.ndarray]:
            part = self.cluster(asked.category)[:images]
            maps = sentence_attention(self.model, self.cache, part, asked.text)
            return {"maps": maps.astype(np.float32), "mean": mean_image(self.cache, part), "count": np.array(len(part))}

        kept = self._kept("sentence", compute, asked.category, asked.text, images)
        return SentenceMaps(asked, kept["maps"], kept["mean"], int(kept["count"]))

    def retrievals(self, count: int, keep: int, *, within: int = 0, seed: int = 0, pixels: int = 160) -> list[Retrieval]:
        """Figures 1 and S2: random queries and the first `keep` images of their gallery; within: see `analysis.retrievals`.

        Synthetic pictures are drawn once more at `pixels`; published ones are scaled. The model saw them at its own size.
        """

        def compute() -> dict[str, np.ndarray]:
            frame, ids = self.rankings.frame, {image.id: i for i, image in enumerate(self.split.images)}
            chosen = pick_queries(self.rankings, count, seed=seed, within=within)
            shown = [[self.split.queries[q].source, *(ids[name] for name in frame["top"].iloc[q][:keep])] for q in chosen]
            pictures = [_jpeg(picture) for picture in self._pictures([i for row in shown for i in row], pixels)]
            relevant = [
                [self.split.images[i].label == self.split.queries[q].target_label for i in row[1:]]
                for q, row in zip(chosen, shown, strict=True)
            ]
            texts = [self.split.queries[q].texts for q in chosen]
            return {
                "texts": np.array(["\n".join(of) for of in texts]),
                "rank": frame["rank"].to_numpy()[chosen],
                "right": np.array(relevant),  # so called in records
                "ends": np.cumsum([len(p) for p in pictures]),
                "pictures": np.frombuffer(b"".join(pictures), np.uint8),
            }

        kept = self._kept("retrievals", compute, count, keep, within, seed, pixels)
        files = np.split(kept["pictures"], kept["ends"][:-1])
        pictures, found = [np.asarray(PILImage.open(io.BytesIO(file.tobytes()))) for file in files], []
        width = kept["right"].shape[1] + 1
        for n, (text, relevant, first) in enumerate(
            zip(kept["texts"].tolist(), kept["right"].tolist(), kept["rank"], strict=True)
        ):
            source, *results = pictures[n * width : (n + 1) * width]
            found.append(Retrieval(source, tuple(text.split("\n")), tuple(results), tuple(relevant), int(first)))
        return found

    # --- what these rest on -------------------------------------------------------------------------------------------

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(c for c in CATEGORIES if any(c in image.categories for image in self.split.images))

    @cached_property
    def rankings(self) -> Rankings:
        """The whole split, ranked by the model."""
        queries, gallery = embed_split(self.model, self.split, self.cache)
        return rank(queries, gallery, self.split)

    def _images_of(self, category: str) -> np.ndarray:
        """In the order of their ids, which says nothing of what they show."""
        inside = [i for i, image in enumerate(self.split.images) if category in image.categories]
        return np.array(sorted(inside, key=lambda i: self.split.images[i].id))

    def cluster(self, category: str) -> np.ndarray:
        """Numbers of the images in a category's largest cluster (see `analysis.clusters`)."""
        if category not in self._clusters:
            self._clusters[category] = largest_cluster(self.cache, self._images_of(category))
        return self._clusters[category]

    @cached_property
    def _clusters(self) -> dict[str, np.ndarray]:
        return {}

    def _pictures(self, images: Sequence[int], pixels: int) -> list[np.ndarray]:
        size = self.source.size
        if size and self.origin == synthetic_origin(self.dataset, size, self.source.pixels):
            return redraw([self.split.images[i].id for i in images], self.split.name, size, pixels)
        return [square(self.split.images[i].path, pixels) for i in images]


def _jpeg(picture: np.ndarray) -> bytes:
    out = io.BytesIO()
    PILImage.fromarray(picture).save(out, "JPEG", quality=92)
    return out.getvalue()
