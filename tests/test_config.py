"""Settings: typed, checked when they are made, named by what is read, and read from older files."""

import json
import re

import pytest

from maaf_lab.config import ADDED_LATER, Annotated, DataConfig, RunConfig, TrainConfig, model_config
from maaf_lab.errors import ConfigError
from maaf_lab.experiments.runs import Run, finished_runs
from maaf_lab.profiles import profile_config
from maaf_lab.utils.paths import records_folder
from maaf_lab.utils.registry import MODELS

WRONG = [
    ("model.blocks", 1.5, "a whole number, at least 0"),
    ("model.blocks", -1, "a whole number"),
    ("model.heads", True, "a whole"),
    ("model.blocks", "2", "a whole number"),
    ("model.width", 32.0, "a whole number, at least 1"),
    ("model.include_text", 0, "true or false"),
    ("model.include_text", "maybe", "true or false (or yes, no, on, off)"),
    ("model.include_text", 1.0, "true or false"),
    ("model.image_channels", ["a"], "a list"),
    ("model.image_channels", 8, "a list"),
    ("model.image_channels", [8, 16, 16, -3], "a list of 4 to 5, each"),
    ("model.image_channels", [8, 16], "a list of 4 to 5"),
    ("model.resolutions", 7, "a list"),
    ("model.resolutions", [7, 9], "some of 7, 14 and 28"),
    ("model.resolutions", [], "some of 7"),
    ("model.image_encoder", "resnet_50", "known: resnet50, resnet18"),
    ("model.text_encoder", "gru", "known: lstm, embedding"),
    ("model.attention", "identiy", "one of 'softmax', 'identity'"),
    ("model.name", "maff", "known: maaf, two_stream"),
    ("model.name", 3, "known: maaf"),
    ("model.scale", "abc", "a number, above 0"),
    ("model.dropout", 1, "at least 0 and below 1"),
    ("model.dropout", float("nan"), "a number"),
    ("model.attention_dropout", "none", "a number, at least 0 and below 1 or null"),
    ("model.word_vectors", 5, "text"),
    ("model.image_weights", None, "text"),
    ("train.steps", 10.5, "a whole number, at least 1"),
    ("train.seed", 1.5, "a whole number"),
    ("train.seed", 2**64, "a whole number"),
    ("train.batch_size", 16.0, "a whole number"),
    ("train.batch_size", 1, "at least 2"),
    ("train.momentum", float("inf"), "a number, at least 0"),
    ("train.learning_rate", float("nan"), "a number"),
    ("train.learning_rate", True, "a number"),
    ("train.compile", "nonsense", "true"),
    ("train.compile", 1, "true or false"),
    ("train.precision", "fp8", "one of 'fp32', 'bf16', 'fp16'"),
    ("data.pixels", 56.5, "a whole number, at least 8"),
    ("data.pixels", 4, "at least 8"),
    ("data.transform", "none", "one of 'plain'"),
    ("data.dataset", 3, "text"),
    ("train.grayscale", 1.5, "at least 0 and at most 1"),
    ("model.width", "[" * 3000, "a whole number"),
]


@pytest.mark.parametrize(("setting", "value", "expected"), WRONG, ids=[f"{s}={str(v)[:12]}" for s, v, _ in WRONG])
def test_a_wrong_value_is_refused_wherever_it_comes_from(setting, value, expected):
    part, _, name = setting.partition(".")
    ways = [
        lambda: profile_config("smoke", "css", **{setting: value}),
        lambda: RunConfig().replace(**{setting: value}),
        lambda: RunConfig.from_dict({part: {name: value}}),
    ]
    if setting != "model.name":
        kind = {"data": DataConfig, "train": TrainConfig, "model": MODELS["maaf"].Config}[part]
        ways.append(lambda: kind(**{name: value}))
    if setting == "model.image_channels":  # RunConfig() has a ResNet
        ways = ways[:1]
    for way in ways:
        with pytest.raises(ConfigError) as caught:
            way()
        told = str(caught.value)
        assert told.startswith(f"{setting}: ") and expected in told and "\n" not in told and len(told) < 500
        assert "found" in told or repr(value) in told


def test_settings_that_contradict_each_other():
    with pytest.raises(ConfigError, match="does not divide into 5 heads"):
        profile_config("smoke", "css", **{"model.heads": 5})
    with pytest.raises(ConfigError, match=r"train.batch_size: expected a multiple of train.group_size \(5\); found 16"):
        TrainConfig(batch_size=16, group_size=5)
    with pytest.raises(
        ConfigError, match=r"model.image_weights: .*no ImageNet weights: expected .*'none' or a file; found 'imagenet'"
    ):
        model_config("image_only", image_encoder="tiny")
    with pytest.raises(ConfigError, match=r"train.text_learning_rate: image_only has no text encoder"):
        profile_config("smoke", "css", **{"model.name": "image_only", "train.text_learning_rate": 0.1})
    with pytest.raises(ConfigError, match=r"model.name: expected the name of the system whose settings these are"):
        MODELS["tirg"].Config(name="maaf")


