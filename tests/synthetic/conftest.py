"""Shared by the tests of synthetic datasets: each drawn once, small."""

import pytest
from synthetic_files import PIXELS, SEED

from maaf_lab.synthetic import registry


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """drawn("css") -> the folder of that synthetic dataset, tiny, drawn once in this process; nobody writes to it."""
    root, folders = tmp_path_factory.mktemp("drawn"), {}

    def folder(name):
        if name not in folders:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("os.sched_getaffinity", lambda process: {0}, raising=False)
                folders[name] = registry.make(name, root / name, "tiny", PIXELS, SEED, progress=False)
        return folders[name]

    return folder
