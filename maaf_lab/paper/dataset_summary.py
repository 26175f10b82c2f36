"""What the data tour's notebook does, in a few calls: a dataset's samples, captions and protocol, of a copy or synthetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from maaf_lab.analysis.captions import caption_frame
from maaf_lab.data import registry as datasets
from maaf_lab.data.images import square
from maaf_lab.data.mark import is_drawn
from maaf_lab.data.split import Split, is_synthetic
from maaf_lab.paper.printed import paper_captions
from maaf_lab.synthetic import registry as sets
from maaf_lab.utils.paths import own_folder


@dataclass(frozen=True)
class DatasetTour:
    """One dataset in one folder. Nothing is read before it is asked for."""

    dataset: str
    root: Path

    @cached_property
    def splits(self) -> dict[str, Split]:
        """The training split and the one that is ranked."""
        names = dict.fromkeys(("train", datasets.evaluation(self.dataset)))
        return {name: datasets.load(self.dataset, self.root, name) for name in names}

    @property
    def ranked(self) -> Split:
        return self.splits[datasets.evaluation(self.dataset)]

    @property
    def synthetic(self) -> bool:
        return is_synthetic(self.ranked.origin)

    @property
    def title(self) -> str:
        data = "SYNTHETIC DATA" if self.synthetic else "published data"
        return f"{datasets.open_dataset(self.dataset, self.root).title} ({data}: {self.ranked.origin})"

    def protocol(self) -> str:
        """How the ranked split is ranked, and the recalls that are reported."""
        protocol = self.ranked.protocol
        return f"{protocol.describe()}; reported: {', '.join(f'R{k}' for k in protocol.ks)}"

    def samples(self, count: int = 6, seed: int = 0, pixels: int = 224) -> list[dict[str, Any]]:
        """Queries of the ranked split as pictures, spread over categories and references: {"source", "text", "target"}."""
        split = self.ranked
        shown = {image.label: i for i, image in reversed(list(enumerate(split.images)))}  # the first image of a label
        with_target = [q for q in split.queries if q.target_label is not None]
        order = np.random.default_rng(seed).permutation(len(with_target))
        names = sorted({q.category or "" for q in with_target})
        by_category = {name: [with_target[i] for i in order if (with_target[i].category or "") == name] for name in names}
        chosen = [by_category[names[n % len(names)]][n // len(names)] for n in range(min(count, len(with_target)))]
        target = lambda q: shown[q.target_label] if q.target is None else q.target  # noqa: E731
        show = lambda i: square(split.images[i].path, pixels)  # noqa: E731
        return [{"source": show(q.source), "text": "\n".join(q.texts), "target": show(target(q))} for q in chosen]

    def sizes(self) -> pd.DataFrame:
        """A line a split: images, queries, gallery of a query, captions a query."""
        lines = []
        for name, split in self.splits.items():
            galleries = [len(split.images)]
            if split.protocol.gallery == "category":
                galleries = [sum(c in i.categories for i in split.images) for c in sorted({q.category for q in split.queries})]
            lines.append(
                {
                    "split": name,
                    "images": len(split.images),
                    "queries": len(split.queries),
                    "gallery": " / ".join(f"{n:,}" for n in galleries),
                    "captions a query": round(np.mean([len(q.texts) for q in split.queries]), 2),
                }
            )
        return pd.DataFrame(lines)

    def captions(self) -> pd.DataFrame:
        """Caption statistics of the training split; of a synthetic set also at full size, whatever size was drawn."""
        texts = {"train, this copy": self.splits["train"].texts}
        if self.synthetic:
            texts["train, at full size"] = sets.training_texts(self.dataset)
        return caption_frame(texts).rename(columns={"": "captions of"})

    def published(self) -> pd.DataFrame:
        """What the paper says of the published set."""
        printed = paper_captions(self.dataset)
        values = printed["value"].map("{:,g}".format)
        return pd.DataFrame({"the paper says": printed["statistic"], "value": values, "where": printed["where"]})


def open_tour(
    dataset: str, data_root: str | Path = "", size: str = "tiny", seed: int = 0, progress: bool | None = None
) -> DatasetTour:
    """A dataset ready to be looked at: the user's copy `data_root/DATASET` where there is one, else a synthetic set.

    The synthetic set is drawn into `data_root/DATASET-SIZE`, where it is missing: minutes at size "full", seconds at "tiny".
    data_root: "" for the lab's own data/. progress: a bar; None for one at size "full" alone.
    """
    data_root = own_folder(data_root, "data")
    own = data_root / dataset
    if datasets.open_dataset(dataset, own).looks_right():
        return DatasetTour(dataset, own)
    drawn = data_root / f"{dataset}-{size}"
    if not is_drawn(drawn):
        pixels = datasets.open_dataset(dataset, own).summary_pixels
        sets.make(dataset, drawn, size, pixels, seed, size == "full" if progress is None else progress)
    return DatasetTour(dataset, drawn)


def overview(tours: Sequence[DatasetTour]) -> pd.DataFrame:
    """A line a dataset: images and queries of the ranked split, mean tokens a caption, reported recalls."""
    lines = []
    for tour in tours:
        split, words = tour.ranked, caption_frame({"": tour.splits["train"].texts}).iloc[0]
        lines.append(
            {
                "dataset": tour.dataset,
                "split": split.name,
                "images": len(split.images),
                "queries": len(split.queries),
                "tokens a caption": words["tokens a caption"],
                "words": words["words"],
                "gallery": split.protocol.gallery,
                "reported": ", ".join(f"R{k}" for k in split.protocol.ks),
            }
        )
    return pd.DataFrame(lines)
