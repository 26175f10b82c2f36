"""What is computed again, memory that is given back, and what a CPU can compute in."""

import pytest
import torch

from maaf_lab.training import devices


def test_recomputing_keeps_less(made_model):
    model = made_model("maaf", **{"model.blocks": 2, "model.width": 64, "model.feedforward": 512}).train()
    text, places = model.read(["is red", "more blue"]), torch.arange(2)

    def kept():
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            model(torch.zeros(4, 3, 56, 56), places, places + 2, text)
        return sum(sizes)

    before = kept()
    during = kept() if devices.recompute_blocks(model) else 0
    assert during < 0.9 * before
    assert kept() == during and devices.keep_blocks(model) and kept() == before


def test_free_memory_is_given_back_or_nothing_happens(monkeypatch):
    devices.give_back_memory()
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: object())  # a C library that knows no such call
    devices.give_back_memory()


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
    monkeypatch.setattr(devices.Path, "read_text", lambda path, *_: flags if str(path) == "/proc/cpuinfo" else None)
    assert devices.cpu_has_bf16() is has


def test_what_pytorch_says_of_bf16_where_the_system_says_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "Path", lambda _: tmp_path / "none")
    for told, has in (({"amx_bf16": True, "avx2": True}, True), ({"amx_bf16": False, "avx2": True}, False), ({}, None)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda told=told: told, raising=False)
        assert devices.cpu_has_bf16() is has
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert devices.cpu_has_bf16() is None
