"""The paper's numbers: read again from the paper's text by other means, and checked against each other."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from maaf_lab.errors import ConfigError
from maaf_lab.paper.printed import paper_captions, paper_table
from maaf_lab.paper.tables import TABLES

GARMENTS = ("Dresses", "Tops&Tees", "Shirts")
SIX = [f"{garment} {k}" for garment in GARMENTS for k in ("R10", "R50")]
FASHION_IQ = ("2", "5", "S1", "S2", "S3")


def wide(key: str) -> pd.DataFrame:
    table = paper_table(key)
    return table.pivot(index="row", columns="column", values="value").loc[table["row"].unique(), table["column"].unique()]


@pytest.mark.parametrize("key", TABLES)
def test_tables_are_tidy(key):
    table = paper_table(key)
    assert list(table.columns) == ["row", "column", "value", "std", "page", "note"]
    assert not table.duplicated(["row", "column"]).any()
    assert table["row"].nunique() * table["column"].nunique() == len(table), "a row lacks a column"
    assert table["value"].notna().all() and (table["value"] > 0).all()
    assert table["std"].dropna().between(0, 5).all()
    assert (table.loc[table["row"] != "N", "value"] <= 100).all()
    assert table["note"].map(type).eq(str).all()
    assert table.attrs["title"].startswith(f"Table {key}. ")


def test_every_csv_is_a_table():
    folder = Path(__file__).resolve().parents[2] / "maaf_lab" / "paper"
    assert {path.stem.removeprefix("table") for path in folder.glob("table*.csv")} == set(TABLES)


def test_known_values():
    css = paper_table(1).set_index("row")
    assert (css.at["MAAF", "value"], css.at["MAAF", "std"]) == (87.8, 0.9)
    assert css.at["TIRG", "value"] == 73.7
    assert wide("2").at["none", "(R10+R50)/2"] == 33.7
    assert wide("6").at["MAAF", "Spot-the-Diff R50"] == 26.38
    assert paper_table("7").set_index("row")["std"].isna().to_dict()["VAL"]
    assert wide("s4").at["N", "all"] == 6016


def test_unknown_key_lists_the_known():
    with pytest.raises(ConfigError, match=r"no printed numbers of table 'S9', no paper/tableS9\.csv; known: 1, 2, .*S5"):
        paper_table("S9")


@pytest.mark.parametrize("key", FASHION_IQ)
def test_fashion_iq_means_follow_from_the_six_columns(key):
    table = wide(key)
    printed_to = 0.01 if key == "5" else 0.1  # decimals of the printed values
    off = (table[SIX].mean(axis=1) - table["(R10+R50)/2"]).abs()
    assert (off <= printed_to + 1e-9).all(), off[off > printed_to]  # half a step each for the six and for the mean
    for k in ("R10", "R50") if key == "5" else ():
        assert np.allclose(table[[f"{garment} {k}" for garment in GARMENTS]].mean(axis=1), table[f"Mean {k}"], atol=0.0101)


def test_tables_agree_on_the_standard_model():
    standard = [wide("2").loc["RP+ITA+IT"], wide("S1").loc["7x7+14x14"], wide("S2").loc["256"], wide("S3").loc["2"]]
    for row in standard[1:]:
        pd.testing.assert_series_equal(row, standard[0], check_names=False)
    for key in ("3", "4"):
        assert paper_table(key).set_index("row").loc["MAAF", ["value", "std"]].tolist() == [36.6, 0.4]


def test_s4_gains_are_divided_by_maaf():
    table = wide("S4")
    assert np.allclose(100 * (1 - table.loc["TIRG"] / table.loc["MAAF"]), table.loc["Rel"], atol=0.05 + 0.01)


def test_known_slips_are_noted():
    notes = {key: paper_table(key).set_index(["row", "column"])["note"] for key in ("5", "S4")}
    assert "36.6" in notes["5"]["LSTM", "(R10+R50)/2"]
    assert "Recall at 1" in notes["S4"]["MAAF", "color"]
    assert "divided by MAAF" in notes["S4"]["Rel", "color"]


@pytest.mark.parametrize("key", TABLES)
def test_numbers_are_those_of_the_text(published, key):
    lines = (published("..", "paper") / "maaf_paper.txt").read_text(encoding="utf-8").splitlines()
    end = next(i for i, line in enumerate(lines) if line.startswith(f"Table {key}. "))
    cells = []  # (label, value, std) of the tab-separated lines right above the caption, in reading order
    for line in reversed(lines[end - 30 : end]):
        if line and "\t" not in line:
            break
        label, *rest = line.split("\t")
        pairs = re.findall(r"(?<![\dx#])(\d+(?:\.\d+)?)(?:\s*(?:±|\\pm)\s*(\d+\.\d+))?", " ".join(rest).replace("7x7", ""))
        if "R10" not in line and "R1\t" not in f"{line}\t":
            cells = [(label, float(value), float(std or "nan")) for value, std in pairs] + cells
    table = paper_table(key)
    assert len(cells) == len(table)
    assert np.allclose([cell[1] for cell in cells], table["value"])
    assert np.allclose([cell[2] for cell in cells], table["std"], equal_nan=True)
    if key in ("1", "5", "6", "7", "S2", "S3", "S5"):  # labels too, by their first letters, where ours are the paper's
        ours = table["row"].replace("MAAF", "Ours").str[:3]
        theirs = ["Ours" if "urs" in label else label for label, *_ in cells]
        assert [label[:3] for label in theirs] == ours.tolist()


def test_what_the_paper_says_of_captions():
    every = paper_captions()
    assert set(every["dataset"]) == {"css", "fashion_iq", "fashion200k", "mit_states", "birds_to_words", "spot_the_diff"}
    birds = paper_captions("birds_to_words").set_index("statistic")["value"]
    assert birds["tokens a caption"] == 32.1 and birds["pairs"] == 3347 and every["where"].str.len().min() > 5
    assert not every.duplicated(["dataset", "statistic"]).any()
