"""Image, Query, Protocol, Split: what every dataset is loaded as; training and evaluation know nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from maaf_lab.errors import DataError


@dataclass(frozen=True, slots=True)
class Image:
    """One image. Images with the same `label` are relevant to the same queries.

    id: its name in the published dataset. path: its file. categories: the galleries that hold it.
    """

    id: str
    path: Path
    label: str
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("id", "label"):
            _write(self, name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class Query:
    """A reference image plus a modification text.

    source: index into `Split.images`. texts: one caption or several, used together.
    target_label: the label of the relevant images, or None where a split is published without targets.
    target: index of the target image, for training (in ranking, every image with the label is relevant).
    category: the gallery that is searched, where the protocol has one gallery per category.
    exclude: images that are taken out of the gallery together with the reference (2D-to-3D: the reference's scene, rendered).
    """

    source: int
    texts: tuple[str, ...]
    target_label: str | None
    target: int | None = None
    category: str | None = None
    exclude: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _write(self, "target_label", self.target_label)
        if not isinstance(self.texts, str) and not all(map(str.isascii, self.texts)):
            object.__setattr__(self, "texts", tuple(map(_whole_characters, self.texts)))


def _write(item: Image | Query, name: str, value: str | None) -> None:
    """Bytes of a file's name that are no UTF-8, which no file of results can hold, are written as \\udcff."""
    if value is not None and not value.isascii():
        object.__setattr__(item, name, value.encode("utf-8", "backslashreplace").decode())


def _whole_characters(text: str) -> str:
    """Half an emoji, as in texts that were cut, becomes the sign for an unknown character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a split is ranked: printed beside every number.

    gallery: "split" (all images) or "category" (the images of the query's category).
    exclude_source: whether the query's own reference image is taken out of the gallery.
    ks: the k of recall at k. relevant: which images are relevant, in words.
    """

    gallery: str = "split"
    exclude_source: bool = True
    ks: tuple[int, ...] = (1, 5, 10, 50)
    relevant: str = "the target image"

    def __post_init__(self) -> None:
        if self.gallery not in ("split", "category"):
            raise DataError(f"Protocol.gallery: expected 'split' or 'category', found {self.gallery!r}")
        if not self.ks or min(self.ks) < 1:
            raise DataError(f"Protocol.ks: expected positive whole numbers, found {self.ks}")

    def describe(self) -> str:
        """One sentence for people."""
        gallery = "all images of the split" if self.gallery == "split" else "the images of the query's category"
        source = "without the query's own reference" if self.exclude_source else "the query's own reference included"
        return f"gallery: {gallery}, {source}; a hit is {self.relevant}; ranked by cosine"


@dataclass(frozen=True)
class Split:
    """The images and queries of one split, and the protocol under which it is ranked.

    Where training queries are sampled, `draw` gives the queries of an epoch; `queries` is then one such sample (Fashion200k,
    MIT-States) or all that can be drawn (Birds-to-Words, Spot-the-Diff).
    Raises DataError for a query with an index outside the images, or with a target label that no image has.
    """

    name: str
    images: Sequence[Image]
    queries: Sequence[Query]
    protocol: Protocol = field(default_factory=Protocol)
    dataset: str = ""
    origin: str = ""  # of the files: "synthetic css ..." or "published sha256:..."
    draw: Callable[[np.random.Generator], Sequence[Query]] | None = None  # the queries of an epoch, where they are sampled
    words: Sequence[str] = ()  # texts with the words that other draws may use

    def __post_init__(self) -> None:
        n, labels = len(self.images), {image.label for image in self.images}
        for i, q in enumerate(self.queries):
            if isinstance(q.texts, str):
                raise DataError(f"{self.title}: query {i}: expected texts as a tuple of captions, found the text {q.texts!r}")
            if not all(0 <= index < n for index in (q.source, 0 if q.target is None else q.target, *q.exclude)):
                raise DataError(
                    f"{self.title}: query {i}: expected indices of the split's {n} images, found {q.source} -> {q.target}"
                )
            if q.target_label is not None and q.target_label not in labels:
                raise DataError(f"{self.title}: query {i}: no image of the split has its target label {q.target_label!r}")
            if q.target is not None and self.images[q.target].label != q.target_label:
                raise DataError(
                    f"{self.title}: query {i} has the target label {q.target_label!r}, but its target image has the label "
                    f"{self.images[q.target].label!r}"
                )

    @property
    def title(self) -> str:
        return f"{self.dataset or 'dataset'} {self.name}"

    @cached_property
    def texts(self) -> list[str]:
        """Every caption of every query, in file order."""
        return [text for q in self.queries for text in q.texts]

    @property
    def vocabulary_texts(self) -> list[str]:
        """What a vocabulary is built from: the captions, and what other draws may use."""
        return [*self.texts, *self.words]

    def __repr__(self) -> str:
        return f"Split({self.title}: {len(self.images):,} images, {len(self.queries):,} queries; {self.origin})"


_REWORDED = {  # what `Protocol.describe` said when older runs were recorded
    "an image that shows the image": "the target image",
    "an image that shows the target caption": "an image with the target caption",
    "an image that shows the target adjective and noun": "an image with the target adjective and noun",
}


def reworded(protocol: str) -> str:
    """A recorded `Protocol.describe()` in today's words."""
    for before, now in _REWORDED.items():
        protocol = protocol.replace(before, now)
    return protocol


def is_synthetic(origin: str) -> bool:
    """Whether an `origin` (of a split, or of a run's settings) names data that the lab drew."""
    return origin.startswith("synthetic ")
