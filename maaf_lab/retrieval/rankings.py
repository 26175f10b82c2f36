"""Rankings, a value object: the rank of each query's target, and the files that keep it.

Shapes: Q queries, K results kept per query.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maaf_lab.errors import RunError
from maaf_lab.utils.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

QUERY_COLUMNS = ("query", "source", "text", "target_label", "category")  # the same for every model
LIST_COLUMNS = ("top", "scores")
COLUMNS = (*QUERY_COLUMNS, "rank", *LIST_COLUMNS)
EVALUATE_AGAIN = "Run `maaf-lab evaluate` on the run: the ranks of its queries stand there, and are computed again."
RECORD_AGAIN = "Restore the records as they were committed, or run `maaf-lab record` on the run again."


class Rankings:
    """The rank of each query's first relevant image, and the images that were ranked first. One row per query, in split order.

    frame columns: query (its number), source (image id), text, target_label, category, rank (of the first relevant image, from
    1; 0 where the gallery has none), top (ids of the first K images) and scores (their cosines), both arrays of K or fewer.
    protocol: how they were ranked. The frame of rankings from a file is read at its first use; `column` needs no pandas, which
    takes as long to import as an explorer takes to open. Raises RunError for missing columns and for negative ranks.
    """

    def __init__(self, frame: pd.DataFrame, protocol: str) -> None:
        self._frame, self._path, self._queries = frame, None, None
        self._check(tuple(frame.columns), frame["rank"].to_numpy() if "rank" in frame.columns else (), protocol)

    def _check(self, names: Sequence[str], rank: np.ndarray | Sequence[int], protocol: str) -> None:
        if missing := [name for name in COLUMNS if name not in names]:
            raise RunError(f"Rankings: expected columns {', '.join(COLUMNS)}; missing {', '.join(missing)}")
        self.protocol, self._rank = protocol, np.asarray(rank)
        if (self._rank < 0).any():
            raise RunError("Rankings: expected ranks from 1, or 0 where the gallery has no relevant image; found a negative one")

    @property
    def frame(self) -> pd.DataFrame:
        """All columns. RunError where the file that the rankings came from is gone or has changed since."""
        if self._frame is None and self._path is None:
            empty = [[] for _ in range(len(self))]
            self._frame = self._queries.to_pandas().assign(rank=self._rank, top=empty, scores=empty)
        elif self._frame is None:
            self._frame = _frame(self._path, self._rank)
        return self._frame

    def column(self, name: str) -> np.ndarray:
        """(Q,) a column of the frame other than "top" and "scores": "rank" and "query" are integers, the others text or None."""
        if name == "rank":
            return self._rank
        values = self._frame[name].tolist() if self._queries is None else self._queries[name].to_pylist()
        values = [None if value != value else value for value in values]  # pandas' NaN is not equal to itself
        return np.array(values, np.int64 if name == "query" else object)

    def __repr__(self) -> str:
        return f"Rankings({len(self):,} queries; {self.protocol})"

    def __len__(self) -> int:
        return len(self._rank)

    def hits(self, k: int) -> np.ndarray:
        """(Q,) float: 1 where a relevant image is among the first k, else 0. The mean is recall at k."""
        return ((self._rank >= 1) & (self._rank <= k)).astype(np.float64)

    def without_lists(self) -> Rankings:
        """The same ranks without the lists of images: a tenth of the size, enough for every recall."""
        empty = [[] for _ in range(len(self))]
        return Rankings(self.frame.assign(top=empty, scores=empty), self.protocol)

    def save(self, path: Path) -> None:
        """Write Parquet, a row per query."""
        frame = self.frame.copy()
        frame.attrs = {"protocol": self.protocol}
        write_atomically(Path(path), lambda beside: frame.to_parquet(beside, index=False, compression="zstd"))

    def save_ranks(self, folder: Path, dataset: str, run: str) -> str:
        """Write only the ranks, as the column `run` of a file in `folder` that all runs on the same queries share; its name.

        ranks-{dataset}-{hash of the queries}.parquet has `QUERY_COLUMNS`, then a column of small integers per run. It is read and
        written again: the caller makes sure that nobody else does so at the same time.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        queries = self.frame[list(QUERY_COLUMNS)]
        digest = hashlib.sha256(queries.to_json(orient="values").encode()).hexdigest()[:10]
        path = folder / f"ranks-{dataset}-{digest}.parquet"
        ranks = {} if not path.is_file() else dict(zip((kept := _read(path)[0]).column_names, kept.columns, strict=True))
        ranks[run] = pa.array(self._rank, pa.uint16() if self._rank.max(initial=0) < 2**16 else pa.uint32())
        table = pa.Table.from_pandas(queries, preserve_index=False).replace_schema_metadata(None)
        for name in sorted(set(ranks) - set(QUERY_COLUMNS)):
            table = table.append_column(name, ranks[name])
        write_atomically(path, lambda beside: pq.write_table(table, beside, compression="zstd", compression_level=19))
        return path.name

    @classmethod
    def load_ranks(cls, path: Path, run: str, protocol: str) -> Rankings:
        """The ranks of one run that `save_ranks` wrote. RunError where the file is missing, damaged or has no such run."""
        if not path.is_file():
            raise RunError(f"{path}: expected the ranks of {run}, found no file. {RECORD_AGAIN}")
        queries, names = _read(path, (*QUERY_COLUMNS, run))
        if missing := [name for name in (*QUERY_COLUMNS, run) if name not in names]:
            raise RunError(
                f"{path}: expected the ranks of {run} and their queries, found no {', '.join(missing)}. {RECORD_AGAIN}"
            )
        found = cls.__new__(cls)
        found._frame, found._path, found._queries = None, None, queries.drop_columns([run])
        try:
            found._check(COLUMNS, _whole_numbers(queries[run]), protocol)
        except (ValueError, RunError) as error:
            raise RunError(f"{path}: expected the ranks of {run}, found other content ({error}). {RECORD_AGAIN}") from error
        return found

    @classmethod
    def load(cls, path: Path) -> Rankings:
        """The rankings that `save` wrote; RunError where the file is missing or damaged."""
        path = Path(path)
        if not path.is_file():
            raise RunError(f"{path}: expected the rankings of an evaluated run, found no file. Run `maaf-lab evaluate` on it.")
        table, names = _read(path, (*QUERY_COLUMNS, "rank"), EVALUATE_AGAIN)
        found = cls.__new__(cls)
        found._frame, found._path, found._queries = None, path, table
        try:
            rank = _whole_numbers(table["rank"]) if "rank" in names else ()
            attrs = json.loads((table.schema.metadata or {}).get(b"PANDAS_ATTRS", b"{}"))  # pandas keeps them there
            found._check(names, rank, str(attrs.get("protocol", "")))
        except (ValueError, AttributeError, RunError) as error:
            raise RunError(f"{path}: expected rankings, found other content ({error}). {EVALUATE_AGAIN}") from error
        return found


