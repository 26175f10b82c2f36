"""Training on an image model that stays as it is."""

import pytest
import torch

from maaf_lab.data.batches import set_seed
from maaf_lab.data.transforms import build_transform
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.models.registry import build_model
from maaf_lab.training import frozen

FROZEN = {"train.image_learning_rate": 0, "train.steps": 6}


@pytest.fixture
def kept(smoke, made_model, css_train_cache):
    """kept(transform, **changes) -> a MAAF and what it reads instead of the images of tiny CSS."""

    def make(transform="plain", **changes):
        config, model = smoke(**FROZEN, **changes), made_model()
        return model, frozen.kept_maps(model, css_train_cache, build_transform(transform, 56), config.train, progress=False)

    return make


def test_the_kept_maps_are_those_of_the_images(kept, css_train_cache):
    model, maps = kept()
    rows = [3, 0, 300, 3]
    found = maps.batch(rows)
    assert set(found) == {7}, "on CSS, MAAF reads block 4 alone"
    with torch.no_grad():
        wanted = model.backbone(build_transform("plain", 56).eval(css_train_cache.batch(rows)))[7]
    assert found[7].dtype == torch.float32
    torch.testing.assert_close(found[7], wanted, rtol=2e-3, atol=1e-4)


def test_maps_are_not_kept_where_images_differ_from_step_to_step(kept, css_train_cache, monkeypatch):
    assert kept(**{"train.grayscale": 0.5})[1] is css_train_cache
    assert kept("crops")[1] is css_train_cache
    monkeypatch.setattr(frozen, "MOST_BYTES", 1000)
    assert kept()[1] is css_train_cache


def test_a_system_that_takes_all_maps_has_all(kept, made_model, monkeypatch):
    monkeypatch.setattr(type(made_model()), "features_of", lambda self, maps: dict(maps))
    assert set(kept()[1].batch([0])) == {28, 14, 7}


@pytest.mark.parametrize("name", ["maaf", "tirg", "val", "image_only"])
@pytest.mark.parametrize("transform", ["plain", "crops"])
def test_a_frozen_image_model_stays_as_it_is(trained, css_vocabulary, name, transform):
    run = trained(name, **{"train.image_learning_rate": 0, "data.transform": transform})
    set_seed(0)
    fresh, after = build_model(run.config.model, css_vocabulary).state_dict(), run.load_model().state_dict()
    changed = {key.split(".")[0] for key in fresh if not torch.equal(fresh[key], after[key])}
    assert "backbone" not in changed and "log_scale" in changed


def test_kept_maps_train_as_their_images_do(smoke, tiny_css, tmp_path, monkeypatch):
    config = smoke(**FROZEN, **{"train.log_every": 1})
    maps = train_and_evaluate(config, tiny_css, tmp_path / "maps", progress=False)
    monkeypatch.setattr(frozen, "MOST_BYTES", 0)
    images = train_and_evaluate(config, tiny_css, tmp_path / "images", progress=False)
    assert maps.log["loss"].tolist() == pytest.approx(images.log["loss"].tolist(), rel=1e-2)
    assert maps.log["loss"][5] < maps.log["loss"][0]


def test_kept_maps_reach_the_processes_that_read_ahead(smoke, tiny_css, tmp_path):
    config = smoke(**FROZEN)
    runs = [train_and_evaluate(config, tiny_css, tmp_path / str(n), workers=n, progress=False) for n in (0, 1)]
    assert runs[0].log["loss"].tolist() == runs[1].log["loss"].tolist()
