"""Reports, which people pass on, hold no folders of the machine."""

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
