"""The check at the public doors: what a function is given against what its annotations say, before anything is done."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from reprlib import Repr
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from maaf_lab.errors import ConfigError

P, R = ParamSpec("P"), TypeVar("R")
_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    NoneType: "None",
    Path: "a path",
    Callable: "a function",
    Mapping: "a dictionary",
}
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which refuses arguments of another kind than its annotations name: ConfigError, and nothing was done.

    Values are passed on as they are, whole numbers of NumPy's as Python's. A list is anything that can be gone through but a
    text; what can be gone through only once is not looked into. `Annotated[kind, "words"]` says a kind in the message's words.
    """
    signature = inspect.signature(function)

    @functools.cache
    def kinds() -> Mapping[str, Any]:  # at the first call: annotations are read when all of them are known
        given = {name: p.annotation for name, p in signature.parameters.items() if p.annotation is not inspect.Parameter.empty}
        return get_type_hints(SimpleNamespace(__annotations__=given), inspect.unwrap(function).__globals__, include_extras=True)

    @functools.wraps(function)
    def call(*args: P.args, **named: P.kwargs) -> R:
        try:
            bound = signature.bind(*args, **named)
        except TypeError:
            return function(*args, **named)  # Python says which argument lacks or is too many
        for name, value in bound.arguments.items():
            if name in kinds():
                several = signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
                for one in value if several else (value,):
                    expected(function.__name__, name, one, kinds()[name])
                if isinstance(value, Integral) and not isinstance(value, int):
                    bound.arguments[name] = int(value)
        return function(*bound.args, **bound.kwargs)

    return call


def expected(door: str, name: str, value: Any, kind: Any) -> Any:
    """The value, where it is of that kind; else a ConfigError. door: what it was given to."""
    if not _fits(value, kind):
        one = _of_list(kind)
        hint = f". Put it in a list: [{_SHORT.repr(value)}]" if one is not None and _fits(value, one) else ""
        raise ConfigError(f"{door}: {name}: expected {_in_words(kind)}, found {_SHORT.repr(value)}{hint}")
    return value


def _fits(value: Any, kind: Any) -> bool:
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin is Annotated:
        return _fits(value, parts[0])
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if kind in (int, float):
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    if origin is tuple:
        return isinstance(value, (tuple, list)) and len(value) == len(parts) and all(map(_fits, value, parts))
    if (one := _of_list(kind)) is not None:
        listed = isinstance(value, origin) and not isinstance(value, (str, bytes))
        return listed and (not isinstance(value, Collection) or all(_fits(part, one) for part in value))
    return isinstance(value, origin or kind)


def _of_list(kind: Any) -> Any:
    """What each part of the list is, where the kind is a list, or one of several; else None."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _of_list(parts[0])
    if origin in (Union, UnionType):
        return next((one for part in parts if (one := _of_list(part)) is not None), None)
    listed = inspect.isclass(origin) and issubclass(origin, Iterable) and not issubclass(origin, (tuple, Mapping))
    return parts[0] if listed else None


def _in_words(kind: Any) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return parts[1]
    if origin in (Union, UnionType):
        return " or ".join(map(_in_words, parts))
    if (one := _of_list(kind)) is not None:
        return f"a list (each {_in_words(one)})"
    return _WORDS.get(origin or kind) or (origin or kind).__name__
