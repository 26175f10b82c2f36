"""The functions that open explorers, and the names of the package."""

from __future__ import annotations

import subprocess
import sys

import pytest

import maaf_lab


def test_an_explorer_opens_without_what_only_others_need():
    """Each of these takes from a tenth to half a second to import, before anything shows."""
    script = """
import sys, maaf_lab
maaf_lab.explore_attention()._repr_mimebundle_()
print(*sorted({"accelerate", "matplotlib", "nbformat", "pandas", "seaborn", "torch._dynamo"} & set(sys.modules)))"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_the_lab_names_what_it_has():
    assert set(maaf_lab.__all__) <= set(dir(maaf_lab)) and all(getattr(maaf_lab, name) for name in maaf_lab.__all__)
    with pytest.raises(AttributeError, match="no name 'explor'; it has Run"):
        _ = maaf_lab.explor
