"""Each system has settings of its own: what it says that it reads is what it reads, and names the run."""

import pytest
import torch

from maaf_lab.config import RunConfig, model_config
from maaf_lab.data.text import Vocabulary
from maaf_lab.errors import ConfigError
from maaf_lab.models.registry import build_model, build_vocabulary
from maaf_lab.models.systems.locally_bounded import LocallyBounded
from maaf_lab.profiles import profile_config
from maaf_lab.utils.registry import MODELS, TEXT_ENCODERS

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
    "map_sides": (16, 8, 4),
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
            with pytest.raises(ConfigError, match=rf"model\.{setting}: {name} does not read it with its other"):
                config.replace(**change)
        else:
            names.add(config.replace(**change).name)
    read = config.model.read() - {"name"}
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
        with pytest.raises(ConfigError, match=r"does not read it with its other settings as they are; it reads .*Leave it out"):
            profile_config("smoke", "css", **settings)
    with pytest.raises(ConfigError, match=r"model\.image_channels: tirg does not read it"):
        model_config("tirg", image_channels=(8, 16, 16, 32))


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


def test_a_line_of_two_streams_is_read_when_it_is_set():
    with pytest.raises(ConfigError, match=r"model.two_stream: 'nonsense': unknown operation 'nonsense'; known: xxx, xmm"):
        profile_config("smoke", "css", **{"model.name": "two_stream", "model.two_stream": "nonsense"})
    with pytest.raises(ConfigError, match="changes one stream twice"):
        profile_config("smoke", "css", **{"model.name": "two_stream", "model.two_stream": "xmm.xxx"})
    with pytest.raises(ConfigError, match=r"model.positions: expected one of 'none', 'sinusoidal'; found 'mixed'"):
        profile_config("smoke", "css", **{"model.name": "two_stream", "model.positions": "mixed"})
