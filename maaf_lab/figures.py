"""What the figure notebooks on CSS do, in a few calls: a trained MAAF with softmax, its attention on the test split, files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from maaf_lab.analysis.avoidance import avoidance
from maaf_lab.analysis.colors import ColorImages, color_images
from maaf_lab.analysis.heads import head_ablation
from maaf_lab.analysis.positions import PositionMaps, position_maps
from maaf_lab.config import RunConfig, profile_config
from maaf_lab.data import datasets
from maaf_lab.data.cache import PixelCache, pixel_cache
from maaf_lab.data.css import CSS
from maaf_lab.data.split import Split
from maaf_lab.errors import ConfigError
from maaf_lab.made.css import load_sidecar
from maaf_lab.models.base import ComposedModel
from maaf_lab.models.build import build_model, build_vocabulary
from maaf_lab.models.checkpoints import write_atomically
from maaf_lab.runs import MADE_SIZE, Run, dataset_origin, dataset_root, pretrained_run, train_and_evaluate
from maaf_lab.training import make_accelerator
from maaf_lab.views.files import save


@dataclass(frozen=True)
class FigureBench:
    """Analyses of one model on CSS's test split. Nothing is made, trained or computed before somebody asks for what needs it.

    The laptop profile looks at the model that ships with the lab; smoke and paper train one, with softmax attention as the
    paper's figures have it. What an analysis gives is kept in a small file, named by the model and the data, in
    `runs_root/figures`; files in `records` are read and never written.
    """

    profile: str
    data_root: Path
    runs_root: Path
    records: Path | None
    out: Path
    steps: int = 0
    device: str | None = None

    @cached_property
    def origin(self) -> str:
        """What the data is; for made data known before a byte of it is drawn."""
        return dataset_origin("css", self.data_root, self.profile, pixels=profile_config(self.profile, "css").data.pixels)

    @cached_property
    def folder(self) -> Path:
        """CSS's folder; the smoke and laptop profiles draw it where it is missing."""
        return dataset_root("css", self.data_root, self.profile, pixels=profile_config(self.profile, "css").data.pixels)

    @cached_property
    def config_name(self) -> str:
        return self._config.name if self.profile != "laptop" else pretrained_run().config.name

    @cached_property
    def _config(self) -> RunConfig:
        changes = {"model.name": "maaf", "model.attention": "softmax", "data.origin": self.origin}
        return profile_config(self.profile, "css", **changes, **({"train.steps": self.steps} if self.steps else {}))

    @cached_property
    def run(self) -> Run:
        if self.profile == "laptop":
            return pretrained_run()
        return train_and_evaluate(self._config, self.folder, self.runs_root, device=self.device)

    @cached_property
    def model(self) -> ComposedModel:
        return self.run.load_model(make_accelerator("fp32", self.device).device)

    @cached_property
    def split(self) -> Split:
        return datasets.load("css", self.folder, "test")

    @cached_property
    def cache(self) -> PixelCache:
        return pixel_cache(self.split, self.run.config.data.pixels)

    def caption(self) -> str:
        """What a figure shows: model, data."""
        kind = "made data" if self.profile in MADE_SIZE else "published data"
        return f"{kind}: {self.origin}, test split\nMAAF, softmax, {self.config_name}"

    # --- analyses -----------------------------------------------------------------------------------------------------

    def positions(self) -> PositionMaps:
        """Figure 3: the attention of the nine position words."""
        def compute() -> tuple[dict[str, np.ndarray], dict[str, int]]:
            found = position_maps(self.model, self.split, self.cache)
            return found.maps, found.counts

        return PositionMaps(*self._kept_words("positions", "maps", np.float32, compute))

    def colors(self) -> ColorImages:
        """Figure 5: what colour words ignore."""
        def compute() -> tuple[dict[str, np.ndarray], dict[str, int]]:
            found = color_images(self.model, self.split, self.cache)
            return found.images, found.counts

        return ColorImages(*self._kept_words("colors", "images", np.float16, compute))

    def avoidance(self) -> pd.DataFrame:
        """Scores of every kind of word and head (`analysis.avoidance`); made data only."""
        if self.profile not in MADE_SIZE:
            raise ConfigError("the avoidance score needs each object's box, which only made CSS has; take the laptop profile")

        def compute() -> pd.DataFrame:
            scenes, sidecar = CSS(self.folder).objects("test"), load_sidecar(self.folder, "test")
            return avoidance(self.model, self.split, self.cache, scenes, sidecar)

        return self._kept_table("avoidance", compute)

    def heads(self) -> pd.DataFrame:
        """R1 with each head turned off (`analysis.heads`)."""
        return self._kept_table("heads", lambda: head_ablation(self.model, self.split, self.cache))

    # --- files --------------------------------------------------------------------------------------------------------

    def _kept(self, name: str, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Arrays that were computed before, or are computed now and kept."""
        digest = hashlib.sha256(json.dumps([self.config_name, self.origin]).encode()).hexdigest()[:10]
        file = f"{name}-{digest}.npz"
        places = [folder for folder in (self.records, self.runs_root) if folder is not None]
        for folder in places:
            if (folder / "figures" / file).is_file():
                with np.load(folder / "figures" / file, allow_pickle=False) as found:
                    return {key: found[key] for key in found.files}
        arrays = compute()
        path = self.runs_root / "figures" / file
        path.parent.mkdir(parents=True, exist_ok=True)

        def write(beside: Path) -> None:
            with open(beside, "wb") as stream:
                np.savez_compressed(stream, **arrays)

        write_atomically(path, write)
        return arrays

    def _kept_words(
        self, name: str, what: str, dtype: type, compute: Callable[[], tuple[dict[str, np.ndarray], dict[str, int]]]
    ) -> tuple[dict[str, np.ndarray], dict[str, int]]:
        """An array a word and how many examples each has; words that no example has are left out."""
        def as_arrays() -> dict[str, np.ndarray]:
            arrays, counts = compute()
            return {"words": np.array(list(arrays)), what: np.stack(list(arrays.values())).astype(dtype),
                    "counts": np.array([counts[word] for word in arrays])}

        kept = self._kept(name, as_arrays)
        words = kept["words"].tolist()
        arrays = dict(zip(words, kept[what].astype(np.float64), strict=True))
        return arrays, dict(zip(words, kept["counts"].tolist(), strict=True))

    def _kept_table(self, name: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        def as_arrays() -> dict[str, np.ndarray]:
            table = compute()
            return {column: table[column].to_numpy(str if table[column].dtype.kind not in "if" else None) for column in table}

        return pd.DataFrame({column: values.tolist() for column, values in self._kept(name, as_arrays).items()})

    def save(self, figure: Figure, name: str) -> None:
        """`out/name.png` and `out/name.svg` (see `views.files.save`)."""
        save(figure, self.out, name)


def open_figures(
    *, profile: str = "laptop", data_root: str | Path = "data", runs_root: str | Path = "runs", records: str | Path = "",
    out: str | Path = "figures", steps: int = 0, device: str = "",
) -> FigureBench:
    """The analyses behind the figures on CSS. steps: of a run that has to be trained, 0 for the profile's own."""
    profile_config(profile, "css")  # an unknown profile is refused here
    return FigureBench(profile, Path(data_root), Path(runs_root), Path(records) if records else None, Path(out), int(steps),
                       device or None)


def untrained(profile: str, dataset: str, text: str) -> ComposedModel:
    """A profile's MAAF with random weights, which knows the words of `text`: enough to ask it for its shapes."""
    config = profile_config(profile, dataset, **{"model.name": "maaf", "model.image_weights": "none"})
    return build_model(config.model, build_vocabulary(config.model, [text])).eval()
