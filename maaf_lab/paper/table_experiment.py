"""What a table's notebook does, in a few calls: find or draw the data, train what is missing, show it beside the paper."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from maaf_lab.analysis.modification_types import has_modification_type
from maaf_lab.arguments import checked
from maaf_lab.config import RunConfig
from maaf_lab.data import registry as datasets
from maaf_lab.data.images import decode
from maaf_lab.errors import ConfigError, RunError
from maaf_lab.experiments.executors import Executor, get_executor
from maaf_lab.experiments.runs import finished_run
from maaf_lab.experiments.sources import SYNTHETIC_SEED, Source
from maaf_lab.paper.printed import paper_table
from maaf_lab.paper.table_results import TableRuns, comparisons_frame, judged, run_table, statements_frame, table_frame
from maaf_lab.paper.tables import Table, different_seeds, row_configs, table
from maaf_lab.profiles import profile_config
from maaf_lab.synthetic.registry import lazy_split
from maaf_lab.utils.paths import own_folder, records_folder
from maaf_lab.utils.registry import DATASETS
from maaf_lab.utils.wording import counted


@dataclass(eq=False)
class TableExperiment:
    """One table, one profile. Nothing is drawn or trained before it is needed.

    Where a method takes a dataset, None is the table's first; only Table 6 has two.
    """

    table: Table
    profile: str
    data_root: Path
    runs_root: Path
    records: str = ""
    seeds: tuple[int, ...] = (0,)
    rows: tuple[str, ...] = ()
    device: str | None = None
    executor: str | Executor = "local"
    changes: dict[str, Any] = field(default_factory=dict)
    _done: dict[str, TableRuns] = field(default_factory=dict, init=False, repr=False)
    _sources: dict[str, Source] = field(default_factory=dict, init=False, repr=False)

    def __repr__(self) -> str:
        rows = counted(len(self.rows or self.table.rows), "row")
        seeds = f"seed{'s' if len(self.seeds) > 1 else ''} {', '.join(map(str, self.seeds))}"
        return f"TableExperiment(Table {self.table.key}: {self.table.title}; {self.profile} profile, {rows}, {seeds})"

    def _dataset(self, dataset: str | None) -> str:
        if dataset is not None and dataset not in self.table.datasets:
            raise ConfigError(f"table {self.table.key} is about {', '.join(self.table.datasets)}; found {dataset!r}")
        return dataset or self.table.datasets[0]

    def source(self, dataset: str | None = None) -> Source:
        """Where the data comes from, and whether it is synthetic."""
        dataset = self._dataset(dataset)
        return self._sources.setdefault(dataset, Source(dataset, self.data_root, self.profile))

    @property
    def synthetic(self) -> bool:
        """Whether a number of this table rests on data that the lab drew."""
        return any(self.source(dataset).synthetic for dataset in self.table.datasets)

    def origin(self, dataset: str | None = None) -> str:
        """What the data is; for synthetic data known before a byte of it is drawn."""
        return self.source(dataset).origin

    def configs(self, dataset: str | None = None, rows: Sequence[str] = ()) -> list[RunConfig]:
        """The settings of every run that the table shows on a dataset. rows: labels; none for the experiment's own."""
        dataset = self._dataset(dataset)
        labels, origin = rows or self.rows or tuple(row.label for row in self.table.rows), self.origin(dataset)
        return [
            config
            for label in labels
            for config in row_configs(self.table.key, label, self.profile, origin, self.seeds, dataset, **self.changes)
        ]

    def wanted(self) -> list[tuple[Callable[[], Path], list[RunConfig]]]:
        """What gives each dataset and every run on it that the table shows, as `executors.run_missing` takes them."""
        return [(self.source(dataset).draw, self.configs(dataset)) for dataset in self.table.datasets]

    def without(self, failed: Collection[str]) -> TableExperiment:
        """This table without the rows that have a run among `failed` (names). Raises RunError where no row is left."""
        labels = self.rows or tuple(row.label for row in self.table.rows if row.changes is not None)
        whole = tuple(
            label
            for label in labels
            if not any(c.name in failed for dataset in self.table.datasets for c in self.configs(dataset, [label]))
        )
        if not whole:
            raise RunError(
                f"table {self.table.key}: expected a row whose runs are finished, found none: every row has a run that failed. "
                "They are listed on this page with their reasons; mend those and call again"
            )
        return self if whole == labels else replace(self, rows=whole)

    def digest(self) -> str:
        """Sixteen characters that change when the runs that the table shows do, or their metrics."""
        roots = self.runs_root, self.records
        runs = [(config.name, finished_run(config, roots)) for _, configs in self.wanted() for config in configs]
        shown = [[name, run.metrics if run and not run.damage() else None] for name, run in runs]
        return hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:16]

    def run(self, dataset: str | None = None) -> TableRuns:
        """Every row's finished runs; trains those that are missing, and first draws their data where there is none."""
        dataset = self._dataset(dataset)
        if dataset not in self._done:
            self._done[dataset] = run_table(
                self.table.key,
                self.profile,
                self.source(dataset).draw,
                self.runs_root,
                origin=self.origin(dataset),
                dataset=dataset,
                seeds=self.seeds,
                rows=self.rows,
                records=self.records,
                device=self.device,
                executor=self.executor,
                **self.changes,
            )
        return self._done[dataset]

    def frame(self) -> pd.DataFrame:
        """The table beside the paper, all its datasets (see `table_results.table_frame`)."""
        return pd.concat([table_frame(self.table.key, self.run(d), d) for d in self.table.datasets], ignore_index=True)

    def caption(self) -> str:
        """What a number of this table means: data, protocol, queries, interval."""
        kind = "SYNTHETIC DATA: not comparable with the paper's numbers" if self.synthetic else "published data"
        parts = [f"Table {self.table.key}: {self.table.title}", f"profile {self.profile}", kind]
        for dataset in self.table.datasets:
            one = next(iter(self.run(dataset).values()))[0].metrics
            parts.append(f"{one['data']}, {one['queries']:,} {one['split']} queries, {one['protocol']}")
        seeds = " and seeds" if len(self.seeds) > 1 else ""
        return " · ".join([*parts, f"brackets: {one['interval']}{seeds}"])

    def comparisons(self, dataset: str | None = None) -> pd.DataFrame:
        """Each row against the table's standard row (see `table_results.comparisons_frame`)."""
        return comparisons_frame(self.table.key, self.run(dataset), self._dataset(dataset))

    def statements(self) -> pd.DataFrame:
        """The paper's orderings tested on what ran here, all its datasets (see `table_results.statements_frame`).

        Verdicts are corrected over all statements of the table.
        """
        several = len(self.table.datasets) > 1
        parts = []
        for dataset in self.table.datasets:
            found = statements_frame(self.table.key, self.run(dataset), dataset)
            parts.append(found.assign(statement=found["statement"] + f" ({dataset})") if several else found)
        return judged(pd.concat(parts, ignore_index=True))

    def title(self, dataset: str | None = None) -> str:
        """A figure's: the table, the dataset, and whether it is synthetic."""
        kind = "synthetic data" if self.synthetic else "published data"
        name = datasets.open_dataset(self._dataset(dataset), self.data_root).title
        return f"Table {self.table.key}: {name}, {kind}, {self.profile} profile"

    def logs(self, dataset: str | None = None) -> dict[str, pd.DataFrame]:
        """A row's training curves: step, loss, learning_rate, seconds and seed."""
        return {
            label: pd.concat([run.log.assign(seed=run.config.train.seed) for run in runs], ignore_index=True)
            for label, runs in self.run(dataset).items()
        }

    def ranks(self, dataset: str | None = None) -> pd.DataFrame:
        """Each query's rank: row, seed, rank (from 1; 0 where the gallery has no relevant image)."""
        return pd.concat(
            [
                pd.DataFrame({"row": label, "seed": run.config.train.seed, "rank": run.rankings.column("rank")})
                for label, runs in self.run(dataset).items()
                for run in runs
            ],
            ignore_index=True,
        )

    def hits_by_type(self, k: int = 1) -> pd.DataFrame:
        """Hits among the first k by modification type: row, type, query, hit (0 to 1, mean over seeds).

        A query's type is its text's first word. In Table S4 (`by_type`) a query may have several types, those of
        `analysis.modification_types`, and its hit is the mean of those among the first 10 and the first 50.
        """
        parts = []
        for label, runs in self.run().items():
            rankings = [run.rankings for run in runs]
            texts = rankings[0].frame["text"]
            if self.table.by_type:
                names = [column.metric for column in self.table.columns]
                ks, types = (10, 50), {name: has_modification_type(texts.tolist(), name) for name in names}
            else:
                first = texts.str.split().str[0].replace({"make": "change"})
                ks, types = (k,), {name: (first == name).to_numpy() for name in sorted(first.dropna().unique())}
            hits = np.mean([one.hits(k) for one in rankings for k in ks], axis=0)
            parts += [
                pd.DataFrame({"row": label, "type": name, "query": np.flatnonzero(queries), "hit": hits[queries]})
                for name, queries in types.items()
            ]
        return pd.concat(parts, ignore_index=True)

    def recall_by_type(self, k: int = 1) -> pd.DataFrame:
        """Recall in percent by modification type (see `hits_by_type`), a column a row of the table."""
        hits = self.hits_by_type(k)
        means = 100 * hits.groupby(["type", "row"], sort=False)["hit"].mean().unstack()
        return means[list(dict.fromkeys(hits["row"]))].rename_axis(columns=None)

    def ceiling(self, split: str = "test") -> float:
        """The highest R1 in percent that a perfect reader of scenes can expect (see `analysis.css_ceiling`)."""
        from maaf_lab.analysis.css_ceiling import best_recall, ceiling, ceiling_of_annotation
        from maaf_lab.synthetic.css.scenes import css_annotations

        source = self.source()
        if source.to_draw:
            fitting = ceiling_of_annotation(css_annotations(source.size, SYNTHETIC_SEED)[split])
        else:
            fitting = ceiling(datasets.load(source.dataset, source.folder, split))
        return 100 * best_recall(fitting)

    def samples(
        self, split: str | None = None, count: int = 6, seed: int = 0, dataset: str | None = None
    ) -> list[dict[str, Any]]:
        """Some queries as pictures: {"source", "text", "target"}, images uint8 (H, W, 3); where a text's first word is
        its modification type (CSS), each type in turn.

        split: None for the one that is evaluated. Where the files of a synthetic set are not there, its pictures are drawn one by
        one if that can be done, else the set is written first.
        """
        source = self.source(dataset)
        dataset, pixels, split = source.dataset, source.pixels, split or datasets.evaluation(source.dataset)
        lazy = lazy_split(source.origin, split, pixels) if source.to_draw else None
        if lazy is not None:
            loaded, show = lazy[0], lambda i: lazy[1].pictures([i], pixels)[0]
        else:
            loaded = datasets.load(dataset, source.draw(), split)
            show = lambda i: decode(loaded.images[i].path)  # noqa: E731
        pairs = [(q.source, q.target, " / ".join(q.texts)) for q in loaded.queries]
        if DATASETS[dataset].first_word_is_type:
            chosen = _each_type_in_turn(pairs, count, seed)
        else:
            chosen = [pairs[i] for i in np.random.default_rng(seed).permutation(len(pairs))[:count]]
        return [{"source": show(a), "text": text, "target": show(b)} for a, b, text in chosen]


