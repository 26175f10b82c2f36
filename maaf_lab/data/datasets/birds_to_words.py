"""Birds-to-Words (Forbes et al., EMNLP 2019): pairs of bird photographs with paragraphs on their differences.

    root/birds-to-words-v1.0.tsv    eleven tab-separated columns (`COLUMNS`), a row for each paragraph
    root/images/{name}              name: the image's URL after its last slash, "?..." included, such as
                                    "large.jpg?1545404551" (as in the authors' code)

As a retrieval task (paper 3.3): the first photograph is the reference, one paragraph the text, the second photograph the target.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from maaf_lab.data.dataset import Dataset
from maaf_lab.data.part import Part, one_of_each
from maaf_lab.data.split import Image, Protocol, Query
from maaf_lab.errors import DataError
from maaf_lab.utils.files import plain_name, read_text
from maaf_lab.utils.wording import first_names

ANNOTATION = "birds-to-words-v1.0.tsv"
COLUMNS = (
    "img1ObservationURL",
    "img1ImgURL",
    "img1Species",
    "img1Selection",
    "img2ObservationURL",
    "img2ImgURL",
    "img2Species",
    "img2Selection",
    "split",
    "annN",
    "description",
)  # the dataset's README
_NEEDED = ("img1ImgURL", "img2ImgURL", "split", "description")
_PAPER_PAIRS, _PAPER_DESCRIPTIONS = 3_347, 4.8  # pairs in the whole file, descriptions a pair (paper 3.3)
_ANIMAL = re.compile(r"\b(animal[\s#_-]*)([12])(?!\w)", re.IGNORECASE)


class Row(NamedTuple):
    """A line of the file: names of its two images, split, description, line number (from 1), and the two images' URLs."""

    source: str
    target: str
    split: str
    description: str
    line: int
    urls: tuple[str, str]


def swapped(text: str) -> str:
    """`text` with the two animals swapped ("Animal 1", "animal 2", "animal1's", ...), for the pair in reverse order.

    Only digits change, so length and case stay, and swapping twice gives the text back.
    """
    return _ANIMAL.sub(lambda found: found[1] + ("2" if found[2] == "1" else "1"), text)