def _whole_numbers(column: pa.ChunkedArray) -> np.ndarray:
    if not str(column.type).startswith(("int", "uint")) or column.null_count:
        raise ValueError(f"expected a whole number a query, found {column.type}, {column.null_count:,} of them empty")
    return column.to_numpy().astype(np.int64)


def _read(path: Path, columns: Sequence[str] = (), again: str = RECORD_AGAIN) -> tuple[pa.Table, list[str]]:
    """The given columns that the file has (none given: all), without pandas; and the names of all that it has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            return file.read(columns=[name for name in names if name in columns or not columns]), names
    except (OSError, ValueError, pa.ArrowException) as error:
        raise RunError(f"{path}: expected rankings, found damage ({error}). {again}") from error


def _frame(path: Path, rank: np.ndarray) -> pd.DataFrame:
    """All columns of a file whose ranks were `rank` when it was opened."""
    import pandas as pd

    again = "load it again" if path.is_file() else "put it back, or run `maaf-lab evaluate` on the run"
    try:
        frame = pd.read_parquet(path)
        if len(frame) != len(rank) or (frame["rank"].to_numpy() != rank).any():
            raise ValueError("its ranks have changed")
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path}: expected the rankings that it held when it was opened, found others ({error}); {again}"
        ) from error
    return frame
