"""`Part`: one split as its annotation describes it, and what datasets do with one."""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from maaf_lab.data.split import Image, Protocol, Query


@dataclass(frozen=True)
class Part:
    """One split as its annotation describes it, whether or not the image files exist.

    draw: for datasets whose training queries are sampled, a pure function of a random generator -> the queries of an epoch.
    words: for the vocabulary, texts with words that other epochs may use and `queries` lacks.
    """

    images: Sequence[Image]
    queries: Sequence[Query]
    protocol: Protocol
    draw: Callable[[np.random.Generator], Sequence[Query]] | None = None
    words: Sequence[str] = ()


@dataclass(frozen=True)
class Counts:
    """Published numbers of images and queries of a split; None: not published. exact: False for round numbers."""

    images: int | None = None
    queries: int | None = None
    exact: bool = True


def without_images(part: Part, unusable: set[int]) -> Part:
    """The part without the images `unusable` and the queries that need them; the other indices are adjusted."""
    index = {old: new for new, old in enumerate(i for i in range(len(part.images)) if i not in unusable)}
    images = [part.images[i] for i in index]

    def adjusted(queries: Sequence[Query]) -> list[Query]:
        return [
            replace(
                q,
                source=index[q.source],
                target=None if q.target is None else index[q.target],
                exclude=tuple(index[i] for i in q.exclude if i in index),
            )
            for q in queries
            if not (q.source in unusable or q.target in unusable)
        ]

    draw = part.draw
    new_draw = None if draw is None else lambda random: adjusted(draw(random))
    return Part(images, adjusted(part.queries), part.protocol, new_draw, part.words)


def one_of_each(groups: Sequence[Sequence[Query]]) -> Callable[[np.random.Generator], list[Query]]:
    """A `Part.draw` for image pairs with several descriptions: one of each pair's descriptions, all equally likely.

    As in the authors' code, which samples a pair and then one of its descriptions: a pair with many descriptions counts no more
    than another.
    """
    sizes = np.array([len(group) for group in groups], dtype=np.int64)

    def draw(random: np.random.Generator) -> list[Query]:
        return [group[choice] for group, choice in zip(groups, random.integers(0, sizes).tolist())]

    return draw


def spelling(name: str) -> str:
    """ "A.b.jpg" of "A.b.JPG"; an accent is part of its letter, which files copied from a Mac may write as two signs."""
    stem, suffix = os.path.splitext(unicodedata.normalize("NFC", name))
    return stem + suffix.lower()


def as_spelled(images: Sequence[Image]) -> Sequence[Image]:
    """The images with the files that are there where only the suffix's case or the writing of accents differs
    ("a.JPG" for "a.jpg").

    Folders are listed only where some of twenty images, from all of them, are not there.
    """
    if all(os.path.exists(images[i * len(images) // 20].path) for i in range(min(20, len(images)))):
        return images
    there: dict[Path, dict[str, list[str]]] = {}
    found = []
    for image in images:
        folder, name = image.path.parent, image.path.name
        if folder not in there:
            there[folder] = {}
            with contextlib.suppress(OSError):
                for other in os.listdir(folder):
                    there[folder].setdefault(spelling(other), []).append(other)
        spelled = there[folder].get(spelling(name), [])
        found.append(replace(image, path=folder / spelled[0]) if len(spelled) == 1 and spelled[0] != name else image)
    return found