class BirdsToWords(Dataset):
    """A query for each description, in file order: first photograph -> second photograph.

    Training also uses each pair in reverse order, with the two animals swapped in the text. (The authors' code swaps only the
    words "animal1" and "animal2"; here "Animal 1" and "Animal 2" are swapped too.) An epoch of training samples one description
    of each pair and order (authors' code: a random pair, then a random description); `Part.queries` has all of them.

    Images are identified by their file names, as in the authors' code. Tabs inside a description are kept, and so are quotes.
    """

    key = "birds_to_words"
    title = "Birds-to-Words"
    splits = ("train", "val", "test")
    download = (
        f"{ANNOTATION} from google-research-datasets/birds-to-words, directly in the root folder, and the photographs "
        f"that its columns img1ImgURL and img2ImgURL link to, each as images/NAME, where NAME is the part of the URL "
        f"after its last slash (such as large.jpg?1545404551)"
    )
    protocol = Protocol(gallery="split", exclude_source=True, ks=(10, 50), relevant="the target image")
    settings = MappingProxyType(
        {
            "": {"data.transform": "crops"},
            "paper": {"train.steps": 30_000},  # section 3.3; the authors' script: 50,000, decay every 10,000
            "laptop": {"model.image_weights": "birds-v1"},
        }
    )

    def annotations(self) -> Sequence[Path]:
        return [self.root / ANNOTATION]

    def read(self, split: str) -> Part:
        rows, _ = self._rows(split)
        rows = [row for row in rows if row.split == split]
        useful = [row for row in rows if _useful(row)]
        if not useful:
            raise DataError(
                f"{self.root / ANNOTATION}: expected rows of the split {split!r} with a description, found none: is "
                f"the file whole? What to get: {self.download}"
            )
        folder = self.root / self.image_folder
        if not folder.is_dir():
            raise DataError(f"{self.root}: found {ANNOTATION} but no folder {self.image_folder}/. What to get: {self.download}")
        names = sorted({name for row in rows for name in (row.source, row.target)})
        index = {name: i for i, name in enumerate(names)}
        images = [Image(name, folder / name, name) for name in names]
        queries = [Query(index[row.source], (row.description,), row.target, index[row.target]) for row in useful]
        if split != "train":
            return Part(images, queries, self.protocol)
        queries += [Query(index[row.target], (swapped(row.description),), row.source, index[row.source]) for row in useful]
        pairs: defaultdict[tuple[int, int | None], list[Query]] = defaultdict(list)
        for query in queries:
            pairs[query.source, query.target].append(query)
        return Part(images, queries, self.protocol, one_of_each(list(pairs.values())))

    def notes(self, split: str, part: Part) -> Sequence[str]:
        """Counts beside the paper's, and rows that are unusual but no problem."""
        everything, header = self._rows(split)
        rows = [row for row in everything if row.split == split]
        pairs, whole = {(row.source, row.target) for row in rows}, {(row.source, row.target) for row in everything}
        paper = "" if self.synthetic_mark() is not None else f" (paper: {_PAPER_PAIRS:,} and {_PAPER_DESCRIPTIONS})"
        notes = [
            f"{split}: {len(pairs):,} pairs and {len(rows):,} descriptions; all splits together: {len(whole):,} pairs with "
            f"{len(everything) / len(whole):.1f} descriptions each{paper}"
        ]
        if header:
            notes.append(header)
        blank = [row for row in rows if not row.description]
        if blank:
            notes.append(f"{split}: {len(blank):,} rows without a description left out (first: line {blank[0].line})")
        alike = [row for row in rows if row.source == row.target]
        if alike:
            notes.append(f"{split}: {len(alike):,} rows left out whose two images are one file (first: line {alike[0].line})")
        again = [row for row, n in Counter(row[:4] for row in rows).items() if n > 1]
        if again:
            notes.append(
                f"{split}: {len(again):,} descriptions occur more than once for the same pair (first: "
                f"{again[0][0]} and {again[0][1]}); each row is a query"
            )
        known = {(row[side], row.urls[side]) for row in rows for side in (0, 1)}
        clashes = sorted(name for name, n in Counter(name for name, _ in known).items() if n > 1)
        if clashes:
            notes.append(
                f"{split}: {len(clashes):,} file names belong to more than one URL and count as one image each (first: "
                f"{first_names(clashes)})"
            )
        others = {name for row in everything if row.split != split for name in (row.source, row.target)}
        shared = sorted({name for row in rows for name in (row.source, row.target)} & others)
        if shared:
            notes.append(f"{split}: {len(shared):,} images are in another split too (first: {first_names(shared)})")
        return notes

    def _rows(self, split: str) -> tuple[list[Row], str]:
        """Every row of the file, and a note on its header ("" for none)."""
        path = self.root / ANNOTATION
        self.need(split, [path])
        lines = [(i, line) for i, line in enumerate(read_text(path).split("\n"), start=1) if line.strip()]
        if not lines:
            raise DataError(f"{path}: expected rows of {len(COLUMNS)} columns, found an empty file; copy it again")
        columns, note = _header(*lines[0], path)
        if columns:
            lines = lines[1:]
        columns = columns or COLUMNS
        return [self._row_of(line, columns, f"{path}, line {i}", i) for i, line in lines], note

    def _row_of(self, line: str, columns: Sequence[str], where: str, number: int) -> Row:
        fields = line.split("\t", len(columns) - 1) if columns[-1] == "description" else line.split("\t")
        if len(fields) != len(columns):
            lacking = f", nothing for {columns[len(fields)]}" if len(fields) < len(columns) else ""
            raise DataError(
                f"{where}: expected {len(columns)} tab-separated columns, found {len(fields)}{lacking}: "
                f"{line[:100]!r}. Copy the file again, or correct the line"
            )
        row = dict(zip(columns, fields))
        split = row["split"].strip()
        if split not in self.splits:
            raise DataError(
                f"{where}: expected the column split to be {', '.join(self.splits[:-1])} or {self.splits[-1]}, found "
                f"{split[:100]!r}"
            )
        urls = row["img1ImgURL"].strip(), row["img2ImgURL"].strip()
        source, target = (
            plain_name(url.rsplit("/", 1)[-1], f"{where}, {key}") for url, key in zip(urls, ("img1ImgURL", "img2ImgURL"))
        )
        return Row(source, target, split, row["description"].strip(), number, urls)


def _useful(row: Row) -> bool:
    """Whether a row makes a query: it has a description and two different images."""
    return bool(row.description) and row.source != row.target


def _header(number: int, line: str, path: Path) -> tuple[tuple[str, ...], str]:
    """-> the columns that the first line names, or () where it is a row; and a note where the names are not the README's."""
    fields = tuple(field.strip() for field in line.split("\t"))
    if sum(column in fields for column in COLUMNS) > 1:  # one alone may be a description
        lacking = [column for column in _NEEDED if column not in fields]
        if lacking:
            raise DataError(
                f"{path}, line {number}: expected the columns {', '.join(COLUMNS)}; {', '.join(lacking)} missing "
                f"(found {', '.join(fields)[:300]}). Copy the file again"
            )
        twice = [column for column in _NEEDED if fields.count(column) > 1]
        if twice:
            raise DataError(f"{path}, line {number}: expected each column once, found {twice[0]} {fields.count(twice[0])} times")
        return fields, ""
    if len(fields) == len(COLUMNS) and not any("/" in field for field in fields[:8]):  # rows have URLs
        return COLUMNS, (
            f"{path.name}, line {number}: assumed to be a header with other names ({', '.join(fields)[:200]}); columns "
            f"are taken in the published order"
        )
    return (), ""
