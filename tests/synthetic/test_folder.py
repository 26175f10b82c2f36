"""A synthetic dataset on disk is complete or unfinished, and nobody else's files are overwritten (on CSS)."""

import shutil
from itertools import count

import pytest
from PIL import Image as PILImage
from synthetic_files import PIXELS, hashes

from maaf_lab.data import registry as datasets
from maaf_lab.data.datasets.css import ANNOTATION
from maaf_lab.errors import DataError
from maaf_lab.synthetic.css import dataset as css
from maaf_lab.synthetic.css.dataset import make_css


@pytest.fixture(scope="module")
def made(drawn):
    return drawn("css")


def test_an_interrupted_make_looks_unfinished_and_is_redone(made, tmp_path, monkeypatch):
    out, saved, real = tmp_path / "css", count(), PILImage.Image.save

    def stop_at_the_hundredth(*args, **options):
        if next(saved) == 99:
            raise KeyboardInterrupt
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(PILImage.Image, "save", stop_at_the_hundredth)
        with pytest.raises(KeyboardInterrupt):
            make_css(out, "tiny", 24, seed=5, progress=False)  # other settings than the next call's
    assert list((out / "images").iterdir()) and not (out / "made.json").exists() and not (out / ANNOTATION).exists()
    with pytest.raises(DataError):
        datasets.load("css", out, "train")
    make_css(out, "tiny", PIXELS, seed=3, progress=False)
    assert hashes(out) == hashes(made)


def test_a_finished_set_is_left_alone(made, capsys, monkeypatch):
    monkeypatch.setattr(PILImage.Image, "save", None)  # would fail
    make_css(made, "tiny", PIXELS, seed=3)
    assert "nothing to do" in capsys.readouterr().out


def test_a_set_drawn_when_origins_began_with_made_is_the_same_set(made, tmp_path, capsys, monkeypatch):
    old = shutil.copytree(made, tmp_path / "old")
    mark = (old / "made.json").read_text().replace("synthetic css", "made css")
    (old / "made.json").write_text(mark)
    assert datasets.origin("css", old) == datasets.load("css", old, "test").origin == datasets.origin("css", made)
    assert datasets.check("css", old).origin == datasets.origin("css", made)
    monkeypatch.setattr(css, "_save", None)  # would fail
    make_css(old, "tiny", PIXELS, seed=3)
    assert "nothing to do" in capsys.readouterr().out and "made css" in (old / "made.json").read_text()
    with pytest.raises(DataError, match="holds 'synthetic css v1 size=tiny pixels=32 seed=3'"):
        make_css(old, "tiny", PIXELS, seed=4)


def test_other_files_are_never_overwritten(made, tmp_path):
    before = hashes(made)
    for change in ({"seed": 4}, {"pixels": 40}, {"size": "full"}):
        with pytest.raises(DataError, match=r"holds 'synthetic css v1 size=tiny pixels=32 seed=3'.*pass another folder"):
            make_css(made, **{"size": "tiny", "pixels": PIXELS, "seed": 3, **change})
    assert hashes(made) == before
    copy = shutil.copytree(made, tmp_path / "copy")
    (copy / "images" / "css_test_000007.png").unlink()
    with pytest.raises(DataError, match="719 of 720 images: delete the folder"):
        make_css(copy, "tiny", PIXELS, seed=3)
    (copy / "made.json").unlink()  # now it could be anybody's
    with pytest.raises(DataError, match="the lab did not draw it"):
        make_css(copy, "tiny", PIXELS, seed=3)
    assert (copy / ANNOTATION).exists()
