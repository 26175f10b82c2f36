"""The models that ship with the lab: they load, they are small, and they retrieve."""

import pytest
import torch

import maaf_lab
from maaf_lab.data import registry as datasets
from maaf_lab.data.cache import pixel_cache
from maaf_lab.errors import RunError
from maaf_lab.profiles import profile_config
from maaf_lab.retrieval.embed import embed_split
from maaf_lab.retrieval.gallery import rank
from maaf_lab.retrieval.metrics import recall
from maaf_lab.synthetic import registry as sets


def test_the_shipped_model_finds_targets_of_unseen_colour_shape_pairs(tiny_css):
    split = datasets.load("css", tiny_css, "test")
    model = maaf_lab.load_pretrained("css-laptop")
    queries, gallery = embed_split(model, split, pixel_cache(split, 56, progress=False), progress=False)
    found = recall(rank(queries, gallery, split, progress=False), 1)
    assert found.low > 80, found  # 360 images only; its record has the full gallery


def test_its_record_says_what_it_is():
    run = maaf_lab.pretrained_run("css-laptop")
    assert run.config.model.name == "maaf" and run.config.model.attention == "softmax" and run.config.profile == "laptop"
    assert run.metrics["data"].startswith("synthetic css") and run.metrics["queries"] == 16_000
    assert run.log["step"].iloc[-1] == run.config.train.steps
    assert (run.folder / "model.safetensors").stat().st_size <= 5_000_000


@pytest.fixture(scope="module")
def tiny_garments(tmp_path_factory):
    return sets.make("fashion_iq", tmp_path_factory.mktemp("garments") / "fashion_iq", "tiny", 74, 0, progress=False)


def test_the_garments_model(tiny_garments):
    """What it was trained on is in its record; on 90 other queries it is far above chance (10 of 48 images: 21)."""
    run = maaf_lab.pretrained_run("garments-laptop")
    assert run.config.model.attention == "softmax" and run.config.model.resolutions == (7, 14)
    assert run.metrics["data"].startswith("synthetic fashion_iq") and run.metrics["queries"] == 6_000
    assert run.log["step"].iloc[-1] == run.config.train.steps == 2_700
    assert (run.folder / "model.safetensors").stat().st_size <= 5_000_000
    split = datasets.load("fashion_iq", tiny_garments, "val")
    queries, gallery = embed_split(run.load_model(), split, pixel_cache(split, 64, progress=False), progress=False)
    found = recall(rank(queries, gallery, split, progress=False), 10)
    assert found.low > 90, found


def test_settings_added_since_leave_its_name_alone():
    assert maaf_lab.pretrained_run("css-laptop").config.name == "css-maaf-55119343e7"  # as when it was trained
    before = {  # the model that shipped earlier
        "model.name": "maaf",
        "model.attention": "softmax",
        "model.attention_dropout": None,
        "model.image_weights": "none",
        "train.steps": 1_800,
        "train.learning_rate": 0.03,
        "train.image_learning_rate": 0.03,
        "data.origin": "synthetic css v1 size=full pixels=56 seed=0",
    }
    assert profile_config("laptop", "css", **before).name == "css-maaf-a7c7f6a762"


def test_attention_of_a_query_comes_with_its_words():
    model = maaf_lab.load_pretrained("css-laptop")
    vectors, record = model.embed_query(torch.zeros(1, 3, 56, 56), ["remove yellow sphere"], return_attention=True)
    assert vectors.shape == (1, 128) and record.tokens[0][-3:] == ("remove", "yellow", "sphere")
    assert record.words_to_image().shape == (1, 1, 8, 3, 7, 7)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(RunError, match="css-laptop"):
        maaf_lab.load_pretrained("css-desktop")
