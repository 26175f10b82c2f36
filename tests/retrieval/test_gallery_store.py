"""Vectors kept on disk: each folder, model and size its own, whole after a kill, built again where they are damaged."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from galleries import PIXELS, by_hand, draw, kept_files, photos

import maaf_lab
from maaf_lab.errors import DataError
from maaf_lab.retrieval import folder_gallery as module
from maaf_lab.retrieval import gallery_store
from maaf_lab.retrieval.folder_gallery import model_key, open_folder


def test_a_killed_call_leaves_its_parts(tmp_path, opened, decoded, monkeypatch):
    """What `kill -9` leaves: the parts that were whole, and half of a file beside them."""
    monkeypatch.setattr(module, "SAVE_EVERY", 4)
    folder = photos(tmp_path, 10)

    def kill(done, _total):
        if done == 8:
            raise SystemExit

    with pytest.raises(SystemExit):
        opened(folder, chunk=2, progress=kill)
    parts = kept_files(folder, ".part")
    assert len(parts) == 2
    half = parts[0].with_name(f"{parts[0].name}.123.tmp")
    half.write_bytes(b"half")
    os.utime(half, (0, 0))
    decoded.clear()
    found = opened(folder)
    assert sorted(decoded) == ["008.png", "009.png"] and len(found) == 10 and len(kept_files(folder)) == 1


def test_two_models_and_two_sizes_do_not_mix(folder, model, opened, decoded, made_model):
    other = made_model("tirg")
    assert model_key(model) == model_key(maaf_lab.load_pretrained("css-laptop")) != model_key(other)
    assert len(model_key(model)) == 10 and int(model_key(model), 16)
    assert model_key(made_model("maaf")) != model_key(made_model("maaf", **{"model.attention": "identity"}))  # equal weights
    vectors = [
        opened(folder).vectors,
        open_folder(folder, other, pixels=PIXELS, name="tirg", progress=False).vectors,
        opened(folder, pixels=64).vectors,
    ]
    decoded.clear()
    again = [
        opened(folder).vectors,
        open_folder(folder, other, pixels=PIXELS, name="tirg", progress=False).vectors,
        opened(folder, pixels=64).vectors,
    ]
    assert not decoded and all(np.array_equal(a, b) for a, b in zip(vectors, again)) and len(kept_files(folder)) == 3
    assert vectors[1].shape != vectors[0].shape and not np.allclose(vectors[0], vectors[2])


def test_two_folders_share_a_place_to_keep(tmp_path, opened, decoded):
    for name, seed in (("a", 1), ("b", 2)):
        draw(tmp_path / name / "x.png", seed)
        os.utime(tmp_path / name / "x.png", ns=(5, 5))
    first = [opened(tmp_path / name, kept=tmp_path / "kept") for name in "ab"]
    decoded.clear()
    again = [opened(tmp_path / name, kept=str(tmp_path / "kept")) for name in "ab"]
    assert not decoded and not (tmp_path / "a" / ".cache").exists() and not np.allclose(first[0].vectors, first[1].vectors)
    assert all(np.array_equal(a.vectors, b.vectors) for a, b in zip(first, again))


def test_vectors_kept_among_the_images(folder, opened, decoded):
    assert len(opened(folder, kept=folder)) == 6
    decoded.clear()
    assert len(opened(folder, kept=folder)) == 6 and not decoded


def test_a_folder_that_cannot_be_written(folder, model, opened, decoded, no_writing):
    for _ in range(2):
        decoded.clear()
        with pytest.warns(UserWarning, match=r"\.cache cannot be written \(Permission denied\)") as told:
            found = opened(folder)
        assert len(decoded) == 6 and len(told) == 1 and Path(told[0].filename).name == "conftest.py"  # where `opened` calls it
        np.testing.assert_allclose(found.vectors, by_hand(model, found.paths), atol=1e-5)
    assert not (folder / ".cache").exists()


def test_a_kept_folder_that_cannot_be_written_is_read(folder, opened, decoded, request):
    opened(folder)
    request.getfixturevalue("no_writing")
    decoded.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(opened(folder)) == 6 and not decoded


def test_a_given_place_that_cannot_be_written(folder, opened, decoded):
    (folder.parent / "file").touch()
    with pytest.raises(DataError, match=r"expected a folder to keep vectors in; Not a directory.*pass another one as `kept`"):
        opened(folder, kept=folder.parent / "file" / "kept")
    assert not decoded


def test_a_full_disk(folder, opened, monkeypatch):
    def full(_file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "SAVE_EVERY", 2)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="No space left") as told:
        assert len(opened(folder, chunk=2)) == 6
    assert len(told) == 1 and not kept_files(folder)


@pytest.mark.parametrize("harm", ["cut", "longer", "flipped vector", "flipped entry", "empty", "text", "no lines", "folder"])
def test_a_damaged_file_is_built_again(folder, model, opened, decoded, harm):
    want = np.array(opened(folder).vectors)
    (file,) = kept_files(folder)
    data = file.read_bytes()
    flip = {"flipped vector": len(data) - 5, "flipped entry": 70}.get(harm, 0)
    flipped = data[:flip] + bytes([data[flip] ^ 1]) + data[flip + 1 :]
    harmed = {"cut": data[:-100], "longer": data + b"1234", "empty": b"", "text": b"{}\n{}\n", "no lines": bytes(500)}
    file.unlink()
    if harm == "folder":
        file.mkdir()
    else:
        file.write_bytes(harmed.get(harm, flipped))
    decoded.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error" if harm != "folder" else "ignore")
        found = opened(folder)
    assert len(decoded) == 6 and np.array_equal(found.vectors, want)
    if harm != "folder":
        decoded.clear()
        assert np.array_equal(opened(folder).vectors, want) and not decoded


def test_another_image_of_equal_size_and_mtime(folder, model, opened, decoded):
    """What `cp -p` and rsync leave: only the contents tell."""
    first, second = folder / "001.bmp", folder / "002.bmp"
    for seed, path in enumerate((first, second)):
        draw(path, 50 + seed, size=(70, 70))
        os.utime(path, ns=(5, 5))
    before = np.array(opened(folder).vectors)
    a, b = first.read_bytes(), second.read_bytes()
    assert len(a) == len(b) and a != b
    first.write_bytes(b)
    os.utime(first, ns=(5, 5))
    os.utime(second, ns=(5, 5))  # its ctime alone
    decoded.clear()
    found = opened(folder)
    assert decoded == ["001.bmp"]
    np.testing.assert_allclose(found.vectors, by_hand(model, found.paths), atol=1e-5)
    assert not np.allclose(found.vectors, before)
    decoded.clear()
    assert np.array_equal(opened(folder).vectors, found.vectors) and not decoded


def test_files_of_version_0_1_0_are_read(folder, opened, decoded, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(gallery_store.Line, "entry", property(lambda line: line[:4]))
        first = opened(folder)
    decoded.clear()
    for _ in range(2):  # the first call adds what they lack
        assert np.array_equal(opened(folder).vectors, first.vectors) and not decoded
    (file,) = kept_files(folder)
    assert all(line.ctime_ns and len(line.sample) == 16 for line in gallery_store.read_lines(file, first.vectors.shape[1])[0])


@pytest.mark.parametrize(
    "entries", [[[["a"], 1, 1, "x"]], [["a", "1", 1, "x"]], ["abcd"], [["a", 1, 1]], {"a": 1}, None, [None], "deep"]
)
def test_entries_of_somebody_else(folder, opened, decoded, entries):
    opened(folder)
    (file,) = kept_files(folder)
    text = (b"[" * 100_000 if entries == "deep" else json.dumps(entries).encode()) + b"\n"
    file.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
    decoded.clear()
    assert len(opened(folder)) == 6 and len(decoded) == 6


def test_a_cache_folder_that_is_a_link_is_not_used(folder, opened, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (folder / ".cache").symlink_to(tmp_path / "elsewhere")
    with pytest.warns(UserWarning, match="it is a link"):
        assert len(opened(folder)) == 6
    assert not list((tmp_path / "elsewhere").iterdir())
