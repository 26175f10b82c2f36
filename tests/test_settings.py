"""Settings: typed, checked when made, each system's own; what a system says that it reads is what it reads, and names the run."""

import json
import subprocess
import sys

import pytest
import torch

import maaf_lab
from maaf_lab.config import ADDED_LATER, Annotated, DataConfig, RunConfig, TrainConfig, model_config
from maaf_lab.data.text import TextBatch, Vocabulary
from maaf_lab.errors import ConfigError
from maaf_lab.experiments.runs import Run
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.models.base import VectorModel
from maaf_lab.models.registry import build_model, build_vocabulary
from maaf_lab.models.systems.locally_bounded import LocallyBounded
from maaf_lab.paper.tables import TABLES, row_configs
from maaf_lab.profiles import profile_config
from maaf_lab.utils.registry import IMAGE_ENCODERS, MODELS, TEXT_ENCODERS, Registry

# --- refused when made ------------------------------------------------------------------------------------------------

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


def test_a_line_of_two_streams_is_read_when_it_is_set():
    with pytest.raises(ConfigError, match=r"model.two_stream: 'nonsense': unknown operation 'nonsense'; known: xxx, xmm"):
        profile_config("smoke", "css", **{"model.name": "two_stream", "model.two_stream": "nonsense"})
    with pytest.raises(ConfigError, match="changes one stream twice"):
        profile_config("smoke", "css", **{"model.name": "two_stream", "model.two_stream": "xmm.xxx"})
    with pytest.raises(ConfigError, match=r"model.positions: expected one of 'none', 'sinusoidal'; found 'mixed'"):
        profile_config("smoke", "css", **{"model.name": "two_stream", "model.positions": "mixed"})


def test_settings_that_contradict_each_other():
    with pytest.raises(ConfigError, match="does not divide into 5 heads"):
        profile_config("smoke", "css", **{"model.heads": 5})
    with pytest.raises(ConfigError, match=r"train.batch_size: expected a multiple of train.group_size \(5\); found 16"):
        TrainConfig(batch_size=16, group_size=5)
    with pytest.raises(ConfigError, match=r"model.image_weights: .*no pretrained weights: expected .none.; found 'imagenet'"):
        model_config("image_only", image_encoder="tiny")
    with pytest.raises(ConfigError, match=r"train.text_learning_rate: image_only has no text encoder"):
        profile_config("smoke", "css", **{"model.name": "image_only", "train.text_learning_rate": 0.1})
    with pytest.raises(ConfigError, match=r"model.name: expected the name of the system whose settings these are"):
        MODELS["tirg"].Config(name="maaf")


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("yes", True), ("on", True), ("false", False), ("no", False), ("off", False)]
)
def test_words_for_true_and_false(shell, tmp_path, tiny_css, monkeypatch, text, value):
    made = []
    monkeypatch.setattr(
        "maaf_lab.experiments.train.train_and_evaluate", lambda config, *_args, **_named: made.append(config) or exit(3)
    )
    shell(
        "train",
        "--model",
        "maaf",
        "--dataset",
        "css",
        "--data-root",
        tiny_css,
        "--runs-root",
        tmp_path,
        "--profile",
        "smoke",
        "--set",
        f"model.include_text={text}",
        "--set",
        f"train.compile={text}",
    )
    assert made[0].model.include_text is value and made[0].train.compile is value


@pytest.mark.parametrize(
    "setting",
    [
        "model.include_text=nope",
        "model.blocks=1.5",
        "train.batch_size=16.0",
        "model.scale=NaN",
        'model.image_channels=["a"]',
        "model.width=" + "[" * 3000,
        "train.steps=Infinity",
    ],
)
def test_the_shell_refuses_in_one_line(shell, tmp_path, tiny_css, setting):
    code, out, err = shell(
        "train",
        "--model",
        "maaf",
        "--dataset",
        "css",
        "--data-root",
        tiny_css,
        "--runs-root",
        tmp_path,
        "--profile",
        "smoke",
        "--set",
        setting,
    )
    assert code == 2 and out == "" and err.startswith("maaf-lab: ") and len(err.splitlines()) == 1
    assert setting.partition("=")[0] in err and not list(tmp_path.iterdir())


