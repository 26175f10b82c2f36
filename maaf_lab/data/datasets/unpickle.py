"""Loads a pickled object from an `.npy` file without running foreign code.

A pickle is a program that may call any function it can name. Here it can name only plain Python types, and NumPy arrays, scalars
and dtypes of plain types. NumPy's constructors are replaced by checking ones, because a forged dtype state could make bytes pass
for pointers. Files of Python 2, and of NumPy before and after 2.0, are supported.
"""

from __future__ import annotations

import io
import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

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
            raise _Forbidden(f"numpy.dtype({code!r})")
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

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        dtype = _real(dtype)
        shape = _shape(shape)
        if dtype.hasobject != isinstance(data, list):
            raise ValueError("array contents do not fit the array's dtype")
        super().__setstate__((1, shape, dtype, bool(fortran), data if dtype.hasobject else _raw(data)))


def _real(dtype: Any) -> np.dtype:
    if not isinstance(dtype, _Dtype):
        raise ValueError(f"expected a dtype, found {type(dtype).__name__}")
    return dtype.real


def _shape(shape: Any) -> tuple[int, ...]:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError(f"expected an array shape, found {shape}")
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
    if str(encoding).lower() not in ("latin1", "latin-1", "ascii", "utf-8", "utf8"):
        raise _Forbidden(f"_codecs.encode with {encoding!r}")
    return str(text).encode(encoding)


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


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NAMES[f"{module}.{name}"]
        except KeyError:
            raise _Forbidden(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise _Forbidden("an object outside the file (persistent id)")


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
        array = _Unpickler(file, encoding="latin1").load()
    except _Forbidden as error:
        raise DataError(
            f"{path} asks for {error}; only plain Python and NumPy types are allowed. "
            f"Do not open this file if it is from an untrusted source."
        ) from None
    except Exception as error:  # whatever a damaged pickle makes the unpickler raise
        raise DataError(
            f"{path} is damaged or cut short ({len(data):,} bytes; {type(error).__name__}: {error}): copy or download it again"
        ) from error
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
