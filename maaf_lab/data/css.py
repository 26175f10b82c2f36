"""CSS3D (Vo et al., CVPR 2019; TIRG's project page): 3x3 scenes of simple objects and texts that change them.

    root/css_toy_dataset_novel2_small.dup.npy    a pickled dict: split -> objects_img, mods (from, to, to_str), maybe labels
    root/images/css_{split}_{index:06d}.png
    root/made.json                               only where the files were drawn by `maaf_lab.made`, which keeps this layout
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maaf_lab.data.check import CheckReport, CheckRow, first_names, in_threads, row_problems
from maaf_lab.data.css_scenes import COLORS, SIZES, scene_label, shape_of
from maaf_lab.data.pixels import damage, decode
from maaf_lab.data.split import Image, Protocol, Query, Split
from maaf_lab.data.unpickle import loads_pickled_npy
from maaf_lab.errors import ConfigError, DataError

ANNOTATION = "css_toy_dataset_novel2_small.dup.npy"
IMAGES = "images"
MARK = "made.json"
PROTOCOL = Protocol(gallery="split", exclude_source=True, ks=(1, 5, 10, 50), answer="the target scene")
DOWNLOAD = (f"CSS3D: {ANNOTATION} and {IMAGES}/ from the TIRG project's page (google/tirg), both directly in the root folder; "
            f"or draw a made set: maaf-lab make css --out ROOT")
_MADE_COUNTS = {"full": (17_000, 16_000), "tiny": (360, 320)}  # images, queries of a split
_PUBLISHED_QUERIES = 16_000  # "16K for training and 16K for test" (paper 3.1)
_PUBLISHED_REFERENCES = 1_000  # of a split (TIRG, section on CSS)
_PUBLISHED_MODS = {"train": 6_004, "test": 6_019}  # entries of `mods`, as counted in google/tirg's issue 9
_EDGE = 1 - 1e-9  # the largest position that still lies in the last cell


def image_name(split: str, index: int) -> str:
    """The file of an image, inside `images/`."""
    return f"css_{split}_{index:06d}.png"


def load_css(root: str | Path, split: str, missing: str = "error") -> Split:
    """One split of CSS from the folder that holds the annotation and `images/`.

    Images in the annotation's order, labelled by their scene; a query for each (from, to) pair, in file order, with `to_str` as
    its text. Where the file has `labels`, they decide which images are the same answer (TIRG's loader does so); the label's text
    is that of the first such scene. missing: "error", or "skip" to leave out images that are missing or damaged, and the
    queries that need them; `Split.origin` then says how many. Raises DataError for a wrong, half-written or damaged folder.
    """
    if missing not in ("error", "skip"):
        raise ConfigError(f"load_css: expected missing='error' or 'skip', found {missing!r}")
    root = Path(root)
    annotation = _read(root)
    labels, pairs = annotation.split(split)
    bad = {i: why for i, why in enumerate(_damaged(root, split, len(labels))) if why}
    lost = sum(source in bad or target in bad for source, target, _ in pairs)
    nothing_left = len(bad) == len(labels) or lost == len(pairs)
    if bad and (missing == "error" or nothing_left):
        raise DataError(_bad_images(root, split, len(labels), bad, lost, nothing_left))
    place = {old: new for new, old in enumerate(i for i in range(len(labels)) if i not in bad)}
    folder = root / IMAGES
    images = [Image(Path(name).stem, folder / name, labels[i]) for i in place for name in [image_name(split, i)]]
    queries = [Query(place[s], (text,), labels[t], place[t]) for s, t, text in pairs if s in place and t in place]
    origin = annotation.origin
    if bad:
        origin += f"; {lost:,} queries dropped: {len(bad):,} images missing or damaged"
    return Split(split, images, queries, PROTOCOL, dataset="css", origin=origin)


def origin_css(root: str | Path) -> str:
    """What the files in `root` are: made.json's words, or "published sha256:" and 12 digits of the annotation's hash."""
    return _origin(Path(root), None)


def check_css(root: str | Path, progress: bool = True) -> CheckReport:
    """What a copy of CSS holds: every image is decoded, queries that would be lost are counted, counts are compared.

    Never raises for what is wrong with the files: the report says it.
    """
    root = Path(root)
    problems, notes, rows, origin, annotation = [], [], [], "", None
    files, pictures = _files(root)
    with _noting(problems):
        annotation = _read(root)
        origin = annotation.origin
    for split in annotation.data if annotation else ():
        with _noting(problems):
            labels, pairs = annotation.split(split)
            rows.append(_check_split(root, split, len(labels), pairs, annotation.promised, progress))
            notes += annotation.notes(split)
    extra = pictures - sum(r.images - len(r.missing) for r in rows)
    if annotation and not problems and extra:
        notes.append(f"{extra:,} png files in {IMAGES}/ belong to no split of the annotation")
    return CheckReport("css", root, origin, files, tuple(rows), tuple(problems + row_problems(rows)), tuple(notes), DOWNLOAD)


def _files(root: Path) -> tuple[tuple[tuple[str, str], ...], int]:
    """What stands in the folder, for the report, and the number of pictures."""
    path, problems, pictures = root / ANNOTATION, [], 0
    with _noting(problems):
        pictures = sum(name.endswith(".png") for name in _listing(root))
    return ((ANNOTATION, f"{path.stat().st_size:,} bytes" if path.is_file() else "missing"),
            (f"{IMAGES}/", "missing or unreadable" if problems else f"{pictures:,} png files"),
            (MARK, "present: made data" if (root / MARK).exists() else "absent: not made data")), pictures


@contextlib.contextmanager
def _noting(problems: list[str]) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        problems.append(str(error))


# --- the annotation ---------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class _Annotation:
    path: Path
    data: Mapping[str, Any]
    origin: str
    promised: tuple[int | None, int, bool]  # images and queries of a split, and whether that is exact

    def split(self, name: str) -> tuple[list[str], list[tuple[int, int, str]]]:
        """-> a label for each image, and (from, to, text) of each query. Raises DataError naming what does not fit."""
        if name not in self.data:
            raise DataError(f"{self.path}: expected split {name!r}, found {', '.join(map(str, self.data))}")
        part, where = self.data[name], f"{self.path}, {name}"
        if not isinstance(part, Mapping):
            raise DataError(f"{where}: expected a dict with objects_img and mods, found {type(part).__name__}")
        for key in ("objects_img", "mods"):
            if key not in part:
                raise DataError(f"{where}: expected the key {key!r}, found {', '.join(map(str, part)) or 'none'}")
        labels = self._labels(part, where)
        return labels, _pairs(part["mods"], len(labels), where)

    def notes(self, name: str) -> list[str]:
        """Counts beside the published ones, and whether the file's labels and its scenes make the same groups."""
        part = self.data[name]
        notes = []
        if not self.promised[2]:
            references = len({int(i) for mod in part["mods"] for i in mod["from"]})
            told = _PUBLISHED_MODS.get(name)
            notes.append(f"{name}: {references:,} reference scenes and {len(part['mods']):,} modifications "
                         f"(published: {_PUBLISHED_REFERENCES:,} and {'unknown' if told is None else f'{told:,}'})")
        if part.get("labels") is None:
            return [*notes, f"{name}: the file has no labels; equal scenes are the same answer"]
        scenes = _scenes(part["objects_img"], f"{self.path}, {name}")
        joined, labels = len(set(zip(scenes, map(str, part["labels"])))), len(set(map(str, part["labels"])))
        if joined == labels == len(set(scenes)):
            return notes
        return [*notes, f"{name}: the file's {labels:,} labels and its {len(set(scenes)):,} different scenes are not the same "
                        f"groups; the file's labels are used"]

    @staticmethod
    def _labels(part: Mapping[str, Any], where: str) -> list[str]:
        scenes = _scenes(part["objects_img"], where)
        given = part.get("labels")
        if given is None:
            return scenes
        if len(given) != len(scenes):
            raise DataError(f"{where}: expected a label for each of {len(scenes):,} images, found {len(given):,}")
        texts: dict[str, str] = {}  # the file's label -> its text
        uses: dict[str, int] = {}
        for label, scene in zip(map(str, given), scenes):
            if label not in texts:
                uses[scene] = uses.get(scene, 0) + 1
                texts[label] = scene if uses[scene] == 1 else f"{scene} (label {uses[scene]} of this scene)"
        return [texts[str(label)] for label in given]


def _read(root: Path) -> _Annotation:
    path = root / ANNOTATION
    if not path.is_file():
        raise DataError(_wrong_folder(root))
    if (root / f"{MARK}.part").exists() and not (root / MARK).exists():
        raise DataError(f"{root}: the making of this set did not finish ({MARK}.part but no {MARK}): run the same "
                        f"`maaf-lab make css` again; it starts over")
    if not (root / IMAGES).is_dir():
        raise DataError(f"{root}: found {ANNOTATION} but no folder {IMAGES}/. What to get: {DOWNLOAD}")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: expected a readable file; {error.strerror or error}") from error
    data = loads_pickled_npy(raw, path)
    if not isinstance(data, Mapping) or not data:
        raise DataError(f"{path}: expected a dict of splits, found {type(data).__name__}: is it the right file?")
    return _Annotation(path, data, _origin(root, raw), _promised(root))


def _origin(root: Path, raw: bytes | None) -> str:
    made = _made(root)
    if made is not None:
        return made["origin"]
    if raw is None:
        try:
            raw = (root / ANNOTATION).read_bytes()
        except OSError:
            raise DataError(_wrong_folder(root)) from None
    return f"published sha256:{hashlib.sha256(raw).hexdigest()[:12]}"


def _promised(root: Path) -> tuple[int | None, int, bool]:
    made = _made(root)
    if made is None:
        return None, _PUBLISHED_QUERIES, False
    return *_MADE_COUNTS[made["size"]], True


def _made(root: Path) -> dict[str, Any] | None:
    path = root / MARK
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}): delete the folder and make the set again") from error
    ok = isinstance(made, dict) and made.get("dataset") == "css" and isinstance(made.get("origin"), str)
    if not ok or made.get("size") not in _MADE_COUNTS:
        raise DataError(f"{path}: expected dataset 'css', an origin, and size {' or '.join(_MADE_COUNTS)}; found {made}")
    return made


