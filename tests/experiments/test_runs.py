"""Runs and the ledger."""

import json
import os
import re
import shutil
import subprocess

import pandas as pd
import pytest

from maaf_lab.errors import ConfigError, RunError, SaveError
from maaf_lab.experiments import runs
from maaf_lab.experiments.ledger import LEDGER_COLUMNS, ledger
from maaf_lab.experiments.runs import Run, finished_run, load_pretrained, save_copy
from maaf_lab.experiments.train import evaluate, train_and_evaluate
from maaf_lab.retrieval.rankings import Rankings
from maaf_lab.utils.paths import records_folder

STEPS = {"train.steps": 3, "train.warmup_steps": 1}


@pytest.fixture(scope="module")
def roots(tmp_path_factory, smoke, tiny_css):
    """A folder with two finished runs of three steps."""
    root = tmp_path_factory.mktemp("runs")
    for changes in ({}, {"model.name": "image_only", "train.seed": 4}):
        train_and_evaluate(smoke(**{**STEPS, **changes}), tiny_css, root, device="cpu", progress=False)
    return root


@pytest.fixture
def run(roots, smoke):
    return Run(roots / smoke(**STEPS).name)


def test_a_runs_folder(run, smoke, css_test):
    names = {path.name for path in run.folder.iterdir()}
    assert names >= {
        "config.json",
        "environment.json",
        "vocabulary.json",
        "log.csv",
        "model.safetensors",
        "rankings.parquet",
        "metrics.json",
        "state",
    }
    assert not [name for name in names if name.endswith(".tmp")]
    assert run.config == smoke(**STEPS) and run.config.name == run.name and run.finished
    assert run.log["step"].tolist() == [3] and run.log["loss"].notna().all()
    assert len(run.rankings) == len(css_test.queries)
    hits = run.rankings.hits(1)
    assert run.metrics["metrics"]["R1"]["value"] == pytest.approx(100 * hits.mean(), abs=1e-3)
    assert run.metrics["protocol"] == css_test.protocol.describe() and run.metrics["queries"] == 320
    assert "finished" in repr(run) and "unfinished" not in repr(run)


def test_a_record_holds_no_paths(run, tiny_css):
    """Nothing that is committed names a folder or a machine."""
    told = "".join((run.folder / f"{name}.json").read_text() for name in ("environment", "config", "metrics", "vocabulary"))
    assert str(tiny_css) not in told and str(run.folder.parent) not in told
    for value in _texts(run.environment) + _texts(run.config.to_dict()):
        assert not re.search(r"(^|[\s\"'(=])(/[\w.-]+){2,}|[A-Za-z]:\\", value), value
    assert os.uname().nodename not in run.environment.values()
    assert run.environment["versions"]["torch"] and run.environment["device"].startswith("cpu") and run.environment["commit"]
    assert run.environment["train_seconds"] >= 0


def _texts(value):
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in _texts(part)]
    if isinstance(value, (list, tuple)):
        return [text for part in value for text in _texts(part)]
    return [value] if isinstance(value, str) else []


def test_unfinished_and_damaged_runs(tmp_path, run):
    assert Run(str(run.folder)).metrics == run.metrics and Run(str(run.folder)).name == run.name, "text is a folder too"
    empty = Run(tmp_path / "none")
    assert not empty.finished and "unfinished" in repr(empty)
    for name in ("config", "environment", "metrics"):
        with pytest.raises(RunError, match="no such run folder"):
            getattr(empty, name)
    (tmp_path / "none").mkdir()
    for name in ("config", "environment", "metrics"):
        with pytest.raises(RunError, match=rf"expected {name}\.json, found none.*not finished"):
            getattr(empty, name)
    with pytest.raises(RunError, match=r"expected log\.csv"):
        _ = empty.log
    with pytest.raises(RunError, match="maaf-lab evaluate"):
        _ = empty.rankings
    with pytest.raises(RunError, match=r"no config\.json, vocabulary\.json, model\.safetensors"):
        empty.load_model()
    damaged = Run(tmp_path)
    (tmp_path / "config.json").write_text((run.folder / "config.json").read_text()[:-20])
    with pytest.raises(RunError, match=r"config\.json: expected JSON, found damage"):
        _ = damaged.config
    (tmp_path / "config.json").write_text(json.dumps({**run.config.to_dict(), "colour": 3}))
    with pytest.raises(ConfigError, match="colour: a run has no such setting; it reads data, model, profile, train"):
        _ = damaged.config


def test_find(tmp_path, roots, run, smoke):
    assert finished_run(smoke(**STEPS), (tmp_path, "", roots)) == run
    assert finished_run(smoke(**STEPS, **{"train.seed": 9}), (tmp_path, roots)) is None
    (tmp_path / run.name).mkdir()  # begun there, finished elsewhere
    assert finished_run(smoke(**STEPS), (tmp_path, roots)) == run


def test_other_data_than_was_named(tmp_path, smoke, tiny_css):
    config = smoke(**STEPS, **{"data.origin": "published sha256:0"})
    with pytest.raises(ConfigError, match=r"expected the data 'published sha256:0', found 'synthetic css"):
        train_and_evaluate(config, tiny_css, tmp_path, progress=False)
    assert not list(tmp_path.iterdir())


def test_evaluating_again_changes_nothing(run, tiny_css):
    before = {**run.metrics, "evaluate_seconds": 0}
    ranks = run.rankings.frame["rank"].tolist()
    evaluate(run, tiny_css, device="cpu", progress=False)
    assert {**run.metrics, "evaluate_seconds": 0} == before and run.rankings.frame["rank"].tolist() == ranks


