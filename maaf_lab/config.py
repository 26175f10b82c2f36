"""What a run is: frozen settings, checked when they are made, and the hash of what is read, which names the run.

Everything that changes a run's numbers is a setting, and nothing else is: folders, devices and worker counts are arguments of
the functions that use them. A setting is documented where it stands. What a system reads stands beside its class (`Config` in
its file, made of the parts that its encoders and its fusion read); here is what belongs to no system.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from maaf_lab.errors import ConfigError
from maaf_lab.utils.registry import DATASETS, MODELS, Registry
from maaf_lab.utils.wording import did_you_mean

# --- types of settings ------------------------------------------------------------------------------------------------

_SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def _switch(value: Any) -> Any:
    return _SWITCH.get(value, value) if isinstance(value, str) else value


Switch = Annotated[bool, BeforeValidator(_switch)]  # true, false, yes, no, on and off are understood too, as text
# Upper bounds are far above what anybody trains: a typing error must not take the machine's memory, or years.
Count = Annotated[int, Field(ge=1, le=10**9)]
Layers = Annotated[int, Field(ge=1, le=100)]
Width = Annotated[int, Field(ge=1, le=8192)]
Hidden = Annotated[int, Field(ge=1, le=65_536)]  # of a layer between two others
Share = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(ge=0, le=1e9)]
AS_TUPLE = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)  # JSON has no tuples
CountList = Annotated[tuple[Count, ...], AS_TUPLE]
ADDED_LATER = "added later"  # Annotated[..., ADDED_LATER]: at its default the setting stays out of the names of runs


def name_in(registry: Registry) -> AfterValidator:
    """The type of a setting that is a registered name; nothing is imported to check it."""

    def checked(value: str) -> str:
        if value not in registry:
            registry[value]  # raises, and says what is known
        return value

    return AfterValidator(checked)


# --- what all settings share ------------------------------------------------------------------------------------------


class Settings(BaseModel):
    """Frozen settings, checked when they are made: a wrong type or value is refused, and so is a setting that would not be read.

    Raises ConfigError naming the setting, what was expected and what was found. Equal settings are equal in all that is read.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True, ignored_types=(property,)
    )
    part: ClassVar[str] = ""  # of a run: "data", "model" or "train"

    def __init__(self, **values: Any) -> None:
        self._fill(values)
        if unread := sorted(set(values) - self.read()):
            raise ConfigError(
                f"{self._dotted(unread[0])}: {self._owner(values)} does not read it with its other settings as they are; "
                f"it reads {', '.join(sorted(self.read()))}. Leave it out"
            )

    @classmethod
    def with_defaults(cls, defaults: Mapping[str, Any], **given: Any) -> Self:
        """Settings from `given`, each of which has to be read, and from those `defaults` that are read."""
        draft, values = cls.__new__(cls), {**{name: defaults[name] for name in defaults if name in cls.model_fields}, **given}
        draft._fill(values)
        read = draft.read()
        return cls(**{name: value for name, value in values.items() if name in given or name in read})

    def read(self) -> frozenset[str]:
        """Names of the settings that are read, with the others as they are: all, unless a class says otherwise."""
        return frozenset(type(self).model_fields)

    def given(self) -> dict[str, Any]:
        """What was set, by somebody or by a profile."""
        return {name: getattr(self, name) for name in self.model_fields_set}

    def to_dict(self) -> dict[str, Any]:
        """What is read, as plain JSON types."""
        read = self.read()
        found = {name: getattr(self, name) for name in type(self).model_fields if name in read}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    def named(self) -> dict[str, Any]:
        """What a run's name is hashed from: what is read, without settings that were added later and are at their default."""
        fields = type(self).model_fields
        return {
            name: value
            for name, value in self.to_dict().items()
            if not (ADDED_LATER in fields[name].metadata and getattr(self, name) == fields[name].default)
        }

    @classmethod
    def describe(cls) -> dict[str, str]:
        """Each setting -> what it is, what is expected and its default, in a line."""
        return {
            name: f"{(field.description or '').strip()} ({_expected(cls, name)}; default {field.default!r})"
            for name, field in cls.model_fields.items()
        }

    def _fill(self, values: Mapping[str, Any]) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError("; ".join(self._refusals(error, values))) from None

    @classmethod
    def _refusals(cls, error: ValidationError, values: Mapping[str, Any]) -> list[str]:
        found: dict[str, str] = {}  # a line a setting, whatever pydantic finds inside of it
        for problem in error.errors(include_url=False, include_input=False):
            name = str(problem["loc"][0]) if problem["loc"] else ""
            if problem["type"] == "extra_forbidden":
                known = sorted(cls.model_fields)
                why = f"{cls._owner(values)} has no such setting; it reads {', '.join(known)}{did_you_mean(name, known)}"
            elif problem["type"] == "value_error":
                why = str(problem["ctx"]["error"])
            else:
                shown = repr(values.get(name))
                why = f"expected {_expected(cls, name)}; found {shown if len(shown) <= 80 else shown[:77] + '...'}"
            found.setdefault(name, f"{cls._dotted(name)}: {why}" if name else why)
        return list(found.values())

    @classmethod
    def _dotted(cls, name: str) -> str:
        return f"{cls.part}.{name}" if cls.part else name

    @classmethod
    def _owner(cls, values: Mapping[str, Any]) -> str:
        return "a run" if not cls.part else {"train": "training"}.get(cls.part, cls.part)