def _wrong_folder(root: Path) -> str:
    if not root.exists():
        return f"{root}: no such folder. What to get: {DOWNLOAD}"
    if not root.is_dir():
        return f"{root}: expected the folder that holds {ANNOTATION}, found a file"
    try:
        found = sorted(os.listdir(root))
        near = [root.parent, *(root / name for name in found[:1000])]
        better = [p for p in near if (p / ANNOTATION).is_file()]
    except OSError as error:
        return f"{root}: expected a readable folder; {error.strerror or error}"
    hint = f" {better[0]} holds it: pass that folder." if better else f" What to get: {DOWNLOAD}"
    return f"{root}: expected {ANNOTATION} and {IMAGES}/, found {first_names(found, 5) or 'an empty folder'}.{hint}"


def _scenes(objects_img: Any, where: str) -> list[str]:
    if not isinstance(objects_img, Sequence | np.ndarray) or isinstance(objects_img, str):
        raise DataError(f"{where}: expected objects_img as a list of scenes, found {type(objects_img).__name__}")
    labels = []
    for i, objects in enumerate(objects_img):
        try:
            labels.append(scene_label([_object(obj) for obj in objects]))
        except DataError as error:
            raise DataError(f"{where}, objects_img[{i}]: {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{where}, objects_img[{i}]: expected a list of dicts with shape, color, size and pos = (y, x); "
                            f"found {str(objects)[:200]} ({type(error).__name__}: {error})") from None
    return labels


