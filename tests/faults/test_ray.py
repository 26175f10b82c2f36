"""Addresses at which no Ray cluster answers."""

import socket
from types import SimpleNamespace

import pytest
from faults.battery import ERROR, faults

from maaf_lab.experiments import executors
from maaf_lab.experiments.executors import get_executor

ADDRESSES = (
    "nowhere.invalid:1",
    "127.0.0.1:9",
    "ray://127.0.0.1:9",
    "127.0.0.1:99999",
    "[::1]:9",
    ":9",
    "x" * 300 + ":9",
    "a b:1",
)


@pytest.fixture
def nobody_answers(monkeypatch):
    """A Ray that waits for an answer for ever, and a machine that takes calls and says nothing."""
    monkeypatch.setattr(executors, "ANSWER", 0.1)
    waits = SimpleNamespace(is_initialized=lambda: False, init=lambda **_: executors.threading.Event().wait(60))
    monkeypatch.setitem(__import__("sys").modules, "ray", waits)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def asked(address):
    return list(get_executor("ray", address=address)([None], progress=False))


@faults(*((address[:40], ERROR("Ray cluster at"), lambda lab, address=address: asked(address)) for address in ADDRESSES))
def test_nobody_is_there(fault, lab, nobody_answers):
    fault(lab)


@faults(
    ("silence", ERROR("none answered"), lambda lab: asked(f"127.0.0.1:{lab.port}")),
    ("silence, as RAY_ADDRESS", ERROR("none answered"), lambda lab: asked("")),
)
def test_somebody_is_there_and_says_nothing(fault, lab, nobody_answers, monkeypatch):
    lab.port = nobody_answers
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{nobody_answers}")
    fault(lab)
