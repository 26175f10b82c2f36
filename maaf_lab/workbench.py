"""What a table's notebook does, in a few calls: find or make the data, run what is missing, show it beside the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from maaf_lab.config import profile_config
from maaf_lab.data import datasets
from maaf_lab.data.images import decode
from maaf_lab.data.layout import MARK
from maaf_lab.errors import ConfigError
from maaf_lab.made.sets import made_origin
from maaf_lab.metrics import paired_difference
from maaf_lab.runs import MADE_SIZE, Run, dataset_folder, dataset_root
from maaf_lab.tables import Table, run_table, table, table_frame

MADE_SEED = 0  # of the made sets that the profiles learn from


@dataclass(frozen=True)
class TableBench:
    """One table, one profile. Nothing is made or trained before somebody asks for what needs it."""

    table: Table
    profile: str
    data_root: Path
    runs_root: Path
    records: str = ""
    seeds: tuple[int, ...] = (0,)
    device: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def pixels(self) -> int:
        return profile_config(self.profile, self.table.dataset).data.pixels

    @property
    def made(self) -> bool:
        """Whether this profile's data is drawn by the lab."""
        return self.profile in MADE_SIZE

    @cached_property
    def origin(self) -> str:
        """What the data is; for made data known before a byte of it is drawn."""
        if not self.made:
            return datasets.origin(self.table.dataset, self._folder)
        folder = self._folder
        if (folder / MARK).is_file():
            return datasets.origin(self.table.dataset, folder)
        return made_origin(self.table.dataset, MADE_SIZE[self.profile], self.pixels, MADE_SEED)

    @property
    def _folder(self) -> Path:
        return dataset_folder(self.table.dataset, self.data_root, self.profile)

    def run(self) -> dict[str, list[Run]]:
        """Every row's finished runs; trains what is missing, and makes the data first where there is none."""
        return self._runs

    @cached_property
    def _runs(self) -> dict[str, list[Run]]:
        lazily = _Lazy(self)
        return run_table(self.table.key, self.profile, lazily, self.runs_root, origin=self.origin, seeds=self.seeds,
                         records=self.records, device=self.device, **self.changes)

    def frame(self) -> pd.DataFrame:
        """The table beside the paper (see `tables.table_frame`)."""
        return table_frame(self.table.key, self.run())

    def caption(self) -> str:
        """What a number of this table means: data, protocol, queries, interval."""
        one = next(iter(self.run().values()))[0].metrics
        kind = "MADE DATA: not comparable with the paper's column" if self.made else "published data"
        return (f"{self.table.title} · profile {self.profile} · {kind} ({one['data']}) · {one['queries']:,} test queries · "
                f"{one['protocol']} · brackets: {one['interval']}")

    def comparisons(self, k: int = 1) -> pd.DataFrame:
        """Each row against the one before it that ran here: points of recall at k gained, same queries, 95% interval."""
        runs = [(label, made[0]) for label, made in self.run().items()]
        lines = []
        for (worse, before), (better, after) in pairwise(runs):
            gain = paired_difference(after.rankings, before.rankings, k)
            lines.append({"row": better, "against": worse, f"R{k} gained": round(gain.value, 1),
                          "low": round(gain.low, 1), "high": round(gain.high, 1)})
        return pd.DataFrame(lines)

    def by_kind(self, k: int = 1) -> pd.DataFrame:
        """Recall at k in percent by kind of modification (the text's first word), a column a row of the table."""
        columns = {}
        for label, made in self.run().items():
            rankings = made[0].rankings
            kind = rankings.frame["text"].str.split().str[0].replace({"make": "change"})
            columns[label] = (100 * pd.Series(rankings.hits(k)).groupby(kind).mean()).rename_axis("kind")
        return pd.DataFrame(columns)

    def ceiling(self, split: str = "test") -> float:
        """The highest R1 in percent that a perfect reader of scenes can expect (see `made.ceiling`)."""
        from maaf_lab.made.ceiling import best_recall, ceiling, ceiling_of_annotation
        from maaf_lab.made.scenes import css_annotations

        if self.made and not (self._folder / MARK).is_file():
            fitting = ceiling_of_annotation(css_annotations(MADE_SIZE[self.profile], MADE_SEED)[split])
        else:
            fitting = ceiling(datasets.load(self.table.dataset, self._folder, split))
        return 100 * best_recall(fitting)

    def samples(self, split: str = "test", count: int = 6, seed: int = 0) -> list[dict[str, Any]]:
        """Some queries as pictures: {"source", "text", "target"}, images uint8 (H, W, 3), one modification of each kind in turn.

        Reads the files where they are; otherwise draws the same pictures again from the seed, without writing the set.
        """
        folder = self._folder
        if self.made and not (folder / MARK).is_file():
            from maaf_lab.made.css import draw
            from maaf_lab.made.scenes import css_annotations

            part = css_annotations(MADE_SIZE[self.profile], MADE_SEED)[split]
            pairs = [(a, b, mod["to_str"]) for mod in part["mods"] for a, b in zip(mod["from"], mod["to"], strict=True)]
            show = lambda i: draw([part["objects_img"][i]], self.pixels)[0]  # noqa: E731
        else:
            loaded = datasets.load(self.table.dataset, folder, split)
            pairs = [(q.source, q.target, " / ".join(q.texts)) for q in loaded.queries]
            show = lambda i: decode(loaded.images[i].path)  # noqa: E731
        chosen = _one_of_each(pairs, count, seed)
        return [{"source": show(a), "text": text, "target": show(b)} for a, b, text in chosen]


class _Lazy:
    """A dataset's folder that is made when its path is first needed."""

    def __init__(self, bench: TableBench) -> None:
        self._bench = bench

    def __fspath__(self) -> str:
        bench = self._bench
        return str(dataset_root(bench.table.dataset, bench.data_root, bench.profile, pixels=bench.pixels, seed=MADE_SEED))


def _one_of_each(pairs: list[tuple[int, int, str]], count: int, seed: int) -> list[tuple[int, int, str]]:
    random = np.random.default_rng(seed)
    kinds: dict[str, list[tuple[int, int, str]]] = {}
    for i in random.permutation(len(pairs)):
        kinds.setdefault(pairs[i][2].split()[0], []).append(pairs[i])
    columns = [kinds[kind] for kind in sorted(kinds)]
    return [columns[n % len(columns)][n // len(columns)] for n in range(count)]


def open_table(
    key: str, *, profile: str = "laptop", data_root: str | Path = "data", runs_root: str | Path = "runs",
    records: str | Path = "", seeds: Sequence[int] = (0,), steps: int = 0, device: str = "",
) -> TableBench:
    """A table ready to run. steps: 0 for the profile's own. records: a folder of finished runs that are read, never written."""
    if not seeds:
        raise ConfigError("seeds: expected at least one, found none")
    profile_config(profile, table(key).dataset)  # an unknown profile is refused here
    changes = {"train.steps": int(steps)} if steps else {}
    return TableBench(table(key), profile, Path(data_root), Path(runs_root), str(records), tuple(int(s) for s in seeds),
                      device or None, changes)
