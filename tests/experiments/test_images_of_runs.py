"""Images are part of what a run's numbers rest on: the same annotations with other pictures are other data.

Of synthetic data the origin says everything; published data is here the tiny CSS set without its made.json.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from PIL import ImageOps
from training_runs import SHORT, Stopped, loss_that, stop

from maaf_lab.data import registry as datasets
from maaf_lab.data.cache import image_files, pixel_cache
from maaf_lab.errors import RunError
from maaf_lab.experiments.runs import Run, save_record
from maaf_lab.experiments.train import evaluate, train_and_evaluate
from maaf_lab.explorers.session import open_session
from maaf_lab.profiles import profile_config


@pytest.fixture(scope="module")
def mine(tmp_path_factory, tiny_css):
    """Somebody's own copy; nobody writes to it but the pixel cache."""
    ignored = shutil.ignore_patterns(".cache", "made.json")
    return Path(shutil.copytree(tiny_css, tmp_path_factory.mktemp("mine") / "k_a", ignore=ignored))


def turned(mine, out, names="*"):
    """A copy of the folder with other pictures under the same names."""
    shutil.copytree(mine, out, ignore=shutil.ignore_patterns(".cache"))
    for path in (out / "images").glob(f"{names}.png"):
        ImageOps.invert(PILImage.open(path).convert("RGB")).save(path)
    return out


@pytest.fixture(scope="module")
def config(mine):
    origin = datasets.origin("css", mine)
    assert origin.startswith("published ")
    return profile_config("smoke", "css", **{**SHORT, "model.name": "image_only", "data.origin": origin})


@pytest.fixture(scope="module")
def once(tmp_path_factory, mine, config):
    return train_and_evaluate(config, mine, tmp_path_factory.mktemp("runs"), device="cpu", progress=False)


@pytest.fixture
def run(tmp_path, once):
    """A copy that a test may change."""
    return Run(shutil.copytree(once.folder, tmp_path / "runs" / once.name))


def changed(run, name, change):
    values = json.loads((run.folder / name).read_text())
    change(values)
    (run.folder / name).write_text(json.dumps(values))


def test_metrics_say_which_images_were_ranked(once, mine, tmp_path):
    test, train = (datasets.load("css", mine, split) for split in ("test", "train"))
    digest = pixel_cache(test, 56, progress=False).files
    assert once.metrics["image_files"] == digest and digest.startswith("sha256:")
    assert pixel_cache(test, 24, tmp_path / "cache", False, "jpeg").files == digest, "at every size, in every encoding"
    assert once.environment["image_files"] == {"test": digest, "train": pixel_cache(train, 56, progress=False).files}
    assert save_record(once, tmp_path / "records").metrics["image_files"] == digest


def test_of_synthetic_data_the_origin_says_it(straight):
    assert all("image_files" not in (straight.folder / name).read_text() for name in ("metrics.json", "environment.json"))


def test_a_digest_is_found_without_decoding(mine, tmp_path, monkeypatch):
    elsewhere = Path(shutil.copytree(mine, tmp_path / "moved", ignore=shutil.ignore_patterns(".cache")))
    expected = pixel_cache(datasets.load("css", mine, "test"), 56, progress=False).files
    monkeypatch.setattr("maaf_lab.data.cache.build.square", None)
    for folder in (mine, elsewhere):
        assert image_files(datasets.load("css", folder, "test"), 56) == expected
    assert not (elsewhere / ".cache").exists()


def test_other_images_have_results_of_their_own(tmp_path, run, mine, shell):
    other, before = turned(mine, tmp_path / "k_b"), (run.folder / "metrics.json").read_bytes()
    with pytest.warns(UserWarning, match=r"expected its images, 'sha256:\w+', found 'sha256:.*own numbers stay as they are"):
        code, out, _ = shell("evaluate", run.folder, "--data-root", other, "--device", "cpu")
    assert code == 0 and "(other images than the run's: sha256:" in out
    assert (run.folder / "metrics.json").read_bytes() == before
    (found,) = run.folder.glob("metrics-*.json")
    assert json.loads(found.read_text())["image_files"] != run.metrics["image_files"]
    assert len(list(run.folder.glob("rankings-*.parquet"))) == 1
    with pytest.warns(UserWarning, match="expected its images"):  # one changed picture is enough, and has a file of its own
        evaluate(run, turned(mine, tmp_path / "k_c", "css_test_000001"), device="cpu", progress=False)
    assert len(list(run.folder.glob("metrics-*.json"))) == 2
    assert evaluate(run, mine, device="cpu", progress=False).result == "", "and its own are its own"


