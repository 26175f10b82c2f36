"""Every table's notebook, from nothing, in the smoke profile: each row trains and each number appears."""

from pathlib import Path

import nbformat
import pytest

from maaf_lab.notebooks import execute
from maaf_lab.paper.table_experiment import open_table
from maaf_lab.paper.tables import TABLES

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = {path.stem.split("_")[0].removeprefix("table"): path for path in sorted(FOLDER.glob("table*.ipynb"))}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Data and runs that the tables share: a system that stands in several tables is trained once."""
    root = tmp_path_factory.mktemp("tables")
    return {"data_root": str(root / "data"), "runs_root": str(root / "runs")}


@pytest.mark.slow
@pytest.mark.parametrize("key", [key for key in TABLES if key in NOTEBOOKS and key != "1"])
def test_smoke_profile_trains_from_nothing_and_fills_the_table(key, roots, tmp_path):
    settings = {"profile": "smoke", "records": "", "steps": 4, **roots}
    done = execute(NOTEBOOKS[key], tmp_path, settings, progress=False)
    cells = nbformat.read(done.ipynb, 4).cells
    printed = "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))
    page = done.html.read_text()
    experiment = open_table(key, **settings)
    frame = experiment.frame()
    for row in experiment.table.rows:
        lines = frame[frame["row"] == row.label]
        assert (lines["status"] == ("reported only" if row.changes is None else "run")).all(), row.label
        assert row.label in printed
        assert all(run in page for run in lines["runs"].iloc[0].split())
    assert "SYNTHETIC DATA" in page and "not run" not in page
    images = sum("image/png" in output.get("data", {}) for cell in cells for output in cell.get("outputs", []))
    assert images == 2 * len(experiment.table.datasets) + experiment.table.by_type, (
        "training curves, ranks, and recall by type in S4"
    )
    assert "Holm over the" in printed
    assert all(statement.statement in printed for statement in experiment.table.comparisons)
