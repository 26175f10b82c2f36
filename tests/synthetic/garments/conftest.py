"""Shared by the tests of synthetic garments."""

import pytest

from maaf_lab.synthetic.garments import fashion_iq


@pytest.fixture(scope="session")
def val():
    """The full validation split of Fashion IQ, not drawn."""
    return fashion_iq.make_split("val", "full", 0)