def test_another_split_of_other_images(tmp_path, run, mine):
    assert evaluate(run, mine, split="train", device="cpu", progress=False).result == "-train"
    with pytest.warns(UserWarning, match="expected its images"):
        again = evaluate(run, turned(mine, tmp_path / "k_b"), split="train", device="cpu", progress=False)
    assert again.result.startswith("-train-")


def test_lost_metrics_are_made_of_its_own_images_alone(tmp_path, run, mine):
    (run.folder / "metrics.json").unlink()
    other = turned(mine, tmp_path / "k_b")
    with pytest.warns(UserWarning, match="expected its images"):
        assert evaluate(run, other, device="cpu", progress=False).result
    with pytest.raises(RunError, match=r"expected its images \(test sha256:\w+, found sha256:\w+.*Name the folder that holds"):
        train_and_evaluate(run.config, other, run.folder.parent, device="cpu", progress=False)
    assert not run.finished


@pytest.mark.parametrize("split", ["test", "train"])
def test_a_finished_run_tells_of_other_images(tmp_path, run, mine, split, no_training):
    other, before = turned(mine, tmp_path / "k_b", f"css_{split}*"), (run.folder / "metrics.json").read_bytes()
    with pytest.warns(UserWarning, match=rf"expected its images \({split} sha256:\w+, found sha256:\w+ in .*nothing was trained"):
        train_and_evaluate(run.config, other, run.folder.parent, device="cpu", progress=False)
    shutil.rmtree(other / "images")
    (other / "images").mkdir()
    with pytest.warns(UserWarning, match="found some that cannot be read"):
        train_and_evaluate(run.config, other, run.folder.parent, device="cpu", progress=False)
    assert (run.folder / "metrics.json").read_bytes() == before


@pytest.mark.filterwarnings("error")
def test_a_finished_run_with_its_own_images_says_nothing(tmp_path, run, mine, no_training):
    moved = shutil.copytree(mine, tmp_path / "moved")
    for folder in (mine, moved):
        train_and_evaluate(run.config, folder, run.folder.parent, device="cpu", progress=False)


def test_runs_without_a_digest_are_as_before(tmp_path, run, mine):
    for name in ("metrics.json", "environment.json", "folders.json"):
        changed(run, name, lambda values: values.pop("image_files"))
    other = turned(mine, tmp_path / "k_b")
    train_and_evaluate(run.config, other, run.folder.parent, device="cpu", progress=False)
    assert evaluate(run, other, device="cpu", progress=False).result == ""


def test_a_stopped_run_goes_on_with_the_images_it_began_with(tmp_path, config, once, mine, monkeypatch):
    with monkeypatch.context() as patch:
        loss_that(patch, 7, stop)  # the last checkpoint is of step 5
        with pytest.raises(Stopped):
            train_and_evaluate(config, mine, tmp_path, device="cpu", progress=False)
    other = turned(mine, tmp_path / "k_b", "css_train*")
    with pytest.raises(RunError, match=r"expected the images that it began with \(train sha256:\w+, found .* delete .*state"):
        train_and_evaluate(config, other, tmp_path, device="cpu", progress=False)
    run = train_and_evaluate(config, mine, tmp_path, device="cpu", progress=False)
    assert (run.folder / "model.safetensors").read_bytes() == (once.folder / "model.safetensors").read_bytes()


def test_explorers_keep_vectors_of_each_folder(tmp_path, run, mine):
    """Those of other pictures are not those of the run's own."""
    roots = {"runs_root": run.folder.parent, "device": "cpu"}
    own = open_session(run.folder, data_root=mine, **roots).gallery
    other = open_session(run.folder, data_root=turned(mine, tmp_path / "k_b"), **roots).gallery
    assert own.shape == other.shape and not np.allclose(own, other)
    assert len(list((run.folder.parent / "galleries").iterdir())) == 2
