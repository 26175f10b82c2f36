"""What a run is: frozen settings, the three profiles, and the hash that names a run.

Everything that changes a run's numbers stands here, and nothing else does: folders, devices and worker counts are
arguments of the functions that use them. Settings refuse nonsense when they are made.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from maaf_lab.errors import ConfigError


def _one_of(owner: object, name: str, allowed: tuple[Any, ...]) -> None:
    value = getattr(owner, name)
    if value not in allowed:
        raise ConfigError(f"{type(owner).__name__}.{name}: expected one of {', '.join(map(repr, allowed))}; found {value!r}")


def _at_least(owner: object, low: float, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= low:
            raise ConfigError(f"{type(owner).__name__}.{name}: expected a number of at least {low}, found {value!r}")


@dataclass(frozen=True)
class DataConfig:
    """Which data, and how its pixels reach the model.

    dataset: a loader's key ("css"). origin: what the files are ("made css ..." with size and seed, or "published
    sha256:..."), so that another copy is another run. pixels: side of the model's input. transform: "plain" (resize,
    centre crop; CSS, MIT-States, Fashion200k) or "crops" (random crops, flips, noise; Fashion IQ, Birds, Spot).
    missing: "error", or "skip" to drop queries whose images are missing. cache: how decoded images are kept, "raw" or "jpeg"
    (a fraction of the disk; values differ by a few steps, so it names another run).
    """

    dataset: str = "css"
    origin: str = ""
    pixels: int = 224
    transform: str = "plain"
    missing: str = "error"
    cache: str = "raw"

    def __post_init__(self) -> None:
        _at_least(self, 8, "pixels")
        _one_of(self, "transform", ("plain", "crops"))
        _one_of(self, "missing", ("error", "skip"))
        _one_of(self, "cache", ("raw", "jpeg"))


@dataclass(frozen=True)
class ModelConfig:
    """A system and its switches. Fields that a system does not use are ignored by it.

    name: registry key ("maaf", "two_stream", "tirg", "film", ...; `models.build.MODELS` has them all).
    image_encoder: "resnet50", "resnet18", "efficientnet_lite0" or "tiny". image_weights: "imagenet" (torchvision's cache
    or the [pretrained] extra), "none" (from scratch), or the path of a local file; never silently none.
    image_channels: widths of the tiny encoder's four stages (for 56 px), or five (for 112 px).
    text_encoder: "lstm", "embedding", "linear", "transformer" or "bert" (Table 5). width: D of every token and embedding.
    text_width: width of word embedding and LSTM state. text_layers: layers of the LSTM or the transformer.
    word_vectors: where word embeddings start, "none" (at random), "glove" (the [pretrained] extra's 50-dimensional ones) or a
    file in GloVe's text format. word_width: width of the word embedding where it is not text_width; 0 takes text_width, or the
    width of the word vectors. freeze_text: word embeddings (of BERT: everything) stay as they start.
    bert: "bert-base-uncased" (transformers' cache or hub), "minilm" (a small one that comes with a package), a folder, or "none"
    (from scratch).
    resolutions: image tokens used, named as the paper names them at 224 px: 7 is the last stage, 14 and 28 the ones before.
    two_stream: the operations of a two-stream block, in order (Table 4; see models/two_stream.py).
    blocks, heads, feedforward: size of the fusion (paper 2.4: 2 blocks, 8 heads, 256; CSS: 1 block, 7 only).
    attention: f of equation 1, "softmax" or "identity". positions: "none", "sinusoidal" or "mixed" (learned for image tokens).
    resolutionwise_pooling (RP), image_through_attention (ITA), include_text (IT): Table 2's switches.
    pooling_weights: "code" (image 1/2, text 1/2) or "paper" (each kind of token equal; section 2.3).
    token_projection: "code" (1x1 convolution, batch norm, ReLU) or "paper" (a linear map; section 2).
    text_projection: linear layer with dropout after the LSTM, as in the authors' code; the paper has none.
    layer_norm: "code" (unbiased std + 1e-6) or "standard". dropout: in attention and feed-forward; text_dropout: on LSTM outputs.
    attention_dropout: on the attention's weights, where it is not to be `dropout`; at 0 they are never formed, on a CPU too.
    scale: start of the learned scale s (section 2.3).
    """

    name: str = "maaf"
    image_encoder: str = "resnet50"
    image_weights: str = "imagenet"
    image_channels: tuple[int, ...] = (16, 32, 64, 128)
    text_encoder: str = "lstm"
    text_layers: int = 1
    word_vectors: str = "none"
    word_width: int = 0
    freeze_text: bool = False
    bert: str = "bert-base-uncased"
    width: int = 512
    text_width: int = 512
    resolutions: tuple[int, ...] = (7, 14)
    blocks: int = 2
    heads: int = 8
    feedforward: int = 256
    two_stream: str = "xxx_xmm_xff"
    attention: str = "softmax"
    positions: str = "none"
    resolutionwise_pooling: bool = True
    image_through_attention: bool = True
    include_text: bool = True
    pooling_weights: str = "code"
    token_projection: str = "code"
    text_projection: bool = True
    layer_norm: str = "code"
    dropout: float = 0.1
    text_dropout: float = 0.1
    attention_dropout: float | None = None
    scale: float = 4.0

    def __post_init__(self) -> None:
        _at_least(self, 1, "width", "text_width", "heads", "feedforward", "text_layers")
        _at_least(self, 0, "blocks", "dropout", "text_dropout", "word_width")
        _one_of(self, "attention", ("softmax", "identity"))
        _one_of(self, "positions", ("none", "sinusoidal", "mixed"))
        _one_of(self, "pooling_weights", ("code", "paper"))
        _one_of(self, "token_projection", ("code", "paper"))
        _one_of(self, "layer_norm", ("code", "standard"))
        if self.width % self.heads:
            raise ConfigError(f"ModelConfig.width {self.width} does not divide into {self.heads} heads: change one of them")
        known = {7, 14, 28}
        if not self.resolutions or len(set(self.resolutions)) != len(self.resolutions) or not set(self.resolutions) <= known:
            raise ConfigError(f"ModelConfig.resolutions: expected some of 7, 14 and 28, each once; found {self.resolutions}")
        if self.attention_dropout is not None:
            _at_least(self, 0, "attention_dropout")
        for name in ("dropout", "text_dropout", "attention_dropout"):
            if (getattr(self, name) or 0) >= 1:
                raise ConfigError(f"ModelConfig.{name}: expected a number below 1, found {getattr(self, name)}")
        if self.scale <= 0:
            raise ConfigError(f"ModelConfig.scale: expected a positive number, found {self.scale}")
        if len(self.image_channels) not in (4, 5):
            raise ConfigError(f"ModelConfig.image_channels: expected four widths or five, found {self.image_channels}")


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained (paper 2.4; PAPER_NOTES for what the paper leaves out).

    steps, batch_size: optimizer steps and queries a step.
    group_size: consecutive queries of a batch that share one reference image. single_category: all queries of a batch are of
    one category (Fashion IQ). grayscale: share of references that a step shows in grey, their targets with them (shape must
    then be told without colour).
    learning_rate: of everything but the image model's backbone, which has image_learning_rate. text_learning_rate: of the text
    encoder, where it is not to be `learning_rate` (Table 5's row with an asterisk).
    schedule: "step" (divide by `decay_factor` every `decay_every` steps) or "cosine" (to zero at the last step).
    warmup_steps: steps over which all rates rise linearly from zero. clip_norm: largest gradient norm, 0 for none.
    precision: "fp32", "bf16" or "fp16" (mixed precision). compile: the step's forward and backward through torch.compile.
    seed: of weights, sampling and dropout.
    checkpoint_every: steps between checkpoints; log_every: steps between log rows.
    """

    steps: int = 150_000
    batch_size: int = 32
    group_size: int = 1
    single_category: bool = False
    grayscale: float = 0.0
    learning_rate: float = 0.01
    image_learning_rate: float = 0.001
    text_learning_rate: float | None = None
    momentum: float = 0.9
    weight_decay: float = 1e-6
    schedule: str = "step"
    decay_every: int = 50_000
    decay_factor: float = 10.0
    warmup_steps: int = 0
    clip_norm: float = 0.0
    precision: str = "fp32"
    compile: bool = False
    seed: int = 0
    checkpoint_every: int = 1000
    log_every: int = 50

    def __post_init__(self) -> None:
        _at_least(self, 0, "warmup_steps", "clip_norm", "momentum", "weight_decay", "seed", "grayscale")
        _at_least(self, 0, "learning_rate", "image_learning_rate")
        if self.text_learning_rate is not None:
            _at_least(self, 0, "text_learning_rate")
        _at_least(self, 1, "steps", "group_size", "decay_every", "decay_factor", "checkpoint_every", "log_every")
        _one_of(self, "schedule", ("step", "cosine"))
        _one_of(self, "precision", ("fp32", "bf16", "fp16"))
        if self.grayscale > 1:
            raise ConfigError(f"TrainConfig.grayscale: expected a share between 0 and 1, found {self.grayscale}")
        if self.batch_size < 2:
            raise ConfigError(f"TrainConfig.batch_size: the loss compares targets, so at least 2; found {self.batch_size}")
        if self.batch_size % self.group_size:
            raise ConfigError(f"TrainConfig: batch_size {self.batch_size} is not a multiple of group_size {self.group_size}")


# Settings that older runs do not know: at their defaults they stay out of the hash, so that those runs keep their names.
_ADDED_LATER: tuple[tuple[str, str, Any], ...] = (
    ("train", "single_category", False),
    ("train", "grayscale", 0.0),
    ("data", "cache", "raw"),
    ("model", "attention_dropout", None),
    ("model", "text_layers", 1),
    ("model", "word_vectors", "none"),
    ("model", "word_width", 0),
    ("model", "freeze_text", False),
    ("model", "bert", "bert-base-uncased"),
    ("model", "two_stream", "xxx_xmm_xff"),
    ("train", "text_learning_rate", None),
    ("train", "compile", False),
)


@dataclass(frozen=True)
class RunConfig:
    """Everything that names a run. `profile` says where the settings came from."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    profile: str = "paper"

    @property
    def name(self) -> str:
        """`{dataset}-{model}-{hash}`: the same settings give the same name, on any machine."""
        named = self.to_dict()
        for part, setting, default in _ADDED_LATER:
            if named[part][setting] == default:
                del named[part][setting]
        digest = hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:10]
        return f"{self.data.dataset}-{self.model.name}-{digest}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> RunConfig:
        """Inverse of `to_dict`; an unknown key is an error that lists the known ones."""
        parts = {"data": DataConfig, "model": ModelConfig, "train": TrainConfig}
        made = {key: _build(kind, raw.get(key, {})) for key, kind in parts.items()}
        return _build(cls, {**raw, **made})

    def replace(self, **changes: Any) -> RunConfig:
        """A copy with fields changed by dotted name: `config.replace(**{"model.attention": "identity", "train.seed": 1})`."""
        by_part: dict[str, dict[str, Any]] = {}
        for key, value in changes.items():
            part, _, name = key.rpartition(".")
            by_part.setdefault(part, {})[name] = value
        new = self
        for part, fields in by_part.items():
            if part and part not in ("data", "model", "train"):
                raise ConfigError(f"unknown part {part!r} of a run's settings; known: data, model, train")
            if part:
                old = getattr(self, part)
                new = dataclasses.replace(new, **{part: _build(type(old), {**_shallow(old), **fields})})
            else:
                new = _build(RunConfig, {**_shallow(new), **fields})
        return new


def _shallow(config: Any) -> dict[str, Any]:
    return {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}


def _build(kind: type, raw: dict[str, Any]) -> Any:
    known = {f.name for f in dataclasses.fields(kind)}
    unknown = sorted(set(raw) - known)
    if unknown:
        raise ConfigError(f"{kind.__name__}: unknown setting {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()})


# --- profiles ---------------------------------------------------------------------------------------------------------

_CSS_MODEL = {"model.resolutions": (7,), "model.blocks": 1}  # section 3.1: block 4 only, one attention block
_CROPS = {"data.transform": "crops"}
_SMALL = {"data.pixels": 56, "model.image_encoder": "tiny", "model.image_weights": "none"}
_SMOKE = {
    **_SMALL,
    "model.image_channels": (8, 16, 16, 32),
    "model.width": 32,
    "model.text_width": 32,
    "model.feedforward": 64,
    "model.heads": 4,
    "train.steps": 30,
    "train.batch_size": 16,
    "train.image_learning_rate": 0.01,
    "train.schedule": "cosine",
    "train.warmup_steps": 5,
    "train.checkpoint_every": 10,
    "train.log_every": 5,
}
_LAPTOP = {
    **_SMALL,
    "model.width": 128,
    "model.text_width": 128,
    "model.feedforward": 256,
    "model.heads": 8,
    "train.steps": 600,
    "train.batch_size": 96,
    "train.learning_rate": 0.02,
    "train.image_learning_rate": 0.02,
    "train.schedule": "cosine",
    "train.warmup_steps": 100,
    "train.checkpoint_every": 200,
}
# 245 image tokens: the paper's batches of 32, attention without its weights and 300 steps are what a core does in minutes.
_LAPTOP_TOKENS = {**_LAPTOP, "model.attention_dropout": 0.0, "train.batch_size": 32, "train.steps": 300}
# What each dataset asks of every profile: transforms and batches as in the authors' code.
_CSS_BATCHES = {"train.group_size": 4}  # groups of queries that share a reference: the hard negatives
_FASHION_IQ = {**_CROPS, "train.single_category": True}
_MIT_STATES = {"train.group_size": 2}  # a draw holds two queries of each reference

PROFILES: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "css": {**_CSS_MODEL, **_CSS_BATCHES, "train.steps": 75_000, "train.image_learning_rate": 0.01},
        "fashion_iq": _FASHION_IQ,
        "fashion200k": {},
        "mit_states": {**_MIT_STATES, "model.feedforward": 32, "model.blocks": 1},  # the authors' script; the paper is silent
        "birds_to_words": {**_CROPS, "train.steps": 30_000},  # section 3.3; the authors' script: 50,000, decay every 10,000
        "spot_the_diff": {**_CROPS, "train.steps": 90_000, "train.decay_every": 30_000},  # the authors' script
    },
    "laptop": {
        "css": {**_CSS_MODEL, **_LAPTOP, **_CSS_BATCHES},
        "fashion_iq": {**_LAPTOP_TOKENS, **_FASHION_IQ},
        "fashion200k": _LAPTOP_TOKENS,
        "mit_states": {**_LAPTOP_TOKENS, **_MIT_STATES},
        "birds_to_words": {**_LAPTOP_TOKENS, **_CROPS},
        "spot_the_diff": {**_LAPTOP_TOKENS, **_CROPS},
    },
    "smoke": {
        "css": {**_CSS_MODEL, **_SMOKE, **_CSS_BATCHES},
        "fashion_iq": {**_SMOKE, **_FASHION_IQ},
        "fashion200k": _SMOKE,
        "mit_states": {**_SMOKE, **_MIT_STATES},
        "birds_to_words": {**_SMOKE, **_CROPS},
        "spot_the_diff": {**_SMOKE, **_CROPS},
    },
}
for _variant in ("css2d", "css2d3d"):  # read from CSS's folder; trained as CSS is
    for _profile in PROFILES.values():
        _profile[_variant] = _profile["css"]


def profile_config(profile: str, dataset: str, **changes: Any) -> RunConfig:
    """The settings of `profile` ("smoke", "laptop", "paper") for `dataset`, with dotted `changes` on top.

    Raises ConfigError naming the known profiles and datasets.
    """
    if profile not in PROFILES:
        raise ConfigError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}")
    if dataset not in PROFILES[profile]:
        raise ConfigError(f"profile {profile!r} knows no dataset {dataset!r}; known: {', '.join(PROFILES[profile])}")
    return RunConfig(profile=profile).replace(**{"data.dataset": dataset, **PROFILES[profile][dataset], **changes})
