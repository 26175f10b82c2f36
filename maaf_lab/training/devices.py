"""Processors, processes and memory: accelerate, rows gathered across processes, activation checkpointing."""

from __future__ import annotations

import atexit
import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch.utils.checkpoint
from torch import Tensor, distributed, nn

from maaf_lab.errors import ConfigError
from maaf_lab.models.base import ComposedModel
from maaf_lab.models.layers.attention import FusionBlock
from maaf_lab.models.systems.two_stream import StreamBlock
from maaf_lab.utils.parallel import torch_device

if TYPE_CHECKING:
    from accelerate import Accelerator, PartialState


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        distributed.all_reduce(gradient)
        return gradient.chunk(distributed.get_world_size())[distributed.get_rank()]


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all processes, in their order; backward sums the gradients of all processes for this one's rows.

    Own code because torch.distributed.nn.functional.all_gather is deprecated, and its replacement is private.
    """
    return _GatherRows.apply(rows)


def prepare_layout(model: ComposedModel) -> ComposedModel:
    """Put the backbone's weights into the memory layout of the pixels (channels last), so that no step converts them."""
    model.backbone.to(memory_format=torch.channels_last)
    return model


def recompute_blocks(model: ComposedModel) -> ComposedModel:
    """Drop the fusion blocks' activations in the forward pass and compute them again in the backward pass.

    PyTorch's activation checkpointing: the same numbers, random ones included, with less memory and more time.
    """
    if not _blocks(model):
        raise ConfigError(
            f"recompute: expected a system with fusion blocks (maaf, two_stream), found {model.config.name!r}, "
            "which has no activations to compute again; leave it out"
        )
    for block in _blocks(model):
        block.forward = partial(torch.utils.checkpoint.checkpoint, block.forward, use_reentrant=False)
    return model


def keep_blocks(model: ComposedModel) -> ComposedModel:
    """Undo `recompute_blocks`."""
    for block in _blocks(model):
        block.__dict__.pop("forward", None)
    return model


def _blocks(model: ComposedModel) -> list[nn.Module]:
    return [m for m in model.modules() if isinstance(m, (FusionBlock, StreamBlock))]


def give_back_memory() -> None:
    """Return free memory between the allocator's blocks to the system, where the C library can (glibc).

    The memory that a step frees is too fragmented for the next step's larger tensors: 0.2 GB at the paper's configuration.
    """
    with suppress(AttributeError, OSError):  # another system, another C library
        ctypes.CDLL(None).malloc_trim(0)


def cpu_has_bf16() -> bool | None:
    """Whether this CPU multiplies in bf16 (AVX512-BF16, AMX or Arm's BF16) or PyTorch emulates it; None if that is unknown."""
    try:
        known = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # no Linux
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # since PyTorch 2.10
        known = {name for name, there in capabilities.items() if there}
    return bool(known & {"avx512_bf16", "amx_bf16", "bf16"}) if known else None


def make_accelerator(precision: str, device: str | None = None) -> Accelerator:
    """Accelerate's view of the device: `device` (see `torch_device`), or a GPU where there is one. ConfigError for any other."""
    from accelerate import Accelerator

    _choose(device)
    with _own_surroundings(device):  # a notebook may train runs in different precisions
        accelerator = Accelerator(cpu=device == "cpu", mixed_precision={"fp32": "no"}.get(precision, precision))
    if device and accelerator.device.type != torch_device(device).type:
        raise ConfigError(f"device: expected {device}, found that accelerate takes {accelerator.device}; unset its variables")
    return accelerator


def processes_of_this_run(device: str | None = None) -> PartialState:
    """This process among those that `accelerate launch` started; without it, the only one."""
    from accelerate import PartialState

    _choose(device)
    with _own_surroundings(device):
        state = PartialState(cpu=device == "cpu")
    if state.num_processes > 1:  # else a thread that still listens may end the process with an error, when all is done
        atexit.register(state.destroy_process_group)
    return state


def _choose(device: str | None) -> None:
    """Make `cuda:1` the GPU that "cuda" means. ConfigError for a device that is not there."""
    if device and (index := torch_device(device).index) is not None:
        if launched_together():
            raise ConfigError(f'device: expected "cuda" or "cpu" for several processes, each has its own GPU; found {device!r}')
        torch.accelerator.set_device_index(index)


def launched_together() -> bool:
    """Whether this process is one of several that a launcher started: it sets all of these variables."""
    numbers = [os.environ.get(name, "") for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")]
    return all(number.isdecimal() for number in numbers) and int(numbers[-1]) > 1 and bool(os.environ.get("MASTER_ADDR"))


@contextmanager
def _own_surroundings(device: str | None) -> Iterator[None]:
    """Accelerate without what is left in the environment: variables of another launch, which would wait for other processes
    or end in an error, and its own settings, since everything that changes a run's numbers is a setting of the run."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    left = [] if launched_together() else [name for name in _LAUNCH if name in os.environ]
    places = () if device else ("ACCELERATE_USE_CPU", "ACCELERATE_TORCH_DEVICE")
    left += [name for name in os.environ if name.startswith("ACCELERATE_") and name not in places]
    kept = {name: os.environ.pop(name) for name in left}
    try:
        yield
    finally:
        os.environ.update(kept)


_LAUNCH = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    *("PMI_RANK", "PMI_SIZE", "PMI_LOCAL_RANK", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    *(f"OMPI_COMM_WORLD_{what}" for what in ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE")),
    *(f"MV2_COMM_WORLD_{what}" for what in ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE")),
)
