"""Fashion IQ (Wu et al., CVPR 2021; XiaoxiaoGuo/fashion-iq): product photographs and captions on how two of them differ.

root/captions/cap.{dress,shirt,toptee}.{train,val,test}.json        queries: candidate, target, two captions
root/image_splits/split.{dress,shirt,toptee}.{train,val,test}.json  the asins (product numbers) of each gallery
root/images/{asin}.jpg                                              or .png or .jpeg, or images/{dress,shirt,toptee}/{asin}.jpg
root/made.json                                                      only in synthetic datasets
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from maaf_lab.data.dataset import Dataset
from maaf_lab.data.part import Counts, Part, spelling
from maaf_lab.data.split import Image, Protocol, Query
from maaf_lab.errors import DataError
from maaf_lab.utils.files import parse_json, read_text

CATEGORIES = ("dress", "shirt", "toptee")
SUFFIXES = (".jpg", ".png", ".jpeg")  # the first that exists is used
PUBLISHED_CATEGORIES = MappingProxyType(
    {  # split -> category -> (images of the gallery, queries), counted from the files
        "train": MappingProxyType({"dress": (11_452, 5_985), "shirt": (19_036, 5_988), "toptee": (16_121, 6_027)}),
        "val": MappingProxyType({"dress": (3_817, 2_017), "shirt": (6_346, 2_038), "toptee": (5_373, 1_961)}),
        "test": MappingProxyType({"dress": (3_818, 2_024), "shirt": (6_346, 2_038), "toptee": (5_374, 2_056)}),
    }
)
_ASIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # a file's name and nothing more: it cannot leave the folder
_HALF_CHARACTERS = re.compile("[\ud800-\udfff]")  # "\ud83d" alone is half an emoji, which no file can hold


class Entry(NamedTuple):
    """One query of a captions file. target: None where the file is published without targets."""

    candidate: str
    target: str | None
    captions: tuple[str, ...]


class FashionIQ(Dataset):
    """Three galleries (dress, shirt, toptee) and queries of two captions each.

    Images in the order of the split files, dress first, labeled by their asin. An asin in two categories is one image in two
    galleries, as 121 of the 15,415 validation images are. Queries in the order of the captions files; captions are not changed,
    and the few empty ones are kept (12 of train, 3 of val, 1 of test). An asin that occurs twice in one split file is one image;
    the published files have none. In all published files candidate and target are in the split file of the query's category;
    any other is an error, because the target could not be found in the gallery. Test has no targets (Query.target_label is
    None); where a test file has them, they are used.
    """

    key = "fashion_iq"
    title = "Fashion IQ"
    splits = ("train", "val", "test")
    evaluation = "val"
    download = (
        "Fashion IQ: captions/ and image_splits/ from github.com/XiaoxiaoGuo/fashion-iq, and the images that it links "
        "to as images/{asin}.jpg, all three directly in the root folder"
    )
    published = MappingProxyType({"train": Counts(45_429, 18_000), "val": Counts(15_415, 6_016), "test": Counts(15_417, 6_118)})
    protocol = Protocol(gallery="category", exclude_source=True, ks=(10, 50), relevant="an image that shows the target product")
    settings = MappingProxyType(
        {
            "": {"data.transform": "crops", "train.single_category": True},  # as in the authors' code
            "laptop": {"data.transform": "plain", "model.image_weights": "garments-v1"},
        }
    )

    def annotations(self) -> Sequence[Path]:
        return [path for split in self.splits for path in self._files_of(split)]

    def read(self, split: str) -> Part:
        self.need(split, self._files_of(split))
        galleries = {category: self._gallery(category, split) for category in CATEGORIES}
        categories_of: dict[str, list[str]] = {}  # by asin
        for category, asins in galleries.items():
            for asin in dict.fromkeys(asins):
                categories_of.setdefault(asin, []).append(category)
        paths = self._paths(list(categories_of))
        images = [Image(asin, paths[asin], asin, tuple(categories)) for asin, categories in categories_of.items()]
        index = {image.id: i for i, image in enumerate(images)}
        queries = []
        for category in CATEGORIES:
            path, gallery = self._captions_file(category, split), set(galleries[category])
            for i, entry in enumerate(parse_captions(read_text(path), str(path), targets=split != "test")):
                for name, asin in (("candidate", entry.candidate), ("target", entry.target)):
                    if asin is not None and asin not in gallery:
                        raise DataError(
                            f"{path}, entry [{i}]: expected a {name} of {self._split_file(category, split).name}, "
                            f"found {asin!r}, which is not in it: copy captions/ and image_splits/ of one release"
                        )
                target = None if entry.target is None else index[entry.target]
                queries.append(Query(index[entry.candidate], entry.captions, entry.target, target, category))
        return Part(images, queries, self.protocol)

    def notes(self, split: str, part: Part) -> Sequence[str]:
        """Galleries and queries by category; shared images, repeated asins, empty captions, missing targets."""
        notes = []
        expected = {} if self.synthetic_mark() is not None else PUBLISHED_CATEGORIES[split]
        for category in CATEGORIES:
            found = (
                sum(category in image.categories for image in part.images),
                sum(query.category == category for query in part.queries),
            )
            differs = category in expected and found != expected[category]
            published = f" (published: {expected[category][0]:,} and {expected[category][1]:,})" if differs else ""
            notes.append(f"{split}, {category}: {found[0]:,} images and {found[1]:,} queries{published}")
        shared = sum(len(image.categories) > 1 for image in part.images)
        if shared:
            notes.append(f"{split}: {shared:,} images are in more than one category: one image, several galleries")
        for category in CATEGORIES:
            repeated = [asin for asin, times in Counter(self._gallery(category, split)).items() if times > 1]
            if repeated:
                notes.append(
                    f"{split}: {len(repeated):,} asins occur more than once in {self._split_file(category, split).name} "
                    f"(first: {repeated[0]}): one image each"
                )
        unlabeled = sum(q.target_label is None for q in part.queries)
        if unlabeled:
            notes.append(f"{split}: {unlabeled:,} queries have no target: they can be ranked, not scored")
        return notes

    def _gallery(self, category: str, split: str) -> list[str]:
        path = self._split_file(category, split)
        return parse_split(read_text(path), str(path))

    def _captions_file(self, category: str, split: str) -> Path:
        return self.root / "captions" / f"cap.{category}.{split}.json"

    def _split_file(self, category: str, split: str) -> Path:
        return self.root / "image_splits" / f"split.{category}.{split}.json"

    def _files_of(self, split: str) -> list[Path]:
        return [file(category, split) for file in (self._captions_file, self._split_file) for category in CATEGORIES]

    def _paths(self, asins: Sequence[str]) -> dict[str, Path]:
        """asin -> its image file; the .jpg where there is none. The folder is listed once, which is fast on network disks.

        In some copies the images stand in a folder for each category, or end in .JPG: these are found too.
        """
        folder = self.root / self.image_folder
        there: dict[str, Path] = {}  # by name, its suffix in lower case
        for place in (*(folder / category for category in CATEGORIES), folder):
            with contextlib.suppress(OSError):  # loading says why each image cannot be read
                there |= {spelling(name): place / name for name in sorted(os.listdir(place))}  # .jpg after .JPG
        return {
            asin: next((there[asin + s] for s in SUFFIXES if asin + s in there), folder / f"{asin}{SUFFIXES[0]}")
            for asin in asins
        }


def parse_split(text: str, where: str) -> list[str]:
    """A split file's text -> its asins, in order, repeated ones too. Raises DataError naming file and entry."""
    asins = _json_list(text, where, "asins")
    for i, asin in enumerate(asins):
        _asin(asin, f"{where}, entry [{i}]", "an asin")
    return asins


