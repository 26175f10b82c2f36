"""Folders of synthetic datasets: complete or marked as unfinished, never mixed with other files, identified by their settings.

out/made.json.part   exists while a dataset is being drawn: its settings
out/made.json        written last: the settings, the counts of each split, the number of images
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maaf_lab.data.dataset import MARK, read_mark
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.utils.files import make_folder


@dataclass(frozen=True)
class SyntheticDataset:
    """How a dataset's synthetic version is drawn.

    make: `make(out, size, pixels, seed, progress) -> Path`. version: of its bytes. pixels: default side of the images.
    training_texts: `training_texts(size, seed)`, the captions, without drawing.
    lazy: "module:function" where images can be drawn one by one; `function(origin, split, size, pixels, seed, side)` returns a
    `Split` and its `LazyPixels`.
    """

    make: Callable[..., Path]
    version: int
    pixels: int
    training_texts: Callable[[str, int], list[str]]
    lazy: str = ""


_PART = f"{MARK}.part"
SUFFIXES = (".png", ".jpg", ".jpeg")


def checked_settings(
    dataset: str,
    version: int,
    size: str,
    pixels: int,
    seed: int,
    *,
    sizes: Sequence[str] = ("tiny", "full"),
    least_pixels: int = 16,
) -> dict[str, Any]:
    """The settings that identify a synthetic dataset, `origin` among them. Raises ConfigError for an invalid value."""
    if size not in sizes:
        raise ConfigError(f"make {dataset}: expected size {' or '.join(map(repr, sizes))}, found {size!r}")
    for name, value, low in (("pixels", pixels, least_pixels), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ConfigError(f"make {dataset}: expected {name} to be a whole number of at least {low}, found {value!r}")
    return {
        "dataset": dataset,
        "version": version,
        "size": size,
        "pixels": pixels,
        "seed": seed,
        "origin": f"synthetic {dataset} v{version} size={size} pixels={pixels} seed={seed}",
    }


def make_dataset(
    out: str | Path,
    settings: Mapping[str, Any],
    owned: Sequence[str],
    fill: Callable[[Path], Mapping[str, tuple[int, int]]],
    progress: bool = True,
) -> Path:
    """Draw a synthetic dataset into the folder `out` and return the folder.

    settings: from `checked_settings`. owned: names of the dataset's files and folders directly in `out`. fill(out) writes them
    and returns {split: (images, queries)}. A finished folder with these settings is left as it is; an unfinished one is drawn
    again from the start. Raises DataError if the folder holds another dataset or other files.
    """
    out = Path(out)
    if _finished(out, settings, owned):
        if progress:
            print(f"{out} already holds {settings['origin']}: nothing to do")
        return out
    _clear(out, owned)
    make_folder(out)
    write_whole(out / _PART, lambda file: file.write(json.dumps(dict(settings)).encode()))
    counts = {split: list(pair) for split, pair in fill(out).items()}
    mark = {**settings, "counts": counts, "pictures": _images(out, owned)}
    write_whole(out / MARK, lambda file: file.write((json.dumps(mark, indent=2) + "\n").encode()))
    (out / _PART).unlink()
    return out


def write_whole(path: Path, fill: Callable[[Any], Any]) -> None:
    """Write a file completely or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        fill(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def sidecar_file(out: str | Path, name: str, dataset: str) -> Path:
    """The file `name` of a synthetic dataset, which says what each image shows. Raises DataError where there is none."""
    path = Path(out) / name
    if not path.is_file():
        raise DataError(f"{path}: no such file. Only synthetic datasets have it; `maaf-lab make {dataset} --out DIR` draws one")
    return path


def _images(out: Path, owned: Sequence[str]) -> int:
    return sum(name.endswith(SUFFIXES) for top in owned for _, _, names in os.walk(out / top) for name in names)


def _finished(out: Path, settings: Mapping[str, Any], owned: Sequence[str]) -> bool:
    mark = out / MARK
    if not mark.exists():
        return False
    try:
        found = read_mark(mark)
    except ValueError as error:
        raise DataError(f"{mark} is no JSON ({error}): pass another folder, or delete that one first") from error
    if not isinstance(found, dict) or {key: found.get(key) for key in settings} != dict(settings):
        holds = found.get("origin", found) if isinstance(found, dict) else found
        raise DataError(
            f"{out} holds {holds!r}, and {settings['origin']!r} was requested: pass another folder, or delete that one first"
        )
    missing = [name for name in owned if not (out / name).exists()]
    expected, there = found.get("pictures", 0), _images(out, owned)
    if missing or there != expected:
        raise DataError(
            f"{out} is marked as finished, but holds {there:,} of {expected:,} images"
            f"{' and lacks ' + ', '.join(missing) if missing else ''}: delete the folder to have it drawn again"
        )
    return True


def _clear(out: Path, owned: Sequence[str]) -> None:
    """Remove what an interrupted run left, whatever its settings. Raises DataError for files that are not the lab's."""
    stale = [out / name for name in owned if (out / name).is_file() or ((out / name).is_dir() and any((out / name).iterdir()))]
    if stale and not (out / _PART).exists():
        raise DataError(
            f"{out} holds {stale[0].name} but neither {MARK} nor {_PART}, so the lab did not draw it: pass an empty or new folder"
        )
    for path in stale:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