def test_equal_values_give_one_name():
    config = profile_config("smoke", "css")
    assert config.replace(**{"train.decay_factor": 10, "train.schedule": "step"}).train.decay_factor == 10.0
    assert config.replace(**{"model.dropout": 0}).name == config.replace(**{"model.dropout": 0.0}).name
    assert config.replace(**{"model.include_text": "off"}) == config.replace(**{"model.include_text": False})
    assert config.replace(**{"model.image_channels": [8, 16, 16, 32]}) == config


def test_every_setting_is_documented_where_it_stands():
    for kind in (DataConfig, TrainConfig, RunConfig, *(system.Config for system in MODELS.values())):
        for name, text in kind.describe().items():
            assert len(text.split(" (")[0]) > 6, f"{kind.__qualname__}.{name}"
    assert "divide" in TrainConfig.describe()["decay_factor"] and "at least 1" in TrainConfig.describe()["decay_factor"]


def test_the_shell_lists_the_settings_of_a_system(shell):
    code, out, _ = shell("settings", "tirg")
    assert code == 0 and "model.width: D of every token and embedding. (a whole number, at least 1; default 512)" in out
    assert "model.blocks" not in out and "train.seed: " in out and "data.pixels: " in out
    assert shell("settings", "maff")[0] == 2


def test_the_help_imports_neither_torch_nor_pydantic():
    code = (
        "import sys; sys.argv = ['maaf-lab', '--help']\nfrom maaf_lab import cli\ntry: cli.main()\nexcept SystemExit: pass\n"
        "assert not {'torch', 'pydantic'} & set(sys.modules)\nimport maaf_lab.config, maaf_lab.profiles\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


# --- what a system reads ----------------------------------------------------------------------------------------------

CASES = [(name, {}) for name in MODELS]
CASES += [("maaf", {"text_encoder": name}) for name in TEXT_ENCODERS if name != "bert"]
CASES += [("tirg", {"text_encoder": name}) for name in TEXT_ENCODERS if name != "bert"]
CASES += [
    ("maaf", {"text_encoder": "bert", "bert": "minilm", "freeze_text": True}),
    ("maaf", {"blocks": 0}),
    ("maaf", {"include_text": False}),
    ("maaf", {"text_projection": False}),
    ("maaf", {"text_encoder": "linear", "word_width": 12}),
    ("maaf", {"word_vectors": "glove"}),
    ("show_and_tell", {"word_vectors": "glove"}),
    ("maaf", {"image_through_attention": False}),
    ("two_stream", {"two_stream": "xmm"}),
    ("two_stream", {"two_stream": "xff"}),
    ("two_stream", {"include_text": False, "image_through_attention": False}),
    ("two_stream", {"include_text": False}),
    ("tirg", {"image_encoder": "resnet18", "image_channels": None}),
    ("film", {"image_encoder": "efficientnet_lite0"}),
]
OTHER = {  # another value of each setting; what is not here is doubled or turned round
    "image_encoder": "resnet18",
    "image_weights": "somewhere.pth",
    "image_channels": (8, 16, 16, 40),
    "text_encoder": "embedding",
    "word_vectors": "vectors.txt",
    "bert": "none",
    "resolutions": (7, 14),
    "two_stream": "xxx_xmm_mxx_xff",
    "attention": "identity",
    "positions": "sinusoidal",
    "pooling_weights": "paper",
    "token_projection": "paper",
    "layer_norm": "standard",
    "attention_dropout": 0.3,
    "word_width": 24,
    "blocks": 3,
}


def settings_of(name, given):
    """Smoke settings; an encoder that is not tiny reads no `image_channels`."""
    base = {
        "image_encoder": "tiny",
        "image_weights": "none",
        "image_channels": (8, 16, 16, 32),
        "width": 32,
        "text_width": 32,
        "heads": 4,
        "feedforward": 16,
        "resolutions": (7,),
    }
    return model_config(name, base, **{key: value for key, value in given.items() if value is not None})


class Recorder:
    """Settings that know which of them were read."""

    def __init__(self, settings, fixed):
        self.__dict__.update(_settings=settings, _seen=set(), _fixed=fixed)

    def __getattr__(self, name):
        if name in type(self._settings).model_fields:
            self._seen.add(name)
        elif name not in self._fixed:
            raise AttributeError(f"{name} is read and is no setting of {self._settings.name}")
        return getattr(self._settings, name)


@pytest.mark.parametrize(("name", "given"), CASES, ids=[f"{n}-{g}" for n, g in CASES])
def test_what_is_said_to_be_read_is_read_and_nothing_else(name, given):
    """Built and run with settings that take notes: what a system declares is what its code asks for."""
    config = settings_of(name, given)
    if given.get("image_encoder", "").startswith("efficientnet"):
        pytest.importorskip("efficientnet_lite_pytorch")
    fixed = {key for key in vars(LocallyBounded.Config) if not key.startswith("_")} if name == "locally_bounded" else set()
    texts = ["make red cube blue", "add cube", "remove sphere"]
    seen = Recorder(config, fixed)
    vocabulary = build_vocabulary(seen, texts)
    model = build_model(seen, vocabulary).train()
    size = 56 if config.image_encoder == "tiny" else 224
    places = torch.arange(3)
    model(torch.randn(3, 3, size, size), places, places, model.read(texts))
    model.eval()
    with torch.no_grad():
        model.embed_query(torch.randn(3, 3, size, size), texts, return_attention=True)
    if "text_encoder" not in type(config).model_fields:
        assert isinstance(vocabulary, Vocabulary)
    assert seen._seen - {"name", "image_encoder", "text_encoder"} <= config.read(), "read, and not in the run's name"
    assert config.read() - {"name"} <= seen._seen, "in the run's name, and not read"


@pytest.mark.parametrize(("name", "given"), CASES, ids=[f"{n}-{g}" for n, g in CASES])
def test_every_setting_that_is_read_names_the_run_and_no_other_can_be_set(name, given):
    config = RunConfig(model=settings_of(name, given))
    kind, names = type(config.model), {config.name}
    for setting in sorted(kind.model_fields.keys() - {"name"}):
        value = getattr(config.model, setting)
        other = OTHER.get(setting, not value if isinstance(value, bool) else value * 2 if value else 7)
        change = {
            f"model.{setting}": other
            if other != value
            else {"text_encoder": "lstm", "layer_norm": "code", "blocks": 2, "image_encoder": "resnet50", "word_width": 48}.get(
                setting
            )
        }
        if setting not in config.model.read():
            with pytest.raises(ConfigError, match=rf"model\.{setting}: {name} does not read it as its other settings are"):
                config.replace(**change)
        elif setting == "image_weights" and config.model.image_encoder == "tiny":
            with pytest.raises(ConfigError, match="no pretrained weights"):
                config.replace(**change)
        else:
            names.add(config.replace(**change).name)
    read = config.model.read() - {"name"} - ({"image_weights"} if config.model.image_encoder == "tiny" else set())
    assert len(names) == 1 + len(read), "two settings of one name"


def test_what_another_system_reads_is_refused():
    for setting, value in (("blocks", 7), ("attention", "identity"), ("resolutions", (7, 14)), ("include_text", False)):
        with pytest.raises(ConfigError, match=rf"model\.{setting}: tirg has no such setting; it reads .*text_encoder.*width"):
            profile_config("smoke", "css", **{"model.name": "tirg", f"model.{setting}": value})
    for settings in (
        {"model.bert": "minilm"},
        {"train.decay_every": 9},
        {"model.text_encoder": "embedding", "model.text_layers": 2},
        {"model.word_vectors": "glove", "model.word_width": 9},
    ):
        with pytest.raises(ConfigError, match=r"does not read it as its other settings are; it reads .*Leave it out"):
            profile_config("smoke", "css", **settings)
    with pytest.raises(ConfigError, match=r"model\.image_channels: tirg does not read it"):
        model_config("tirg", image_channels=(8, 16, 16, 32))


def test_a_profile_is_a_default():
    """What a profile says and a system does not read is left out, and has no part in the run's name."""
    tirg = profile_config("laptop", "fashion_iq", **{"model.name": "tirg"})
    assert not {"blocks", "heads", "attention_dropout", "resolutions"} & set(tirg.to_dict()["model"])
    assert "decay_every" not in tirg.to_dict()["train"]
    for profile in ("smoke", "laptop", "paper"):
        for dataset in ("css", "fashion_iq", "mit_states"):
            for name in MODELS:
                config = profile_config(profile, dataset, **{"model.name": name})
                assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_another_system_keeps_what_it_reads():
    config = profile_config("smoke", "css", **{"model.dropout": 0.2, "model.attention": "identity", "model.text_width": 48})
    tirg = config.replace(**{"model.name": "tirg"})
    assert tirg == profile_config("smoke", "css", **{"model.name": "tirg", "model.text_width": 48})
    assert config.replace(**{"model.name": "concat"}).model.dropout == 0.2
    bert = config.replace(**{"model.text_encoder": "bert", "model.bert": "minilm"})
    assert bert.replace(**{"model.text_encoder": "lstm"}) == config.replace(**{"model.text_width": 512})
    slow = config.replace(**{"train.text_learning_rate": 0.1})
    assert slow.replace(**{"model.name": "image_only"}).train.text_learning_rate is None
    assert config.replace(profile="laptop").model == config.model


def test_rows_of_tables_set_only_what_is_read():
    for profile in ("smoke", "laptop", "paper"):
        for table in TABLES.values():
            for row in table.rows:
                for dataset in table.datasets:
                    row_configs(table.key, row.label, profile, "", [0], dataset)


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


# --- registries -------------------------------------------------------------------------------------------------------


def test_a_system_of_ones_own_is_trained_by_name(tmp_path, tiny_css, smoke, monkeypatch):
    monkeypatch.setattr(MODELS, "_targets", dict(MODELS._targets))

    @MODELS.register("brightness")
    class Brightness(VectorModel):
        class Config(VectorModel.Config):
            name: str = "brightness"
            """The system."""
            gain: float = 1.0
            """How much."""

        def fuse(self, features, text: TextBatch, return_attention=False):
            return self.config.gain * self.image_vector(features), None

    config = smoke("brightness", **{"model.gain": 2, "train.steps": 2, "train.warmup_steps": 1})
    run = train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)
    assert run.config == config and run.load_model().config.gain == 2.0
    with pytest.raises(ConfigError, match=r"system 'tirg' is maaf_lab\.models\.systems\.tirg:TIRG; take another name"):
        MODELS.register("tirg")(Brightness)
    with pytest.raises(ConfigError, match=r"model\.blocks: brightness has no such setting; it reads gain, "):
        smoke("brightness", **{"model.blocks": 2})


def test_a_registry():
    registry = Registry("fruit", {"json": "json:JSONDecoder"})
    assert list(registry) == ["json"] and registry["json"] is json.JSONDecoder and "x" not in registry and [] not in registry
    with pytest.raises(ConfigError, match="unknown fruit 'pear'; known: json"):
        registry["pear"]
    assert all(isinstance(kind, type) for names in (MODELS, IMAGE_ENCODERS, TEXT_ENCODERS) for kind in names.values())
    assert maaf_lab.profile_config is profile_config
