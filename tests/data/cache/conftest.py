"""Seven small images, and caches of both kinds."""

import pytest
from cached import write

from maaf_lab.data.cache import STORES, pixel_cache
from maaf_lab.data.cache import build as cache_build


@pytest.fixture
def split(tmp_path):
    return write(tmp_path / "set", 7)


@pytest.fixture(params=list(STORES))
def store(request):
    return request.param


@pytest.fixture
def make(store):
    """make(split, size, ...) -> a cache of the kind under test."""
    return lambda *args, **options: pixel_cache(*args, **{"progress": False, "store": store, **options})


@pytest.fixture
def decodes(monkeypatch):
    """The files decoded since the last look."""
    seen, real = [], cache_build.square
    monkeypatch.setattr(cache_build, "square", lambda path, *args: (seen.append(path), real(path, *args))[1])
    return seen
