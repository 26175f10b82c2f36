"""What the figure notebooks do, in a few calls: the analyses behind the figures, opened by dataset."""

from __future__ import annotations

from pathlib import Path

import torch

from maaf_lab.arguments import checked
from maaf_lab.errors import ConfigError
from maaf_lab.models.base import ComposedModel
from maaf_lab.models.registry import build_model, build_vocabulary
from maaf_lab.paper.css_figures import CSSFigures
from maaf_lab.paper.figure_experiment import FigureExperiment
from maaf_lab.paper.garment_figures import GarmentFigures
from maaf_lab.profiles import profile_config
from maaf_lab.utils.paths import own_folder, records_folder

EXPERIMENTS: dict[str, type[FigureExperiment]] = {experiment.dataset: experiment for experiment in (CSSFigures, GarmentFigures)}


@checked
def open_figures(
    dataset: str = "css",
    *,
    profile: str = "laptop",
    data_root: str | Path = "",
    runs_root: str | Path = "",
    records: str | Path = "",
    out: str | Path = "",
    steps: int = 0,
    device: str | torch.device | None = "",
) -> FigureExperiment:
    """The analyses behind the figures on a dataset, "css" or "fashion_iq".

    steps: of a run that has to be trained, 0 for the profile's own. Folders: as in `open_table`; out: "" for figures/.
    """
    if dataset not in EXPERIMENTS:
        raise ConfigError(f"the paper has figures on {' and '.join(EXPERIMENTS)}, found {dataset!r}")
    profile_config(profile, dataset)  # an unknown profile is refused here
    return EXPERIMENTS[dataset](
        profile,
        own_folder(data_root, "data"),
        own_folder(runs_root, "runs"),
        records_folder(records),
        own_folder(out, "figures"),
        int(steps),
        device or None,
    )


@checked
def untrained(profile: str, dataset: str, text: str) -> ComposedModel:
    """A profile's MAAF with random weights, which knows the words of `text`: enough to ask it for its shapes."""
    config = profile_config(profile, dataset, **{"model.name": "maaf", "model.image_weights": "none"})
    return build_model(config.model, build_vocabulary(config.model, [text])).eval()
