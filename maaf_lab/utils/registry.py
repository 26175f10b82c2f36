"""What can be named: systems and encoders, name -> "module:Class", imported when it is used.

One of the lab's own is its file and its line below; somebody else's is registered before it is named:

    @MODELS.register("mine")
    class Mine(VectorModel): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

from maaf_lab.errors import ConfigError


class Registry(Mapping[str, Any]):
    """Names in order; `registry[name]` imports what stands there. An unknown name is a ConfigError that lists the known ones."""

    def __init__(self, kind: str, targets: Mapping[str, str]) -> None:
        self.kind, self._targets = kind, dict[str, Any](targets)

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise ConfigError(f"unknown {self.kind} {name!r}; known: {', '.join(self)}")
        target = self._targets[name]
        if isinstance(target, str):
            module, _, attribute = target.partition(":")
            return getattr(import_module(module), attribute)
        return target

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._targets

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)

    def register(self, name: str) -> Callable[[type], type]:
        """A class decorator that makes the class known as `name`. ConfigError where the name is another class's."""

        def known(target: type) -> type:
            taken = self._targets.get(name, target)
            where = taken if isinstance(taken, str) else f"{taken.__module__}:{taken.__qualname__}"
            if where != f"{target.__module__}:{target.__qualname__}":  # a notebook's cell may run twice
                raise ConfigError(f"{self.kind} {name!r} is {where}; take another name")
            self._targets[name] = target
            return target

        return known


MODELS = Registry(
    "model",
    {
        "maaf": "maaf_lab.models.systems.maaf:MAAF",
        "two_stream": "maaf_lab.models.systems.two_stream:TwoStream",
        "tirg": "maaf_lab.models.systems.tirg:TIRG",
        "tirg_last_conv": "maaf_lab.models.systems.tirg:TIRGLastConv",
        "image_only": "maaf_lab.models.systems.baselines:ImageOnly",
        "text_only": "maaf_lab.models.systems.baselines:TextOnly",
        "concat": "maaf_lab.models.systems.baselines:Concat",
        "addition": "maaf_lab.models.systems.baselines:Addition",
        "show_and_tell": "maaf_lab.models.systems.show_and_tell:ShowAndTell",
        "parameter_hashing": "maaf_lab.models.systems.parameter_hashing:ParameterHashing",
        "relationship": "maaf_lab.models.systems.relationship:Relationship",
        "film": "maaf_lab.models.systems.film:FiLM",
        "attributes_as_operators": "maaf_lab.models.systems.attributes_as_operators:AttributesAsOperators",
        "locally_bounded": "maaf_lab.models.systems.locally_bounded:LocallyBounded",
        "val": "maaf_lab.models.systems.val:VAL",
    },
)

IMAGE_ENCODERS = Registry(
    "image encoder",
    {
        "resnet50": "maaf_lab.models.encoders.image:ResNet50",
        "resnet18": "maaf_lab.models.encoders.image:ResNet18",
        "efficientnet_lite0": "maaf_lab.models.encoders.image:EfficientNetLite0",
        "tiny": "maaf_lab.models.encoders.image:TinyNet",
    },
)

TEXT_ENCODERS = Registry(
    "text encoder",
    {
        "lstm": "maaf_lab.models.encoders.text:LstmText",
        "embedding": "maaf_lab.models.encoders.text:EmbeddingText",
        "linear": "maaf_lab.models.encoders.text:LinearText",
        "transformer": "maaf_lab.models.encoders.text:TransformerText",
        "bert": "maaf_lab.models.encoders.bert:BertText",
    },
)
