"""Shared by the tests of synthetic street scenes."""

import pytest

from maaf_lab.synthetic.streets.dataset import plan


@pytest.fixture(scope="session")
def full():
    """The full dataset, not drawn."""
    return plan("full", 0)
