"""Folders of synthetic datasets: complete or marked as unfinished, never mixed with other files, identified by their settings.

out/made.json.part   exists while a dataset is being drawn: its settings
out/made.json.lock   held while a dataset is being drawn: who comes second waits, and then finds it finished
out/made.json        written last: the settings, the counts of each split, the number of images
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maaf_lab.data.mark import MARK, are_counts, read_mark
from maaf_lab.errors import ConfigError, DataError, SaveError
from maaf_lab.utils.files import locked, why_not_writable
from maaf_lab.utils.wording import first_names


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


_PART, _LOCK, _TEMPORARY = f"{MARK}.part", f"{MARK}.lock", ".tmp"
SUFFIXES = (".png", ".jpg", ".jpeg")
_MOST_PIXELS, _LAST_SEED = 4096, 2**32 - 1  # a process draws a few images at a time, each up to 9 times larger; numpy's seeds


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
    whole_between(f"make {dataset}: expected pixels", pixels, least_pixels, _MOST_PIXELS)
    whole_between(f"make {dataset}: expected seed", seed, 0, _LAST_SEED)
    return {
        "dataset": dataset,
        "version": version,
        "size": size,
        "pixels": pixels,
        "seed": seed,
        "origin": f"synthetic {dataset} v{version} size={size} pixels={pixels} seed={seed}",
    }


def whole_between(expected: str, value: Any, low: int, high: int = _MOST_PIXELS) -> None:
    """Raises ConfigError, which begins with `expected`, for what is no whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{expected} to be a whole number from {low:,} to {high:,}, found {str(value)[:50]}")


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

    def already_there() -> bool:
        there = _finished(out, settings, owned)
        if there and progress:
            print(f"{out} already holds {settings['origin']}: nothing to do")
        return there

    if already_there():  # also in a folder that cannot be written
        return out
    with drawing_in(out, out / _LOCK):
        if already_there():  # drawn by another process, for which this one waited
            return out
        _clear(out, owned)
        write_whole(out / _PART, lambda file: file.write(json.dumps(dict(settings)).encode()))
        counts = {split: list(pair) for split, pair in fill(out).items()}
        expected, there = sum(images for images, _ in counts.values()), _images(out, owned)
        if there != expected:
            raise SaveError(f"{out}: {expected:,} images were drawn and {there:,} are there: does another program change them?")
        mark = {**settings, "counts": counts, "pictures": there}
        write_whole(out / MARK, lambda file: file.write((json.dumps(mark, indent=2) + "\n").encode()))
        (out / _PART).unlink()
    return out


@contextmanager
def drawing_in(out: Path, lock: Path) -> Iterator[None]:
    """Make the folder `out` and hold `lock` in it: one process draws there at a time, another one waits.

    Raises DataError where nothing can be written, SaveError where that ends while images are drawn.
    """
    if why := why_not_writable(out):
        raise DataError(f"{str(out)[:300]}: expected a folder, new or writable, to draw images in; {why}. Name another folder")
    with locked(lock, lambda: print(f"another process draws in {out}: waiting for it")):
        try:
            yield
        except (OSError, BrokenExecutor, MemoryError) as error:
            raise SaveError(
                f"{out}: images are being drawn, and that stopped ({str(error) or type(error).__name__}); what is there is "
                "unfinished. Make room, or choose another folder or fewer pixels, and run the same again: it starts over"
            ) from error


def write_whole(path: Path, fill: Callable[[Any], Any]) -> None:
    """Write a file completely or not at all."""
    temporary = path.with_name(path.name + _TEMPORARY)
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


def read_sidecar(out: str | Path, name: str, dataset: str) -> dict[str, Any]:
    """A `sidecar_file` of JSON. Raises DataError where it is missing or damaged."""
    path = sidecar_file(out, name, dataset)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"found a {type(found).__name__}")
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: expected JSON that `maaf-lab make {dataset}` wrote ({error}); draw the dataset again"
        ) from error
    return found


def _images(out: Path, owned: Sequence[str]) -> int:
    return sum(name.endswith(SUFFIXES) for top in owned for _, _, names in os.walk(out / top) for name in names)


def _finished(out: Path, settings: Mapping[str, Any], owned: Sequence[str]) -> bool:
    mark = out / MARK
    try:
        found = read_mark(mark)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{str(mark)[:300]} cannot be read ({why}): pass another folder, or delete that one first") from error
    if not isinstance(found, dict) or {key: found.get(key) for key in settings} != dict(settings):
        holds = found.get("origin", found) if isinstance(found, dict) else found
        raise DataError(
            f"{out} holds {str(holds)[:100]!r}, and {settings['origin']!r} was requested: pass another folder, or delete "
            "that one first"
        )
    missing = [name for name in owned if not (out / name).exists()]
    counts, there = found.get("counts"), _images(out, owned)
    expected = sum(images for images, _ in counts.values()) if counts and are_counts(counts) else found.get("pictures")
    if missing or there != expected:
        raise DataError(
            f"{out} is marked as finished, but holds {there:,} of {expected} images"
            f"{' and lacks ' + ', '.join(missing) if missing else ''}: delete the folder to have it drawn again"
        )
    return True


def _clear(out: Path, owned: Sequence[str]) -> None:
    """Remove what an interrupted run left, whatever its settings. Raises DataError for files that are not the lab's."""
    there = [path for name in owned if os.path.lexists(path := out / name)]
    if links := [path.name for path in there if path.is_symlink()]:
        raise DataError(f"{out} holds {links[0]}, which is a link, and the lab deletes nothing behind links: pass a new folder")
    if not (out / _PART).exists():
        own = {_LOCK, _PART + _TEMPORARY}  # of a process that was killed before it drew
        kept = sorted(name for name in os.listdir(out) if not name.startswith(".") and name not in own)
        kept = [name for name in kept if name not in owned or (out / name).is_file() or any((out / name).iterdir())]
        if kept:
            raise DataError(
                f"{out} holds {first_names(kept)} but neither {MARK} nor {_PART}, so the lab did not draw it: pass an empty or "
                "new folder"
            )
    for path in there:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in (MARK, _PART, *owned):
        (out / (name + _TEMPORARY)).unlink(missing_ok=True)
