"""Shared by the tests of the explorers: each on the same query of a shipped model."""

from __future__ import annotations

import pytest

from maaf_lab.experiments.runs import find_run
from maaf_lab.explorers.attention.widget import AttentionExplorer
from maaf_lab.explorers.retrieval.widget import RetrievalExplorer


@pytest.fixture
def attention(css):
    return AttentionExplorer([css], 12)


@pytest.fixture
def retrieval(css):
    return RetrievalExplorer([css], 12)


@pytest.fixture(scope="module")
def rankings(garments):
    return {"one": garments.run.rankings, "two": find_run("fashion_iq-tirg-815bb2bbab").rankings}
