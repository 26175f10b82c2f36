"""The datasets that the lab can read, by name: load a split, check a copy, say what the files are."""

from __future__ import annotations

from pathlib import Path

from maaf_lab.data.check import CheckReport
from maaf_lab.data.dataset import Dataset
from maaf_lab.data.split import Split
from maaf_lab.utils.registry import DATASETS


def open_dataset(dataset: str, root: str | Path) -> Dataset:
    """A dataset in a folder; nothing is read yet. Raises ConfigError for an unknown dataset, listing the known ones."""
    return DATASETS[dataset](root)


def evaluation(dataset: str) -> str:
    """The split that is ranked for the paper's tables."""
    return DATASETS[dataset].evaluation


def load(dataset: str, root: str | Path, split: str, missing: str = "error") -> Split:
    """A split of a dataset. Raises ConfigError for an unknown dataset or split, DataError for what is wrong with the files."""
    return open_dataset(dataset, root).load(split, missing)


def check(dataset: str, root: str | Path, progress: bool = True) -> CheckReport:
    """What a copy of a dataset holds and lacks, and how many queries that costs."""
    return open_dataset(dataset, root).check(progress)


def origin(dataset: str, root: str | Path) -> str:
    """What the files are ("synthetic css ..." or "published sha256:..."): `DataConfig.origin`."""
    return open_dataset(dataset, root).origin()
