"""Writes made CSS in the published layout: the annotation, the pictures, and a sidecar with each object's box.

    out/css_toy_dataset_novel2_small.dup.npy   images/css_{split}_{index:06d}.png   objects.npz   made.json
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage
from tqdm.auto import tqdm

from maaf_lab.errors import ConfigError, DataError
from maaf_lab.made import render
from maaf_lab.made.scenes import SIZES_OF_SET, SPLITS, css_annotations

ANNOTATION = "css_toy_dataset_novel2_small.dup.npy"
VERSION = 1  # raise it whenever the same settings give other bytes
_MARK = "made.json"


def image_name(split: str, index: int) -> str:
    """The published name of a picture, below the dataset's folder."""
    return f"images/css_{split}_{index:06d}.png"


def origin(size: str = "full", pixels: int = 64, seed: int = 0) -> str:
    """What the files are: this string and this version's code give every byte."""
    return f"made css v{VERSION} size={size} pixels={pixels} seed={seed}"


def draw(objects_of_images: Sequence[Sequence[Mapping[str, Any]]], pixels: int, device: str | None = None) -> np.ndarray:
    """Pictures from entries of `objects_img`: uint8 (B, pixels, pixels, 3). On a CPU, the very bytes that `make_css` writes."""
    return render.render(objects_of_images, pixels, device).cpu().numpy()


def make_css(out: str | Path, size: str = "full", pixels: int = 64, seed: int = 0, progress: bool = True) -> Path:
    """Make the dataset in folder `out` and return the folder.

    size: "full" (per split 1,000 references, 16,000 queries, 17,000 pictures) or "tiny" (40, 320, 360). The same settings
    give the same bytes. The mark `made.json` is written last: a folder without it is unfinished, and is made again from the
    start. A finished folder with these settings is left as it is. Raises DataError where the folder holds anything else.
    """
    out = Path(out)
    if size not in SIZES_OF_SET or isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"make_css: expected size in {tuple(SIZES_OF_SET)} and a seed of at least 0; found {size!r}, {seed!r}")
    settings = {"dataset": "css", "version": VERSION, "size": size, "pixels": pixels, "seed": seed,
                "origin": origin(size, pixels, seed)}
    if _finished(out, settings):
        if progress:
            print(f"{out} already holds {settings['origin']}: nothing to do")
        return out
    (out / "images").mkdir(parents=True, exist_ok=True)
    _write(out / (_MARK + ".part"), lambda f: f.write(json.dumps(settings).encode()))  # says whose the unfinished files are

    data = css_annotations(size, seed)
    sidecar: dict[str, np.ndarray] = {}
    bar = tqdm(total=sum(len(data[s]["objects_img"]) for s in SPLITS), desc="made css", unit="image", disable=not progress)
    with bar:
        for split in SPLITS:
            columns = []
            for start, drawing in render.stream(data[split]["objects_img"], pixels, finish=partial(_save, out, split)):
                columns.append((drawing.scene + start, drawing.object, drawing.box, drawing.visible, drawing.share))
                bar.update(len(drawing.images))
            for name, parts in zip(("image", "object", "box", "visible", "share"), zip(*columns)):
                sidecar[f"{split}_{name}"] = np.concatenate(parts)
    _write(out / "objects.npz", lambda f: np.savez(f, **sidecar))
    _write(out / ANNOTATION, lambda f: np.save(f, _as_array(data), allow_pickle=True))
    _write(out / _MARK, lambda f: f.write((json.dumps(settings, indent=2) + "\n").encode()))
    (out / (_MARK + ".part")).unlink()
    return out


def load_sidecar(out: str | Path, split: str) -> dict[str, np.ndarray]:
    """`objects.npz` of a split: image, object, box (x0, y0, x1, y1; whole pixels, half open), visible (px), share; a row an object."""
    with np.load(Path(out) / "objects.npz", allow_pickle=False) as file:
        names = [key for key in file.files if key.startswith(split + "_")]
        if not names:
            raise DataError(f"{Path(out) / 'objects.npz'}: expected split {' or '.join(SPLITS)}, found none called {split!r}")
        return {key[len(split) + 1:]: file[key] for key in names}


def _finished(out: Path, settings: dict[str, Any]) -> bool:
    mark = out / _MARK
    if mark.exists():
        try:
            found = json.loads(mark.read_text())
        except ValueError as error:
            raise DataError(f"{mark} is no JSON ({error}): move the folder away, or pass another one") from error
        if found == settings:
            missing = [name for name in (ANNOTATION, "objects.npz") if not (out / name).exists()]
            if missing:
                raise DataError(f"{out} is marked as finished but lacks {', '.join(missing)}: delete {mark} to have it made again")
            return True
        raise DataError(f"{out} holds {found.get('origin', found) if isinstance(found, dict) else found!r}, and "
                        f"{settings['origin']} was asked for: pass another folder, or delete that one first")
    if not (out / (_MARK + ".part")).exists() and ((out / ANNOTATION).exists() or any((out / "images").glob("css_*.png"))):
        raise DataError(f"{out} holds CSS files that were not made here (no {_MARK}): pass an empty or new folder")
    for stale in (out / "images").glob("css_*.png"):  # of an interrupted run, perhaps with other settings
        stale.unlink()
    for name in (ANNOTATION, "objects.npz"):
        (out / name).unlink(missing_ok=True)
    return False


def _save(out: Path, split: str, start: int, drawing: render.Drawing) -> None:
    for i, image in enumerate(drawing.images.cpu().numpy()):
        PILImage.fromarray(image).save(out / image_name(split, start + i), format="PNG", compress_level=2)


def _as_array(data: dict[str, Any]) -> np.ndarray:
    # A pickle remembers which equal strings are one object; going through it once makes that, and the bytes, always the same.
    box = np.empty((), dtype=object)
    box[()] = pickle.loads(pickle.dumps(data, protocol=4))
    return box


def _write(path: Path, fill: Callable[[Any], Any]) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        fill(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
