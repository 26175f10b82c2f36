"""The measurement scripts stand beside the package and nothing else calls them: they must at least fit what they import."""

import importlib.util
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_fits_the_package_and_has_a_last_result(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name[:-3]}", FOLDER / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert callable(module.main) and module.__doc__
    assert json.loads((FOLDER / name).with_suffix(".json").read_text())