def test_equal_values_give_one_name():
    config = profile_config("smoke", "css")
    assert config.replace(**{"train.decay_factor": 10, "train.schedule": "step"}).train.decay_factor == 10.0
    assert config.replace(**{"model.dropout": 0}).name == config.replace(**{"model.dropout": 0.0}).name
    assert config.replace(**{"model.include_text": "off"}) == config.replace(**{"model.include_text": False})
    assert config.replace(**{"model.image_channels": [8, 16, 16, 32]}) == config


def test_config_is_named_by_its_settings(smoke):
    config = smoke()
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert re.fullmatch(r"css-maaf-[0-9a-f]{10}", config.name)
    changes = (
        {},
        {"train.seed": 1},
        {"model.dropout": 0.2},
        {"data.origin": "other"},
        {"train.steps": 31},
        {"profile": "laptop"},
    )
    names = {config.replace(**change).name for change in changes}
    assert len(names) == 6 and config.name in names
    with pytest.raises(ConfigError, match=r"model\.widht: maaf has no such setting; it reads .*width"):
        config.replace(**{"model.widht": 3})
    with pytest.raises(ConfigError, match="unknown part 'modell'"):
        config.replace(**{"modell.width": 3})


def test_every_setting_is_documented_where_it_stands():
    for kind in (DataConfig, TrainConfig, RunConfig, *(system.Config for system in MODELS.values())):
        for name, text in kind.describe().items():
            assert len(text.split(" (")[0]) > 6, f"{kind.__qualname__}.{name}"
    assert "divide" in TrainConfig.describe()["decay_factor"] and "at least 1" in TrainConfig.describe()["decay_factor"]


def test_a_setting_that_is_added_later_leaves_older_runs_their_names():
    class Before(TrainConfig):
        pass

    class Since(TrainConfig):
        smoothing: Annotated[float, ADDED_LATER] = 0.0
        """Of labels."""

    assert Since().named() == Before().named() and "smoothing" in Since().to_dict()
    assert Since(smoothing=0.1).named() != Before().named() and Since(smoothing=0.0).named() == Before().named()


def test_a_file_from_before_each_system_had_its_own_settings(tmp_path, smoke):
    config = smoke("tirg")
    old = config.to_dict()
    old["model"] |= {
        "blocks": 1,
        "attention": "softmax",
        "two_stream": "xxx_xmm_xff",
        "bert": "bert-base-uncased",
        "resolutions": [7],
    }
    old["train"] |= {"decay_every": 50_000, "decay_factor": 10.0}
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert Run(tmp_path).config == config
    with pytest.raises(ConfigError, match=r"model\.two_stream: tirg has no such setting"):
        RunConfig.from_dict({**old, "model": {**config.to_dict()["model"], "two_stream": "xff"}})
    for part in ("data", "model", "train"):
        (tmp_path / "config.json").write_text(json.dumps({**old, part: {**old[part], "colour": 3}}))
        with pytest.raises(ConfigError, match=rf"{part}\.colour: .* has no such setting"):
            _ = Run(tmp_path).config
    for damaged in ([], {"model": 3}, "x"):
        (tmp_path / "config.json").write_text(json.dumps(damaged))
        with pytest.raises(ConfigError, match="expected a run's settings with the parts data, model, train"):
            _ = Run(tmp_path).config


def test_a_file_that_calls_synthetic_data_made(tmp_path, smoke):
    config = smoke("tirg", **{"data.origin": "synthetic css v1 size=full pixels=56 seed=0"})
    old = config.to_dict()
    old["data"]["origin"] = "made css v1 size=full pixels=56 seed=0"
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert Run(tmp_path).config == config and Run(tmp_path).config.name == config.name
    old["data"]["origin"] = "published sha256:made "
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert Run(tmp_path).config.data.origin == "published sha256:made "
    old["data"]["origin"] = 3
    (tmp_path / "config.json").write_text(json.dumps(old))
    with pytest.raises(ConfigError, match=r"data\.origin: expected text; found 3"):
        _ = Run(tmp_path).config


def test_committed_records_keep_their_names():
    records = finished_runs(records_folder("lab"))
    assert len(records) >= 4
    for run in records:
        assert run.config.name == run.name and run.config.data.cache == "raw"


def test_the_store_names_another_run_only_where_it_is_not_raw():
    config = RunConfig()
    assert config.replace(**{"data.cache": "raw"}).name == config.name != config.replace(**{"data.cache": "jpeg"}).name
    jpeg = config.replace(**{"data.cache": "jpeg"})
    assert RunConfig.from_dict(jpeg.to_dict()) == jpeg and jpeg.to_dict()["data"]["cache"] == "jpeg"


def test_a_setting_without_its_part_is_told():
    with pytest.raises(ConfigError, match=r"blocks: a run has no such setting\. Did you mean 'model\.blocks'"):
        profile_config("smoke", "css", blocks=1)
    with pytest.raises(ConfigError, match=r"batch_size: .*'train\.batch_size'"):
        profile_config("smoke", "css", batch_size=4)
