"""Loads a pickled object from an `.npy` file without running foreign code.

A pickle is a program that may call any function it can name. Here it can name only plain Python types, and NumPy arrays, scalars
and dtypes of plain types. NumPy's constructors are replaced by checking ones, because a forged dtype state could make bytes pass
for pointers. Files of Python 2, and of NumPy before and after 2.0, are supported.

What a few bytes can make of memory and time is bounded by the size of the file. That takes Python's own unpickler, which is about
six times slower than the one in C: in C, 300,000 nested tuples as a key end the interpreter. So the one in C reads only what
`plain_pickle` knows to be harmless, which CSS's annotation is.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from maaf_lab.data.datasets.plain_pickle import is_harmless
from maaf_lab.errors import DataError

_PLAIN = {
    "dict": dict,
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "str": str,
    "bytes": bytes,
    "bytearray": bytearray,
    "int": int,
    "float": float,
    "bool": bool,
    "complex": complex,
    "unicode": str,
    "long": int,
}  # the last two are Python 2's
_CODE = re.compile(r"\|?(O8?|b1|\?|[iu][1248]|f(?:2|4|8)|c(?:8|16)|S\d{1,9}|U\d{1,9})")


class _Forbidden(Exception):
    """A name outside the allowed types; the message is that name."""


class _Maker:
    """A function that a pickle may call but not change."""

    __slots__ = ("_make",)

    def __init__(self, make: Any) -> None:
        object.__setattr__(self, "_make", make)

    def __call__(self, *args: Any) -> Any:
        return self._make(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise _Forbidden(f"a change to the attribute {name!r} of a function")


class _Dtype:
    """A dtype during unpickling: only its code and byte order are taken from the file."""

    __slots__ = ("_dtype",)

    def __init__(self, code: str, align: Any = False, copy: Any = False) -> None:
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise _Forbidden(f"numpy.dtype({code[:80]!r})" if isinstance(code, str) else "numpy.dtype of no text")
        object.__setattr__(self, "_dtype", np.dtype("O" if code.lstrip("|") in ("O", "O8") else code))

    def __setattr__(self, name: str, value: Any) -> None:
        raise _Forbidden(f"a change to the attribute {name!r} of a dtype")

    def __setstate__(self, state: Any) -> None:
        _, order, subarray, names, fields, *_ = state
        if subarray is not None or names is not None or fields is not None or order not in ("<", ">", "=", "|"):
            raise _Forbidden("numpy.dtype with fields")
        object.__setattr__(self, "_dtype", self._dtype.newbyteorder(order))

    @property
    def real(self) -> np.dtype:
        return self._dtype


class PlainArray(np.ndarray):
    """An array from a pickle; `np.asarray(x).view(np.ndarray)` makes it an ordinary one."""

    __slots__ = ()

    def __setitem__(self, key: Any, value: Any) -> None:  # which would go through lists in lists without end
        raise _Forbidden("a change to an array")

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        dtype = _real(dtype)
        shape = _shape(shape)
        if dtype.hasobject != isinstance(data, list) or (dtype.hasobject and len(data) != math.prod(shape)):  # numpy reads on
            raise ValueError("array contents do not fit the array's dtype")
        super().__setstate__((1, shape, dtype, bool(fortran), data if dtype.hasobject else _raw(data)))


def _real(dtype: Any) -> np.dtype:
    if not isinstance(dtype, _Dtype):
        raise ValueError(f"expected a dtype, found {type(dtype).__name__}")
    return dtype.real


def _shape(shape: Any) -> tuple[int, ...]:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if not all(isinstance(n, int) and n >= 0 for n in shape) or (0 in shape and max(shape) > 1000):
        raise ValueError("expected an array shape")
    return shape


def _raw(data: Any) -> bytes:
    return data.encode("latin1") if isinstance(data, str) else bytes(memoryview(data))  # str: bytes of Python 2


def _reconstruct(kind: Any, shape: Any, code: Any) -> PlainArray:
    return np.ndarray.__new__(PlainArray, (0,), "b")  # its contents come with __setstate__


def _scalar(dtype: Any, data: Any) -> Any:
    dtype = _real(dtype)
    if dtype.hasobject:
        raise _Forbidden("numpy scalar of dtype object")
    return np.frombuffer(_raw(data), dtype, count=1)[0] if dtype.itemsize else dtype.type()


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    dtype = _real(dtype)
    if dtype.hasobject:
        raise _Forbidden("numpy buffer of dtype object")
    return np.frombuffer(_raw(data), dtype).reshape(_shape(shape), order="F" if order == "F" else "C")


def _encode(text: str, encoding: str = "latin1", errors: str = "strict") -> bytes:
    if encoding not in ("latin1", "latin-1", "ascii", "utf-8", "utf8"):
        raise _Forbidden(f"_codecs.encode with {encoding[:80]!r}" if isinstance(encoding, str) else "_codecs.encode")
    if not isinstance(text, str):
        raise ValueError(f"expected a text to encode, found {type(text).__name__}")
    return text.encode(encoding)


_ARRAY, _DTYPE = _Maker(_reconstruct), _Maker(_Dtype)
_NUMPY = {"multiarray._reconstruct": _ARRAY, "multiarray.scalar": _Maker(_scalar), "numeric._frombuffer": _Maker(_frombuffer)}
_NAMES = {
    **{f"{module}.{name}": kind for module in ("builtins", "__builtin__") for name, kind in _PLAIN.items()},
    **{f"numpy.{core}.{name}": maker for core in ("core", "_core") for name, maker in _NUMPY.items()},
    "collections.OrderedDict": OrderedDict,
    "_codecs.encode": _Maker(_encode),  # how Python 3 writes bytes in a pickle that Python 2 can read
    "numpy.ndarray": _ARRAY,  # named as the type; `_reconstruct` makes it
    "numpy.dtype": _DTYPE,
}


_KEY_WEIGHT, _DEPTH, _LONG = 1_000, 50, 255  # items of nested tuples; containers in containers; bytes of a whole number
_SINGLE = frozenset((str, bytes, int, float, bool, type(None)))
_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset, np.ndarray)
_CONTAINERS = (list, tuple, dict, set, frozenset, OrderedDict)


def _named(module: str, name: str) -> Any:
    try:
        return _NAMES[f"{module}.{name}"]
    except KeyError:
        raise _Forbidden(f"{module}.{name}"[:200]) from None


class _FastUnpickler(pickle.Unpickler):
    """The one in C, for what is harmless."""

    def find_class(self, module: str, name: str) -> Any:
        return _named(module, name)


class _Unpickler(pickle._Unpickler):
    """Python's unpickler with an account: what is copied, made or hashed is paid from a sum that grows with the file's size."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: io.BytesIO, size: int) -> None:
        super().__init__(file, encoding="latin1")
        self._size, self._left = size, 10**6 + 16 * size
        self._weights: dict[int, tuple[int, Any]] = {}  # of tuples in tuples; the tuple itself is kept, so that its id is its own

    def _pay(self, *values: Any) -> None:
        self._left -= sum(len(value) for value in values if isinstance(value, _SIZED) and getattr(value, "ndim", 1))
        if self._left < 0:
            raise ValueError("it would make more than its size allows")

    def _call(self, kind: Any, args: Any) -> Any:
        if not isinstance(args, tuple):
            raise ValueError(f"expected arguments, found {type(args).__name__}")
        if kind in (bytes, bytearray) and any(isinstance(arg, int) for arg in args):
            raise ValueError(f"expected the contents of {kind.__name__}, found a length")
        if kind is str and not (len(args) == 1 and isinstance(args[0], str)):
            raise _Forbidden("str of something that is no text")
        if kind is int and any(len(arg) > _LONG for arg in args if isinstance(arg, _SIZED)):
            raise ValueError("a whole number of too many digits")
        self._pay(*args)
        if kind in (dict, OrderedDict, set, frozenset):
            for arg in args:
                self._keys(_keys_of(arg))
        value = kind(*args)
        if type(value) is tuple:
            self._weigh(value)
        return value

    def _weigh(self, value: tuple[Any, ...]) -> None:
        """Bound tuples in tuples, which are hashed by recursion without end, and without a memory of shared ones."""
        inner = [item for item in value if type(item) is tuple]
        if inner:
            weight = len(value) + sum(self._weights.get(id(item), (len(item),))[0] for item in inner)
            if weight > _KEY_WEIGHT:
                raise ValueError("tuples in tuples in tuples")
            self._weights[id(value)] = weight, value

    def _keys(self, keys: Any) -> None:
        for key in keys:
            if type(key) is tuple:
                self._pay(key)

    def _reduce(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], args)

    def _instantiate(self, kind: Any, args: Any) -> None:  # INST and OBJ
        self.append(self._call(kind, tuple(args)))

    def _build(self) -> None:
        state = self.stack[-1]
        self._pay(state, *(state if isinstance(state, tuple) else ()))
        super().load_build()

    def _bytearray8(self) -> None:
        size = int.from_bytes(self.read(8), "little")
        if size > self._size:
            raise ValueError("a bytearray longer than the file")
        self.append(bytearray(self.read(size)))

    def _long4(self) -> None:
        raise ValueError("a whole number of too many digits")

    def _new_object(self) -> None:
        args = self.stack.pop()
        self.append(self._call(self.stack.pop(), args))

    def _tuple(self, load: Any) -> None:
        load(self)
        self._weigh(self.stack[-1])

    def _dict(self, load: Any) -> None:
        self._keys(self.stack[::2])
        load(self)

    def _set(self, load: Any) -> None:
        self._keys(self.stack)
        load(self)

    def _item(self, load: Any) -> None:
        self._keys(self.stack[-2:-1])
        load(self)

    dispatch[pickle.REDUCE[0]] = _reduce
    dispatch[pickle.NEWOBJ[0]] = _new_object
    dispatch[pickle.BUILD[0]] = _build
    dispatch[pickle.BYTEARRAY8[0]] = _bytearray8
    dispatch[pickle.LONG4[0]] = _long4
    del dispatch[pickle.NEWOBJ_EX[0]], dispatch[pickle.NEXT_BUFFER[0]]
    for _codes, _check in (
        ((pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3), _tuple),
        ((pickle.DICT, pickle.SETITEMS), _dict),
        ((pickle.ADDITEMS, pickle.FROZENSET), _set),
        ((pickle.SETITEM,), _item),
    ):
        for _code in _codes:
            dispatch[_code[0]] = partial(
                lambda check, load, self: check(self, load), _check, pickle._Unpickler.dispatch[_code[0]]
            )

    def find_class(self, module: str, name: str) -> Any:
        return _named(module, name)

    def persistent_load(self, pid: Any) -> Any:
        raise _Forbidden("an object outside the file (persistent id)")


