"""CSS (Vo et al., CVPR 2019; TIRG's project page): 3x3 scenes of simple objects and texts that change them.

    root/css_toy_dataset_novel2_small.dup.npy    a pickled dict: split -> objects_img, mods (from, to, to_str), maybe labels
    root/images/css_{split}_{index:06d}.png      rendered: CSS3D
    root/images_2d/css_{split}_{index:06d}.png   flat drawings of the same scenes, made during training by TIRG's code and
                                                 once, from the annotation, by `maaf-lab make css2d --out ROOT`
    root/made.json                               only in synthetic datasets, which have this layout too

Three datasets use it: "css" (3D), "css2d" (flat images only) and "css2d3d" (flat reference, rendered gallery).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from maaf_lab.data.dataset import Dataset
from maaf_lab.data.datasets.css_scenes import CELLS, COLORS, SHAPES, SIZES, described_color, scene_label, shape_of
from maaf_lab.data.datasets.unpickle import loads_pickled_npy
from maaf_lab.data.part import Counts, Part
from maaf_lab.data.split import Image, Protocol, Query
from maaf_lab.data.text import tokenize
from maaf_lab.errors import DataError

ANNOTATION = "css_toy_dataset_novel2_small.dup.npy"
IMAGES = "images"
IMAGES_2D = "images_2d"
RENDERED = "rendered"  # the gallery of 2D-to-3D retrieval
_PUBLISHED_REFERENCES = 1_000  # of a split (TIRG, section on CSS)
_PUBLISHED_MODS = {"train": 6_004, "test": 6_019}  # entries of `mods`, as counted in google/tirg's issue 9
_EDGE = 1 - 1e-9  # the largest position that still lies in the last cell


def image_name(split: str, index: int) -> str:
    """File name of an image, in `images/` and in `images_2d/`."""
    return f"css_{split}_{index:06d}.png"


class CSS(Dataset):
    """CSS3D: rendered references, rendered gallery.

    Images in the annotation's order, labeled by their scene; a query for each (from, to) pair, in file order, with `to_str` as
    its text. Where the file has `labels`, images with equal ones share a label (as in TIRG's loader): the text of their first
    scene.
    """

    key = "css"
    title = "CSS"
    download = f"CSS3D: {ANNOTATION} and {IMAGES}/ from the TIRG project's page (google/tirg), both directly in the root folder"
    published = MappingProxyType({s: Counts(None, 16_000, exact=False) for s in ("train", "test")})  # paper 3.1
    protocol = Protocol(gallery="split", exclude_source=True, ks=(1, 5, 10, 50), relevant="an image that shows the target scene")
    settings = MappingProxyType(
        {
            # section 3.1: block 4 only, one attention block; groups of queries that share a reference are the hard negatives
            "": {"model.resolutions": (7,), "model.blocks": 1, "train.group_size": 4},
            "paper": {"train.steps": 75_000, "train.image_learning_rate": 0.01},
            "laptop": {
                "data.pixels": 56,
                "model.image_channels": (16, 32, 64, 128),
                "model.map_sides": (28, 14, 7),
                "model.image_weights": "scenes-v1",
                "train.batch_size": 96,
                "train.steps": 2400,
                "train.learning_rate": 0.05,
            },  # an image model that tells shapes and colors and stays as it is: few tokens (49), so large batches
        }
    )
    modification_types = MappingProxyType(
        {
            "add": frozenset({"add"}),
            "remove": frozenset({"remove"}),
            "change": frozenset({"make"}),
            "color": frozenset(COLORS),
            "shape": frozenset(SHAPES),
            "size": frozenset(SIZES),
            "position": frozenset(tokenize(cell)[0] for cell in CELLS),
        }
    )
    described_color = staticmethod(described_color)
    first_word_is_type = True
    summary_pixels = 112

    @classmethod
    def drawn_pixels(cls, pixels: int) -> int:
        """The model's own size: scenes are not cropped."""
        return pixels

    def synthetic_as(self) -> str:
        return "css"

    def annotations(self) -> Sequence[Path]:
        return [self.root / ANNOTATION]

    def read(self, split: str) -> Part:
        labels, pairs = self.scenes(split)
        folder = self.root / self.image_folder
        images = [Image(f"css_{split}_{i:06d}", folder / image_name(split, i), label) for i, label in enumerate(labels)]
        return Part(images, [Query(s, (text,), labels[t], t) for s, t, text in pairs], self.protocol)

    def scenes(self, split: str) -> tuple[list[str], list[tuple[int, int, str]]]:
        """-> a label for each image, and (from, to, text) of each query. Raises DataError naming what does not fit."""
        if not (self.root / self.image_folder).is_dir():
            raise DataError(f"{self.root}: found {ANNOTATION} but no folder {self.image_folder}/. What to get: {self.download}")
        part, where = self._annotation(split)
        labels = _labels(part, where)
        return labels, _pairs(part["mods"], len(labels), where)

    def objects(self, split: str) -> Sequence[Any]:
        """The scenes: `objects_img` of the annotation, checked. The images need not exist."""
        self.expect_folder()
        part, where = self._annotation(split)
        _scenes(part["objects_img"], where)
        return part["objects_img"]

    def notes(self, split: str, part: Part) -> Sequence[str]:
        """Counts beside the published ones, and whether equal labels mean equal scenes."""
        raw, where = self._annotation(split)
        notes = []
        if self.synthetic_mark() is None:
            references = len({int(i) for mod in raw["mods"] for i in mod["from"]})
            published = _PUBLISHED_MODS.get(split)
            notes.append(
                f"{split}: {references:,} reference scenes and {len(raw['mods']):,} modifications "
                f"(published: {_PUBLISHED_REFERENCES:,} and {'unknown' if published is None else f'{published:,}'})"
            )
        if raw.get("labels") is None:
            return [*notes, f"{split}: the file has no labels; images of equal scenes share a label"]
        scenes = _scenes(raw["objects_img"], where)
        joined, labels = len(set(zip(scenes, map(str, raw["labels"])))), len(set(map(str, raw["labels"])))
        if joined == labels == len(set(scenes)):
            return notes
        return [
            *notes,
            f"{split}: the file's {labels:,} labels group the images differently from its {len(set(scenes)):,} different "
            f"scenes; its labels are used",
        ]

    def _annotation(self, split: str) -> tuple[Mapping[str, Any], str]:
        """The split's part of the file, and its place in the file, for messages."""
        path = self.root / ANNOTATION
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: expected a readable file; {error.strerror or error}") from error
        data = _unpickled(raw, path)
        if not isinstance(data, Mapping) or not data:
            raise DataError(f"{path}: expected a dict of splits, found {type(data).__name__}: is it the right file?")
        if split not in data:
            raise DataError(f"{path}: expected split {split!r}, found {', '.join(map(str, data))}")
        part, where = data[split], f"{path}, {split}"
        if not isinstance(part, Mapping):
            raise DataError(f"{where}: expected a dict with objects_img and mods, found {type(part).__name__}")
        for key in ("objects_img", "mods"):
            if key not in part:
                raise DataError(f"{where}: expected the key {key!r}, found {', '.join(map(str, part)) or 'none'}")
        return part, where


# scenes-v1 has seen rendered scenes alone: for flat ones the image model learns from scratch, along with the rest
_FLAT = MappingProxyType(
    {
        **CSS.settings,
        "laptop": {
            "data.pixels": 56,
            "model.image_channels": (16, 32, 64, 128),
            "model.map_sides": (28, 14, 7),
            "model.attention_dropout": None,
            "train.batch_size": 96,
            "train.steps": 600,
            "train.image_learning_rate": 0.02,
        },
    }
)


class CSS2D(CSS):
    """Flat references, flat gallery (TIRG reports it beside 3D)."""

    key = "css2d"
    title = "CSS 2D"
    settings = _FLAT
    image_folder = IMAGES_2D
    download = f"CSS's {ANNOTATION} (see `maaf-lab check css`), then draw its scenes flat: maaf-lab make css2d --out ROOT"


class CSS2Dto3D(CSS):
    """Flat references, rendered gallery (TIRG's 2D-to-3D retrieval).

    The split's images are the rendered ones, then the flat ones. The gallery has the rendered ones, except that of the
    reference's own scene (TIRG's code excludes it by its index).
    """

    key = "css2d3d"
    title = "CSS 2D to 3D"
    settings = _FLAT
    download = f"all of CSS3D, and its scenes drawn flat: {CSS.download}; then maaf-lab make css2d --out ROOT"
    protocol = Protocol(
        gallery="category", exclude_source=True, ks=(1, 5, 10, 50), relevant="a rendered image of the target scene"
    )

    def read(self, split: str) -> Part:
        labels, pairs = self.scenes(split)
        n = len(labels)
        rendered = [
            Image(f"css_{split}_{i:06d}", self.root / IMAGES / image_name(split, i), label, (RENDERED,))
            for i, label in enumerate(labels)
        ]
        flat = [
            Image(f"css2d_{split}_{i:06d}", self.root / IMAGES_2D / image_name(split, i), label) for i, label in enumerate(labels)
        ]
        queries = [Query(n + s, (text,), labels[t], t, RENDERED, (s,)) for s, t, text in pairs]
        return Part(rendered + flat, queries, self.protocol)

    def counts(self, split: str) -> Counts:
        three = super().counts(split)
        return Counts(None if three.images is None else 2 * three.images, three.queries, three.exact)


@lru_cache(maxsize=1)  # every split and every note reads the whole file, which takes seconds
def _unpickled(raw: bytes, path: Path) -> Any:
    return loads_pickled_npy(raw, path)


def _labels(part: Mapping[str, Any], where: str) -> list[str]:
    scenes = _scenes(part["objects_img"], where)
    given = part.get("labels")
    if given is None:
        return scenes
    if not _is_list(given) or len(given) != len(scenes):
        found = f"{len(given):,}" if _is_list(given) else type(given).__name__
        raise DataError(f"{where}: expected a label for each of {len(scenes):,} images, found {found}")
    texts: dict[str, str] = {}  # the file's label -> its text
    uses: dict[str, int] = {}
    for label, scene in zip(map(str, given), scenes):
        if label not in texts:
            uses[scene] = uses.get(scene, 0) + 1
            texts[label] = scene if uses[scene] == 1 else f"{scene} (label {uses[scene]} of this scene)"
    return [texts[str(label)] for label in given]


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _scenes(objects_img: Any, where: str) -> list[str]:
    if not _is_list(objects_img):
        raise DataError(f"{where}: expected objects_img as a list of scenes, found {type(objects_img).__name__}")
    labels = []
    for i, objects in enumerate(objects_img):
        try:
            labels.append(scene_label([_object(obj) for obj in objects]))
        except DataError as error:
            raise DataError(f"{where}, objects_img[{i}]: {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{where}, objects_img[{i}]: expected a list of dicts with shape, color, size and pos = (y, x); "
                f"found {str(objects)[:200]} ({type(error).__name__}: {error})"
            ) from None
    return labels


def _object(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object with the lab's shape names; a position that rounding or a shift has put on the image's edge is moved inside."""
    y, x = (float(v) for v in obj["pos"])
    if not all(math.isfinite(v) and -0.05 <= v <= 1.05 for v in (y, x)):
        raise DataError(f"expected pos = (y, x) as fractions of the image, found {obj['pos']}")
    if obj["color"] not in COLORS or obj["size"] not in SIZES:
        raise DataError(
            f"expected a color of {', '.join(COLORS)} and a size of {', '.join(SIZES)}; "
            f"found {obj['color']!r} and {obj['size']!r}"
        )
    return {
        "shape": shape_of(obj),
        "color": obj["color"],
        "size": obj["size"],
        "pos": (min(max(y, 0.0), _EDGE), min(max(x, 0.0), _EDGE)),
    }


def _pairs(mods: Any, n: int, where: str) -> list[tuple[int, int, str]]:
    if not _is_list(mods):
        raise DataError(f"{where}: expected mods as a list, found {type(mods).__name__}")
    pairs = []
    for i, mod in enumerate(mods):
        at = f"{where}, mods[{i}]"
        lacking = [key for key in ("from", "to", "to_str") if not isinstance(mod, Mapping) or key not in mod]
        if lacking:
            found = ", ".join(map(str, mod)) if isinstance(mod, Mapping) else type(mod).__name__
            raise DataError(f"{at}: expected the keys from, to and to_str; {', '.join(lacking)} missing (found {found})")
        text = mod["to_str"]
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{at}: expected to_str as a text, found {text!r}")
        sources, targets = (_indices(mod[key], n, f"{at}, {key!r}") for key in ("from", "to"))
        if len(sources) != len(targets):
            raise DataError(f"{at}: expected 'from' and 'to' of one length, found {len(sources)} and {len(targets)} ({text!r})")
        pairs += [(s, t, str(text)) for s, t in zip(sources, targets)]
    return pairs


def _indices(values: Any, n: int, at: str) -> list[int]:
    try:
        whole = [int(v) for v in values]
        if any(w != v for w, v in zip(whole, values)):
            raise ValueError("not whole")
    except (TypeError, ValueError):
        raise DataError(f"{at}: expected a list of image indices, found {str(values)[:100]}") from None
    outside = [v for v in whole if not 0 <= v < n]
    if outside:
        raise DataError(f"{at}: expected image indices from 0 to {n - 1}, found {outside[0]}")
    return whole
