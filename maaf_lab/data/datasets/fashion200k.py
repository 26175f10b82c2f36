"""Fashion200k (Han et al., ICCV 2017; xthan/fashion-200k) as used by TIRG: products whose captions differ by one word.

    root/labels/{dress,jacket,pants,skirt,top}_{train,test}_detect_all.txt   lines: path <tab> detection score <tab> caption
    root/women/{kind}/{style}/{product}/{product}_{n}.jpeg                   the cropped images (women.tar.gz)
    root/test_queries.txt                                                    TIRG's, lines: source path, space, target path
    root/made.json                                                           only in synthetic datasets

Test queries are published; training queries are sampled anew each epoch (TIRG, google/tirg, datasets.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from maaf_lab.data.dataset import Dataset
from maaf_lab.data.part import Counts, Part
from maaf_lab.data.split import Image, Protocol, Query
from maaf_lab.errors import DataError
from maaf_lab.utils.files import read_text

CATEGORIES = ("dress", "jacket", "pants", "skirt", "top")
QUERIES = "test_queries.txt"
_SPELLED_OUT = ((".", "dotmark"), ("?", "questionmark"), ("&", "andmark"), ("*", "starmark"))  # TIRG, so that words keep them
_PUBLISHED_CAPTIONS, _PUBLISHED_PARTNERED = 53_099, 106_464  # training captions, images with a partner: TIRG's loader says so


class Labelled(NamedTuple):
    """One line of a labels file. path: relative to the root."""

    path: str
    caption: str


class Fashion200k(Dataset):
    """Product photographs labeled by their captions; a query replaces one word of its reference's caption.

    Images in the order of the labels files, dress first. A path that occurs twice is one image, with its first caption. Captions
    are stripped and their marks . ? & * spelled out, as in TIRG's code; nothing else is changed, so captions that differ in case
    or inner spaces are different labels. An image with an empty caption stays in the gallery but has no partner.

    Training queries are sampled (`Partners`); `Part.queries` is the sample of seed 0. A vocabulary is built from all captions
    (as TIRG's), not from one sample's texts.
    """

    key = "fashion200k"
    title = "Fashion200k"
    image_folder = "women"
    download = (
        f"Fashion200k: labels/ and women.tar.gz (unpacked as women/) from github.com/xthan/fashion-200k, and TIRG's "
        f"{QUERIES} (linked from github.com/google/tirg), all three directly in the root folder"
    )
    published = MappingProxyType({"train": Counts(172_049, None), "test": Counts(29_789, 33_480)})  # as TIRG's loader counts
    protocol = Protocol(gallery="split", exclude_source=True, ks=(1, 10, 50), relevant="an image with the target caption")
    settings = MappingProxyType({"laptop": {"model.image_weights": "garments-v1"}})

    def annotations(self) -> Sequence[Path]:
        return [*self._label_files("train"), *self._label_files("test"), self.root / QUERIES]

    def read(self, split: str) -> Part:
        self.need(split, self._label_files(split) + ([self.root / QUERIES] if split == "test" else []))
        captions: dict[str, str] = {}
        for line in self._lines(split):
            captions.setdefault(line.path, line.caption)
        images = [Image(path, self.root / path, caption) for path, caption in captions.items()]
        if split == "test":
            return Part(images, self._test_queries(images), self.protocol)
        return self._drawn(images)

    def without(self, part: Part, unusable: set[int]) -> Part:
        """Training queries are sampled from the images left, so that all epochs have as many; test queries are dropped."""
        if part.draw is None:
            return super().without(part, unusable)
        return self._drawn([image for i, image in enumerate(part.images) if i not in unusable])

    def notes(self, split: str, part: Part) -> Sequence[str]:
        """Numbers of captions and partners beside TIRG's, repeated paths, empty captions."""
        notes, counts = [], ("", "")
        if split == "train":
            if self.synthetic_mark() is None:
                counts = f" (published: {_PUBLISHED_CAPTIONS:,})", f" (TIRG's loader: {_PUBLISHED_PARTNERED:,})"
            notes.append(
                f"{split}: {len({image.label for image in part.images}):,} different captions{counts[0]}; "
                f"{len(part.queries):,} images have a partner whose caption differs by one word{counts[1]}"
            )
        lines, first = self._lines(split), {}
        again = [line for line in lines if first.setdefault(line.path, line.caption) != line.caption]
        repeated = len(lines) - len(first)
        if repeated:
            other = f", {len(again):,} of them with another caption, which is not used (first: {again[0].path})" if again else ""
            notes.append(f"{split}: {repeated:,} lines of the labels files repeat a path{other}: one image each")
        empty = [image for image in part.images if not image.label]
        if empty:
            notes.append(
                f"{split}: {len(empty):,} images have an empty caption (first: {empty[0].id}); no query has them as target"
            )
        return notes

    def _label_files(self, split: str) -> list[Path]:
        return [self.root / "labels" / f"{category}_{split}_detect_all.txt" for category in CATEGORIES]

    def _lines(self, split: str) -> list[Labelled]:
        return [line for path in self._label_files(split) for line in parse_labels(read_text(path), str(path))]

    def _drawn(self, images: Sequence[Image]) -> Part:
        partners = Partners([image.label for image in images])
        captions = list(dict.fromkeys(image.label for image in images))
        return Part(images, partners.queries(np.random.default_rng(0)), self.protocol, partners.queries, captions)

    def _test_queries(self, images: Sequence[Image]) -> list[Query]:
        index = {image.id: i for i, image in enumerate(images)}
        where, queries = self.root / QUERIES, []
        for number, *paths in parse_queries(read_text(where), str(where)):
            for name, path in zip(("source", "target"), paths):
                if path not in index:
                    raise DataError(
                        f"{where}, line {number}: expected a {name} of labels/*_test_detect_all.txt, found {path!r}, "
                        f"which is in none of them: copy labels/ and {QUERIES} of one release"
                    )
                if not images[index[path]].label:
                    raise DataError(
                        f"{where}, line {number}: expected a {name} with a caption, found {path!r}, whose caption is "
                        f"empty, so that the query has no text: copy labels/ again, or delete the line"
                    )
            source, target = (index[path] for path in paths)
            text = replace_text(*different_words(images[source].label, images[target].label))
            queries.append(Query(source, (text,), images[target].label, target))
        return queries


class Partners:
    """Pairs of images for training queries: their captions become equal when one word is removed from each.

    A caption without one of its words (at every occurrence) is its parent; captions that share a parent but lost different words
    are partners. (TIRG's code also removes the word's letters from longer words, and may pair captions that differ only in word
    order. Its paper describes neither, so neither is done here, and the number of images with a partner may differ slightly from
    the 106,464 that its code counts.)

    captions: one per image. Shapes: I images; C different captions; E entries, each a caption with one of its parents.
    """

    def __init__(self, captions: Sequence[str]) -> None:
        self._captions = captions
        number: dict[str, int] = {}
        self._caption = np.array([number.setdefault(caption, len(number)) for caption in captions], dtype=np.int64)  # (I,)
        self._images = np.argsort(self._caption, kind="stable")  # images, caption by caption
        self._count = np.bincount(self._caption, minlength=len(number))  # (C,) images of each caption
        self._start = np.cumsum(self._count) - self._count

        families: dict[str, list[tuple[str, int]]] = {}  # parent -> (removed word, caption)
        for caption, c in number.items():
            words = caption.split()
            for word in dict.fromkeys(words):
                families.setdefault(" ".join(w for w in words if w != word), []).append((word, c))
        self._words: list[str] = []  # (E,) the removed word
        entries: list[
            tuple[int, int, int, int, int]
        ] = []  # caption; start and size of its family; start and size of its run (the same removed word)
        for family in families.values():
            family.sort()
            first, size, at = len(entries), len(family), 0
            if family[0][0] == family[-1][0]:
                continue
            while at < size:
                end = next((i for i in range(at, size) if family[i][0] != family[at][0]), size)
                entries += [(c, first, size, first + at, end - at) for _, c in family[at:end]]
                at = end
            self._words += [word for word, _ in family]
        table = np.array(entries, dtype=np.int64).reshape(-1, 5)
        self._of, self._family, self._size, self._run, self._same = table.T

        # TIRG samples a parent and one of its captions, and both again until the removed word differs: a parent is as likely
        # as the share of its captions with another removed word.
        self._by_caption = np.argsort(self._of, kind="stable")
        weights = (1 - self._same / self._size)[self._by_caption]
        self._weight = np.concatenate([[0.0], np.cumsum(weights)])
        held = np.bincount(self._of, minlength=len(number))
        self._first, self._last = np.cumsum(held) - held, np.cumsum(held)  # (C,) entries of a caption, in `_by_caption`
        self.images = np.flatnonzero(held[self._caption] > 0) if len(number) else self._caption

    def draw(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A partner for each of `images`: (its entry, the partner's entry, the partner's image), each (len(images),)."""
        own = self._caption[self.images]
        low, high = self._weight[self._first[own]], self._weight[self._last[own]]
        at = np.searchsorted(self._weight, low + random.random(len(own)) * (high - low), side="right") - 1
        entry = self._by_caption[np.clip(at, self._first[own], self._last[own] - 1)]
        other = self._family[entry] + random.integers(0, self._size[entry] - self._same[entry])
        other += np.where(other >= self._run[entry], self._same[entry], 0)  # skip those with the same removed word
        caption = self._of[other]
        return entry, other, self._images[self._start[caption] + random.integers(0, self._count[caption])]

    def queries(self, random: np.random.Generator) -> list[Query]:
        """The queries of an epoch, one for each image that has a partner: a pure function of the generator."""
        entry, other, target = (array.tolist() for array in self.draw(random))
        words, labels = self._words, self._captions
        return [
            Query(source, (replace_text(words[e], words[o]),), labels[t], t)
            for source, e, o, t in zip(self.images.tolist(), entry, other, target)
        ]


def different_words(source: str, target: str) -> tuple[str, str]:
    """The first word of each caption that the other lacks; its last word, if the other lacks none (as in TIRG's code)."""
    words = source.split(), target.split()
    return (
        next((w for w in words[0] if w not in words[1]), words[0][-1]),
        next((w for w in words[1] if w not in words[0]), words[1][-1]),
    )


def replace_text(word: str, other: str) -> str:
    """The modification text."""
    return f"replace {word} with {other}"


def parse_labels(text: str, where: str) -> list[Labelled]:
    """A labels file's text -> its lines without empty ones. Raises DataError naming file and line."""
    lines = []
    for number, line in _numbered(text, where):
        columns = line.split("\t", 2)
        if len(columns) < 3:
            raise DataError(
                f"{where}, line {number}: expected a path, a detection score and a caption, tab-separated, "
                f"found {line[:100]!a}: copy the file again"
            )
        lines.append(Labelled(_path(columns[0], f"{where}, line {number}"), _caption(columns[2])))
    return lines


def parse_queries(text: str, where: str) -> list[tuple[int, str, str]]:
    """The text of test_queries.txt -> (line, source path, target path); empty lines are left out."""
    queries = []
    for number, line in _numbered(text, where):
        paths = line.split()
        if len(paths) != 2:
            raise DataError(
                f"{where}, line {number}: expected a source path and a target path with a space between them, "
                f"found {line[:100]!a}: copy the file again"
            )
        source, target = (_path(path, f"{where}, line {number}") for path in paths)
        queries.append((number, source, target))
    return queries


def _numbered(text: str, where: str) -> list[tuple[int, str]]:
    """The lines that are not empty, with their numbers. Line ends are those of Windows, Unix or old Macs, and no others."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise DataError(f"{where}: expected lines of text, found none: copy the file again")
    return numbered


def _caption(text: str) -> str:
    text = text.replace("\t", " ").strip()
    for mark, word in _SPELLED_OUT:
        text = text.replace(mark, word)
    return text


def _path(path: str, at: str) -> str:
    """The path, if it cannot lead out of the root."""
    parts = path.split("/")
    if "\\" in path or "\0" in path or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        raise DataError(
            f"{at}: expected a path below the root (women/dresses/...), found {path[:100]!a}, which is empty or may "
            f"lead out of it: copy the file again"
        )
    return path
