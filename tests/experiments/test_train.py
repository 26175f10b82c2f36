"""A run is trained once, by one process, and goes on where it stopped."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from training_runs import SHORT, Stopped, curve, loss_that, stop, weights

from maaf_lab.errors import DataError, RunError
from maaf_lab.experiments import train as module
from maaf_lab.experiments.runs import Run
from maaf_lab.experiments.train import train_and_evaluate


def test_another_seed_gives_other_weights(tmp_path, smoke, tiny_css, straight):
    run = train_and_evaluate(smoke(**SHORT, **{"train.seed": 1}), tiny_css, tmp_path, device="cpu", progress=False)
    assert run.name != straight.name and weights(run.folder) != weights(straight.folder)


def test_killed_between_training_and_evaluation(tmp_path, monkeypatch, smoke, tiny_css, straight):
    with monkeypatch.context() as patch:
        patch.setattr("maaf_lab.experiments.train.save_model", lambda *_: stop(None))
        with pytest.raises(Stopped):
            train_and_evaluate(smoke(**SHORT), tiny_css, tmp_path, device="cpu", progress=False)
    with monkeypatch.context() as patch:
        loss_that(patch, 0, stop)  # all steps are done: not one more is computed
        run = train_and_evaluate(smoke(**SHORT), tiny_css, tmp_path, device="cpu", progress=False)
    assert weights(run.folder) == weights(straight.folder) and curve(run.folder) == curve(straight.folder)


def test_damage_among_the_images_to_rank_is_found_before_training(tmp_path, monkeypatch, smoke, tiny_css):
    data = Path(shutil.copytree(tiny_css, tmp_path / "css", ignore=shutil.ignore_patterns(".cache")))
    image = sorted((data / "images").glob("css_test*.png"))[0]
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2] + bytes(60) + whole[len(whole) // 2 + 60 :])  # its ends are as they were
    monkeypatch.setattr("maaf_lab.experiments.train.fit", None)
    with pytest.raises(DataError, match=rf"css test: 1 of .* images damaged .*{image.name}.*missing=skip"):
        train_and_evaluate(smoke(**SHORT), data, tmp_path / "runs", device="cpu", progress=False)


def test_a_finished_run_is_left_alone(monkeypatch, smoke, tiny_css, straight):
    before = {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in straight.folder.rglob("*") if p.is_file()}
    monkeypatch.setattr("maaf_lab.experiments.train.fit", stop)
    monkeypatch.setattr("maaf_lab.experiments.train.evaluate", stop)
    again = train_and_evaluate(smoke(**SHORT), tiny_css, straight.folder.parent, progress=False)
    assert again == straight
    assert before == {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in straight.folder.rglob("*") if p.is_file()}


def test_evaluate_can_go_on_without_images(tmp_path, shell, tiny_css, trained):
    run, data = trained(), tmp_path / "css"
    shutil.copytree(run.folder, tmp_path / run.name)
    shutil.copytree(tiny_css, data, ignore=shutil.ignore_patterns(".cache"))
    (data / "images" / "css_test_000007.png").unlink()
    asked = ("evaluate", tmp_path / run.name, "--data-root", data, "--device", "cpu")
    code, _, err = shell(*asked)
    assert code == 2 and "evaluate: --missing skip" in err
    code, out, err = shell(*asked, "--missing", "skip")
    assert code == 0 and "queries dropped: 1 images missing" in out, err
    assert Run(tmp_path / run.name).metrics == run.metrics, "a run that was to stop keeps its own numbers"
    (other,) = (tmp_path / run.name).glob("metrics-*.json")
    assert json.loads(other.read_text())["queries"] < run.metrics["queries"]
    assert shell(*asked, "--missing", "all")[0] == 2


def test_a_trained_run_without_metrics_is_only_evaluated(tmp_path, monkeypatch, smoke, tiny_css, straight):
    folder = tmp_path / straight.name
    folder.mkdir()
    for name in ("config.json", "environment.json", "vocabulary.json", "model.safetensors", "log.csv"):
        (folder / name).write_bytes((straight.folder / name).read_bytes())
    monkeypatch.setattr("maaf_lab.experiments.train.fit", stop)
    run = train_and_evaluate(smoke(**SHORT), tiny_css, tmp_path, progress=False)
    assert run.metrics["metrics"] == straight.metrics["metrics"]


def test_two_processes_do_not_train_one_run(tmp_path, smoke, tiny_css):
    config = smoke(**SHORT)
    state = tmp_path / config.name / "state"
    state.mkdir(parents=True)
    with FileLock(state / "lock"), pytest.raises(RunError, match="another process is training"):
        train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)


def test_a_run_where_nothing_can_be_locked(tmp_path, smoke, tiny_css, monkeypatch):
    def none(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", none)
    with pytest.warns(UserWarning, match="cannot be locked here.*make sure that no other process trains this run"):
        run = train_and_evaluate(smoke(**SHORT), tiny_css, tmp_path, device="cpu", progress=False)
    assert run.metrics and not list(run.folder.rglob("lock"))


def test_a_model_of_drawings_is_told_of_before_it_learns_from_other_images(tiny_css, css_train, smoke, capsys):
    drawn = smoke(**{"model.image_weights": "scenes-v1", "model.image_channels": (16, 32, 64, 128)})
    photographs = replace(css_train, origin="published sha256:0123456789ab")
    module._tell_remarks(drawn, tiny_css, (photographs,))
    assert "its image model (scenes-v1) was pretrained on drawings" in capsys.readouterr().err
    module._tell_remarks(drawn, tiny_css, (css_train,))
    module._tell_remarks(smoke(), tiny_css, (photographs,))
    assert "drawings" not in capsys.readouterr().err