def _object(obj: Mapping[str, Any]) -> dict[str, Any]:
    """In the house's own names, with a position that rounding or a shift has put on the image's edge taken back inside."""
    y, x = (float(v) for v in obj["pos"])
    if not all(math.isfinite(v) and -0.05 <= v <= 1.05 for v in (y, x)):
        raise DataError(f"expected pos = (y, x) as fractions of the image, found {obj['pos']}")
    if obj["color"] not in COLORS or obj["size"] not in SIZES:
        raise DataError(f"expected a color of {', '.join(COLORS)} and a size of {', '.join(SIZES)}; "
                        f"found {obj['color']!r} and {obj['size']!r}")
    return {"shape": shape_of(obj), "color": obj["color"], "size": obj["size"],
            "pos": (min(max(y, 0.0), _EDGE), min(max(x, 0.0), _EDGE))}


def _pairs(mods: Any, n: int, where: str) -> list[tuple[int, int, str]]:
    if not isinstance(mods, Sequence | np.ndarray) or isinstance(mods, str):
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


# --- the images -------------------------------------------------------------------------------------------------------

def _listing(root: Path) -> set[str]:
    try:
        return set(os.listdir(root / IMAGES))
    except OSError as error:
        raise DataError(f"{root / IMAGES}: expected a readable folder of images; {error.strerror or error}") from error