def _keys_of(value: Any) -> Any:
    """What becomes keys or members where a dict or a set is made from `value`."""
    if isinstance(value, list | tuple):
        return [item[0] if type(item) in (list, tuple) and item else item for item in value] + list(value)
    return value if isinstance(value, dict | set | frozenset) else ()


def _bounded(value: Any, most: int) -> int:
    """Numbers, texts and containers in a value, those that are shared counted each time. Raises ValueError where there are more
    than `most`, or containers nested deeper than any dataset's."""
    sizes: dict[int, int] = {}  # of containers, by id; 0 while one is counted, which one that holds itself meets again

    def size(of: Any, depth: int) -> int:
        if id(of) in sizes:
            known = sizes[id(of)]
            if not known:
                raise ValueError("a container that holds itself")
            return known
        if depth > _DEPTH:
            raise ValueError("containers nested too deep")
        sizes[id(of)] = 0
        total = 1 + (of.size if isinstance(of, np.ndarray) else len(of))
        for items in (of.keys(), of.values()) if isinstance(of, dict) else (of.flat if isinstance(of, np.ndarray) else of,):
            for item in items:
                if (kind := type(item)) in _SINGLE:
                    continue
                if kind is tuple and _SINGLE.issuperset(map(type, item)):  # quick, for hundreds of thousands of positions
                    total += 1 + len(item)
                elif isinstance(item, _CONTAINERS) or (isinstance(item, np.ndarray) and item.dtype.hasobject):
                    total += size(item, depth + 1)
        if total > most:
            raise ValueError("it would make more than its size allows")
        sizes[id(of)] = total
        return total

    return size([value], 0)


