"""The figures opened by dataset, and their notebooks, from nothing, in the smoke profile."""

from pathlib import Path

import nbformat
import pytest

from maaf_lab.errors import ConfigError
from maaf_lab.notebooks import execute
from maaf_lab.paper.figures import open_figures

FOLDER = Path(__file__).parents[2] / "notebooks"


ON_CSS = ("figure3_positions", "figure5_colors", "heads_css")


ON_GARMENTS = ("figure1_retrievals", "figure4_structure", "figure6_words", "figureS1_clusters", "figureS2_retrievals")


def test_there_are_figures_on_two_datasets():
    with pytest.raises(ConfigError, match="the paper has figures on css and fashion_iq, found 'mit_states'"):
        open_figures("mit_states")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ON_CSS, *ON_GARMENTS])
def test_notebooks_in_the_smoke_profile(name, figure_roots, garment_roots, tmp_path):
    where = figure_roots if name in ON_CSS else garment_roots
    settings = {"profile": "smoke", "steps": 3, "records": "", "out": str(tmp_path / "out"), "device": "cpu", **where}
    if name == "figure1_retrievals":
        settings["count"] = 1  # a model of three steps finds little
    done = execute(FOLDER / f"{name}.ipynb", tmp_path, settings, progress=False)
    outputs = [output for cell in nbformat.read(done.ipynb, 4).cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == len(list((tmp_path / "out").glob("*.svg"))) >= 1
    data = f"synthetic {'css' if name in ON_CSS else 'fashion_iq'} v1 size=tiny"
    assert data in "".join(output.get("text", "") for output in outputs)


@pytest.mark.slow
def test_its_notebook(tmp_path):
    settings = {"profile": "smoke", "out": str(tmp_path / "f")}
    done = execute(FOLDER / "figure2_architecture.ipynb", tmp_path / "nb", settings, progress=False)
    assert "(196, 32)" in done.html.read_text() and (tmp_path / "f" / "figure2.svg").is_file()