def _expected(kind: type[Settings], name: str) -> str:
    schema = kind.model_json_schema()
    return _in_words(schema["properties"][name], schema.get("$defs", {}))


def _in_words(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    """A JSON schema for people: "a whole number of at least 1"."""
    if "anyOf" in schema:
        return " or ".join(_in_words(one, defs) for one in schema["anyOf"])
    if "enum" in schema:
        return f"one of {', '.join(map(repr, schema['enum']))}"
    if "const" in schema:
        return repr(schema["const"])
    if schema.get("type") == "array":
        few, many = schema.get("minItems"), schema.get("maxItems")
        what = _in_words(schema["items"], defs)
        return f"a list{f' of {few} to {many}' if many else ''}, each {what}"
    words = {
        "integer": "a whole number",
        "number": "a number",
        "string": "text",
        "null": "null",
        "boolean": "true or false (or yes, no, on, off), in small letters",
    }
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    told = [f"{word} {schema[key]:,}" for key, word in bounds.items() if key in schema]
    kind = words.get(schema.get("type", ""), "settings")
    return f"{kind}{', ' if told else ''}{' and '.join(told)}"


# --- the parts of a run -----------------------------------------------------------------------------------------------


class DataConfig(Settings):
    """Which data, and how its pixels reach the model."""

    part = "data"

    dataset: Annotated[str, name_in(DATASETS)] = "css"
    """A dataset's name."""
    origin: str = ""
    """What the files are ("synthetic css ..." with size and seed, or "published sha256:..."): another copy is another run."""
    pixels: Annotated[int, Field(ge=8, le=2048)] = 224
    """Side of the model's input."""
    transform: Literal["plain", "crops"] = "plain"
    """Resize and center crop (CSS, MIT-States, Fashion200k), or random crops, flips, noise (Fashion IQ, Birds, Spot)."""
    missing: Literal["error", "skip"] = "error"
    """What to do about queries whose images are missing: stop, or drop them."""
    cache: Literal["raw", "jpeg"] = "raw"
    """How decoded images are kept. "jpeg" takes a fraction of the disk; values differ by a few steps, so it names another run."""


class ModelConfig(Settings):
    """What every system reads; a system's own `Config` adds to it."""

    part = "model"
    reads_text: ClassVar[bool] = False  # whether there is a text encoder, which `train.text_learning_rate` is for

    name: str
    """The system (`utils.registry.MODELS` has them all)."""
    width: Width = 512
    """D of every token and embedding."""
    scale: Annotated[float, Field(gt=0)] = 4.0
    """Start of the learned scale s (section 2.3)."""

    @model_validator(mode="after")
    def _of_its_system(self) -> Self:
        if self.name not in MODELS or MODELS[self.name].Config is not type(self):
            raise ConfigError(
                f"model.name: expected the name of the system whose settings these are "
                f"({type(self).__qualname__}); found {self.name!r}"
            )
        return self

    @classmethod
    def _owner(cls, values: Mapping[str, Any]) -> str:
        return str(values.get("name", cls.model_fields["name"].default))


class TrainConfig(Settings):
    """How a model is trained (paper 2.4; where it is silent, as the authors' code)."""

    part = "train"

    steps: Count = 150_000
    """Optimizer steps."""
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 32
    """Queries a step; the loss compares targets, so at least two."""
    group_size: Count = 1
    """Consecutive queries of a batch that share one reference image."""
    single_category: Switch = False
    """All queries of a batch are of one category (Fashion IQ)."""
    grayscale: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of references that a step shows in gray, their targets with them (shape must then be recognized without color)."""
    learning_rate: Rate = 0.01
    """Of everything but the image model's backbone."""
    image_learning_rate: Rate = 0.001
    """Of the image model's backbone; at 0 it stays as it is, the statistics of its batch norm too, and a step is cheaper."""
    text_learning_rate: Rate | None = None
    """Of the text encoder, where it is not to be `learning_rate` (Table 5's row with an asterisk)."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of SGD."""
    weight_decay: Rate = 1e-6
    """Of SGD."""
    schedule: Literal["step", "cosine"] = "step"
    """"step": divide by `decay_factor` every `decay_every` steps; "cosine": to zero at the last step."""
    decay_every: Count = 50_000
    """Steps between two divisions of the rates."""
    decay_factor: Annotated[float, Field(ge=1)] = 10.0
    """What the rates are divided by."""
    warmup_steps: Annotated[int, Field(ge=0, le=10**9)] = 0
    """Steps over which all rates rise linearly from zero."""
    clip_norm: Rate = 0.0
    """Largest gradient norm, 0 for none."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """bf16 and fp16 are mixed precision."""
    compile: Switch = False
    """The step's forward and backward through torch.compile."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Of weights, sampling and dropout."""
    checkpoint_every: Count = 1000
    """Steps between checkpoints."""
    log_every: Count = 50
    """Steps between rows of the log."""

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        if self.batch_size % self.group_size:
            raise ConfigError(
                f"train.batch_size: expected a multiple of train.group_size ({self.group_size}); found {self.batch_size}"
            )
        return self

    def read(self) -> frozenset[str]:
        return super().read() - (set() if self.schedule == "step" else {"decay_every", "decay_factor"})


_PARTS: dict[str, type[Settings]] = {"data": DataConfig, "model": ModelConfig, "train": TrainConfig}


class RunConfig(Settings):
    """Everything that names a run. `config.model` is the `Config` of its system."""

    data: DataConfig = Field(default_factory=DataConfig)
    """Which data."""
    model: ModelConfig = Field(default_factory=lambda: model_config("maaf"))
    """A system and its switches."""
    train: TrainConfig = Field(default_factory=TrainConfig)
    """How it is trained."""
    profile: str = "paper"
    """Where the settings came from."""

    @model_validator(mode="after")
    def _text_to_learn(self) -> Self:
        if self.train.text_learning_rate is not None and not self.model.reads_text:
            raise ConfigError(f"train.text_learning_rate: {self.model.name} has no text encoder to learn at it. Leave it out")
        return self

    @property
    def name(self) -> str:
        """`{dataset}-{model}-{hash}`: the same settings give the same name, on any machine."""
        named = {**{part: getattr(self, part).named() for part in _PARTS}, "profile": self.profile}
        digest = hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:10]
        return f"{self.data.dataset}-{self.model.name}-{digest}"

    def to_dict(self) -> dict[str, Any]:
        """What is read, as plain JSON types."""
        return {**{part: getattr(self, part).to_dict() for part in _PARTS}, "profile": self.profile}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], *, older: bool = False) -> RunConfig:
        """Inverse of `to_dict`; an unknown key is an error that lists the known ones.

        older: of a file that may be from before each system had its own settings: all settings of all systems stood in it,
        and those that its system does not read are left out.
        """
        if not isinstance(raw, Mapping) or not all(isinstance(raw.get(part, {}), Mapping) for part in _PARTS):
            raise ConfigError(f"expected a run's settings with the parts {', '.join(_PARTS)}; found {str(raw)[:80]}")
        parts = {part: dict(raw.get(part, {})) for part in _PARTS}
        others = {key: value for key, value in raw.items() if key not in _PARTS}
        if not older:
            return cls._of({}, parts, others)
        if str(origin := parts["data"].get("origin", "")).startswith("made "):  # as the lab called synthetic data at first
            parts["data"]["origin"] = origin.replace("made ", "synthetic ", 1)
        known = {name for system in MODELS.values() for name in system.Config.model_fields} | set(TrainConfig.model_fields)
        old = {part: {k: v for k, v in values.items() if k in known} for part, values in parts.items() if part != "data"}
        new = {part: {k: v for k, v in values.items() if k not in old.get(part, ())} for part, values in parts.items()}
        return cls._of(old, new, others)

    def replace(self, **changes: Any) -> RunConfig:
        """A copy with fields changed by dotted name: `config.replace(**{"model.attention": "identity", "train.seed": 1})`.

        What was set before is kept where it is still read: another `model.name` keeps what the new system reads.
        """
        parts, others = by_part(changes)
        before = {part: getattr(self, part).given() for part in _PARTS}
        return self._of(before, parts, {"profile": self.profile, **others})

    @classmethod
    def of(cls, defaults: Mapping[str, Any], **changes: Any) -> RunConfig:
        """Settings by dotted name: `changes`, which have to be read, on top of those `defaults` that are read."""
        before, base = by_part(defaults)
        parts, others = by_part(changes)
        return cls._of(before, parts, {**base, **others})

    @classmethod
    def _of(
        cls, before: Mapping[str, Mapping[str, Any]], parts: Mapping[str, Mapping[str, Any]], others: Mapping[str, Any]
    ) -> RunConfig:
        made = {part: others[part] for part in _PARTS if part in others}
        if "model" not in made:
            made["model"] = model_config(defaults=before.get("model", {}), **parts.get("model", {}))
        idle = {"text_learning_rate"} if isinstance(made["model"], ModelConfig) and not made["model"].reads_text else set()
        for part in ("data", "train"):
            kept = {name: value for name, value in before.get(part, {}).items() if name not in idle}
            made.setdefault(part, _PARTS[part].with_defaults(kept, **parts.get(part, {})))
        for name in others.keys() - cls.model_fields.keys():  # most likely without its part: "gate" for "model.gate"
            if parts := [part for part, settings in made.items() if name in type(settings).model_fields]:
                raise ConfigError(f"{name}: a run has no such setting. Did you mean {f'{parts[0]}.{name}'!r}?")
        return cls(**{**others, **made})


def by_part(settings: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Dotted settings -> {"data": {...}, "model": {...}, "train": {...}} and those without a dot."""
    parts: dict[str, dict[str, Any]] = {part: {} for part in _PARTS}
    others: dict[str, Any] = {}
    for key, value in settings.items():
        part, dot, name = key.partition(".")
        if dot and part not in parts:
            raise ConfigError(f"unknown part {part!r} of a run's settings; known: {', '.join(parts)}{did_you_mean(part, parts)}")
        (parts[part] if dot else others)[name if dot else part] = value
    return parts, others


def model_config(name: str | None = None, defaults: Mapping[str, Any] | None = None, **settings: Any) -> ModelConfig:
    """The `Config` of a system. defaults: used where the system reads them; `settings` have to be read."""
    defaults = defaults or {}
    name = name if name is not None else defaults.get("name", "maaf")
    try:
        system = MODELS[name]
    except ConfigError as error:
        raise ConfigError(f"model.name: {error}") from None
    return system.Config.with_defaults(defaults, name=name, **settings)
