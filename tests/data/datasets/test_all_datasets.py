"""Every dataset through one door: drawn tiny, checked, trained a few steps and ranked, in the smoke profile."""

import json
import math
import shutil
from pathlib import Path

import pytest

from maaf_lab.data import registry as datasets
from maaf_lab.data.batches import Feed
from maaf_lab.data.split import Image, Query, Split
from maaf_lab.data.text import Vocabulary
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.experiments.sources import dataset_folder
from maaf_lab.experiments.train import evaluate, train_and_evaluate
from maaf_lab.paper.dataset_summary import open_tour, overview
from maaf_lab.profiles import PROFILES, profile_config
from maaf_lab.synthetic import registry as synthetic

NAMES = sorted(synthetic.SYNTHETIC)
LACKS = ("missing", "damaged")
METRICS = {
    "birds_to_words": {"R10", "R50"},
    "css": {"R1", "R5", "R10", "R50"},
    "fashion200k": {"R1", "R10", "R50"},
    "fashion_iq": {"R10 dress", "R50 dress", "R10 shirt", "R50 shirt", "R10 toptee", "R50 toptee", "R10", "R50", "mean"},
    "mit_states": {"R1", "R5", "R10"},
    "spot_the_diff": {"R10", "R50"},
}


@pytest.fixture(scope="session")
def tiny_datasets(tmp_path_factory):
    """tiny_datasets("fashion_iq") -> the folder of that synthetic dataset, tiny and of few pixels, drawn once."""
    root, made = tmp_path_factory.mktemp("tiny"), {}

    def folder(name):
        if name not in made:
            made[name] = synthetic.make(name, root / f"{name}-tiny", "tiny", 64, 0, progress=False)
        return made[name]

    return folder


@pytest.mark.parametrize("name", NAMES)
def test_made_checked_trained_ranked(tmp_path, tiny_datasets, name):
    folder = tiny_datasets(name)
    report = datasets.check(name, folder, progress=False)
    assert report.complete and report.origin == synthetic.synthetic_origin(name, "tiny", 64, 0), report
    config = profile_config("smoke", name, **{"train.steps": 4, "train.warmup_steps": 1, "data.origin": report.origin})
    run = train_and_evaluate(config, folder, tmp_path, device="cpu", progress=False)
    assert set(run.metrics["metrics"]) == METRICS[name] and run.metrics["split"] == datasets.evaluation(name)
    assert all(0 <= e["low"] <= e["value"] <= e["high"] <= 100 for e in run.metrics["metrics"].values())
    assert all(math.isfinite(loss) for loss in run.log["loss"])
    split = datasets.load(name, folder, datasets.evaluation(name))
    assert len(run.rankings) == len(split.queries) and (run.rankings.frame["rank"] >= 1).all()
    assert run.metrics["data"] == report.origin and "synthetic" in report.origin


# MIT-States has no annotation that names its images: a removed one is not known to be missing.
@pytest.mark.parametrize(("name", "what"), [(n, w) for n in NAMES for w in LACKS if (n, w) != ("mit_states", "missing")])
def test_a_copy_that_lacks_images(tmp_path, tiny_datasets, name, what):
    folder = tmp_path / name
    shutil.copytree(tiny_datasets(name), folder, ignore=shutil.ignore_patterns(".cache"))
    split = datasets.load(name, folder, datasets.evaluation(name))
    gone = split.images[split.queries[0].source].path
    if what == "missing":
        gone.unlink()
    else:
        gone.write_bytes(gone.read_bytes()[:-40])
    with pytest.raises(DataError, match=f"1 of {len(split.images)} images {what}.*{gone.name}.*--missing skip"):
        datasets.load(name, folder, split.name)
    report = datasets.check(name, folder, progress=False)
    row = next(r for r in report.rows if r.split == split.name)
    assert not report.complete and gone.name in str(report) and row.queries_lost >= 1
    skipped = datasets.load(name, folder, split.name, "skip")
    assert len(skipped.images) == len(split.images) - 1 and len(skipped.queries) == len(split.queries) - row.queries_lost
    assert "dropped: 1 images missing or damaged" in skipped.origin


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_folder_names_the_right_one(tmp_path, tiny_datasets, name):
    folder = tiny_datasets(name)
    with pytest.raises(DataError, match="holds it: pass that folder") as error:
        datasets.load(name, folder.parent, "train")
    assert str(folder.parent) in str(error.value)
    with pytest.raises(DataError, match=r"no such folder.*What to get") as error:
        datasets.load(name, tmp_path / "nowhere", "train")
    assert (f"draw synthetic data, into the lab's data/: maaf-lab make {name} --profile laptop" in str(error.value)) == (
        name in synthetic.SYNTHETIC
    )
    with pytest.raises(DataError, match="an empty folder"):
        datasets.load(name, tmp_path, "train")
    with pytest.raises(ConfigError, match="has no split 'trian'"):
        datasets.load(name, folder, "trian")


