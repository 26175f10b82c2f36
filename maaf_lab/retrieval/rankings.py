"""Rankings, a value object: where each query's answer came, and the files that keep it.

Shapes: Q queries, K results kept a query.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maaf_lab.errors import RunError
from maaf_lab.utils.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

ASKED = ("query", "source", "text", "target_label", "category")  # what no model has a say in
LISTS = ("top", "scores")
COLUMNS = (*ASKED, "rank", *LISTS)


class Rankings:
    """Where each query's answer came, and what came first. One row a query, in the split's order.

    frame columns: query (its number), source (image id), text, target_label, category, rank (place of the first right image,
    from 1; 0 when the gallery has none), top (ids of the first K images) and scores (their cosines), both arrays of K or fewer.
    protocol: how it was ranked. Of rankings from a file the frame is made when it is first asked for: `column` does without
    pandas, which takes as long to import as an explorer to open. Raises RunError for missing columns and for negative ranks.
    """

    def __init__(self, frame: pd.DataFrame, protocol: str) -> None:
        self._frame, self._path, self._asked = frame, None, None
        self._check(tuple(frame.columns), frame["rank"].to_numpy() if "rank" in frame.columns else (), protocol)

    def _check(self, names: Sequence[str], rank: np.ndarray | Sequence[int], protocol: str) -> None:
        if missing := [name for name in COLUMNS if name not in names]:
            raise RunError(f"Rankings: expected columns {', '.join(COLUMNS)}; missing {', '.join(missing)}")
        self.protocol, self._rank = protocol, np.asarray(rank)
        if (self._rank < 0).any():
            raise RunError("Rankings: a rank counts from 1, or is 0 when the gallery has no answer; found a negative one")

    @property
    def frame(self) -> pd.DataFrame:
        """All columns. RunError where the file that the rankings came from is gone or has others in it since."""
        if self._frame is None:
            self._frame = _frame(self._path, self._rank)
        return self._frame

    def column(self, name: str) -> np.ndarray:
        """(Q,) one of the frame's columns but the lists: "rank" and "query" are whole numbers, the others text or None."""
        if name == "rank":
            return self._rank
        values = self._frame[name].tolist() if self._asked is None else self._asked[name].to_pylist()
        values = [None if value != value else value for value in values]  # pandas' mark for nothing is not equal to itself
        return np.array(values, np.int64 if name == "query" else object)

    def __repr__(self) -> str:
        return f"Rankings({len(self):,} queries; {self.protocol})"

    def __len__(self) -> int:
        return len(self._rank)

    def hits(self, k: int) -> np.ndarray:
        """(Q,) float: 1 where a right image is among the first k, else 0. Their mean is recall at k."""
        return ((self._rank >= 1) & (self._rank <= k)).astype(np.float64)

    def without_lists(self) -> Rankings:
        """The same ranks without what came first: a tenth of the size, enough for every recall."""
        empty = [[] for _ in range(len(self))]
        return Rankings(self.frame.assign(top=empty, scores=empty), self.protocol)

    def save(self, path: Path) -> None:
        """Parquet, a line a query."""
        _write(self.frame, Path(path), {"protocol": self.protocol})

    def save_ranks(self, path: Path, shared: Path) -> None:
        """Only the ranks, and once in the folder `shared` what was asked: all runs ranked on the same queries share that file.

        Wherever `path` is moved, `shared` has to stand beside it as it does now.
        """
        asked = self.frame[list(ASKED)]
        file = f"queries-{hashlib.sha256(asked.to_json(orient='values').encode()).hexdigest()[:10]}.parquet"
        if not (shared / file).is_file():
            _write(asked, shared / file, {})
        _write(
            self.frame[["rank"]],
            Path(path),
            {"protocol": self.protocol, "queries": Path(os.path.relpath(shared / file, Path(path).parent)).as_posix()},
        )

    @classmethod
    def load(cls, path: Path) -> Rankings:
        """What `save` or `save_ranks` wrote; RunError where there is no such file."""
        path = Path(path)
        asked, ranked = _tables(path)
        found = cls.__new__(cls)
        found._frame, found._path, found._asked = None, path, asked
        names = (*asked.column_names, *ranked.column_names, *(() if ranked is asked else LISTS))
        rank = np.array(ranked["rank"].to_pylist(), np.int64) if "rank" in ranked.column_names else ()
        found._check(names, rank, _attrs(ranked).get("protocol", ""))
        return found


def _write(frame: pd.DataFrame, path: Path, attrs: dict[str, str]) -> None:
    frame = frame.copy()
    frame.attrs = attrs
    write_atomically(path, lambda beside: frame.to_parquet(beside, index=False, compression="zstd"))


def _attrs(table: pa.Table) -> dict[str, str]:
    """What `_write` was told beside the frame; pandas keeps it there."""
    return json.loads((table.schema.metadata or {}).get(b"PANDAS_ATTRS", b"{}"))


def _shared(path: Path, attrs: Mapping[str, str]) -> Path | None:
    """The file of what was asked, of ranks that `save_ranks` wrote."""
    return path.parent / attrs["queries"] if attrs.get("queries") else None


def _tables(path: Path) -> tuple[pa.Table, pa.Table]:
    """What was asked, and the ranks; one and the same where `save` wrote the file. Without the lists and without pandas."""
    if not path.is_file():
        raise RunError(f"{path}: expected the rankings of an evaluated run, found no file. Run `maaf-lab evaluate` on it.")
    ranked = _read(path)
    if (shared := _shared(path, _attrs(ranked))) is None:
        return ranked, ranked
    if not shared.is_file():
        raise RunError(
            f"{path}: expected the queries that these ranks belong to in {shared}, found no file; copy it "
            "there, or run `maaf-lab evaluate` on the run."
        )
    if len(asked := _read(shared)) != len(ranked):
        raise RunError(f"{shared}: expected {len(ranked):,} queries for the ranks of {path}, found {len(asked):,}.")
    return asked, ranked


def _read(path: Path) -> pa.Table:
    """All columns but the lists, whose values would have to be read; their names stay, with nothing in them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            table = file.read(columns=[name for name in names if name not in LISTS])
            for name in names:
                if name in LISTS:
                    table = table.append_column(name, pa.nulls(len(table)))
            return table.replace_schema_metadata(file.schema_arrow.metadata)
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise RunError(f"{path}: expected rankings, found damage ({error}). Run `maaf-lab evaluate` again.") from error


def _frame(path: Path, rank: np.ndarray) -> pd.DataFrame:
    """The whole of a file whose ranks were `rank` when it was opened."""
    import pandas as pd

    again = "load it again" if path.is_file() else "put it back, or run `maaf-lab evaluate` on the run"
    try:
        frame = pd.read_parquet(path)
        if len(frame) != len(rank) or (frame["rank"].to_numpy() != rank).any():
            raise ValueError("its ranks are others now")
        if (shared := _shared(path, frame.attrs)) is not None:
            empty = [[] for _ in range(len(frame))]
            frame = pd.read_parquet(shared).assign(rank=rank, top=empty, scores=empty)[list(COLUMNS)]
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path}: expected the rankings that it held when it was opened, found others ({error}); {again}"
        ) from error
    return frame
