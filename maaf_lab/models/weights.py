"""Files of tensors: read with an error that names the file, refused where a number is not finite, and their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from maaf_lab.errors import LabError, RunError


def read_safetensors(path: Path, kind: type[LabError] = RunError, again: str = "") -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file by name, all finite, and its metadata. kind: of the error; again: what it advises to do."""
    try:
        with safe_open(path, "pt") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except Exception as error:  # whatever a damaged file makes the library raise
        raise kind(f"{path}: expected weights in a safetensors file, found damage ({_first_line(error)}). {again}") from error
    refuse_not_finite(tensors, path, kind, again)
    return tensors, metadata


def read_metadata(path: Path, kind: type[LabError] = RunError, again: str = "") -> dict[str, str]:
    """A file's metadata; its tensors are not read."""
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except Exception as error:  # whatever a damaged file makes the library raise
        raise kind(f"{path}: expected weights in a safetensors file, found damage ({_first_line(error)}). {again}") from error


def read_torch_file(path: Path, what: str, kind: type[LabError] = RunError, again: str = "") -> Any:
    """What torch.save wrote: tensors and plain values alone are admitted. what: what the file is, for the error."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or foreign pickle makes torch raise
        raise kind(f"{path}: expected {what}, found a file that cannot be read as one ({_first_line(error)}). {again}") from error


def refuse_not_finite(tensors: Mapping[str, Tensor], path: Path | str, kind: type[LabError], again: str) -> None:
    """Raise `kind` naming the first tensors that hold NaN or infinity: with them every cosine is NaN and every rank chance."""
    bad = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        raise kind(f"{path}: expected finite weights, found NaN or infinity in {', '.join(bad[:3])}. {again}")


def fingerprint(value: Any) -> str:
    """16 hex digits of tensors and plain values in dictionaries, lists and tuples; of dictionaries the order does not count."""
    digest = hashlib.sha256()
    _add(digest, value)
    return digest.hexdigest()[:16]


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{value.dtype} {tuple(value.shape)} ".encode())
        digest.update(flat.view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        digest.update(b"{")
        for key in sorted(value, key=repr):
            digest.update(repr(key).encode())
            _add(digest, value[key])
    elif isinstance(value, (list, tuple)):
        digest.update(f"[{len(value)}".encode())
        for part in value:
            _add(digest, part)
    else:
        digest.update(repr(value).encode())


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
