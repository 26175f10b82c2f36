"""Spot-the-Diff (Jhamtani and Berg-Kirkpatrick, EMNLP 2018): two frames of a surveillance camera, sentences on their differences.

    root/annotations/{train,val,test}.json    [{"img_id": "256", "sentences": ["person with umbrella is gone", ...]}, ...]
    root/resized_images/{img_id}.png          the first frame: the reference
    root/resized_images/{img_id}_2.png        the second frame: the target

As a retrieval task (paper 3.4): one sentence is the text, and the gallery is all frames of the split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from maaf_lab.data.dataset import Dataset
from maaf_lab.data.part import Counts, Part, one_of_each
from maaf_lab.data.split import Image, Protocol, Query
from maaf_lab.errors import DataError
from maaf_lab.utils.files import parse_json, plain_name, read_text

ANNOTATIONS = "annotations"


class SpotTheDiff(Dataset):
    """Pairs of frames; a query for each sentence that is not empty, in file order.

    A pair that several people described has several entries in the file (1,404 entries of 1,270 pairs in test). Each image is in
    the gallery once. The authors' code adds it once for each entry: its test gallery has 2,808 images, 268 of them copies, and
    a copy of the target counts as not relevant there.

    An epoch of training samples one sentence of each entry (authors' code: a random entry, then a random sentence of it);
    `Part.queries` has every sentence, so that the vocabulary has every word.
    """

    key = "spot_the_diff"
    title = "Spot-the-Diff"
    splits = ("train", "val", "test")
    image_folder = "resized_images"
    download = (
        f"{ANNOTATIONS}/train.json, val.json and test.json from harsh19/spot-the-diff (its folder data/{ANNOTATIONS}), "
        f"and resized_images/ from the archive that its README links to, both directly in the root folder"
    )
    # counted in the published files; paper 3.4 counts the empty sentences too (3,310 and 2,107), and prints 17,672 for train
    published = MappingProxyType({"train": Counts(17_132, 17_623), "val": Counts(2_986, 3_304), "test": Counts(2_540, 2_100)})
    protocol = Protocol(gallery="split", exclude_source=True, ks=(10, 50), relevant="the target image")
    settings = MappingProxyType(
        {
            "": {"data.transform": "crops"},
            "paper": {"train.steps": 90_000, "train.decay_every": 30_000},  # the authors' script
            "laptop": {"data.transform": "plain", "model.image_weights": "streets-v1"},
        }
    )

    def annotations(self) -> Sequence[Path]:
        return [self.root / ANNOTATIONS / f"{split}.json" for split in self.splits]

    def read(self, split: str) -> Part:
        entries = self._entries(split)
        folder = self.root / self.image_folder
        if not folder.is_dir():
            raise DataError(f"{self.root}: found {ANNOTATIONS}/ but no folder {self.image_folder}/. What to get: {self.download}")
        index: dict[str, int] = {}
        images: list[Image] = []
        for name in (name for pair, _ in entries for name in (f"{pair}.png", f"{pair}_2.png")):
            if name not in index:
                index[name] = len(images)
                images.append(Image(name.removesuffix(".png"), folder / name, name.removesuffix(".png")))
        groups = []
        for pair, sentences in entries:
            source, target = index[f"{pair}.png"], index[f"{pair}_2.png"]
            groups.append([Query(source, (text,), images[target].label, target) for text in sentences if text.strip()])
        groups = [group for group in groups if group]
        if not groups:
            raise DataError(
                f"{self._path(split)}: expected at least one sentence, found {len(entries):,} entries without any. "
                f"What to get: {self.download}"
            )
        return Part(
            images,
            [query for group in groups for query in group],
            self.protocol,
            one_of_each(groups) if split == "train" else None,
        )

    def notes(self, split: str, part: Part) -> Sequence[str]:
        """Repeated pairs and empty sentences."""
        entries = self._entries(split)
        pairs, texts = len({pair for pair, _ in entries}), [text for _, sentences in entries for text in sentences]
        empty = sum(not text.strip() for text in texts)
        notes = [f"{split}: {pairs:,} pairs of images and {len(texts):,} sentences, {empty:,} of them empty and left out"]
        if pairs < len(entries):
            notes.append(
                f"{split}: {len(entries):,} entries describe these pairs; each image is in the gallery once (in the "
                f"authors' code once for each entry: {2 * len(entries):,})"
            )
        return notes

    def _path(self, split: str) -> Path:
        return self.root / ANNOTATIONS / f"{split}.json"

    def _entries(self, split: str) -> list[tuple[str, list[str]]]:
        """-> (img_id, sentences) of each entry, in file order. Raises DataError naming the entry that does not fit."""
        path = self._path(split)
        self.need(split, [path])
        try:
            raw = parse_json(read_text(path))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: expected JSON, found a file cut short or damaged ({error}); copy it again") from error
        if not isinstance(raw, list) or not raw:
            found = type(raw).__name__ if raw or not isinstance(raw, list) else "an empty list"
            raise DataError(f"{path}: expected a list of entries with img_id and sentences, found {found}: is it the right file?")
        return [_entry(entry, f"{path}, [{i}]") for i, entry in enumerate(raw)]


def _entry(entry: Any, where: str) -> tuple[str, list[str]]:
    """One entry of the file, checked -> (img_id, sentences)."""
    lacking = [key for key in ("img_id", "sentences") if not isinstance(entry, Mapping) or key not in entry]
    if lacking:
        found = ", ".join(map(str, entry)) or "none" if isinstance(entry, Mapping) else type(entry).__name__
        raise DataError(f"{where}: expected the keys img_id and sentences; {', '.join(lacking)} missing (found {found})")
    pair, sentences = entry["img_id"], entry["sentences"]
    if isinstance(pair, bool) or not isinstance(pair, str | int):
        raise DataError(f"{where}: expected img_id as a text such as '256', found {pair!r}")
    pair = plain_name(str(pair), f"{where}, img_id")
    if not isinstance(sentences, list):
        raise DataError(f"{where}: expected sentences as a list of texts, found {str(sentences)[:100]!r}")
    for i, text in enumerate(sentences):
        if not isinstance(text, str):
            raise DataError(
                f"{where}.sentences[{i}]: expected a text, found {str(text)[:100]} ({type(text).__name__}) for img_id {pair!r}"
            )
    return pair, sentences
