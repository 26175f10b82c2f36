"""Reports, which people pass on, hold no folders of the machine."""

import shutil
from pathlib import Path

import nbformat

from maaf_lab.notebooks.pages import to_html
from maaf_lab.notebooks.run import Executed
from maaf_lab.paper.report import Entry, _Report


def test_a_report_names_no_folder_of_the_machine(tmp_path):
    runs, data = tmp_path / "my runs", tmp_path / "data"
    why = f"{runs}/css-maaf-1/state: damaged; {data} is gone; {tmp_path}/out/notebooks/a.ipynb"
    parameters = {"data_root": str(data), "runs_root": str(runs), "profile": "smoke", "seeds": [0]}
    entries = {"1": Entry("1", "Table 1", "failed", why, "", "")}
    _Report(tmp_path / "out", tmp_path / "notebooks", parameters, {"css-maaf-1": why}, True, entries).write()
    for name in ("report.json", "index.html"):
        text = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert str(tmp_path) not in text and "RUNS/css-maaf-1/state: damaged; DATA is gone; OUT/notebooks/a.ipynb" in text


def test_the_notebooks_of_a_report_name_none_either(tmp_path, monkeypatch):
    parameters = {"data_root": str(tmp_path / "data"), "runs_root": str(tmp_path / "my runs"), "profile": "smoke", "seeds": [0]}
    cell = nbformat.v4.new_code_cell("\n".join(f"{name} = {value!r}" for name, value in parameters.items()))
    cell.metadata["tags"] = ["parameters"]
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Figure 3"), cell]), tmp_path / "figure3.ipynb"
    )

    def executed(notebook, folder, given, progress):
        folder.mkdir(parents=True)
        return Executed(Path(shutil.copy(notebook, folder)), to_html(folder / notebook.name))

    monkeypatch.setattr("maaf_lab.paper.report.execute", executed)
    report = _Report(tmp_path / "out", tmp_path, parameters, {}, True, {})
    report.bring_up_to_date("figure3", tmp_path / "figure3.ipynb", None, again=True)
    made = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.name for path in made} == {"index.html", "report.json", "figure3.ipynb", "figure3.html"}
    for path in made:
        assert str(tmp_path) not in path.read_text(encoding="utf-8"), path.name
    assert "data_root = 'DATA'" in (tmp_path / "out" / "notebooks" / "figure3.ipynb").read_text(encoding="utf-8")
