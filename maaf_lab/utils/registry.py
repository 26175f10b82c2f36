"""Datasets, synthetic sets, systems and encoders by name: name -> "module:Class", imported at its first use.

To add one to the lab, write its file and add its line below. Your own is registered in a module of yours,

    @MODELS.register("mine")
    class Mine(VectorModel): ...

which you import, or name in MAAF_LAB_MODULES (several with commas) or after `maaf-lab --with`.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import PurePath
from typing import Any

from maaf_lab.errors import ConfigError, LabError
from maaf_lab.utils.wording import did_you_mean

YOUR_MODULES = "MAAF_LAB_MODULES"  # an environment variable, so that processes started from this one read it too


def import_yours() -> None:
    """Imports the modules that MAAF_LAB_MODULES names. Raises ConfigError where one is not found or fails."""
    _import_all(os.environ.get(YOUR_MODULES, ""))


@lru_cache
def _import_all(modules: str) -> None:
    asked = f"--with (or {YOUR_MODULES})"
    for name in filter(None, (name.strip() for name in modules.split(","))):
        if name.endswith(".py") or "/" in name:
            plain = PurePath(name).name.removesuffix(".py")
            raise ConfigError(f"{asked}: expected a module's name, found {name!r}: pass {plain}, from the folder that holds it")
        try:
            import_module(name)
        except LabError:
            raise
        except ImportError as error:
            raise ConfigError(
                f"{asked}: expected modules that Python finds, {name!r} could not be imported ({error}); "
                "run from the folder that holds it, or put that folder on PYTHONPATH"
            ) from error
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            raise ConfigError(
                f"{asked}: {name!r} failed at {at.filename}:{at.lineno} ({type(error).__name__}: {error})"
            ) from error


class Registry(Mapping[str, Any]):
    """Names in order; `registry[name]` imports the class.

    Raises ConfigError for an unknown name, listing the known ones; where a line names no class; and where a class has another
    name of its own: a dataset's `key`, the `name` in a system's `Config`.
    """

    def __init__(self, kind: str, targets: Mapping[str, str]) -> None:
        self.kind, self._targets = kind, dict[str, Any](targets)

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise ConfigError(
                f"unknown {self.kind} {name!r}; known: {', '.join(self)}; "
                f"if it is yours, name its module: maaf-lab --with MODULE, or {YOUR_MODULES}{did_you_mean(name, self)}"
            )
        target = self._targets[name]
        return self._imported(name, target) if isinstance(target, str) else target

    def _imported(self, name: str, target: str) -> Any:
        path, _, attribute = target.partition(":")
        try:
            module = import_module(path)
        except ModuleNotFoundError as error:
            if not f"{path}.".startswith(f"{error.name}."):  # a module that it imports, such as an extra's
                raise
            raise ConfigError(f"{self.kind} {name!r} is {target} in utils/registry.py: no module {error.name}") from error
        if (found := getattr(module, attribute, None)) is None:
            known = did_you_mean(attribute, vars(module))
            raise ConfigError(f"{self.kind} {name!r} is {target} in utils/registry.py: the module has no {attribute!r}{known}")
        self._check_name(name, found)
        return found

    def _check_name(self, name: str, target: Any) -> None:
        attribute, own = "key", getattr(target, "key", name)
        if (fields := getattr(getattr(target, "Config", None), "model_fields", None)) is not None:
            attribute, own = "Config.name", fields["name"].default
        if own != name:
            raise ConfigError(
                f"{self.kind} {name!r}: expected {target.__qualname__}.{attribute} to be the same name, found "
                f"{repr(own) if isinstance(own, str) else 'none'}; give both one name"
            )

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        if name not in self._targets:
            import_yours()
        return name in self._targets

    def __iter__(self) -> Iterator[str]:
        import_yours()
        return iter(self._targets)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def register(self, name: str) -> Callable[[Any], Any]:
        """A decorator that registers a class or a function as `name`.

        Raises ConfigError where the name is taken, or where the class has another name of its own.
        """

        def add(target: Any) -> Any:
            self._check_name(name, target)
            taken = self._targets.get(name, target)
            where = taken if isinstance(taken, str) else f"{taken.__module__}:{taken.__qualname__}"
            if where != f"{target.__module__}:{target.__qualname__}":  # a notebook's cell may run twice
                raise ConfigError(f"{self.kind} {name!r} is {where}; take another name")
            self._targets[name] = target
            return target

        return add


DATASETS = Registry(
    "dataset",
    {
        "css": "maaf_lab.data.datasets.css:CSS",
        "css2d": "maaf_lab.data.datasets.css:CSS2D",
        "css2d3d": "maaf_lab.data.datasets.css:CSS2Dto3D",
        "fashion_iq": "maaf_lab.data.datasets.fashion_iq:FashionIQ",
        "fashion200k": "maaf_lab.data.datasets.fashion200k:Fashion200k",
        "mit_states": "maaf_lab.data.datasets.mit_states:MITStates",
        "birds_to_words": "maaf_lab.data.datasets.birds_to_words:BirdsToWords",
        "spot_the_diff": "maaf_lab.data.datasets.spot_the_diff:SpotTheDiff",
    },
)

SYNTHETIC = Registry(
    "synthetic dataset",
    {
        "css": "maaf_lab.synthetic.css.dataset:DATASET",
        "fashion_iq": "maaf_lab.synthetic.garments.fashion_iq:DATASET",
        "fashion200k": "maaf_lab.synthetic.garments.fashion200k:DATASET",
        "mit_states": "maaf_lab.synthetic.states.dataset:DATASET",
        "birds_to_words": "maaf_lab.synthetic.birds.dataset:DATASET",
        "spot_the_diff": "maaf_lab.synthetic.streets.dataset:DATASET",
    },
)

# Datasets that are drawn beside another one's files: `function(folder, pixels) -> Path`.
DRAWN_BESIDE = Registry("dataset drawn beside another", {"css2d": "maaf_lab.synthetic.css.dataset:make_css2d"})

MODELS = Registry(
    "system",
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
