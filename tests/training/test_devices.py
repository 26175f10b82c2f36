"""What is computed again, memory that is given back, and what a CPU can compute in."""

import ctypes
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from training_runs import weights

from maaf_lab.errors import ConfigError
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.training import devices
from maaf_lab.training import fit as training


def test_recomputing_keeps_less(made_model):
    model = made_model("maaf", **{"model.blocks": 2, "model.width": 64, "model.feedforward": 512}).train()
    text, pairs = model.read(["is red", "more blue"]), torch.arange(2)

    def kept():
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            model(torch.zeros(4, 3, 56, 56), pairs, pairs + 2, text)
        return sum(sizes)

    before = kept()
    during = kept() if devices.recompute_blocks(model) else 0
    assert during < 0.9 * before
    assert kept() == during and devices.keep_blocks(model) and kept() == before


def test_free_memory_is_given_back_or_nothing_happens(monkeypatch):
    devices.give_back_memory()
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: object())  # a C library that knows no such call
    devices.give_back_memory()


def cpu_says(monkeypatch, flags):
    """/proc/cpuinfo holds that."""
    real = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, *args, **options: flags if str(path) == "/proc/cpuinfo" else real(path, *args, **options)
    )


@pytest.mark.parametrize(
    "flags, has",
    [
        ("flags : fpu avx2 avx512f avx512_bf16 sha", True),
        ("flags : fpu avx2 amx_tile amx_bf16", True),
        ("Features : fp asimd i8mm bf16", True),
        ("flags : fpu avx2 avx512f avx512_vnni", False),
        ("", None),
    ],
)
def test_what_a_cpu_says_of_bf16(monkeypatch, flags, has):
    cpu_says(monkeypatch, flags)
    assert devices.cpu_has_bf16() is has


def test_what_pytorch_says_of_bf16_where_the_system_says_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "Path", lambda _: tmp_path / "none")
    for told, has in (({"amx_bf16": True, "avx2": True}, True), ({"amx_bf16": False, "avx2": True}, False), ({}, None)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda told=told: told, raising=False)
        assert devices.cpu_has_bf16() is has
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert devices.cpu_has_bf16() is None


@pytest.mark.parametrize(
    "changes",
    [
        {"model.blocks": 2},
        {"model.blocks": 2, "model.attention": "identity", "train.precision": "bf16"},
        {"model.name": "two_stream", "model.two_stream": "xxx_mmm_xmm.mxx_xff"},
    ],
)
def test_recomputing_changes_no_byte(tmp_path, monkeypatch, smoke, tiny_css, changes):
    given_back, real = [], ctypes.CDLL
    libc = SimpleNamespace(malloc_trim=given_back.append)
    monkeypatch.setattr(ctypes, "CDLL", lambda name, *args, **options: real(name, *args, **options) if name else libc)
    kept = {}
    for recompute in (False, True):
        config = smoke(**{"train.steps": 4, "model.dropout": 0.2, **changes})
        run = train_and_evaluate(config, tiny_css, tmp_path / str(recompute), device="cpu", recompute=recompute, progress=False)
        kept[recompute] = weights(run.folder)
    assert kept[True] == kept[False]
    assert len(given_back) == 8, "before and after each backward pass"


def test_what_cannot_be_recomputed_is_said(tmp_path, smoke, tiny_css):
    for changes, message in (({"model.name": "tirg"}, "fusion blocks.*'tirg'"), ({"train.compile": True}, "found both")):
        with pytest.raises(ConfigError, match=message):
            train_and_evaluate(smoke(**changes), tiny_css, tmp_path, device="cpu", recompute=True, progress=False)


def test_bf16_on_a_cpu_that_has_none_is_told_before_the_first_step(tmp_path, monkeypatch, smoke, tiny_css):
    """On a CPU that has it, in fp32, and where nobody knows: not a word."""

    def stop(*_args, **_kwargs):
        raise InterruptedError("the first step")

    monkeypatch.setattr(training, "batches", stop)

    def told(precision, has):
        cpu_says(monkeypatch, {True: "flags : avx512_bf16", False: "flags : avx2", None: ""}[has])
        config = smoke(**{"train.precision": precision})
        with warnings.catch_warnings(record=True) as found, pytest.raises(InterruptedError):
            warnings.simplefilter("always")
            train_and_evaluate(config, tiny_css, tmp_path / f"{precision}-{has}", device="cpu", progress=False)
        return [str(one.message) for one in found if "bf16" in str(one.message)]

    (message,) = told("bf16", False)
    assert re.search(r'bf16" expects a CPU .*AVX512-BF16, AMX.* found one without: .* slower than in fp32\. ', message)
    assert message.endswith("set train.precision=fp32, or use a GPU")
    assert told("bf16", True) == told("bf16", None) == told("fp32", False) == []


@pytest.mark.parametrize("device", ["cpu", None])
@pytest.mark.parametrize(
    "left",
    [
        {"RANK": ""},
        {"RANK": "node3", "LOCAL_RANK": "first"},
        {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"},  # without an address to meet at
        {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "nowhere", "MASTER_PORT": "1"},
        {"OMPI_COMM_WORLD_SIZE": "4", "PMI_SIZE": "4"},
        {"ACCELERATE_MIXED_PRECISION": "fp16", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"},
        {"ACCELERATE_USE_FSDP": "true"},
        {"ACCELERATE_USE_DEEPSPEED": "true"},
    ],
    ids=str,
)
def test_what_another_launch_left_in_the_environment_changes_nothing(monkeypatch, left, device):
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    assert devices.processes_of_this_run(device).is_main_process
    accelerator = devices.make_accelerator("fp32", device)
    assert accelerator.num_processes == 1 and accelerator.mixed_precision == "no" and accelerator.distributed_type == "NO"
    assert accelerator.gradient_accumulation_steps == 1
    assert {name: devices.os.environ[name] for name in left} == left, "others may need them"
