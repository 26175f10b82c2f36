"""Records: runs in a few files read as runs in folders do; adding, damage, two writers at once."""

import io
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from maaf_lab.errors import RunError, SaveError
from maaf_lab.experiments.ledger import ledger
from maaf_lab.experiments.records import add_figure, add_record, figure_arrays, records, save_arrays
from maaf_lab.experiments.runs import Run, find_run, finished_run, finished_runs, save_record
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.paper.table_experiment import open_table
from maaf_lab.paper.tables import TABLES
from maaf_lab.utils.paths import records_folder

STEPS = {"train.steps": 3, "train.warmup_steps": 1}
LISTS = ["top", "scores"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, smoke, tiny_css):
    """Two finished runs of three steps, in folders."""
    root = tmp_path_factory.mktemp("runs")
    settings = smoke(**STEPS), smoke("image_only", **STEPS, **{"train.seed": 4})
    return [train_and_evaluate(config, tiny_css, root, device="cpu", progress=False) for config in settings]


def test_a_record_reads_as_its_folder(tmp_path, runs):
    kept = [save_record(run, tmp_path) for run in runs]
    assert len(list(tmp_path.iterdir())) == 2, "a file of runs, a file of ranks"
    for one, copy in zip(runs, kept, strict=True):
        found = finished_run(one.config, ("", tmp_path / "none", tmp_path))
        assert found == copy == find_run(tmp_path / one.name) and found.finished and found.name == one.name
        assert repr(found) == repr(one)
        assert (found.config, found.environment, found.metrics) == (one.config, one.environment, one.metrics)
        pd.testing.assert_frame_equal(found.log, one.log, check_exact=True)
        pd.testing.assert_frame_equal(found.rankings.frame.drop(columns=LISTS), one.rankings.frame.drop(columns=LISTS))
        assert found.rankings.protocol == one.rankings.protocol and (found.rankings.hits(5) == one.rankings.hits(5)).all()
        assert found.rankings.frame["top"].map(len).eq(0).all()
        for name in ("query", "source", "text", "target_label", "category", "rank"):
            assert found.rankings.column(name).tolist() == one.rankings.column(name).tolist()
        with pytest.raises(RunError, match=r"no config\.json, vocabulary\.json, model\.safetensors"):
            found.load_model()
    pd.testing.assert_frame_equal(ledger(tmp_path), ledger(runs[0].folder.parent))
    assert finished_run(runs[0].config.replace(**{"train.seed": 9}), [tmp_path]) is None


def test_folders_and_records_side_by_side(tmp_path, runs):
    save_record(runs[1], tmp_path)
    shutil.copytree(runs[0].folder, tmp_path / runs[0].name)
    assert {run.name for run in finished_runs(tmp_path)} == {run.name for run in runs}
    assert len(ledger(tmp_path)) == len(ledger(runs[0].folder.parent))
    save_record(runs[0], tmp_path)
    assert [run.record is None for run in finished_runs(tmp_path) if run.name == runs[0].name] == [True], "a folder comes first"


