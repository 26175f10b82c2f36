"""Folders that the tests of figures and of their notebooks share, so that nothing is trained or drawn twice."""

import pytest


@pytest.fixture(scope="session")
def figure_roots(tmp_path_factory, tiny_css):
    return {"data_root": str(tiny_css.parent), "runs_root": str(tmp_path_factory.mktemp("figures"))}


@pytest.fixture(scope="session")
def garment_roots(tmp_path_factory):
    root = tmp_path_factory.mktemp("garments")
    return {"data_root": str(root / "data"), "runs_root": str(root / "runs")}
