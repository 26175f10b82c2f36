"""Every number that the paper's tables print (arXiv 2007.00145, version 2): one tidy CSV a table, and its loader.

Values and spreads stand as printed. Names are made one across tables ("MAAF (Ours)" and "Ours" are "MAAF", "Show & Tell" is
"Show and Tell"), citations are dropped. `note` names what a value was measured with and where the paper contradicts itself.
`page` is empty where it could not be established. In Table 2 a row is the switches that are on.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from maaf_lab.errors import ConfigError

TITLES = {
    "1": "CSS test set",
    "2": "Fashion IQ validation set: resolution-wise pooling (RP), image through attention (ITA), include text (IT)",
    "3": "Fashion IQ validation set: comparison with other methods",
    "4": "Fashion IQ validation set: one stream and two streams",
    "5": "Fashion IQ: text models",
    "6": "Birds-to-Words and Spot-the-Diff test queries",
    "7": "Fashion200k test queries",
    "S1": "Fashion IQ validation set: with and without the 14x14 tokens",
    "S2": "Fashion IQ validation set: width of the feed-forward layers",
    "S3": "Fashion IQ validation set: number of attention blocks",
    "S4": "Fashion IQ validation set by modification type",
    "S5": "MIT-States",
}


def paper_table(key: str | int) -> pd.DataFrame:
    """Table `key` ("1" ... "7", "S1" ... "S5") as printed, to stand beside our own numbers.

    Returns columns row, column (str), value, std (float; std is NaN where none is printed), page (nullable int), note (str),
    in the paper's order; `.attrs["title"]` says what it shows. Percent, except the row "N" of S4 (a count).
    Raises ConfigError listing the known keys.
    """
    name = str(key).strip().upper()
    if name not in TITLES:
        raise ConfigError(f"the paper has no table {key!r}; known: {', '.join(TITLES)}")
    table = pd.read_csv(
        Path(__file__).with_name(f"table{name}.csv"),
        dtype={"row": str, "column": str, "value": float, "std": float, "page": "Int64", "note": str},
        keep_default_na=False,
        na_values={"std": [""], "page": [""]},
    )
    table.attrs["title"] = f"Table {name}. {TITLES[name]}"
    return table


def paper_captions(dataset: str | None = None) -> pd.DataFrame:
    """What the paper says of each dataset's texts and sizes, to stand beside what a copy holds.

    Returns columns dataset, statistic, value (float), where (section, and where other counts differ); all datasets or one.
    """
    table = pd.read_csv(Path(__file__).with_name("captions.csv"), dtype={"value": float})
    return table if dataset is None else table[table["dataset"] == dataset].reset_index(drop=True)