def test_adding_again_replaces(tmp_path, runs):
    for run in runs:
        save_record(run, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    save_record(runs[0], tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before, "the same runs, the same bytes"
    other = tmp_path / "moved"
    shutil.copytree(runs[0].folder, other)
    (other / "metrics.json").write_text(json.dumps({**runs[0].metrics, "evaluate_seconds": 77.5}))
    again = save_record(Run(other), tmp_path)
    assert again.name == runs[0].name and again.metrics["evaluate_seconds"] == 77.5, "found by its settings"
    assert len(records(tmp_path)) == 2 and finished_run(runs[1].config, [tmp_path]).metrics == runs[1].metrics


def test_only_finished_and_trained_runs_are_recorded(tmp_path, runs):
    with pytest.raises(RunError, match=r"expected a finished run, found no metrics\.json"):
        save_record(Run(tmp_path / "none"), tmp_path)
    shutil.copytree(runs[0].folder, tmp_path / "converted")
    (tmp_path / "converted" / "log.csv").unlink()
    with pytest.raises(RunError, match=r"expected log\.csv, found none: only a run that was trained here"):
        save_record(Run(tmp_path / "converted"), tmp_path / "records")
    assert not (tmp_path / "records").exists()


def test_a_run_named_by_where_one_stands(tmp_path, runs, monkeypatch):
    monkeypatch.chdir(runs[0].folder)
    assert find_run(".").name == runs[0].name == save_record(find_run("."), tmp_path).name
    assert Run(runs[0].folder / "..").name == runs[0].folder.parent.name


def test_damage_names_the_file(tmp_path, runs):
    save_record(runs[0], tmp_path)
    file, (ranks,) = tmp_path / "runs.parquet", tmp_path.glob("ranks-*.parquet")
    whole, kept = file.read_bytes(), ranks.read_bytes()
    for damaged in (whole[:-20], b"", b"PAR1", whole.replace(b"PAR1", b"XXXX")):
        file.write_bytes(damaged)
        for read in (
            lambda: finished_run(runs[0].config, [tmp_path]),
            lambda: ledger(tmp_path),
            lambda: save_record(runs[1], tmp_path),
        ):
            with pytest.raises(RunError, match=r"runs\.parquet: expected the records of runs, found damage .*`maaf-lab record`"):
                read()
        assert file.read_bytes() == damaged and ranks.read_bytes() == kept
    pd.DataFrame({"run": ["x"], "config": ["{}"]}).to_parquet(file)
    with pytest.raises(RunError, match=r"runs\.parquet: expected the records of runs, found damage .*columns run, config, env"):
        records(tmp_path)
    file.write_bytes(whole)
    for column in ("run", "ranks"):  # names that lead out of the folder
        pd.read_parquet(io.BytesIO(whole)).assign(**{column: "../victim"}).to_parquet(file)
        with pytest.raises(RunError, match=rf"runs\.parquet: .*{column}: expected the name of a file .*'\.\./victim'"):
            records(tmp_path)
    file.write_bytes(whole)
    ranks.write_bytes(kept[:-20])
    with pytest.raises(RunError, match=rf"{ranks.name}: expected rankings, found damage"):
        _ = finished_run(runs[0].config, [tmp_path]).rankings
    ranks.unlink()
    with pytest.raises(RunError, match=rf"{ranks.name}: expected the ranks of {runs[0].name}, found no file"):
        _ = finished_run(runs[0].config, [tmp_path]).rankings


def test_a_write_that_fails_loses_nothing(tmp_path, runs, monkeypatch):
    save_record(runs[0], tmp_path)
    before = (tmp_path / "runs.parquet").read_bytes()

    def full(*_args, **_named):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pyarrow.parquet.write_table", full)
        with pytest.raises(SaveError, match="no space left"):
            save_record(runs[1], tmp_path)
    assert (tmp_path / "runs.parquet").read_bytes() == before and len(list(tmp_path.iterdir())) == 2
    save_record(runs[1], tmp_path)
    assert len(records(tmp_path)) == 2 and len(records(tmp_path)[runs[0].name].rankings) == len(runs[0].rankings)


WRITER = """
import sys
from pathlib import Path
from maaf_lab.experiments.records import PARTS, add_record
from maaf_lab.experiments.runs import Run
run, folder, who = Run(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3]
for n in range(6):
    add_record(folder, f"{who}-{n}", "css", {part: run.text(part) for part in PARTS}, run.rankings)
"""


def test_two_writers_lose_nothing(tmp_path, runs):
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(runs[i].folder), str(tmp_path), f"writer{i}"]) for i in (0, 1)
    ]
    texts = {part: runs[0].text(part) for part in ("config.json", "environment.json", "metrics.json", "log.csv")}
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: add_record(tmp_path, f"thread-{n}", "css", texts, runs[0].rankings), range(8)))
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    found = records(tmp_path)
    assert sorted(found) == sorted([*(f"writer{i}-{n}" for i in (0, 1) for n in range(6)), *(f"thread-{n}" for n in range(8))])
    for name, record in found.items():
        run = runs[1] if name.startswith("writer1") else runs[0]
        assert (record.rankings.column("rank") == run.rankings.column("rank")).all()
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".parquet", ".parquet"]


def test_the_command_adds_runs_and_figures(shell, tmp_path, runs):
    code, out, _ = shell("record", runs[0].folder, "--out", tmp_path / "records")
    assert code == 0 and out.strip() == runs[0].name and list(records(tmp_path / "records")) == [runs[0].name]
    arrays = {"names": np.array(["a", "bc"]), "maps": np.arange(6.0).reshape(2, 3)}
    for name in ("heads-1", "heads-11"):
        save_arrays(tmp_path / "figures" / f"{name}.npz", {**arrays, "name": np.array([name])})
        code, out, _ = shell("record", tmp_path / "figures" / f"{name}.npz", "--out", tmp_path / "records")
        assert code == 0 and out.strip() == name
    for folder in (tmp_path, tmp_path / "records"):
        found = figure_arrays(folder, "heads-1")
        assert list(found) == ["names", "maps", "name"] and found["name"].tolist() == ["heads-1"]
        assert all((found[key] == arrays[key]).all() and found[key].dtype == arrays[key].dtype for key in arrays)
    assert figure_arrays(tmp_path, "heads-2") is None and figure_arrays(tmp_path / "records", "heads-") is None
    for damaged in (b"", b"PK", (tmp_path / "records" / "figures.npz").read_bytes()[:-30]):
        (tmp_path / "records" / "figures.npz").write_bytes(damaged)
        with pytest.raises(RunError, match=r"figures\.npz: expected arrays of figures, found damage"):
            figure_arrays(tmp_path / "records", "heads-1")
    with pytest.raises(RunError, match=r"none\.npz: expected a figure's arrays, found none"):
        add_figure(tmp_path / "records", tmp_path / "none.npz")


THREE = ("1", "3", "S1", "S4")  # tables of three seeds; the others have one so far


def test_the_committed_records(tmp_path):
    """Few files, whose runs are named by their settings and whose numbers are those of their ranks."""
    folder = records_folder("lab")
    assert len(list(folder.iterdir())) <= 10 and sum(path.stat().st_size for path in folder.iterdir()) < 3_000_000
    found = finished_runs(folder)
    assert len(found) == 95 == len(records(folder))
    names, shown = {run.name for run in found}, set()
    for key, dataset in ((key, dataset) for key, one in TABLES.items() for dataset in one.datasets):
        seeds = (0, 1, 2) if key in THREE else (0,)
        wanted = {c.name for c in open_table(key, seeds=seeds, data_root=tmp_path).configs(dataset)}
        assert not wanted - names, f"table {key}"
        shown |= wanted
    assert names == shown, "a record that no table shows"
    for run in found:
        assert run.config.name == run.name and run.config.data.origin.startswith("synthetic ") and len(run.log)
        if "R1" in run.metrics["metrics"]:
            assert run.metrics["metrics"]["R1"]["value"] == pytest.approx(100 * run.rankings.hits(1).mean(), abs=1e-3)
        assert len(run.rankings) == run.metrics["queries"]