def test_a_copy_with_its_model_stands_alone(tmp_path, run):
    copy = save_copy(run, tmp_path / "moved")
    assert len(Run(copy.folder).rankings) == len(run.rankings) and copy.load_model() and not (copy.folder / "state").exists()
    assert copy.rankings.frame["top"].map(len).eq(0).all() and (copy.rankings.column("rank") == run.rankings.column("rank")).all()
    with pytest.raises(RunError, match=r"expected a finished run, found no metrics\.json"):
        save_copy(Run(tmp_path / "none"), tmp_path / "other")


def test_a_copy_that_fails_does_not_look_finished(tmp_path, run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Rankings, "save", lambda *_: (_ for _ in ()).throw(SaveError("no room")))
        with pytest.raises(SaveError, match="no room"):
            save_copy(run, tmp_path / "copy")
    assert not Run(tmp_path / "copy").finished
    assert save_copy(run, tmp_path / "copy").finished
    with pytest.raises(RunError, match="found the run's own folder"):
        save_copy(run, run.folder)


def test_ledger(tmp_path, roots, run, css_test):
    frame = ledger(roots, tmp_path)
    assert list(frame.columns) == list(LEDGER_COLUMNS)
    assert len(frame) == 2 * len(css_test.protocol.ks) and set(frame["metric"]) == {f"R{k}" for k in css_test.protocol.ks}
    line = frame[(frame["run"] == run.name) & (frame["metric"] == "R10")].iloc[0]
    assert line["value"] == run.metrics["metrics"]["R10"]["value"] and line["low"] <= line["value"] <= line["high"]
    assert line["data"].startswith("synthetic css") and "without the query's own reference" in line["protocol"]
    assert set(zip(frame["model"], frame["seed"], frame["steps"])) == {("maaf", 0, 3), ("image_only", 4, 3)}
    (tmp_path / "unfinished").mkdir()
    assert len(ledger(tmp_path)) == 0 and list(ledger(tmp_path).columns) == list(LEDGER_COLUMNS)


def test_ledger_finds_the_labs_own_folders_and_says_which_is_missing(tmp_path, roots, monkeypatch):
    monkeypatch.setenv("MAAF_LAB_HOME", str(tmp_path))
    with pytest.raises(RunError, match=r"runs: expected a folder of runs or of records, found none.*\"lab\" is for"):
        ledger()
    with pytest.raises(RunError, match="nowhere: expected a folder of runs"):
        ledger(roots, tmp_path / "nowhere")
    (tmp_path / "runs").symlink_to(roots)
    pd.testing.assert_frame_equal(ledger(), ledger(roots))
    pd.testing.assert_frame_equal(ledger(""), ledger(roots))
    assert len(ledger("lab")) == len(ledger(records_folder("lab"))) > 100


@pytest.mark.parametrize(
    ("part", "content", "why"),
    [
        ("config.json", '{"model": {"name": "theirs"}}', "unknown system 'theirs'; known: maaf"),
        ("metrics.json", "{", r"metrics\.json: expected JSON, found damage"),
    ],
)
def test_ledger_names_a_run_that_cannot_be_read_and_lists_the_others(tmp_path, roots, run, part, content, why):
    shutil.copytree(roots, tmp_path, dirs_exist_ok=True)
    (tmp_path / run.name / part).write_text(content)
    with pytest.warns(UserWarning, match=rf"{run.name} is left out: .*{why}"):
        found = ledger(tmp_path)
    whole = ledger(roots)
    pd.testing.assert_frame_equal(found, whole[whole["run"] != run.name].reset_index(drop=True))
    assert len(found)


def test_unknown_pretrained_models_list_the_known():
    with pytest.raises(RunError, match=r"no pretrained model 'nonsense'; known: "):
        load_pretrained("nonsense")


def test_evaluate_knows_where_the_run_was_trained(shell, tmp_path, roots, run, tiny_css):
    assert run.data_root == tiny_css
    code, out, _ = shell("evaluate", run.folder, "--device", "cpu")
    assert code == 0 and "320 queries" in out
    folder = tmp_path / run.name
    shutil.copytree(run.folder, folder)
    (folder / "folders.json").write_text(json.dumps({"data_root": str(tmp_path / "gone")}))
    code, _, err = shell("evaluate", folder, "--device", "cpu")
    assert code == 2 and f"expected its data in {tmp_path / 'gone'}, where it was trained" in err and "--data-root DIR" in err
    code, out, _ = shell("evaluate", folder, "--data-root", tiny_css, "--device", "cpu")
    assert code == 0 and "320 queries" in out
    (folder / "folders.json").unlink()  # as older runs are
    assert Run(folder).data_root is None
    code, _, err = shell("evaluate", folder, "--device", "cpu")
    assert code == 2 and "css-tiny: no such folder" in err
    assert not (save_copy(run, tmp_path / "copy").folder / "folders.json").exists(), "it says nothing on another machine"


def test_the_commit_is_of_the_whole_package(tmp_path, monkeypatch):
    """A change in any room shows."""
    (tmp_path / "maaf_lab" / "models").mkdir(parents=True)
    (tmp_path / "maaf_lab" / "models" / "x.py").write_text("1")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@y"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(runs, "__file__", str(tmp_path / "maaf_lab" / "experiments" / "runs.py"))
    assert len(runs.lab_commit()) == 12
    (tmp_path / "maaf_lab" / "models" / "x.py").write_text("2")
    assert runs.lab_commit().endswith("+")
