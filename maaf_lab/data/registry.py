"""Datasets by name: load a split, check a copy, tell the origin of its files."""

from __future__ import annotations

from pathlib import Path

from maaf_lab.data.check import CheckReport
from maaf_lab.data.dataset import Dataset
from maaf_lab.data.split import Split
from maaf_lab.utils.paths import given_path
from maaf_lab.utils.registry import DATASETS


def open_dataset(dataset: str, root: str | Path) -> Dataset:
    """A dataset in a folder; no file is read yet. Raises ConfigError for an unknown dataset, listing the known ones."""
    return DATASETS[dataset](given_path(Path(root)))


def evaluation(dataset: str) -> str:
    """The split that is ranked for the paper's tables."""
    return DATASETS[dataset].evaluation


def load(dataset: str, root: str | Path, split: str, missing: str = "error") -> Split:
    """A split of a dataset. Raises ConfigError for an unknown dataset or split, DataError where the files do
    not fit the dataset's layout."""
    return open_dataset(dataset, root).load(split, missing)


def check(dataset: str, root: str | Path, progress: bool = True) -> CheckReport:
    """What a copy of a dataset has and lacks, and how many queries are lost with it."""
    return open_dataset(dataset, root).check(progress)


def origin(dataset: str, root: str | Path) -> str:
    """`DataConfig.origin` of the files: "synthetic css ..." or "published sha256:..."."""
    return open_dataset(dataset, root).origin()
