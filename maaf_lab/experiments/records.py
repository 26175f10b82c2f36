"""Records: what finished runs rest on, many in a few files that are small enough to commit.

folder/runs.parquet                    a line a run: run (its name), config, environment, metrics (JSON), log (CSV), ranks (file)
       ranks-{dataset}-{hash}.parquet  a line a query, a column of ranks a run (see `Rankings.save_ranks`)
       figures.npz                     arrays that figures are drawn from: {figure}-{hash}/{array}

A run is added by writing its file again, whole or not at all, one process at a time; the ranks come first, so that a run which is
listed has them.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from maaf_lab.errors import DataError, RunError, SaveError
from maaf_lab.retrieval.rankings import RECORD_AGAIN, Rankings
from maaf_lab.utils.files import locked, plain_name, remove_leftovers, why_not_writable, write_atomically

RUNS, FIGURES = "runs.parquet", "figures.npz"
PARTS = ("config.json", "environment.json", "metrics.json", "log.csv")  # files of a run's folder; columns without their ending
COLUMNS = ("run", *(Path(part).stem for part in PARTS), "ranks")


@dataclass(frozen=True)
class Record:
    """One line of `runs.parquet`."""

    path: Path
    line: Mapping[str, str]

    def text(self, part: str) -> str | None:
        """What the file `part` of the run's folder held; None for one that records do not keep."""
        return self.line[Path(part).stem] if part in PARTS else None

    @property
    def rankings(self) -> Rankings:
        try:
            protocol = json.loads(self.line["metrics"])["protocol"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{self.path}: expected the metrics of {self.line['run']}, found damage. {RECORD_AGAIN}") from error
        return Rankings.load_ranks(self.path.parent / self.line["ranks"], self.line["run"], protocol)


def records(folder: str | Path) -> Mapping[str, Record]:
    """A run's name -> its record, by name; nothing where the folder holds no records. RunError for a damaged file."""
    path = Path(folder) / RUNS
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return _records(path, stat.st_mtime_ns, stat.st_size, stat.st_ino)


@lru_cache(maxsize=8)  # a table asks once a row
def _records(path: Path, *_state: int) -> Mapping[str, Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            lines = file.read(columns=list(COLUMNS)).to_pylist()
        if any(set(line) != set(COLUMNS) or None in line.values() for line in lines):
            raise ValueError(f"expected the columns {', '.join(COLUMNS)}, all filled")
        for line in lines:  # these two become paths
            for column in ("run", "ranks"):
                plain_name(str(line[column]), column)
    except (OSError, ValueError, DataError, pa.ArrowException) as error:
        raise RunError(f"{path}: expected the records of runs, found damage ({error}). {RECORD_AGAIN}") from error
    return {line["run"]: Record(path, line) for line in lines}


def add_record(folder: Path, run: str, dataset: str, parts: Mapping[str, str], rankings: Rankings) -> None:
    """Add a run, or put it in the place of the one of its name. parts: the texts of `PARTS`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _alone(folder):
        kept = {name: record.line for name, record in records(folder).items()}
        ranks = rankings.save_ranks(folder, dataset, run)
        kept[run] = {"run": run, **{Path(part).stem: text for part, text in parts.items()}, "ranks": ranks}
        table = pa.Table.from_pylist([kept[name] for name in sorted(kept)], pa.schema([(name, pa.string()) for name in COLUMNS]))
        write_atomically(folder / RUNS, lambda beside: pq.write_table(table, beside, compression="zstd", compression_level=19))


def figure_arrays(folder: Path, name: str) -> dict[str, np.ndarray] | None:
    """The arrays of a figure among the records of a folder, or in its figures/{name}.npz; None where neither has them."""
    if (found := _arrays(folder / FIGURES, f"{name}/")) or (found := _arrays(folder / "figures" / f"{name}.npz")):
        return found
    return None


def add_figure(folder: Path, file: Path) -> None:
    """Add a figure's arrays, kept in `file` (figures/{name}.npz of a folder of runs), or put them in the place of those there."""
    if not (arrays := _arrays(file)):
        raise RunError(f"{file}: expected a figure's arrays, found none; run its notebook first")
    with _alone(folder):
        kept = {key: array for key, array in _arrays(folder / FIGURES).items() if not key.startswith(f"{file.stem}/")}
        kept |= {f"{file.stem}/{key}": array for key, array in arrays.items()}
        save_arrays(folder / FIGURES, {key: kept[key] for key in sorted(kept, key=lambda key: key.split("/")[0])})


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    def write(beside: Path) -> None:
        with open(beside, "wb") as stream:
            np.savez_compressed(stream, **arrays)

    write_atomically(path, write)


def _arrays(path: Path, begin: str = "") -> dict[str, np.ndarray]:
    """The arrays of a file whose names begin so, without that beginning; nothing where there is no file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key.removeprefix(begin): file[key] for key in file.files if key.startswith(begin)}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise RunError(
            f"{path}: expected arrays of figures, found damage ({error}). Restore the file, or delete it: what it held is "
            "computed again"
        ) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One writer a folder: of two that read the same file, the second would write without the first one's run."""
    if why := why_not_writable(folder):
        raise SaveError(f"{folder}: expected a folder for records that can be written; {why}. Name another folder")
    with locked(folder / "records.lock", lambda: None) as alone:
        if alone:
            remove_leftovers(folder)
        else:
            warnings.warn(f"{folder} cannot be locked: make sure that no other process adds to its records", stacklevel=4)
        yield