def _each_type_in_turn(pairs: list[tuple[int, int, str]], count: int, seed: int) -> list[tuple[int, int, str]]:
    random = np.random.default_rng(seed)
    types: dict[str, list[tuple[int, int, str]]] = {}
    for i in random.permutation(len(pairs)):
        types.setdefault(pairs[i][2].split()[0], []).append(pairs[i])
    in_turn = [types[name] for name in sorted(types)]
    return [in_turn[n % len(in_turn)][n // len(in_turn)] for n in range(count)]


@checked
def open_table(
    key: str | int,
    *,
    profile: str = "laptop",
    data_root: str | Path = "",
    runs_root: str | Path = "",
    records: str | Path = "",
    seeds: Iterable[int] = (0,),
    rows: Iterable[str] = (),
    steps: int = 0,
    device: str | torch.device | None = "",
    executor: str | Executor = "local",
) -> TableExperiment:
    """A table ready to run. rows: labels, none for all. seeds: each once. steps: 0 for the profile's own.

    executor: where missing runs are trained: "local", "ray" or a function (see `executors.Executor`).
    data_root, runs_root: "" for the lab's own folders, data/ and runs/ of a clone. records: a folder of finished runs that are
    read, never written; "lab" for those that come with the notebooks.
    Raises ConfigError for what no table, row, profile or seed can be, before anything is drawn or trained.
    """
    chosen = table(key)
    paper_table(chosen.key)  # a table without its CSV is refused before anything is trained
    for dataset in chosen.datasets:
        profile_config(profile, dataset)  # an unknown profile is refused here
    changes = {"train.steps": int(steps)} if steps else {}
    return TableExperiment(
        chosen,
        profile,
        own_folder(data_root, "data"),
        own_folder(runs_root, "runs"),
        str(records_folder(records) or ""),
        different_seeds(seeds),
        tuple(chosen.row(label).label for label in rows),
        device or None,
        get_executor(executor),
        changes,
    )
