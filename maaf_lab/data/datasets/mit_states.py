"""MIT-States (Isola et al., CVPR 2015): photographs of nouns in states, one folder for each adjective and noun.

    root/images/{adjective} {noun}/*.jpg    such as "images/ancient castle/"; folders "adj {noun}" have nouns without a state

The folders' names are the only annotation. As a retrieval task (TIRG; paper S5): the text is an adjective, and the relevant
images show the reference's noun in that state. Training never sees the test nouns.
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
from maaf_lab.data.dataset import Dataset
from maaf_lab.data.part import Part
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
_SUFFIXES = (".jpg", ".jpeg", ".png")
_SYSTEM = ("thumbs.db", "desktop.ini", "__macosx")


class Scan(NamedTuple):
    """Content of images/: the images, sorted, and the names of folders and files that are not used."""

    images: list[Image]
    empty: list[str]  # folders of an adjective and a noun without an image
    stateless: list[str]
    unnamed: list[str]  # folders whose name is not two words
    others: list[str]  # files that are no images


class MITStates(Dataset):
    """Images sorted by folder and name, labeled "adjective noun"; every image with the target's label is relevant.

    Test: each image with each other adjective of its noun. Training queries are sampled: for each image `per_reference` different
    adjectives of its noun (2, as consecutive examples of TIRG's and the authors' code share the reference; fewer where the noun
    has fewer), each with a random image of that adjective and noun as target. As in their code, the reference's own adjective may
    be among them, so that the target shows the same state; own_adjective=False excludes it. A noun with a single adjective has no
    queries: its images are only in the gallery.
    """

    key = "mit_states"
    title = "MIT-States"
    download = (
        "MIT-States from web.mit.edu/phillipi/Public/states_and_transformations; its folder images/, with one folder for "
        "each adjective and noun, directly in the root folder"
    )
    protocol = Protocol(
        gallery="split", exclude_source=True, ks=(1, 5, 10), relevant="an image with the target adjective and noun"
    )
    settings = MappingProxyType(
        {
            "": {"train.group_size": 2},  # two queries of each reference
            "paper": {"model.feedforward": 32, "model.blocks": 1},  # the authors' script; not in the paper
            "laptop": {"model.image_weights": "objects-v1"},
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
                f"{self.root / self.image_folder}: expected folders of {which} with images and at least two adjectives a "
                f"noun, found {_summary(images)}. What to get: {self.download}"
            )
        return part

    def without(self, part: Part, unusable: set[int]) -> Part:
        """Queries are made from the images left, as an adjective may have lost its last image."""
        return self._part([image for i, image in enumerate(part.images) if i not in unusable], part.draw is not None)

    def check(self, progress: bool = True) -> CheckReport:
        """Also whether all nouns and adjectives are there, as no annotation lists the images."""
        report = super().check(progress)
        if not report.rows or self.synthetic_mark() is not None:
            return report
        nouns, adjectives = _words(self._scan().images)
        found = {"nouns": len(nouns), "adjectives": len(adjectives)}
        lacking = [f"{what}: {found[what]} of {PUBLISHED[what]}" for what in found if found[what] < PUBLISHED[what]]
        if not lacking:
            return report
        return replace(report, problems=(*report.problems, f"{'; '.join(lacking)}: is the whole archive unpacked?"))

    def notes(self, split: str, part: Part) -> Sequence[str]:
        """The split's images, nouns and adjectives; folders and files that are not used."""
        scan, nouns = self._scan(), {_noun(image) for image in part.images}
        notes = [f"{split}: {_summary(part.images)}"]
        single = sorted(nouns - {_noun(part.images[query.source]) for query in part.queries})
        if single:
            notes.append(f"{split}: {len(single):,} nouns have one adjective only and so no queries: {first_names(single)}")
        absent = sorted(TEST_NOUNS - nouns)
        if split == "test" and absent:
            notes.append(
                f"test: {len(absent)} of the {len(TEST_NOUNS)} test nouns have no folder with images: {first_names(absent, 5)}"
            )
        if split == self.splits[0]:  # once, not for every split
            for names, what in (
                (scan.stateless, f"folders {STATELESS!r} + noun skipped, as they name no state"),
                (scan.empty, "folders without an image"),
                (scan.unnamed, "folders skipped: expected a name of two words, adjective and noun"),
                (scan.others, "files skipped that are no images"),
            ):
                if names:
                    notes.append(f"{len(names):,} {what} (first: {first_names(names)})")
        return notes

    def _part(self, images: Sequence[Image], training: bool) -> Part:
        by_noun: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))  # noun -> adjective -> images
        for i, image in enumerate(images):
            adjective, noun = image.label.split(" ")
            by_noun[noun][adjective].append(i)
        if training:
            draw = self._sampler(images, by_noun)
            adjectives = sorted({adjective for by_adjective in by_noun.values() for adjective in by_adjective})
            return Part(images, draw(np.random.default_rng(0)), self.protocol, draw, adjectives)
        queries = []
        for i, image in enumerate(images):
            own, noun = image.label.split(" ")
            queries += [Query(i, (adjective,), f"{adjective} {noun}") for adjective in by_noun[noun] if adjective != own]
        return Part(images, queries, self.protocol)

    def _sampler(
        self, images: Sequence[Image], by_noun: dict[str, dict[str, list[int]]]
    ) -> Callable[[np.random.Generator], list[Query]]:
        """-> the function that samples an epoch's queries, those of one reference one after the other."""
        targets_of: dict[str, list[tuple[str, str, list[int]]]] = {}  # label -> adjective, label, images of its targets
        for noun, adjectives in by_noun.items():
            for own in adjectives:
                targets_of[f"{own} {noun}"] = [
                    (other, f"{other} {noun}", targets)
                    for other, targets in adjectives.items()
                    if len(adjectives) > 1 and (self.own_adjective or other != own)
                ]

        def draw(random: np.random.Generator) -> list[Query]:
            queries = []
            for i, image in enumerate(images):
                possible = targets_of[image.label]
                for choice in random.permutation(len(possible))[: self.per_reference].tolist():
                    adjective, label, targets = possible[choice]
                    queries.append(Query(i, (adjective,), label, targets[int(random.integers(len(targets)))]))
            return queries

        return draw

    def _scan(self) -> Scan:
        folder = self.root / self.image_folder
        scan = Scan([], [], [], [], [])
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            for entry in entries:
                words = _folder_words(entry.name)
                if _system(entry.name):
                    continue
                if not entry.is_dir():
                    scan.others.append(entry.name)
                elif len(words) != 2:
                    scan.unnamed.append(entry.name)
                elif words[0] == STATELESS:
                    scan.stateless.append(entry.name)
                else:
                    self._scan_one(entry, " ".join(words), scan)
        except OSError as error:
            raise DataError(f"{error.filename or folder}: expected a readable folder; {error.strerror or error}") from error
        return scan

    def _scan_one(self, folder: os.DirEntry[str], label: str, scan: Scan) -> None:
        names = sorted(entry.name for entry in os.scandir(folder) if not _system(entry.name))
        images = [name for name in names if name.lower().endswith(_SUFFIXES)]
        scan.images.extend(Image(f"{folder.name}/{name}", Path(folder.path, name), label) for name in images)
        scan.others.extend(f"{folder.name}/{name}" for name in names if not name.lower().endswith(_SUFFIXES))
        if not images:
            scan.empty.append(folder.name)

    def looks_right(self, folder: Path | None = None) -> bool:
        try:
            with os.scandir((folder or self.root) / self.image_folder) as entries:
                return any(
                    len(_folder_words(entry.name)) == 2 and not _system(entry.name) and entry.is_dir() for entry in entries
                )
        except OSError:
            return False

    def _wanted(self) -> str:
        return f"folders named by an adjective and a noun (such as '{self.image_folder}/ancient castle')"

    def _digest(self) -> str:
        """A hash of the names of all images with a state, as there is no annotation."""
        if not self.looks_right():
            raise DataError(self._wrong_folder())
        names = sorted(image.id for image in self._scan().images)
        return hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def _folder_words(name: str) -> list[str]:
    """["ancient", "castle"] of "ancient castle", or of "ancient_castle", as some copies have it."""
    return name.lower().replace("_", " ").split()


def _noun(image: Image) -> str:
    return image.label.split(" ")[1]


def _system(name: str) -> bool:
    """Whether a file or folder is some program's (.DS_Store, "._x.jpg", Thumbs.db, the lab's .cache), not the dataset's."""
    return name.startswith(".") or name.lower() in _SYSTEM


def _words(images: Sequence[Image]) -> tuple[set[str], set[str]]:
    """-> the nouns, the adjectives."""
    pairs = {tuple(image.label.split(" ")) for image in images}
    return {noun for _, noun in pairs}, {adjective for adjective, _ in pairs}


def _summary(images: Sequence[Image]) -> str:
    labels = {image.label for image in images}
    nouns, adjectives = _words(images)
    return f"{len(images):,} images of {len(nouns):,} nouns and {len(adjectives):,} adjectives, in {len(labels):,} combinations"
