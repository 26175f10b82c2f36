"""The data tour with other parameters than its own: fewer datasets, a folder that is there already."""

from pathlib import Path

import nbformat

from maaf_lab.notebooks import execute

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "data_tour.ipynb"


def test_a_tour_of_one_dataset(tmp_path, tiny_css):
    parameters = {"datasets": ["css"], "data_root": str(tiny_css.parent), "samples": 2, "seed": 3}
    before = {path for path in tiny_css.parent.iterdir()}
    done = execute(NOTEBOOK, tmp_path, parameters, progress=False)
    cells = nbformat.read(done.ipynb, 4).cells
    printed = "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))
    assert "SYNTHETIC DATA: synthetic css v1 size=tiny pixels=56 seed=0" in printed and "reported: R1, R5, R10, R50" in printed
    assert "fashion_iq was not asked for\n" in printed and {path for path in tiny_css.parent.iterdir()} == before
    assert done.html.read_text().count("data:image/jpeg") == 1
