"""Writes synthetic CSS in the published layout: the annotation, the pictures, and a sidecar with each object's box.

out/css_toy_dataset_novel2_small.dup.npy   images/css_{split}_{index:06d}.png   objects.npz   made.json
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from PIL import Image as PILImage
from tqdm.auto import tqdm

from maaf_lab.data.datasets.css import ANNOTATION, CSS, IMAGES, IMAGES_2D, image_name
from maaf_lab.errors import DataError
from maaf_lab.synthetic.css import render
from maaf_lab.synthetic.css.flat import LEAST_PIXELS as LEAST_FLAT_PIXELS
from maaf_lab.synthetic.css.flat import flat
from maaf_lab.synthetic.css.scenes import DATASET_SIZES, SPLITS, css_annotations
from maaf_lab.synthetic.folder import (
    SyntheticDataset,
    checked_settings,
    drawing_in,
    make_dataset,
    sidecar_file,
    whole_between,
    write_whole,
)

VERSION = 1  # raise it whenever the same settings give other bytes
SIDECAR = "objects.npz"


def origin(size: str = "full", pixels: int = 64, seed: int = 0) -> str:
    """`DataConfig.origin` of the files: with this version's code, it determines every byte."""
    return checked_settings("css", VERSION, size, pixels, seed)["origin"]


def draw(objects_of_images: Sequence[Sequence[Mapping[str, Any]]], pixels: int) -> np.ndarray:
    """Images of entries of `objects_img`: uint8 (B, pixels, pixels, 3), the same pixels that `make_css` writes.

    Drawn on the CPU, where every machine gives the same bytes; `render.render` also draws on a GPU.
    """
    return render.render(objects_of_images, pixels, "cpu").numpy()


def make_css(out: str | Path, size: str = "full", pixels: int = 64, seed: int = 0, progress: bool = True) -> Path:
    """Make the dataset in folder `out` and return the folder.

    size: "full" (per split 1,000 references, 16,000 queries, 17,000 images) or "tiny" (40, 320, 360). The same settings
    give the same bytes. Refusals and interrupted runs: see `synthetic/folder.py`.
    """
    settings = checked_settings("css", VERSION, size, pixels, seed, sizes=tuple(DATASET_SIZES), least_pixels=render.LEAST_PIXELS)

    def fill(folder: Path) -> dict[str, tuple[int, int]]:
        (folder / IMAGES).mkdir()
        data = css_annotations(size, seed)
        sidecar: dict[str, np.ndarray] = {}
        total = sum(len(data[s]["objects_img"]) for s in SPLITS)
        with tqdm(total=total, desc="synthetic css", unit="image", disable=not progress) as bar:
            for split in SPLITS:
                columns = []
                finish = partial(_save, folder, split)
                for start, drawing in render.stream(data[split]["objects_img"], pixels, "cpu", finish=finish):
                    columns.append((drawing.scene + start, drawing.object, drawing.box, drawing.visible, drawing.share))
                    bar.update(len(drawing.images))
                for name, parts in zip(("image", "object", "box", "visible", "share"), zip(*columns)):
                    sidecar[f"{split}_{name}"] = np.concatenate(parts)
        write_whole(folder / SIDECAR, lambda file: np.savez(file, **sidecar))
        write_whole(folder / ANNOTATION, lambda file: np.save(file, np.array(data, dtype=object), allow_pickle=True))
        return {split: (len(data[split]["objects_img"]), sum(len(mod["to"]) for mod in data[split]["mods"])) for split in SPLITS}

    return make_dataset(out, settings, (IMAGES, ANNOTATION, SIDECAR), fill, progress)


def training_texts(size: str = "full", seed: int = 0) -> list[str]:
    """The training texts, one per query, without drawing."""
    return [mod["to_str"] for mod in css_annotations(size, seed)["train"]["mods"] for _ in mod["to"]]


def make_css2d(root: str | Path, pixels: int = 64, progress: bool = True) -> Path:
    """Draw the scenes of a CSS folder, published or synthetic, flat on white into `images_2d/`, and return the folder.

    TIRG uses 64 px. Raises DataError for a folder without a readable annotation or that cannot be written.
    """
    whole_between("make css2d: expected pixels", pixels, LEAST_FLAT_PIXELS)
    layout, folder = CSS(root), Path(root) / IMAGES_2D
    scenes = {split: layout.objects(split) for split in layout.splits}
    with drawing_in(folder, folder / ".lock"):
        for left in folder.glob("*.png.part"):  # of a process that was killed
            left.unlink()
        for split, objects in scenes.items():
            for i, scene in enumerate(tqdm(objects, desc=f"css2d {split}", unit="image", disable=not progress)):
                path = folder / image_name(split, i)
                beside = path.with_name(path.name + ".part")
                PILImage.fromarray(flat(scene, pixels)).save(beside, format="PNG", compress_level=2)
                os.replace(beside, path)
    return Path(root)


def load_sidecar(out: str | Path, split: str) -> dict[str, np.ndarray]:
    """A row for each object: image, object (its index in the scene's list), box, visible, share.

    Units as in `render.Drawing`. Raises DataError where the folder has no sidecar or no such split.
    """
    path = sidecar_file(out, SIDECAR, "css")
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = {key.removeprefix(f"{split}_"): file[key] for key in file.files if key.startswith(f"{split}_")}
    except (OSError, ValueError, EOFError, AttributeError, BadZipFile) as error:
        raise DataError(f"{path}: expected what `maaf-lab make css` wrote ({error}); draw the dataset again") from error
    if not columns:
        raise DataError(f"{path}: expected split {' or '.join(SPLITS)}, found none called {split!r}")
    return columns


def _save(out: Path, split: str, start: int, drawing: render.Drawing) -> None:
    for i, image in enumerate(drawing.images.numpy()):
        PILImage.fromarray(image).save(out / IMAGES / image_name(split, start + i), format="PNG", compress_level=2)


DATASET = SyntheticDataset(make_css, VERSION, 56, training_texts, lazy="maaf_lab.synthetic.css.lazy:css_split")
