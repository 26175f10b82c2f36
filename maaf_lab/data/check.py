"""What a copy of a dataset has and lacks: one report for every dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from maaf_lab.data.part import Part
from maaf_lab.data.split import Split
from maaf_lab.data.text import ascii_words, cut_short, tokenize, wordless
from maaf_lab.utils.wording import counted, first_names

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class CheckRow:
    """One split of the annotation, compared with the files on disk.

    missing: names of missing images. damaged: (name, why) of images that cannot be decoded.
    queries: in the annotation. queries_lost: those of them whose reference or target is missing or damaged.
    published_images, published_queries: the publishers' counts (or made.json's), None where there are none; `exact` is False
    where they are round numbers.
    """

    split: str
    images: int
    missing: tuple[str, ...]
    damaged: tuple[tuple[str, str], ...]
    queries: int
    queries_lost: int
    published_images: int | None = None
    published_queries: int | None = None
    exact: bool = False

    @property
    def counts_agree(self) -> bool:
        """Exactly, or to a quarter of the number where it was published rounded."""
        pairs = ((self.images, self.published_images), (self.queries, self.published_queries))
        return all(n is None or abs(found - n) <= (0 if self.exact else n / 4) for found, n in pairs)


@dataclass(frozen=True, repr=False)
class CheckReport:
    """What is in a dataset's folder. Prints as text; `to_frame()` gives a row per split.

    files: (name, state) of the layout's files. rows: one per split. problems: why the dataset is not complete.
    notes: remarks that are no problems. download: what to get and how to lay it out.
    """

    dataset: str
    root: Path
    origin: str
    files: tuple[tuple[str, str], ...]
    rows: tuple[CheckRow, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    download: str

    @property
    def complete(self) -> bool:
        """Whether every split opens, with all its images whole and the published counts."""
        return bool(self.rows) and not self.problems

    def to_frame(self) -> pd.DataFrame:
        """A row per split: images, missing, damaged, queries, queries lost, expected counts."""
        columns = ["split", "images", "missing", "damaged", "queries", "queries lost", "images expected", "queries expected"]
        rows = [
            (
                r.split,
                r.images,
                len(r.missing),
                len(r.damaged),
                r.queries,
                r.queries_lost,
                _count_text(r.published_images, r.exact),
                _count_text(r.published_queries, r.exact),
            )
            for r in self.rows
        ]
        import pandas as pd

        return pd.DataFrame(rows, columns=columns)

    def __str__(self) -> str:
        state = "complete" if self.complete else "NOT COMPLETE"
        lines = [f"{self.dataset} in {self.root}: {state} ({self.origin or 'no annotation read'})"]
        lines += [f"  {name:<42} {state}" for name, state in self.files]
        if self.rows:
            lines += ["  " + line for line in self.to_frame().to_string(index=False).splitlines()]
        lines += [f"  problem: {text}" for text in self.problems] + [f"  note: {text}" for text in self.notes]
        if not self.complete and self.download and not any(self.download in text for text in self.problems):
            lines.append(f"  what to get: {self.download}")
        return "\n".join(lines)

    __repr__ = __str__


def _count_text(number: int | None, exact: bool) -> str:
    return "-" if number is None else f"{'' if exact else 'about '}{number:,}"


def row_problems(rows: Iterable[CheckRow]) -> list[str]:
    """A sentence for each problem of a split: how many images, the first of their names, the queries lost."""
    out = []
    for r in rows:
        cost = f"; {r.queries_lost:,} of {r.queries:,} queries are lost in {r.split}"
        if r.missing:
            out.append(f"{r.split}: {len(r.missing):,} of {r.images:,} images missing (first: {first_names(r.missing)}){cost}")
        if r.damaged:
            names = [f"{name} ({why})" for name, why in r.damaged]
            out.append(f"{r.split}: {len(names):,} of {r.images:,} images damaged (first: {first_names(names)}){cost}")
        if not r.counts_agree:
            expected = f"{_count_text(r.published_images, r.exact)} and {_count_text(r.published_queries, r.exact)}"
            out.append(f"{r.split}: the annotation has {r.images:,} images and {r.queries:,} queries; expected {expected}")
    return out


def query_notes(split: str, part: Part | Split) -> list[str]:
    """Captions that are empty, leave no word or are cut; queries that ask for their own reference; ids of several images."""
    notes, every = [], [text for query in part.queries for text in query.texts]
    if empty := sum(not text.strip() for text in every):
        first = next(query for query in part.queries if not all(text.strip() for text in query.texts))
        notes.append(
            f"{split}: {empty:,} empty captions (first: {f'{first.category}, ' if first.category else ''}candidate "
            f"{part.images[first.source].id}); they are kept, as captions without words"
        )
    texts = list(dict.fromkeys(every))
    if told := wordless(texts):
        notes.append(f"{split}: {told}; a query without a word is its reference alone")
    if told := cut_short(texts):
        notes.append(f"{split}: {told}")
    labels = Counter(image.label for image in part.images)
    fixed = part.queries if part.draw is None else ()  # where they are drawn, the dataset's authors decided
    own = [query for query in fixed if query.target_label == part.images[query.source].label]
    own = [query for query in own if query.target == query.source or labels[query.target_label] == 1]
    if own:
        lost = part.protocol.exclude_source and sum(labels[query.target_label] == 1 for query in own)
        notes.append(
            f"{split}: {len(own):,} of {len(part.queries):,} queries have their own reference as target (first: "
            f"{part.images[own[0].source].id})"
            + (f"; ranked without their reference, {lost:,} of them cannot be answered" if lost else "")
        )
    if again := [name for name, times in Counter(image.id for image in part.images).items() if times > 1]:
        notes.append(f"{split}: {counted(len(again), 'id')} stand for more than one image (first: {first_names(again, 1)})")
    return notes


def letter_notes(split: str, part: Part) -> list[str]:
    """Texts with words that the authors' code would drop."""
    texts = list(dict.fromkeys(text for query in part.queries for text in query.texts))
    other = [text for text in texts if tokenize(text) != ascii_words(text)]
    if not other:
        return []
    return [
        f"{split}: {len(other):,} of {len(texts):,} texts have letters beyond ASCII (first: {other[0][:40]!r}); they "
        "are read as they are written, where the authors' code drops them"
    ]
