"""Where a run's images come from: the user's own copy of a dataset, or synthetic data that is drawn where it is missing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from maaf_lab.data import registry as datasets
from maaf_lab.data.mark import MARK, is_drawn
from maaf_lab.data.split import is_synthetic
from maaf_lab.experiments.runs import Run
from maaf_lab.profiles import profile_config
from maaf_lab.synthetic.registry import make, synthetic_origin
from maaf_lab.utils.paths import own_folder
from maaf_lab.utils.registry import DATASETS, SYNTHETIC

SYNTHETIC_SIZE = {"smoke": "tiny", "laptop": "full"}  # profiles that learn from synthetic data, and how much of it
SYNTHETIC_SEED = 0  # of the synthetic sets that these profiles learn from


def dataset_folder(dataset: str, data_root: str | Path, profile: str = "laptop") -> Path:
    """Where a dataset stands: `data_root` itself where it is that dataset's folder, else the folder of its name in it.

    The tiny set that the smoke profile draws has a folder of its own, `{dataset}-tiny`.
    """
    data_root, layout = Path(data_root), datasets.open_dataset(dataset, data_root)
    if layout.looks_right():
        return data_root
    tiny = profile == "smoke" and layout.synthetic_as() in SYNTHETIC
    return data_root / (layout.synthetic_as() + ("-tiny" if tiny else ""))


def given_folder(dataset: str, data_root: str | Path, profile: str = "laptop") -> Path:
    """`dataset_folder` of a folder that somebody named. Raises DataError, which speaks of that folder, where neither is there."""
    folder = dataset_folder(dataset, data_root, profile)
    if not folder.exists():
        datasets.open_dataset(dataset, data_root).expect_folder(profile)
    return folder


def folder_of(run: Run, data_root: str | Path = "") -> Path:
    """A run's dataset: below `data_root`, as `given_folder` says; for "" where the run was trained, else the lab's data/.

    RunError where it was trained on a folder that is not there anymore.
    """
    data = run.config.data
    if data_root != "":
        return given_folder(data.dataset, own_folder(data_root, "data"), run.config.profile)
    return dataset_folder(data.dataset, run.data_root or own_folder("", "data"), run.config.profile)


@dataclass(frozen=True)
class Source:
    """The data that a profile takes of a dataset. data_root: the folder of all datasets. Nothing is done before it is needed."""

    dataset: str
    data_root: Path
    profile: str

    @property
    def folder(self) -> Path:
        """The dataset's folder, whether anything is in it yet or not."""
        return dataset_folder(self.dataset, self.data_root, self.profile)

    @property
    def size(self) -> str | None:
        """Which synthetic set the profile draws; None for a profile that draws none, and a dataset that nobody can draw."""
        return SYNTHETIC_SIZE.get(self.profile) if self.dataset in SYNTHETIC else None

    @property
    def pixels(self) -> int:
        """Side of the pictures that the lab draws for the profile's models (see `Dataset.drawn_pixels`)."""
        return DATASETS[self.dataset].drawn_pixels(profile_config(self.profile, self.dataset).data.pixels)

    @property
    def to_draw(self) -> bool:
        """Whether the profile draws the set and nobody has done it yet."""
        return self.size is not None and not is_drawn(self.folder)

    @cached_property
    def origin(self) -> str:
        """What the data is; of a set that is still to be drawn, what it will be. Of published data it takes a hash."""
        if self.to_draw:
            return synthetic_origin(self.dataset, self.size, self.pixels, SYNTHETIC_SEED)
        return datasets.origin(self.dataset, self.folder)

    @property
    def published(self) -> bool:
        """Whether the folder holds somebody's own copy: annotation files that the lab did not write."""
        folder, drawing = self.folder, self.folder / f"{MARK}.part"
        return datasets.open_dataset(self.dataset, folder).looks_right() and not is_drawn(folder) and not drawing.exists()

    @property
    def synthetic(self) -> bool:
        """Whether the lab drew the data, or will."""
        return is_synthetic(self.origin)

    def draw(self, progress: bool = True) -> Path:
        """Draws the set where that is still to be done; returns the dataset's folder."""
        if self.to_draw:
            make(self.dataset, self.folder, self.size, self.pixels, SYNTHETIC_SEED, progress=progress)
        return self.folder
