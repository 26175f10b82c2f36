"""Figures 3 and 5, and beyond the paper avoidance and head ablation: what a MAAF trained on CSS attends to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from maaf_lab.analysis.avoidance import avoidance
from maaf_lab.analysis.colors import ColorImages, color_images
from maaf_lab.analysis.heads import head_ablation
from maaf_lab.analysis.positions import PositionMaps, position_maps
from maaf_lab.data.datasets.css import CSS
from maaf_lab.errors import ConfigError
from maaf_lab.paper.figure_experiment import FigureExperiment
from maaf_lab.synthetic.css.dataset import load_sidecar


class CSSFigures(FigureExperiment):
    """Figures 3 and 5, and beyond the paper the avoidance score and head ablation."""

    dataset, shipped = "css", "css-laptop"

    def positions(self) -> PositionMaps:
        """Figure 3: the attention of the nine position words."""

        def compute() -> tuple[dict[str, np.ndarray], dict[str, int]]:
            found = position_maps(self.model, self.split, self.cache)
            return found.maps, found.counts

        return PositionMaps(*self._kept_words("positions", "maps", np.float32, compute))

    def colors(self) -> ColorImages:
        """Figure 5: what color words ignore."""

        def compute() -> tuple[dict[str, np.ndarray], dict[str, int]]:
            found = color_images(self.model, self.split, self.cache)
            return found.images, found.counts

        return ColorImages(*self._kept_words("colors", "images", np.float16, compute))

    def avoidance(self) -> pd.DataFrame:
        """Scores of every group of words and head (`analysis.avoidance`); synthetic data only."""
        if not self.source.synthetic:
            raise ConfigError(
                "the avoidance score needs each object's box, which only synthetic CSS has; take the laptop profile"
            )

        def compute() -> pd.DataFrame:
            scenes, sidecar = CSS(self.folder).objects("test"), load_sidecar(self.folder, "test")
            return avoidance(self.model, self.split, self.cache, scenes, sidecar)

        return self._kept_table("avoidance", compute)

    def heads(self) -> pd.DataFrame:
        """R1 with each head turned off (`analysis.heads`)."""
        return self._kept_table("heads", lambda: head_ablation(self.model, self.split, self.cache))

    def _kept_words(
        self, name: str, what: str, dtype: type, compute: Callable[[], tuple[dict[str, np.ndarray], dict[str, int]]]
    ) -> tuple[dict[str, np.ndarray], dict[str, int]]:
        """An array a word and how many examples each has; words that no example has are left out."""

        def as_arrays() -> dict[str, np.ndarray]:
            arrays, counts = compute()
            return {
                "words": np.array(list(arrays)),
                what: np.stack(list(arrays.values())).astype(dtype),
                "counts": np.array([counts[word] for word in arrays]),
            }

        kept = self._kept(name, as_arrays)
        words = kept["words"].tolist()
        arrays = dict(zip(words, kept[what].astype(np.float64), strict=True))
        return arrays, dict(zip(words, kept["counts"].tolist(), strict=True))
