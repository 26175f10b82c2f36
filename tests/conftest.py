"""Shared by the tests: a tiny synthetic CSS folder, its splits, and smoke settings for it."""

import contextlib
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports the hub's client: no test waits for a network

import pytest
import torch
from hypothesis import HealthCheck, settings
from synthetic_files import SEED
from training_runs import SHORT

from maaf_lab import cli
from maaf_lab.data import registry as datasets
from maaf_lab.data.cache import pixel_cache
from maaf_lab.data.text import Vocabulary
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.explorers.session import open_session
from maaf_lab.models.registry import build_model
from maaf_lab.profiles import profile_config
from maaf_lab.synthetic.css.dataset import make_css
from maaf_lab.synthetic.css.scenes import css_annotations
from maaf_lab.utils.registry import MODELS

settings.register_profile("lab", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no test measures time
settings.load_profile("lab")


def pytest_collection_modifyitems(config, items):
    """Several at a time: the slow ones first, so that nobody waits for the last of them."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session", autouse=True)
def elsewhere():
    """Whoever names no folder, or one below the working folder, finds none of a user's."""
    with contextlib.chdir(os.environ["MAAF_LAB_HOME"]):
        yield


@pytest.fixture(scope="session")
def tiny_css(tmp_path_factory):
    """A tiny synthetic CSS set of 56 px, drawn once for all tests; nobody writes to it but the pixel cache."""
    return make_css(tmp_path_factory.mktemp("data") / "css-tiny", "tiny", 56, 0, progress=False)


@pytest.fixture(scope="session")
def full_scenes():
    """The annotation of synthetic CSS at its full size: scenes and texts, nothing drawn."""
    return css_annotations("full", 0)


@pytest.fixture(scope="session")
def tiny_scenes():
    """The annotation of the CSS set that tests of synthetic datasets draw."""
    return css_annotations("tiny", SEED)


@pytest.fixture(scope="session")
def css_train(tiny_css):
    return datasets.load("css", tiny_css, "train")


@pytest.fixture(scope="session")
def css_test(tiny_css):
    return datasets.load("css", tiny_css, "test")


@pytest.fixture(scope="session")
def css_train_cache(css_train):
    return pixel_cache(css_train, 56, progress=False)


@pytest.fixture(scope="session")
def css_test_cache(css_test):
    return pixel_cache(css_test, 56, progress=False)


@pytest.fixture(scope="session")
def css_vocabulary(css_train):
    return Vocabulary.build(css_train.texts)


@pytest.fixture(scope="session")
def smoke(tiny_css):
    """smoke("tirg", **{"train.steps": 3}) -> settings of a run on the tiny set; where_read: changes for those who read them."""
    origin = datasets.origin("css", tiny_css)

    def make(model="maaf", where_read=(), **changes):
        fields = MODELS[model].Config.model_fields if model in MODELS else ()
        read = {name: value for name, value in dict(where_read).items() if name.partition(".")[2] in fields}
        return profile_config("smoke", "css", **{"model.name": model, "data.origin": origin, **read, **changes})

    return make


@pytest.fixture(scope="session")
def made_model(smoke, css_vocabulary):
    """made_model("maaf", **{"model.attention": "identity"}) -> an untrained model, in evaluation mode."""

    def make(model="maaf", seed=0, where_read=(), **changes):
        torch.manual_seed(seed)
        return build_model(smoke(model, where_read, **changes).model, css_vocabulary).eval()

    return make


@pytest.fixture(scope="session")
def straight(tmp_path_factory, smoke, tiny_css):
    """A run of 12 steps that nothing interrupted."""
    return train_and_evaluate(smoke(**SHORT), tiny_css, tmp_path_factory.mktemp("straight"), device="cpu", progress=False)


@pytest.fixture(scope="session")
def trained(tiny_css, smoke, tmp_path_factory):
    """trained("maaf", **changes) -> a run of two steps on tiny synthetic CSS."""
    root = tmp_path_factory.mktemp("runs")

    def make(model="maaf", **changes):
        config = smoke(model, **{"train.steps": 2, "train.warmup_steps": 1, **changes})
        return train_and_evaluate(config, tiny_css, root, device="cpu", progress=False)

    return make


@pytest.fixture(scope="session")
def css():
    """The shipped model of synthetic CSS on its test split, drawn as it is looked at."""
    return open_session("css-laptop")


@pytest.fixture(scope="session")
def garments():
    """The shipped model of synthetic garments on its val split."""
    return open_session("garments-laptop")


@pytest.fixture(scope="session")
def published():
    """published("fashion_iq", "captions") -> that folder of the published data; where it is not at hand, the test is skipped.

    The data are no part of the repository. MAAF_LAB_PUBLISHED names their folder, ../shared/data beside the clone unless set.
    """
    root = Path(os.environ.get("MAAF_LAB_PUBLISHED") or Path(__file__).resolve().parents[2] / "shared" / "data")

    def folder(*parts):
        found = root.joinpath(*parts)
        if not found.is_dir():
            pytest.skip(f"no published data at {found}, outside the repository; name their folder in MAAF_LAB_PUBLISHED")
        return found

    return folder


@pytest.fixture(scope="session")
def annotations_only():
    """annotations_only(FashionIQ) -> the same reader for whom every picture counts as there and whole."""

    def reader(dataset):
        whole = staticmethod(lambda path: None)
        return type(dataset.__name__, (dataset,), {"damage": whole, "damage_inside": whole})

    return reader


@pytest.fixture
def cores(monkeypatch):
    """cores(2): this process may use two cores, or so the system says."""
    return lambda n: monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(n)), raising=False)


@pytest.fixture
def no_training(monkeypatch):
    """Training or evaluating anything fails the test."""

    def refuse(*_args, **_kwargs):
        raise AssertionError("something was trained or evaluated")

    monkeypatch.setattr("maaf_lab.experiments.train.fit", refuse)
    monkeypatch.setattr("maaf_lab.experiments.train.evaluate", refuse)


@pytest.fixture
def shell(monkeypatch, capsys):
    """shell("check", "css", ...) -> (exit code, stdout, stderr) of the console script."""

    def call(*args):
        monkeypatch.setattr("sys.argv", ["maaf-lab", *map(str, args)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return call
