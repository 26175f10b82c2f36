"""Fashion200k (Han et al., ICCV 2017; xthan/fashion-200k) as TIRG uses it: products whose descriptions differ by one word.

    root/labels/{dress,jacket,pants,skirt,top}_{train,test}_detect_all.txt   lines: path <tab> detection score <tab> caption
    root/women/{kind}/{style}/{product}/{product}_{n}.jpeg                   the cropped pictures (women.tar.gz)
    root/test_queries.txt                                                    TIRG's, lines: source path, space, target path
    root/made.json                                                           only where `maaf_lab.synthetic` drew the files

Test queries are published; training queries are drawn anew each epoch (TIRG, google/tirg, datasets.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from maaf_lab.data.dataset import Counts, Dataset, Part
from maaf_lab.data.split import Image, Protocol, Query
from maaf_lab.errors import DataError
from maaf_lab.utils.files import read_text

CATEGORIES = ("dress", "jacket", "pants", "skirt", "top")
QUERIES = "test_queries.txt"
_SPELT_OUT = ((".", "dotmark"), ("?", "questionmark"), ("&", "andmark"), ("*", "starmark"))  # TIRG, so that words keep them
_PUBLISHED_CAPTIONS, _PUBLISHED_PARTNERED = 53_099, 106_464  # training captions, images with a partner: TIRG's loader says so


class Labelled(NamedTuple):
    """One line of a labels file. path: below the root."""

    path: str
    caption: str


class Fashion200k(Dataset):
    """Product photographs; the caption is the label, and a query asks for the same caption with one word replaced.

    Images in the order of the label files, dress first. A path that stands twice is one image, with its first caption. Captions
    are as TIRG's code has them: stripped, with the marks . ? & * spelt out; nothing else is changed, so two captions that
    differ in case or inner spaces are two labels. An image with an empty caption stays in the gallery but has no partner.

    Training queries are drawn (`Partners`); `Part.queries` is the draw of seed 0. The words of all captions, not of one draw,
    are the training texts that a vocabulary should see (TIRG builds its own from them): they are the images' labels.
    """

    key = "fashion200k"
    title = "Fashion200k"
    pictures = "women"
    download = (
        f"Fashion200k: labels/ and women.tar.gz (unpacked as women/) from github.com/xthan/fashion-200k, and TIRG's "
        f"{QUERIES} (linked from github.com/google/tirg), all three directly in the root folder"
    )
    published = MappingProxyType({"train": Counts(172_049, None), "test": Counts(29_789, 33_480)})  # as TIRG's loader counts
    protocol = Protocol(gallery="split", exclude_source=True, ks=(1, 10, 50), answer="the target caption")

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

    def without(self, part: Part, bad: set[int]) -> Part:
        """Training queries are drawn among what is left, so that every epoch has as many; test queries are dropped."""
        if part.draw is None:
            return super().without(part, bad)
        return self._drawn([image for i, image in enumerate(part.images) if i not in bad])

    def notes(self, split: str, part: Part) -> Sequence[str]:
        """Captions and partners beside TIRG's counts, and what is odd: repeated paths, empty captions."""
        notes, made = [], self.made() is not None
        if split == "train":
            told = ("", "") if made else (f" (published: {_PUBLISHED_CAPTIONS:,})", f" (TIRG's loader: {_PUBLISHED_PARTNERED:,})")
            notes.append(
                f"{split}: {len({image.label for image in part.images}):,} different captions{told[0]}; "
                f"{len(part.queries):,} images have a partner whose caption differs by one word{told[1]}"
            )
        lines, first = self._lines(split), {}
        again = [line for line in lines if first.setdefault(line.path, line.caption) != line.caption]
        repeated = len(lines) - len(first)
        if repeated:
            other = f", {len(again):,} of them with another caption, which is not used (first: {again[0].path})" if again else ""
            notes.append(f"{split}: {repeated:,} lines of the label files repeat a path{other}: one image each")
        empty = [image for image in part.images if not image.label]
        if empty:
            notes.append(f"{split}: {len(empty):,} images have an empty caption (first: {empty[0].id}); no query asks for them")
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
        place = {image.id: i for i, image in enumerate(images)}
        where, queries = self.root / QUERIES, []
        for number, *paths in parse_queries(read_text(where), str(where)):
            for name, path in zip(("source", "target"), paths):
                if path not in place:
                    raise DataError(
                        f"{where}, line {number}: expected a {name} of labels/*_test_detect_all.txt, found {path!r}, "
                        f"which is in none of them: copy labels/ and {QUERIES} of one release"
                    )
                if not images[place[path]].label:
                    raise DataError(
                        f"{where}, line {number}: expected a {name} with a caption, found {path!r}, whose caption is "
                        f"empty: no text can be made of it; copy labels/ again, or delete the line"
                    )
            source, target = (place[path] for path in paths)
            text = replace_text(*different_words(images[source].label, images[target].label))
            queries.append(Query(source, (text,), images[target].label, target))
        return queries


