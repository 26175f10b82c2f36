"""Where a run's images come from: the user's own copy of a dataset, or synthetic data that is drawn where it is missing."""

from __future__ import annotations

from pathlib import Path

from maaf_lab.data import registry as datasets
from maaf_lab.data.dataset import is_drawn
from maaf_lab.synthetic.registry import make, synthetic_origin
from maaf_lab.utils.registry import DATASETS, SYNTHETIC

SYNTHETIC_SIZE = {"smoke": "tiny", "laptop": "full"}  # profiles that learn from synthetic data, and how much of it


def drawn_pixels(dataset: str, pixels: int) -> int:
    """Side of the pictures that the lab draws for a model of `pixels` (see `Dataset.drawn_pixels`)."""
    return DATASETS[dataset].drawn_pixels(pixels)


def dataset_folder(dataset: str, data_root: str | Path, profile: str = "laptop") -> Path:
    """Where a dataset stands: `data_root` itself where it is that dataset's folder, else the folder of its name in it.

    The tiny set that the smoke profile draws has a folder of its own, `{dataset}-tiny`.
    """
    data_root, layout = Path(data_root), datasets.open_dataset(dataset, data_root)
    if layout.looks_right():
        return data_root
    drawn = layout.synthetic_as() in SYNTHETIC
    return data_root / (layout.synthetic_as() + ("-tiny" if drawn and profile == "smoke" else ""))


def dataset_origin(dataset: str, data_root: str | Path, profile: str, *, pixels: int, seed: int = 0) -> str:
    """What the data below `data_root` is; of data that the profile makes and nobody has drawn yet, what it will be."""
    root = dataset_folder(dataset, data_root, profile)
    if profile not in SYNTHETIC_SIZE or is_drawn(root):
        return datasets.origin(dataset, root)
    return synthetic_origin(dataset, SYNTHETIC_SIZE[profile], pixels, seed)


def dataset_root(dataset: str, data_root: str | Path, profile: str, *, pixels: int, seed: int = 0, progress: bool = True) -> Path:
    """The folder of a dataset below `data_root`; the smoke and laptop profiles make it where it is missing."""
    root = dataset_folder(dataset, data_root, profile)
    if profile in SYNTHETIC_SIZE and not is_drawn(root):
        make(dataset, root, SYNTHETIC_SIZE[profile], pixels, seed, progress=progress)
    return root
