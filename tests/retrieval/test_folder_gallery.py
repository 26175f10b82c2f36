"""A folder of images: embedded once, whatever is in it, and searched as a full sort would."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from galleries import PIXELS, by_hand, draw, full_sort, kept_files, photos
from PIL import Image as PILImage

from maaf_lab.data import images
from maaf_lab.data.images import decode, to_square
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.retrieval import folder_gallery as module
from maaf_lab.retrieval.folder_gallery import FolderGallery, square


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def of_vectors(vectors):
    names = tuple(f"{i}.png" for i in range(len(vectors)))
    return FolderGallery("vectors", names, tuple(Path(name) for name in names), vectors)


def test_search_of_a_hundred_thousand_equals_a_full_sort():
    random = np.random.default_rng(0)
    vectors = unit(random.standard_normal((100_000, 64), dtype=np.float32))
    vectors[[70_000, 5, 99_999]] = vectors[300]
    found = of_vectors(vectors)
    for asked in (vectors[300], unit(random.standard_normal(64))):
        for k in (1, 3, 10, 1_000):
            hits = found.search(asked, k)
            order, scores = full_sort(vectors, asked, k)
            assert hits.images.tolist() == order and np.array_equal(hits.scores, scores)
    assert hits.images.dtype == np.int64 and hits.scores.dtype == np.float32
    assert found.search(vectors[300], 4).images.tolist() == [5, 300, 70_000, 99_999]


def test_equal_images_come_in_their_order():
    vectors = unit(np.random.default_rng(1).standard_normal((1, 33)))
    found = of_vectors(np.repeat(vectors, 9_001, 0))
    for k in (1, 4, 9_001, 20_000):
        hits = found.search(vectors[0], k)
        assert hits.images.tolist() == list(range(min(k, 9_001))) and len(set(hits.scores.tolist())) == 1


def test_without():
    vectors = unit(np.random.default_rng(2).standard_normal((12, 8)))
    found = of_vectors(vectors)
    for without in ([], [3], np.array([3, 3, 0]), {11, 1}, range(1, 12)):
        hits, (order, _) = found.search(vectors[3], 5, without), full_sort(vectors, vectors[3], 5, without)
        assert hits.images.tolist() == order
    assert len(found.search(vectors[3], 5, range(12)).images) == 0
    assert len(found.search(vectors[3], 50).images) == 12


def test_what_search_refuses():
    found = of_vectors(unit(np.eye(4, 8)))
    for k in (0, -1, True):
        with pytest.raises(ConfigError, match="k to be a whole number of at least 1"):
            found.search(np.ones(8), k)
    for vector in (np.ones(7), np.ones((1, 8)), np.full(8, np.nan)):
        with pytest.raises(ConfigError, match=r"one vector \(8,\)"):
            found.search(vector, 1)
    for outside in (4, -1):
        with pytest.raises(IndexError, match="0 to 3"):
            found.search(np.ones(8), 1, [outside])
    with pytest.raises(DataError, match="2 names"):
        FolderGallery("odd", ("a", "b"), (), np.zeros((2, 8), np.float32))


def test_a_folder_equals_each_image_embedded_alone(folder, model, opened):
    names = ["000.png", "001.png", "002.png", "003.png", "004.png", "more/last.JPG"]
    want = by_hand(model, [folder / name for name in names])
    for chunk in (64, 4, 1):
        found = opened(folder, chunk=chunk, kept=folder.parent / f"kept{chunk}")
        assert found.names == tuple(names) and found.paths == tuple(folder / name for name in names)
        np.testing.assert_allclose(found.vectors, want, atol=1e-5)
        assert found.vectors.dtype == np.float32 and found.broken == ()
        for i in range(6):
            hits = found.search(torch.from_numpy(want[i]), 6)
            assert hits.images.tolist() == full_sort(np.asarray(found.vectors), want[i], 6)[0] and hits.images[0] == i
    assert repr(found) == "FolderGallery(my photos: 6 images; css-laptop)" and len(found) == 6
    np.testing.assert_array_equal(found.picture(5, 40), to_square(decode(folder / names[5]), 40))
    assert not (folder / ".cache").exists()


def test_which_files_count(tmp_path, opened):
    names = []
    for suffix in (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".jfif", ".jpe", ".jp2", ".ppm", ".avif"):
        if suffix in images.suffixes():  # .avif not in every build of Pillow
            draw(tmp_path / f"a{suffix}", 1)
            draw(tmp_path / f"b{suffix.upper()}", 2)
            names += [f"a{suffix}", f"b{suffix.upper()}"]
    for name in ("large.jpg?1545404551", "medium.JPEG?w=4.5&h=3", "IMG_1.png:large"):  # as sites name them
        draw(tmp_path / "a.jpg").rename(tmp_path / name)
        names.append(name)
    draw(tmp_path / "a.jpg", 1)
    draw(tmp_path / ".hidden" / "a.png")
    draw(tmp_path / ".a.png")
    draw(tmp_path / "kept" / "a.png")
    for name in ("notes.txt", "more.TXT", "photo.heic", "figure.eps", "noname", "a.png~"):
        (tmp_path / name).write_text("not an image that Pillow reads")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    found = opened(tmp_path, kept=tmp_path / "kept")
    assert found.names == tuple(sorted(names))
    assert [name for name, _ in found.broken] == ["pipe.png", "zero.png"] and "a pipe or a device" in found.broken[0][1]
    assert dict(found.others) == {".txt": 2, ".heic": 1, ".eps": 1, "": 2}
    assert found.summary.endswith("2 broken and 6 other files (2 without suffix, 2 .txt, 1 .eps, 1 .heic) left out")


def test_links(tmp_path, opened):
    draw(tmp_path / "photos" / "b" / "one.png")
    draw(tmp_path / "elsewhere" / "two.png", 1)
    for name, to in (
        ("photos/a", "b"),
        ("photos/b/up", ".."),
        ("photos/b/self", "self"),
        ("photos/c", "../elsewhere"),
        ("photos/gone.png", "nowhere.png"),
        ("photos/ring.png", "ring.png"),
    ):
        (tmp_path / name).symlink_to(to)
    found = opened(tmp_path / "photos")
    assert found.names == ("b/one.png", "c/two.png")
    assert [name for name, _ in found.broken] == ["gone.png", "ring.png"] and "cannot be opened" in found.broken[0][1]
    assert found.find(tmp_path / "elsewhere" / "two.png") == (1,) and found.find(tmp_path / "three.png") == ()


def test_odd_names_and_a_folder_that_moves(tmp_path, opened, decoded):
    for name in ("ü ß.png", "new\nline.png", os.fsdecode(b"caf\xe9.png")):
        draw(tmp_path / "a" / name)
    first = opened(tmp_path / "a")
    os.rename(tmp_path / "a", tmp_path / "b")
    decoded.clear()
    again = opened(tmp_path / "b")
    assert again.names == first.names and len(again) == 3 and not decoded and again.title == "b"


def test_embedded_once(folder, model, opened, decoded, monkeypatch):
    first = opened(folder)
    assert sorted(decoded) == ["000.png", "001.png", "002.png", "003.png", "004.png", "last.JPG"]
    decoded.clear()
    monkeypatch.setattr(type(model), "embed_images", None)
    before = [path.stat().st_mtime_ns for path in kept_files(folder)]
    again = opened(folder)
    assert not decoded and again.names == first.names and np.array_equal(again.vectors, first.vectors)
    assert isinstance(again.vectors, np.memmap) and not again.vectors.flags.writeable
    assert [path.stat().st_mtime_ns for path in kept_files(folder)] == before and len(before) == 1
    assert again.search(first.vectors[2], 1).images.tolist() == [2]


def test_only_what_changed(folder, model, opened, decoded):
    opened(folder)
    draw(folder / "002.png", 77)
    os.utime(folder / "002.png", ns=(1, 1))
    draw(folder / "0015.png", 78)
    (folder / "004.png").unlink()
    decoded.clear()
    found = opened(folder)
    assert sorted(decoded) == ["0015.png", "002.png"]
    assert found.names == ("000.png", "001.png", "0015.png", "002.png", "003.png", "more/last.JPG")
    np.testing.assert_allclose(found.vectors, by_hand(model, found.paths), atol=1e-5)
    (folder / "0015.png").unlink()
    decoded.clear()
    fewer = opened(folder)  # removed only: nothing is embedded
    assert not decoded and np.array_equal(fewer.vectors, np.delete(found.vectors, 2, 0))
    assert np.array_equal(opened(folder).vectors, fewer.vectors) and len(kept_files(folder)) == 1


def test_an_interruption_costs_little(tmp_path, model, opened, decoded, monkeypatch):
    monkeypatch.setattr(module, "SAVE_EVERY", 4)
    folder, real, calls = photos(tmp_path, 21), model.embed_images, []
    (folder / "0095.png").write_text("no image")

    def stops(images, at=4):
        calls.append(len(images))
        if len(calls) == at:
            raise KeyboardInterrupt
        return real(images)

    monkeypatch.setattr(model, "embed_images", stops)
    with pytest.raises(KeyboardInterrupt):
        opened(folder, chunk=3)
    assert len(kept_files(folder, ".part")) == 3  # 4 + 4 while it ran, 1 at its end
    decoded.clear()
    monkeypatch.setattr(model, "embed_images", real)
    done = []
    found = opened(folder, chunk=3, progress=lambda *now: done.append(now))
    assert sorted(decoded) == sorted([f"{i:03d}.png" for i in range(9, 21)] + ["0095.png"])
    assert done == [(9, 22), (12, 22), (15, 22), (18, 22), (21, 22), (22, 22)]
    assert len(found) == 21 and [name for name, _ in found.broken] == ["0095.png"]
    np.testing.assert_allclose(found.vectors, by_hand(model, found.paths), atol=1e-5)
    assert not kept_files(folder, ".part") and not kept_files(folder, ".tmp") and len(kept_files(folder)) == 1
    opened(folder, progress=lambda *now: done.append(now))
    assert done[-1] == (22, 22) and len(done) == 7


def test_a_listener_can_stop_it(tmp_path, model, opened, decoded):
    folder = photos(tmp_path, 9)
    model.train()

    def stop(done, _total):
        if done == 4:
            raise RuntimeError("enough")

    try:
        with pytest.raises(RuntimeError, match="enough"):
            opened(folder, chunk=2, progress=stop)
        assert model.training
    finally:
        model.eval()
    decoded.clear()
    assert len(opened(folder)) == 9 and len(decoded) == 5


def test_broken_files_are_listed_once_tried_and_never_fatal(folder, opened, decoded):
    whole = draw(folder / "z.jpg", size=(300, 200)).read_bytes()
    (folder / "z.jpg").unlink()
    for name, data in (("cut.jpg", whole[: len(whole) // 2]), ("empty.png", b""), ("text.png", b"some words")):
        (folder / name).write_bytes(data)
    found = opened(folder)
    assert len(found) == 6 and repr(found) == "FolderGallery(my photos: 6 images, 3 broken left out; css-laptop)"
    why = dict(found.broken)
    assert sorted(why) == ["cut.jpg", "empty.png", "text.png"] and "truncated" in why["cut.jpg"]
    assert "0 bytes" in why["empty.png"] and "no image format" in why["text.png"] and str(folder) not in why["cut.jpg"]
    decoded.clear()
    assert opened(folder).broken == found.broken and not decoded
    draw(folder / "text.png", 9)
    assert [name for name, _ in opened(folder).broken] == ["cut.jpg", "empty.png"] and decoded == ["text.png"]


def test_a_file_that_cannot_be_opened_is_tried_again(folder, opened, monkeypatch):
    real = images.open_regular

    def locked(path):
        if path.name == "003.png":
            raise PermissionError(13, "Permission denied")
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(images, "open_regular", locked)
        for _ in range(2):
            found = opened(folder)
            ((name, why),) = found.broken
            assert len(found) == 5 and name == "003.png" and "cannot be read" in why and "Permission denied" in why
    assert len(opened(folder)) == 6


def test_a_vector_that_is_not_finite(folder, model, opened, monkeypatch):
    real = model.embed_images
    monkeypatch.setattr(model, "embed_images", lambda images: real(images) * torch.tensor([1, np.nan, 1, 1, 1, 1])[:, None])
    assert opened(folder).broken == (("001.png", "the model gives it no finite vector"),)


def test_a_folder_of_no_use(tmp_path, opened):
    with pytest.raises(DataError, match="found nothing of that name"):
        opened(tmp_path / "nowhere")
    with pytest.raises(DataError, match="found a file"):
        opened(draw(tmp_path / "x.png"))
    (tmp_path / "x.png").unlink()
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError, match=r"png, jpg.*found none among 1 file \(1 \.txt\)\. Name a folder"):
        opened(tmp_path)
    for name in ("b.png", "a.gif"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"found 2 files, none usable \(first: a.gif: .*0 bytes"):
        opened(tmp_path)
    assert not kept_files(tmp_path)


def smooth(path, size, **options):
    y, x = np.mgrid[: size[1], : size[0]]
    waves = [127 + 120 * np.sin(x / size[0] * a) * np.cos(y / size[1] * b) for a, b in ((9, 3), (4, 11), (15, 7))]
    PILImage.fromarray(np.stack(waves, -1).astype(np.uint8)).save(path, **options)
    return path


@pytest.mark.parametrize("turned", [1, 6])
def test_a_large_jpeg_is_read_at_reduced_size(tmp_path, monkeypatch, turned):
    exif = PILImage.Exif()
    exif[0x0112] = turned
    photo = smooth(tmp_path / "large.jpg", (2501, 1701), quality=92, exif=exif)
    want = to_square(decode(photo), PIXELS).astype(int)
    monkeypatch.setattr(images, "_as_rgb", None)
    got = square(photo, PIXELS)
    assert got.shape == (PIXELS, PIXELS, 3) and got.dtype == np.uint8 and np.abs(got - want).max() <= 3


def test_large_files_of_other_kinds(tmp_path, opened, monkeypatch):
    monkeypatch.setattr(images, "LARGE", 1_000)
    monkeypatch.setattr(images, "STRIP", 2_000)
    png, grey = smooth(tmp_path / "a.png", (90, 70)), smooth(tmp_path / "b.jpg", (900, 700))
    PILImage.open(grey).convert("CMYK").save(grey)
    cut = tmp_path / "c.jpg"
    cut.write_bytes(grey.read_bytes()[:3_000])
    np.testing.assert_array_equal(square(png, 20), to_square(decode(png), 20))
    assert np.abs(square(grey, 20).astype(int) - to_square(decode(grey), 20)).max() <= 3
    found = opened(tmp_path)
    assert found.names == ("a.png", "b.jpg") and "truncated" in dict(found.broken)["c.jpg"]


def test_more_pixels_than_pillow_opens(tmp_path, opened, monkeypatch):
    """Between one and two times Pillow's limit it warns, which must not become an error; above, the file is broken."""
    monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", 5_000)
    for name, size in (("fits.png", (70, 70)), ("warns.png", (90, 90)), ("bomb.png", (120, 100))):
        draw(tmp_path / name, size=size)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = opened(tmp_path)
    assert found.names == ("fits.png", "warns.png")
    assert [name for name, _ in found.broken] == ["bomb.png"]
    assert "too large: 12,000 pixels, at most 10,000; save it smaller" in found.broken[0][1]
    with pytest.raises(DataError, match="save it smaller"):
        square(tmp_path / "bomb.png", PIXELS)
