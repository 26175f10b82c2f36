"""What all figure notebooks share: a trained MAAF, the split that it is ranked on, results that are kept in small files."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from maaf_lab.config import RunConfig
from maaf_lab.data import registry as datasets
from maaf_lab.data.cache import PixelCache, pixel_cache
from maaf_lab.data.split import Split
from maaf_lab.errors import SaveError
from maaf_lab.experiments.records import figure_arrays, save_arrays
from maaf_lab.experiments.runs import Run, pretrained_run
from maaf_lab.experiments.sources import Source
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.models.base import ComposedModel
from maaf_lab.plots.save import save
from maaf_lab.profiles import profile_config
from maaf_lab.training.devices import make_accelerator


@dataclass(frozen=True)
class FigureExperiment:
    """Analyses of one model on a dataset's usual split. Nothing is drawn, trained or computed before it is needed.

    The laptop profile looks at the model that ships with the lab; smoke and paper train one, with softmax attention as in the
    paper's figures. The result of an analysis is kept in a small file in `runs_root/figures`, named by the model, the data and
    the question; files in `records` are read and never written.
    """

    dataset: ClassVar[str]
    shipped: ClassVar[str]  # the model of the laptop profile

    profile: str
    data_root: Path
    runs_root: Path
    records: Path | None
    out: Path
    steps: int = 0
    device: str | None = None

    @cached_property
    def source(self) -> Source:
        """Where the data comes from, and whether it is synthetic."""
        return Source(self.dataset, self.data_root, self.profile)

    @property
    def origin(self) -> str:
        """What the data is; for synthetic data known before a byte of it is drawn."""
        return self.source.origin

    @cached_property
    def folder(self) -> Path:
        """The dataset's folder; the smoke and laptop profiles draw it where it is missing."""
        return self.source.draw()

    @cached_property
    def config_name(self) -> str:
        return self._config.name if self.profile != "laptop" else pretrained_run(self.shipped).config.name

    @cached_property
    def _config(self) -> RunConfig:
        changes = {"model.name": "maaf", "model.attention": "softmax", "data.origin": self.origin}
        return profile_config(self.profile, self.dataset, **changes, **({"train.steps": self.steps} if self.steps else {}))

    @cached_property
    def run(self) -> Run:
        if self.profile == "laptop":
            return pretrained_run(self.shipped)
        return train_and_evaluate(self._config, self.folder, self.runs_root, device=self.device)

    @cached_property
    def model(self) -> ComposedModel:
        return self.run.load_model(make_accelerator("fp32", self.device).device)

    @cached_property
    def split(self) -> Split:
        return datasets.load(self.dataset, self.folder, datasets.evaluation(self.dataset))

    @cached_property
    def cache(self) -> PixelCache:
        return pixel_cache(self.split, self.run.config.data.pixels)

    def caption(self) -> str:
        """What a figure shows: data, model."""
        return f"{self.data_caption()}\nMAAF, softmax, {self.config_name}"

    def data_caption(self) -> str:
        """What a figure shows, without the model."""
        return f"{self.origin}, {datasets.evaluation(self.dataset)} split"

    def _kept(self, name: str, compute: Callable[[], dict[str, np.ndarray]], *asked: Any) -> dict[str, np.ndarray]:
        """Arrays as they were kept, or computed now and kept. asked: what they depend on besides the model and the data."""
        named = json.dumps([self.config_name, self.origin, *asked])
        file = f"{name}-{hashlib.sha256(named.encode()).hexdigest()[:10]}"
        for folder in (self.records, self.runs_root):
            if folder is not None and (found := figure_arrays(folder, file)) is not None:
                return found
        arrays = compute()
        try:
            save_arrays(self.runs_root / "figures" / f"{file}.npz", arrays)
        except SaveError as error:  # a colleague's runs, a full disk: what was computed is shown all the same
            warnings.warn(f"computed again the next time: {error}", stacklevel=3)
        return arrays

    def _kept_table(self, name: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        def as_arrays() -> dict[str, np.ndarray]:
            table = compute()
            return {column: table[column].to_numpy(str if table[column].dtype.kind not in "if" else None) for column in table}

        return pd.DataFrame({column: values.tolist() for column, values in self._kept(name, as_arrays).items()})

    def save(self, figure: Figure, name: str) -> None:
        """`out/name.png` and `out/name.svg` (see `plots.save.save`)."""
        save(figure, self.out, name)
