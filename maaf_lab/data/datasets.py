"""The datasets that the lab can read, by key: load a split, check a copy, say what the files are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maaf_lab.data.check import CheckReport
from maaf_lab.data.css import check_css, load_css, origin_css
from maaf_lab.data.split import Split
from maaf_lab.errors import ConfigError


@dataclass(frozen=True)
class _Dataset:
    load: Callable[..., Split]
    check: Callable[..., CheckReport]
    origin: Callable[..., str]


DATASETS = {"css": _Dataset(load_css, check_css, origin_css)}


def load(dataset: str, root: str | Path, split: str, missing: str = "error") -> Split:
    """A split of a dataset. Raises ConfigError for an unknown dataset, DataError for what is wrong with the files."""
    return _known(dataset).load(root, split, missing=missing)


def check(dataset: str, root: str | Path, progress: bool = True) -> CheckReport:
    """What a copy of a dataset holds and lacks, and how many queries that costs."""
    return _known(dataset).check(root, progress=progress)


def origin(dataset: str, root: str | Path) -> str:
    """What the files are ("made css ..." or "published sha256:..."): `DataConfig.origin`."""
    return _known(dataset).origin(root)


def _known(dataset: str) -> _Dataset:
    if dataset not in DATASETS:
        raise ConfigError(f"unknown dataset {dataset!r}; known: {', '.join(DATASETS)}")
    return DATASETS[dataset]
