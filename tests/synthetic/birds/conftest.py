"""Shared by the tests of synthetic birds."""

import pytest

from maaf_lab.synthetic.birds.dataset import plan


@pytest.fixture(scope="session")
def full():
    """The full dataset, not drawn."""
    return plan("full", 0)