def load_pickled_npy(path: str | Path) -> Any:
    """The object that `np.save(path, obj, allow_pickle=True)` wrote: the object itself, or an object array.

    Python 2 strings are decoded as latin-1. Raises DataError when the file is missing, empty, cut short, no `.npy` file or no
    pickled object; also, naming it, for anything but plain Python and NumPy types, before any of it runs.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: expected a readable .npy file; {error.strerror or error}") from error
    return loads_pickled_npy(data, path)


def loads_pickled_npy(data: bytes, path: str | Path) -> Any:
    """`load_pickled_npy` from a file's bytes; `path` is for messages."""
    if not data:
        raise DataError(f"{path} is empty (0 bytes): expected a .npy file; copy or download it again")
    file = io.BytesIO(data)
    shape, dtype = _header(file, path, len(data))
    if not dtype.hasobject or dtype.names is not None:
        raise DataError(
            f"{path}: expected a pickled Python object, found an array of {dtype} with shape {shape}: is it the right file?"
        )
    try:
        plain = is_harmless(data, file.tell())
        array = (_FastUnpickler(file, encoding="latin1") if plain else _Unpickler(file, len(data))).load()
        _bounded(array, 10**6 + 4 * len(data))
    except _Forbidden as error:
        raise DataError(
            f"{path} asks for {error}; only plain Python and NumPy types are allowed. "
            f"Do not open this file if it is from an untrusted source."
        ) from None
    except Exception as error:  # whatever a damaged pickle makes the unpickler raise
        why = f"{type(error).__name__}: {str(error)[:200]}"
        raise DataError(f"{path} is damaged or cut short ({len(data):,} bytes; {why}): copy or download it again") from error
    if not isinstance(array, np.ndarray) or array.dtype != object or array.shape != tuple(shape):
        raise DataError(
            f"{path} is damaged: its header promises objects of shape {tuple(shape)}, "
            f"its contents are {type(array).__name__} {getattr(array, 'shape', '')}"
        )
    return array.item() if array.shape == () else array.view(np.ndarray)


def _header(file: io.BytesIO, path: str | Path, size: int) -> tuple[tuple[int, ...], np.dtype]:
    formats = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        version = np.lib.format.read_magic(file)
        if version not in formats:
            raise ValueError(f"format version {version} is not known here")
        shape, _, dtype = formats[version](file)
    except Exception as error:
        raise DataError(
            f"{path}: expected a .npy file, found {size:,} bytes that do not begin like one ({error}): copy or download it again"
        ) from error
    return shape, dtype