def parse_captions(text: str, where: str, targets: bool = True) -> list[Entry]:
    """A captions file's text -> its queries, in order. targets: whether every entry must have a target.

    Raises DataError naming file and entry (counted from 0) where something is missing or of the wrong type.
    """
    entries = []
    for i, raw in enumerate(_json_list(text, where, "entries with candidate, target and captions")):
        at = f"{where}, entry [{i}]"
        needed = ("candidate", "target", "captions") if targets else ("candidate", "captions")
        lacking = [key for key in needed if not isinstance(raw, dict) or key not in raw]
        if lacking:
            found = ", ".join(raw) or "no keys" if isinstance(raw, dict) else _short(raw)
            raise DataError(f"{at}: expected the keys {', '.join(needed)}; {', '.join(lacking)} missing (found {found})")
        target = raw.get("target")
        if targets or target is not None:
            _asin(target, at, "an asin as target")
        entries.append(Entry(_asin(raw["candidate"], at, "an asin as candidate"), target, _captions(raw["captions"], at)))
    return entries


def _captions(captions: Any, at: str) -> tuple[str, ...]:
    if not isinstance(captions, list) or not captions or not all(isinstance(text, str) for text in captions):
        raise DataError(f"{at}: expected captions as a list of texts, found {_short(captions)}")
    return tuple(_HALF_CHARACTERS.sub("\ufffd", text) for text in captions)


def _asin(value: Any, at: str, what: str) -> str:
    if not isinstance(value, str) or not _ASIN.fullmatch(value):
        raise DataError(f"{at}: expected {what} (letters, digits, '.', '_' and '-', as in B00AZGHX7M), found {_short(value)}")
    return value


def _json_list(text: str, where: str, what: str) -> list[Any]:
    try:
        data = parse_json(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{where}, line {error.lineno}, column {error.colno}: expected JSON, a list of {what}; {error.msg} "
            f"({len(text):,} characters; a file cut short?): copy it again"
        ) from None
    except (ValueError, RecursionError) as error:  # numbers or nesting beyond what Python reads
        raise DataError(f"{where}: expected JSON, a list of {what}; {error}") from None
    if not isinstance(data, list) or not data:
        raise DataError(f"{where}: expected a list of {what}, found {_short(data)}: is it the right file?")
    return data


def _short(value: Any) -> str:
    """A value for messages, no longer than a line."""
    text = ascii(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:77] + '...'}"