def _damaged(root: Path, split: str, n: int) -> list[str | None]:
    """Why each image cannot be used, or None; whole PNG files are judged by their two ends."""
    names = [image_name(split, i) for i in range(n)]
    there = _listing(root)
    present = [i for i, name in enumerate(names) if name in there]
    reasons: list[str | None] = ["missing"] * n
    for i, why in zip(present, in_threads(damage, [root / IMAGES / names[i] for i in present], "", progress=False)):
        reasons[i] = why
    return reasons


def _bad_images(root: Path, split: str, n: int, bad: Mapping[int, str], lost: int, nothing_left: bool) -> str:
    gone = [image_name(split, i) for i, why in bad.items() if why == "missing"]
    broken = [f"{image_name(split, i)}: {why}" for i, why in bad.items() if why != "missing"]
    parts = []
    if gone:
        parts.append(f"{len(gone):,} of {n:,} images missing (first: {first_names(gone)})")
    if broken:
        parts.append(f"{len(broken):,} of {n:,} images damaged (first: {'; '.join(broken[:3])})")
    if nothing_left:
        advice = f"No query of this split is left. What to get: {DOWNLOAD}"
    else:
        advice = 'Pass missing="skip" to go on without them, or copy them again; `maaf-lab check css` lists what is missing.'
    return f"CSS {split}: {' and '.join(parts)} under {root / IMAGES}; they cost {lost:,} queries. {advice}"


def _check_split(root: Path, split: str, n: int, pairs: list[tuple[int, int, str]], promised: tuple[int | None, int, bool],
                 progress: bool) -> CheckRow:
    there = _listing(root)
    names = [image_name(split, i) for i in range(n)]
    present = [i for i in range(n) if names[i] in there]
    results = list(in_threads(_undecodable, [root / IMAGES / names[i] for i in present], f"checking css {split}", progress))
    unreadable = {i: why for i, why in zip(present, results) if why}
    bad = {i for i in range(n) if names[i] not in there} | set(unreadable)
    lost = sum(s in bad or t in bad for s, t, _ in pairs)
    return CheckRow(split, n, tuple(name for name in names if name not in there),
                    tuple((names[i], why) for i, why in unreadable.items()), len(pairs), lost, *promised)


def _undecodable(path: Path) -> str | None:
    try:
        decode(path)
    except DataError as error:
        return str(error).removeprefix(f"{path}: ")
    return None