def test_a_result_says_what_training_had_to_do_without(tmp_path, tiny_datasets):
    folder = tmp_path / "css"
    shutil.copytree(tiny_datasets("css"), folder, ignore=shutil.ignore_patterns(".cache"))
    (folder / "images" / "css_train_000003.png").unlink()
    config = profile_config("smoke", "css", **{"train.steps": 2, "train.warmup_steps": 1})
    with pytest.raises(DataError, match="images missing"):
        train_and_evaluate(config, folder, tmp_path / "runs", device="cpu", progress=False)
    config = config.replace(**{"data.missing": "skip"})
    run = train_and_evaluate(config, folder, tmp_path / "runs", device="cpu", progress=False)
    assert "(trained on: synthetic css" in run.metrics["data"] and "queries dropped: 1 images missing" in run.metrics["data"]


def test_an_unfinished_synthetic_dataset_is_refused(tmp_path, tiny_datasets):
    folder = tmp_path / "fashion_iq"
    shutil.copytree(tiny_datasets("fashion_iq"), folder)
    mark = json.loads((folder / "made.json").read_text())
    (folder / "made.json").rename(folder / "made.json.part")
    with pytest.raises(DataError, match=r"did not finish.*maaf-lab make fashion_iq"):
        datasets.load("fashion_iq", folder, "train")
    assert synthetic.make("fashion_iq", folder, "tiny", 64, 0, progress=False) == folder  # starts over, and finishes
    assert json.loads((folder / "made.json").read_text()) == mark


def test_fashion_iq_batches_are_of_one_category(tiny_datasets):
    split = datasets.load("fashion_iq", tiny_datasets("fashion_iq"), "train")
    plan = profile_config("smoke", "fashion_iq").train
    feed = Feed(split, Vocabulary.build(split.vocabulary_texts), plan)
    seen = set()
    for step in range(feed.batches_per_epoch):
        batch = feed(step)
        kinds = [set(split.images[i].categories) for i in batch.images]
        common = set.intersection(*kinds)
        assert common
        seen |= common
    assert seen == {"dress", "shirt", "toptee"}


@pytest.mark.parametrize("name", ["fashion200k", "mit_states", "birds_to_words", "spot_the_diff"])
def test_vocabulary_knows_what_other_epochs_draw(tiny_datasets, name):
    import numpy as np

    split = datasets.load(name, tiny_datasets(name), "train")
    vocabulary = Vocabulary.build(split.vocabulary_texts)
    for seed in range(5):
        drawn = split.draw(np.random.default_rng(seed))
        assert all(0 not in vocabulary.ids(text) for q in drawn for text in q.texts)


def test_a_split_without_targets_is_not_evaluated(tmp_path, tiny_datasets):
    folder = tiny_datasets("fashion_iq")
    config = profile_config("smoke", "fashion_iq", **{"train.steps": 2, "train.warmup_steps": 1})
    run = train_and_evaluate(config, folder, tmp_path, device="cpu", progress=False)
    from maaf_lab.errors import RunError

    before = run.metrics
    with pytest.raises(RunError, match="published without answers"):
        evaluate(run, folder, split="test", device="cpu", progress=False)
    assert run.metrics == before


def test_profiles_know_every_dataset():
    assert set(PROFILES) == {"smoke", "laptop", "paper"}
    for name in datasets.DATASETS:
        config = profile_config("paper", name)
        assert config.model.image_encoder == "resnet50" and config.data.pixels == 224
        assert profile_config("laptop", name).model.image_encoder == "tiny"
    plan = profile_config("paper", "fashion_iq").train
    assert plan.single_category and plan.batch_size == 32 and plan.steps == 150_000


def test_folders_below_a_root(tmp_path):
    assert dataset_folder("css2d", tmp_path) == tmp_path / "css"
    assert dataset_folder("mit_states", tmp_path, "smoke") == tmp_path / "mit_states-tiny"


def test_a_text_is_no_tuple_of_captions():
    image = Image("a", Path("a.png"), "a")
    with pytest.raises(DataError, match=r"query 0: expected texts as a tuple of captions, found the text 'is red'"):
        Split("test", [image], [Query(0, "is red", "a", 0)])


@pytest.mark.parametrize("name", NAMES)
def test_a_tour(tiny_datasets, name):
    one = open_tour(name, tiny_datasets(name).parent)
    samples = one.samples(4)
    assert len(samples) == 4 and all(s["source"].shape == s["target"].shape == (224, 224, 3) and s["text"] for s in samples)
    assert "SYNTHETIC DATA" in one.title and one.sizes()["queries"].min() > 0
    assert one.published()["where"].notna().all() and one.captions()["tokens a caption"].min() >= 1
    assert overview([one])["dataset"].tolist() == [name]
