"""Table 1's notebook, from nothing, in the smoke profile: every step runs and every number appears."""

from pathlib import Path

import nbformat
import pytest

from maaf_lab.cli.tables import DEMO_ROWS
from maaf_lab.errors import ConfigError
from maaf_lab.notebooks import execute

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "table1_css.ipynb"


def test_smoke_profile_trains_from_nothing_and_fills_the_table(tmp_path):
    parameters = {
        "profile": "smoke",
        "data_root": str(tmp_path / "data"),
        "runs_root": str(tmp_path / "runs"),
        "records": "",
        "seeds": [0],
        "rows": list(DEMO_ROWS),
    }
    done = execute(NOTEBOOK, tmp_path / "out", parameters, progress=False)
    cells = nbformat.read(done.ipynb, 4).cells
    printed = "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))
    finished = sorted(path.parent.name for path in (tmp_path / "runs").glob("*/metrics.json"))
    assert [name.rsplit("-", 1)[0] for name in finished] == ["css-image_only", "css-maaf", "css-text_only", "css-tirg"]
    for expected in ("synthetic css v1 size=tiny", "ceiling of R1", "TIRG", "87.8", "MAAF", "gained", "remove"):
        assert expected in printed, expected
    page = done.html.read_text()
    assert "SYNTHETIC DATA" in page and "320 test queries" in page and "not run" in page
    assert page.count("data:image/png") >= 3

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*/model.safetensors")}
    execute(NOTEBOOK, tmp_path / "again", parameters, progress=False)
    assert {path: path.stat().st_mtime_ns for path in before} == before  # finished runs are not trained again


def test_a_misspelt_parameter_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="no parameter 'profil'"):
        execute(NOTEBOOK, tmp_path, {"profil": "smoke"}, progress=False)
