"""Shared by the tests of retrieval: a folder of pictures, opened as a gallery."""

from __future__ import annotations

from pathlib import Path

import pytest
from galleries import PIXELS, draw, photos
from PIL import Image as PILImage

import maaf_lab
from maaf_lab.retrieval.folder_gallery import open_folder


@pytest.fixture(scope="module")
def model():
    return maaf_lab.load_pretrained("css-laptop")


@pytest.fixture
def folder(tmp_path):
    """Six pictures, one of them in a folder below."""
    photos(tmp_path / "my photos", 5)
    draw(tmp_path / "my photos" / "more" / "last.JPG", 5, quality=95)
    return tmp_path / "my photos"


@pytest.fixture
def opened(model):
    """opened(folder, ...) -> its gallery, without a bar."""
    return lambda folder, **options: open_folder(
        folder, model, **{"pixels": PIXELS, "name": "css-laptop", "progress": False, **options}
    )


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that Pillow opened since the last look, each once."""
    seen, real = [], PILImage.open

    def note(file, *args, **options):
        if (name := Path(getattr(file, "name", "")).name) and name not in seen:
            seen.append(name)
        return real(file, *args, **options)

    monkeypatch.setattr(PILImage, "open", note)
    return seen


@pytest.fixture
def no_writing(monkeypatch):
    """No file can be made in any .cache: what permission bits do to anybody but root."""
    real = Path.mkdir

    def mkdir(self, *args, **options):
        if self.name == ".cache":
            raise PermissionError(13, "Permission denied")
        real(self, *args, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
