"""MIT-States (Isola et al., CVPR 2015): photographs of nouns in states, one folder for each adjective and noun.

    root/images/{adjective} {noun}/*.jpg    such as "images/ancient castle/"; folders "adj {noun}" hold nouns without a state

There is no annotation: the folders' names are all there is. As a retrieval task (TIRG; paper S5): a photograph and an adjective
ask for a photograph of the same noun in that state. The test nouns are never seen in training.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from maaf_lab.data.check import CheckReport
from maaf_lab.data.dataset import Dataset, Part
from maaf_lab.data.split import Image, Protocol, Query
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.utils.wording import first_names

TEST_NOUNS = frozenset(  # google/tirg, datasets.py; the same in the authors' code
    (
        "armor",
        "bracelet",
        "bush",
        "camera",
        "candy",
        "castle",
        "ceramic",
        "cheese",
        "clock",
        "clothes",
        "coffee",
        "fan",
        "fig",
        "fish",
        "foam",
        "forest",
        "fruit",
        "furniture",
        "garden",
        "gate",
        "glass",
        "horse",
        "island",
        "laptop",
        "lead",
        "lightning",
        "mirror",
        "orange",
        "paint",
        "persimmon",
        "plastic",
        "plate",
        "potato",
        "road",
        "rubber",
        "sand",
        "shell",
        "sky",
        "smoke",
        "steel",
        "stream",
        "table",
        "tea",
        "tomato",
        "vacuum",
        "wax",
        "wheel",
        "window",
        "wool",
    )
)
PUBLISHED = MappingProxyType({"nouns": 245, "adjectives": 115})  # of the folders that name a state
STATELESS = "adj"  # the first word of the folders that name no state
_PICTURES = (".jpg", ".jpeg", ".png")
_SYSTEM = ("thumbs.db", "desktop.ini", "__macosx")


class Scan(NamedTuple):
    """What stands in images/: the pictures (sorted), and names that are no part of the set."""

    images: list[Image]
    empty: list[str]  # folders of an adjective and a noun without a picture
    stateless: list[str]
    odd: list[str]  # folders whose name is not two words
    strays: list[str]  # files that are no pictures


class MITStates(Dataset):
    """Images sorted by folder and name, labeled "adjective noun"; any image with the label is right.

    Test: each image with each other adjective of its noun. Training queries are drawn: `per_reference` queries of each image,
    whose adjectives all differ (2, as consecutive examples of TIRG's and the authors' code share the reference; where a noun has
    fewer adjectives, so many), each with a random image of that adjective and noun as target. In their code the adjectives are
    drawn from all of the noun's, so that some queries ask for the state that the reference already shows; own_adjective=False
    leaves that out. A noun with one adjective has no partner: its images are in the gallery and ask nothing.
    """

    key = "mit_states"
    title = "MIT-States"
    download = (
        "MIT-States from web.mit.edu/phillipi/Public/states_and_transformations; its folder images/, with one folder for "
        "each adjective and noun, directly in the root folder"
    )
    protocol = Protocol(gallery="split", exclude_source=True, ks=(1, 5, 10), answer="the target adjective and noun")
    settings = MappingProxyType(
        {
            "": {"train.group_size": 2},  # a draw holds two queries of each reference
            "paper": {"model.feedforward": 32, "model.blocks": 1},  # the authors' script; the paper is silent
        }
    )

    def __init__(self, root: str | Path, per_reference: int = 2, own_adjective: bool = True) -> None:
        super().__init__(root)
        if isinstance(per_reference, bool) or not isinstance(per_reference, int) or per_reference < 1:
            raise ConfigError(f"{self.title}: expected per_reference to be a whole number of at least 1, found {per_reference!r}")
        self.per_reference, self.own_adjective = per_reference, own_adjective

    def annotations(self) -> Sequence[Path]:
        return []

    def read(self, split: str) -> Part:
        images = [image for image in self._scan().images if (_noun(image) in TEST_NOUNS) == (split == "test")]
        part = self._part(images, split == "train")
        if not part.queries:
            which = "the 49 test nouns" if split == "test" else "training nouns"
            raise DataError(
                f"{self.root / self.pictures}: expected folders of {which} with images and at least two adjectives a "
                f"noun, found {_kinds(images)}. What to get: {self.download}"
            )
        return part

    def without(self, part: Part, bad: set[int]) -> Part:
        """Queries are made anew from the images that are left: an adjective may be gone with its last image."""
        return self._part([image for i, image in enumerate(part.images) if i not in bad], part.draw is not None)

    def check(self, progress: bool = True) -> CheckReport:
        """As every dataset's; and whether all nouns and adjectives are there, as no annotation says which pictures should be."""
        report = super().check(progress)
        if not report.rows or self.made() is not None:
            return report
        nouns, adjectives = _words(self._scan().images)
        found = {"nouns": len(nouns), "adjectives": len(adjectives)}
        lacking = [f"{what}: {found[what]} of {PUBLISHED[what]}" for what in found if found[what] < PUBLISHED[what]]
        if not lacking:
            return report
        return replace(report, problems=(*report.problems, f"{'; '.join(lacking)}: is the archive unpacked whole?"))

    def notes(self, split: str, part: Part) -> Sequence[str]:
        """What the split holds, and which folders and files were passed over."""
        scan, nouns = self._scan(), {_noun(image) for image in part.images}
        notes = [f"{split}: {_kinds(part.images)}"]
        lonely = sorted(nouns - {_noun(part.images[query.source]) for query in part.queries})
        if lonely:
            notes.append(f"{split}: {len(lonely):,} nouns have one adjective only and so no queries: {first_names(lonely)}")
        absent = sorted(TEST_NOUNS - nouns)
        if split == "test" and absent:
            notes.append(
                f"test: {len(absent)} of the {len(TEST_NOUNS)} test nouns have no folder with images: {first_names(absent, 5)}"
            )
        if split == self.splits[0]:  # said once
            for names, what in (
                (scan.stateless, f"folders {STATELESS!r} + noun passed over, as they name no state"),
                (scan.empty, "folders without an image"),
                (scan.odd, "folders passed over: expected a name of two words, adjective and noun"),
                (scan.strays, "files passed over that are no pictures"),
            ):
                if names:
                    notes.append(f"{len(names):,} {what} (first: {first_names(names)})")
        return notes

    def _part(self, images: Sequence[Image], training: bool) -> Part:
        places: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))  # noun -> adjective -> images
        for i, image in enumerate(images):
            adjective, noun = image.label.split(" ")
            places[noun][adjective].append(i)
        if training:
            draw = self._drawn(images, places)
            adjectives = sorted({adjective for by_adjective in places.values() for adjective in by_adjective})
            return Part(images, draw(np.random.default_rng(0)), self.protocol, draw, adjectives)
        queries = []
        for i, image in enumerate(images):
            own, noun = image.label.split(" ")
            queries += [Query(i, (adjective,), f"{adjective} {noun}") for adjective in places[noun] if adjective != own]
        return Part(images, queries, self.protocol)

    def _drawn(
        self, images: Sequence[Image], places: dict[str, dict[str, list[int]]]
    ) -> Callable[[np.random.Generator], list[Query]]:
        """-> the function that draws an epoch's queries, those of one reference one after the other."""
        answers: dict[str, list[tuple[str, str, list[int]]]] = {}  # label -> adjective, label and images of each answer
        for noun, adjectives in places.items():
            for own in adjectives:
                answers[f"{own} {noun}"] = [
                    (other, f"{other} {noun}", targets)
                    for other, targets in adjectives.items()
                    if len(adjectives) > 1 and (self.own_adjective or other != own)
                ]

        def draw(random: np.random.Generator) -> list[Query]:
            queries = []
            for i, image in enumerate(images):
                possible = answers[image.label]
                for choice in random.permutation(len(possible))[: self.per_reference].tolist():
                    adjective, label, targets = possible[choice]
                    queries.append(Query(i, (adjective,), label, targets[int(random.integers(len(targets)))]))
            return queries

        return draw

    def _scan(self) -> Scan:
        folder = self.root / self.pictures
        scan = Scan([], [], [], [], [])
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            for entry in entries:
                words = entry.name.lower().split()
                if _system(entry.name):
                    continue
                if not entry.is_dir():
                    scan.strays.append(entry.name)
                elif len(words) != 2:
                    scan.odd.append(entry.name)
                elif words[0] == STATELESS:
                    scan.stateless.append(entry.name)
                else:
                    self._scan_one(entry, " ".join(words), scan)
        except OSError as error:
            raise DataError(f"{error.filename or folder}: expected a readable folder; {error.strerror or error}") from error
        return scan

    def _scan_one(self, folder: os.DirEntry[str], label: str, scan: Scan) -> None:
        names = sorted(entry.name for entry in os.scandir(folder) if not _system(entry.name))
        pictures = [name for name in names if name.lower().endswith(_PICTURES)]
        scan.images.extend(Image(f"{folder.name}/{name}", Path(folder.path, name), label) for name in pictures)
        scan.strays.extend(f"{folder.name}/{name}" for name in names if not name.lower().endswith(_PICTURES))
        if not pictures:
            scan.empty.append(folder.name)

    def _looks_right(self, root: Path) -> bool:
        try:
            with os.scandir(root / self.pictures) as entries:
                return any(len(entry.name.split()) == 2 and not _system(entry.name) and entry.is_dir() for entry in entries)
        except OSError:
            return False

    def _wanted(self) -> str:
        return f"folders named by an adjective and a noun (such as '{self.pictures}/ancient castle')"

    def _digest(self) -> str:
        """There is no annotation to hash: the names of all pictures with a state stand for the copy."""
        if not self._looks_right(self.root):
            raise DataError(self._wrong_folder())
        names = sorted(image.id for image in self._scan().images)
        return hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def _noun(image: Image) -> str:
    return image.label.split(" ")[1]


def _system(name: str) -> bool:
    """Whether a file or folder is some program's own (.DS_Store, "._x.jpg", Thumbs.db), no part of the set."""
    return name.startswith(".") or name.lower() in _SYSTEM


def _words(images: Sequence[Image]) -> tuple[set[str], set[str]]:
    """-> the nouns, the adjectives."""
    pairs = {tuple(image.label.split(" ")) for image in images}
    return {noun for _, noun in pairs}, {adjective for adjective, _ in pairs}


def _kinds(images: Sequence[Image]) -> str:
    labels = {image.label for image in images}
    nouns, adjectives = _words(images)
    return f"{len(images):,} images of {len(nouns):,} nouns and {len(adjectives):,} adjectives, in {len(labels):,} combinations"
