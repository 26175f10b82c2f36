"""Every number that the paper's tables print (arXiv 2007.00145, version 2): one tidy CSV a table, and its loader.

Values and spreads stand as printed. Names are made one across tables ("MAAF (Ours)" and "Ours" are "MAAF", "Show & Tell" is
"Show and Tell"), citations are dropped. `note` names what a value was measured with and where the paper contradicts itself.
`page` is empty where it could not be established. In Table 2 a row is the switches that are on.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from maaf_lab.arguments import checked
from maaf_lab.errors import ConfigError
from maaf_lab.paper.tables import TABLES

_FOLDER = Path(__file__).parent


@checked
def paper_table(key: str | int) -> pd.DataFrame:
    """Table `key` ("1" ... "7", "S1" ... "S5") as printed, to stand beside our own numbers.

    Returns columns row, column (str), value, std (float; std is NaN where none is printed), page (nullable int), note (str),
    in the paper's order; `.attrs["title"]` says what it shows. Percent, except the row "N" of S4 (a count).
    Raises ConfigError listing the known keys.
    """
    name = str(key).strip().upper()
    known = sorted(path.stem.removeprefix("table") for path in _FOLDER.glob("table*.csv"))
    if name not in known:
        raise ConfigError(f"no printed numbers of table {key!r}, no {_FOLDER.name}/table{name}.csv; known: {', '.join(known)}")
    table = pd.read_csv(
        _FOLDER / f"table{name}.csv",
        dtype={"row": str, "column": str, "value": float, "std": float, "page": "Int64", "note": str},
        keep_default_na=False,
        na_values={"std": [""], "page": [""]},
    )
    table.attrs["title"] = f"Table {name}. {TABLES[name].title}" if name in TABLES else f"Table {name}."
    return table


def paper_captions(dataset: str | None = None) -> pd.DataFrame:
    """What the paper says of each dataset's texts and sizes, to stand beside what a copy holds.

    Returns columns dataset, statistic, value (float), where (section, and where other counts differ); all datasets or one.
    """
    table = pd.read_csv(_FOLDER / "captions.csv", dtype={"value": float})
    return table if dataset is None else table[table["dataset"] == dataset].reset_index(drop=True)