class Partners:
    """Which images can be asked for from which: captions that become equal when one word is taken out of each.

    A caption's parents are what is left of it without one of its words (wherever the word stands); captions that share a parent
    and lost different words are partners. (TIRG's code takes the word's letters out of longer words, too, and may pair captions
    that differ in the order of their words alone. Its paper describes neither, so neither is done here; the number of images
    with a partner may therefore differ a little from the 106,464 that its code counts.)

    captions: one an image (I images; C different captions; E entries, each a caption that became one parent).
    """

    def __init__(self, captions: Sequence[str]) -> None:
        self._captions = captions
        number: dict[str, int] = {}
        self._caption = np.array([number.setdefault(caption, len(number)) for caption in captions], dtype=np.int64)  # (I,)
        self._images = np.argsort(self._caption, kind="stable")  # images, caption by caption
        self._count = np.bincount(self._caption, minlength=len(number))  # (C,) images of each caption
        self._start = np.cumsum(self._count) - self._count

        families: dict[str, list[tuple[str, int]]] = {}  # parent -> (word that was taken out, caption)
        for caption, c in number.items():
            words = caption.split()
            for word in dict.fromkeys(words):
                families.setdefault(" ".join(w for w in words if w != word), []).append((word, c))
        self._words: list[str] = []  # (E,) the word that was taken out
        entries: list[tuple[int, int, int, int, int]] = []  # caption; first and size of its family; first and size of its word
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

        # TIRG draws a parent, then one of its captions, and both again where it drew the caption it came from: a parent
        # is as likely as the part of its captions that will do.
        self._by_caption = np.argsort(self._of, kind="stable")
        weights = (1 - self._same / self._size)[self._by_caption]
        self._weight = np.concatenate([[0.0], np.cumsum(weights)])
        held = np.bincount(self._of, minlength=len(number))
        self._first, self._last = np.cumsum(held) - held, np.cumsum(held)  # (C,) entries of a caption, in `_by_caption`
        self.images = np.flatnonzero(held[self._caption] > 0) if len(number) else self._caption

    def draw(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A partner for each of `images` -> (its entry, the partner's entry, the partner's image), each (len(images),)."""
        own = self._caption[self.images]
        low, high = self._weight[self._first[own]], self._weight[self._last[own]]
        at = np.searchsorted(self._weight, low + random.random(len(own)) * (high - low), side="right") - 1
        entry = self._by_caption[np.clip(at, self._first[own], self._last[own] - 1)]
        other = self._family[entry] + random.integers(0, self._size[entry] - self._same[entry])
        other += np.where(other >= self._run[entry], self._same[entry], 0)  # past those that lost the same word
        caption = self._of[other]
        return entry, other, self._images[self._start[caption] + random.integers(0, self._count[caption])]

    def queries(self, random: np.random.Generator) -> list[Query]:
        """An epoch: a query for each image that has a partner, in the images' order; the generator decides everything."""
        entry, other, target = (array.tolist() for array in self.draw(random))
        words, labels = self._words, self._captions
        return [
            Query(source, (replace_text(words[e], words[o]),), labels[t], t)
            for source, e, o, t in zip(self.images.tolist(), entry, other, target)
        ]


def different_words(source: str, target: str) -> tuple[str, str]:
    """The first word of each caption that the other lacks; the last word, where it lacks none (as TIRG's code has it)."""
    words = source.split(), target.split()
    return (
        next((w for w in words[0] if w not in words[1]), words[0][-1]),
        next((w for w in words[1] if w not in words[0]), words[1][-1]),
    )


def replace_text(word: str, other: str) -> str:
    """The modification text."""
    return f"replace {word} with {other}"


def parse_labels(text: str, where: str) -> list[Labelled]:
    """A labels file's text -> its lines; empty ones are left out. Raises DataError naming file and line."""
    lines = []
    for number, line in _numbered(text, where):
        columns = line.split("\t", 2)
        if len(columns) < 3:
            raise DataError(
                f"{where}, line {number}: expected a path, a detection score and a caption with tabs between them, "
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
    """The lines that are not empty, with their numbers; they end as Windows, Unix or old Macs end them, and nowhere else."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise DataError(f"{where}: expected lines of text, found none: copy the file again")
    return numbered


def _caption(text: str) -> str:
    text = text.replace("\t", " ").strip()
    for mark, word in _SPELT_OUT:
        text = text.replace(mark, word)
    return text


def _path(path: str, at: str) -> str:
    """The path, if it can only lie below the root."""
    parts = path.split("/")
    if "\\" in path or "\0" in path or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        raise DataError(
            f"{at}: expected a path below the root (women/dresses/...), found {path[:100]!a}, which is empty or may "
            f"lead out of it: copy the file again"
        )
    return path
