"""Writes made CSS in the published layout: the annotation, the pictures, and a sidecar with each object's box.

    out/css_toy_dataset_novel2_small.dup.npy   images/css_{split}_{index:06d}.png   objects.npz   made.json
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage
from tqdm.auto import tqdm

from maaf_lab.data.css import ANNOTATION, IMAGES, MARK, image_name
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.made import render
from maaf_lab.made.scenes import SIZES_OF_SET, SPLITS, css_annotations

VERSION = 1  # raise it whenever the same settings give other bytes
SIDECAR = "objects.npz"
_PART = f"{MARK}.part"  # there while a set is being made


def origin(size: str = "full", pixels: int = 64, seed: int = 0) -> str:
    """What the files are: this string and this version's code give every byte."""
    return f"made css v{VERSION} size={size} pixels={pixels} seed={seed}"


def draw(objects_of_images: Sequence[Sequence[Mapping[str, Any]]], pixels: int) -> np.ndarray:
    """Pictures from entries of `objects_img`: uint8 (B, pixels, pixels, 3), the very pixels that `make_css` writes.

    Both draw on the CPU, where every machine gives the same bytes; `render.render` also draws on a GPU.
    """
    return render.render(objects_of_images, pixels, "cpu").numpy()


def make_css(out: str | Path, size: str = "full", pixels: int = 64, seed: int = 0, progress: bool = True) -> Path:
    """Make the dataset in folder `out` and return the folder.

    size: "full" (per split 1,000 references, 16,000 queries, 17,000 pictures) or "tiny" (40, 320, 360). The same settings
    give the same bytes. The mark `made.json` is written last: a folder without it is unfinished, and is made again from the
    start. A finished folder with these settings is left as it is. Raises DataError where the folder holds anything else.
    """
    out = Path(out)
    if size not in SIZES_OF_SET:
        raise ConfigError(f"make_css: expected size {' or '.join(map(repr, SIZES_OF_SET))}, found {size!r}")
    for name, value, low in (("pixels", pixels, render.LEAST_PIXELS), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ConfigError(f"make_css: expected {name} to be a whole number of at least {low}, found {value!r}")
    settings = {"dataset": "css", "version": VERSION, "size": size, "pixels": pixels, "seed": seed,
                "origin": origin(size, pixels, seed)}
    if _finished(out, settings):
        if progress:
            print(f"{out} already holds {settings['origin']}: nothing to do")
        return out
    _clear(out)
    (out / IMAGES).mkdir(parents=True, exist_ok=True)
    _write(out / _PART, lambda f: f.write(json.dumps(settings).encode()))

    data = css_annotations(size, seed)
    sidecar: dict[str, np.ndarray] = {}
    bar = tqdm(total=sum(len(data[s]["objects_img"]) for s in SPLITS), desc="made css", unit="image", disable=not progress)
    with bar:
        for split in SPLITS:
            columns = []
            for start, drawing in render.stream(data[split]["objects_img"], pixels, "cpu", finish=partial(_save, out, split)):
                columns.append((drawing.scene + start, drawing.object, drawing.box, drawing.visible, drawing.share))
                bar.update(len(drawing.images))
            for name, parts in zip(("image", "object", "box", "visible", "share"), zip(*columns)):
                sidecar[f"{split}_{name}"] = np.concatenate(parts)
    _write(out / SIDECAR, lambda f: np.savez(f, **sidecar))
    _write(out / ANNOTATION, lambda f: np.save(f, np.array(data, dtype=object), allow_pickle=True))
    _write(out / MARK, lambda f: f.write((json.dumps(settings, indent=2) + "\n").encode()))
    (out / _PART).unlink()
    return out


def load_sidecar(out: str | Path, split: str) -> dict[str, np.ndarray]:
    """Where each object shows, a row an object: image, object (its place in the scene's list), box, visible, share.

    Units as in `render.Drawing`. Raises DataError where the folder has no sidecar or no such split.
    """
    path = Path(out) / SIDECAR
    if not path.is_file():
        raise DataError(f"{path}: no such file. Only made sets have it; `maaf-lab make css --out DIR` makes one")
    with np.load(path, allow_pickle=False) as file:
        columns = {key.removeprefix(f"{split}_"): file[key] for key in file.files if key.startswith(f"{split}_")}
    if not columns:
        raise DataError(f"{path}: expected split {' or '.join(SPLITS)}, found none called {split!r}")
    return columns


def _finished(out: Path, settings: dict[str, Any]) -> bool:
    """Whether `out` holds this very set, whole. Raises DataError where it holds another one, or lacks files."""
    mark = out / MARK
    if not mark.exists():
        return False
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{mark} is no JSON ({error}): pass another folder, or delete that one first") from error
    if found != settings:
        holds = found.get("origin", found) if isinstance(found, dict) else found
        raise DataError(f"{out} holds {holds!r}, and {settings['origin']!r} was asked for: pass another folder, or delete that "
                        f"one first")
    references, uses = SIZES_OF_SET[settings["size"]]
    expected, there = len(SPLITS) * references * (1 + uses), len(list((out / IMAGES).glob("css_*.png")))
    missing = [name for name in (ANNOTATION, SIDECAR) if not (out / name).exists()]
    if missing or there != expected:
        raise DataError(f"{out} is marked as finished, but holds {there:,} of {expected:,} images"
                        f"{' and lacks ' + ', '.join(missing) if missing else ''}: delete the folder to have it made again")
    return True


def _clear(out: Path) -> None:
    """Take away what an interrupted run left, whatever its settings were. Raises DataError for files that are not ours."""
    stale = [*(out / IMAGES).glob("css_*.png"), *(p for p in (out / ANNOTATION, out / SIDECAR) if p.exists())]
    if stale and not (out / _PART).exists():
        raise DataError(f"{out} holds CSS files ({stale[0].name}, ...) but neither {MARK} nor {_PART}, so they were not made "
                        f"here: pass an empty or new folder")
    for path in stale:
        path.unlink()


def _save(out: Path, split: str, start: int, drawing: render.Drawing) -> None:
    for i, image in enumerate(drawing.images.numpy()):
        PILImage.fromarray(image).save(out / IMAGES / image_name(split, start + i), format="PNG", compress_level=2)


def _write(path: Path, fill: Callable[[Any], Any]) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        fill(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
