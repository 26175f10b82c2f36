"""A folder of one's own images: embedded once, whatever is in it, and searched as a full sort would; the shell's search."""

import json
import os
import warnings

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

import maaf_lab
from maaf_lab.data.images import decode, to_square
from maaf_lab.data.transforms import build_transform
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.retrieval import folder_gallery as module
from maaf_lab.retrieval import gallery_store
from maaf_lab.retrieval.folder_gallery import SUFFIXES, FolderGallery, model_key, open_folder, square

PIXELS = 56


@pytest.fixture(scope="module")
def model():
    return maaf_lab.load_pretrained("css-laptop")


def draw(path, seed=0, size=(70, 60), **options):
    """A picture of a few large patches, another one for another seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    patches = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    PILImage.fromarray(patches).resize(size, PILImage.Resampling.NEAREST).save(path, **options)
    return path


def photos(folder, n):
    for i in range(n):
        draw(folder / f"{i:03d}.png", i)
    return folder


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
    """The names of files decoded since the last look."""
    seen, real = [], square
    monkeypatch.setattr(module, "square", lambda path, pixels: (seen.append(path.name), real(path, pixels))[1])
    return seen


@pytest.fixture
def no_writing(monkeypatch):
    """No file can be made in any .cache: what permission bits do to anybody but root."""
    real = module.Path.mkdir

    def mkdir(self, *args, **options):
        if self.name == ".cache":
            raise PermissionError(13, "Permission denied")
        real(self, *args, **options)

    monkeypatch.setattr(module.Path, "mkdir", mkdir)


def by_hand(model, paths):
    """Each image alone through the model, (N, D)."""
    prepare = build_transform("plain", PIXELS)
    batches = [torch.from_numpy(to_square(decode(path), PIXELS).copy()).permute(2, 0, 1)[None] for path in paths]
    with torch.inference_mode():
        return torch.cat([model.embed_images(prepare.eval(batch)) for batch in batches]).numpy()


def full_sort(vectors, asked, k, without=()):
    """The obvious way: every cosine in double precision, rounded to single; a stable sort."""
    scores = (vectors.astype(np.float64) * asked.astype(np.float64)).sum(1).astype(np.float32)
    order = [i for i in np.argsort(-scores, kind="stable") if i not in set(without)][:k]
    return order, scores[order]


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def of_vectors(vectors):
    names = tuple(f"{i}.png" for i in range(len(vectors)))
    return FolderGallery("vectors", names, tuple(module.Path(name) for name in names), vectors)


def kept_files(folder, kind=""):
    return sorted((folder / ".cache").glob(f"gallery-*{kind}"))


# --- search -----------------------------------------------------------------------------------------------------------


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
        with pytest.raises(ConfigError, match="k of at least 1"):
            found.search(np.ones(8), k)
    for vector in (np.ones(7), np.ones((1, 8)), np.full(8, np.nan)):
        with pytest.raises(ConfigError, match=r"one vector \(8,\)"):
            found.search(vector, 1)
    for outside in (4, -1):
        with pytest.raises(IndexError, match="0 to 3"):
            found.search(np.ones(8), 1, [outside])
    with pytest.raises(DataError, match="2 names"):
        FolderGallery("odd", ("a", "b"), (), np.zeros((2, 8), np.float32))


# --- a folder ---------------------------------------------------------------------------------------------------------


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
    for suffix in SUFFIXES:
        draw(tmp_path / f"a{suffix}", 1)
        draw(tmp_path / f"b{suffix.upper()}", 2)
    draw(tmp_path / ".hidden" / "a.png")
    draw(tmp_path / ".a.png")
    draw(tmp_path / "kept" / "a.png")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "folder.png").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    found = opened(tmp_path, kept=tmp_path / "kept")
    assert found.names == tuple(sorted([f"a{s}" for s in SUFFIXES] + [f"b{s.upper()}" for s in SUFFIXES])) and not found.broken


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


def test_vectors_kept_among_the_images(folder, opened, decoded):
    assert len(opened(folder, kept=folder)) == 6
    decoded.clear()
    assert len(opened(folder, kept=folder)) == 6 and not decoded


def test_odd_names_and_a_folder_that_moves(tmp_path, opened, decoded):
    for name in ("ü ß.png", "new\nline.png", os.fsdecode(b"caf\xe9.png")):
        draw(tmp_path / "a" / name)
    first = opened(tmp_path / "a")
    os.rename(tmp_path / "a", tmp_path / "b")
    decoded.clear()
    again = opened(tmp_path / "b")
    assert again.names == first.names and len(again) == 3 and not decoded and again.title == "b"


# --- embedded once ----------------------------------------------------------------------------------------------------


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


def test_a_killed_call_leaves_its_parts(tmp_path, opened, decoded, monkeypatch):
    """What `kill -9` leaves: the parts that were whole, and half of a file beside them."""
    monkeypatch.setattr(module, "SAVE_EVERY", 4)
    folder = photos(tmp_path, 10)
    finish = module.Store.finish
    monkeypatch.setattr(module.Store, "finish", lambda self, lines, vectors: vectors)
    opened(folder, chunk=2)
    monkeypatch.setattr(module.Store, "finish", finish)
    parts = kept_files(folder, ".part")
    assert len(parts) == 2
    half = parts[0].with_name(f"{parts[0].name}.123.tmp")
    half.write_bytes(b"half")
    os.utime(half, (0, 0))
    decoded.clear()
    found = opened(folder)
    assert sorted(decoded) == ["008.png", "009.png"] and len(found) == 10 and len(kept_files(folder)) == 1


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


# --- what goes wrong --------------------------------------------------------------------------------------------------


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
    def locked(path, pixels):
        if path.name != "003.png":
            return square(path, pixels)
        try:
            raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise DataError(f"{path}: cannot be read") from error

    monkeypatch.setattr(module, "square", locked)
    for _ in range(2):
        found = opened(folder)
        assert len(found) == 5 and found.broken == (("003.png", "cannot be read"),)
    monkeypatch.setattr(module, "square", square)
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
    with pytest.raises(DataError, match=r"png, jpg.*found none among 1 file\. Name a folder"):
        opened(tmp_path)
    for name in ("b.png", "a.gif"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"found 2 files, none usable \(first: a.gif: .*0 bytes"):
        opened(tmp_path)
    assert not kept_files(tmp_path)


def test_a_folder_that_cannot_be_written(folder, model, opened, decoded, no_writing):
    for _ in range(2):
        decoded.clear()
        with pytest.warns(UserWarning, match=r"\.cache cannot be written \(Permission denied\)") as told:
            found = opened(folder)
        assert len(decoded) == 6 and len(told) == 1 and told[0].filename == __file__
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
    def full(path, lines):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "SAVE_EVERY", 2)
    monkeypatch.setattr(gallery_store, "write_lines", full)
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


# --- large photos -----------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(module, "decode", None)
    got = square(photo, PIXELS)
    assert got.shape == (PIXELS, PIXELS, 3) and got.dtype == np.uint8 and np.abs(got - want).max() <= 3


def test_large_files_of_other_kinds(tmp_path, opened, monkeypatch):
    monkeypatch.setattr(module, "LARGE", 1_000)
    monkeypatch.setattr(module, "HUGE", 2_000)
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
    assert "at most 0 megapixels" in found.broken[0][1] and "12000 pixels" in found.broken[0][1]
    with pytest.raises(DataError, match="save it smaller"):
        square(tmp_path / "bomb.png", PIXELS)


# --- the shell --------------------------------------------------------------------------------------------------------


def test_the_shell_searches(tiny_css, tmp_path, model, shell):
    pictures = sorted(path for path in (tiny_css / "images").rglob("*.png"))[:12]
    for path in pictures:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "bad.png").write_text("no image")
    image, text = tmp_path / pictures[4].name, "make yellow sphere chartreuse chartreuse"
    asked = ("search", "--image", image, "--text", text, "--gallery", tmp_path, "--run", "css-laptop", "--k", 3)
    code, out, err = shell(*asked)
    batch = build_transform("plain", PIXELS).eval(torch.from_numpy(square(image, PIXELS)).permute(2, 0, 1)[None])
    with torch.inference_mode():
        query = model.embed_query(batch, [text])[0].numpy()
    paths = sorted(tmp_path / path.name for path in pictures)
    order, scores = full_sort(by_hand(model, paths), query, 3, [paths.index(image)])
    want = [f"{place:>3}  {score:.3f}  {paths[i]}" for place, (i, score) in enumerate(zip(order, scores), 1)]
    assert code == 0 and out.splitlines() == want
    assert "css-laptop (maaf), trained on synthetic css" in err and "12 images, 1 broken" in err
    assert "broken: bad.png: " in err and "does not know: chartreuse\n" in err

    code, out, err = shell(*asked, "--json", "--device", "cpu")
    listed = json.loads(out)
    assert code == 0 and [line["path"] for line in listed] == [str(paths[i]) for i in order]
    assert [line["rank"] for line in listed] == [1, 2, 3] and np.allclose([line["score"] for line in listed], scores, atol=1e-5)


def test_the_shell_says_what_it_leaves_out(tmp_path, shell):
    for i in range(7):
        (tmp_path / "photos" / f"{i}.png").parent.mkdir(exist_ok=True)
        (tmp_path / "photos" / f"{i}.png").touch()
    own = draw(tmp_path / "photos" / "own.png")
    code, out, err = shell("search", "--image", own, "--gallery", tmp_path / "photos", "--run", "css-laptop", "--text", " ")
    assert (code, out) == (0, "") and "holds the picture itself and no other" in err
    assert "the picture alone is the query" in err and err.count("broken: ") == 5 and "and 2 more" in err
    other = draw(tmp_path / "photos" / "other.png", 1)
    code, out, _ = shell("search", "--image", own, "--gallery", tmp_path / "photos", "--text", "is red and has long sleeves")
    assert code == 0 and out.endswith(f"  {other}\n") and out.startswith("  1  ") and out.count("\n") == 1  # the default model


def test_the_shell_searches_with_a_run_of_ones_own(tmp_path, shell):
    for seed in range(3):
        draw(tmp_path / "photos" / f"{seed}.png", seed)
    own = maaf_lab.pretrained_run("css-laptop").folder
    code, out, err = shell("search", "--image", draw(tmp_path / "q.png", 2), "--gallery", tmp_path / "photos", "--run", own)
    assert code == 0 and out.count("\n") == 3 and f"model {own}" in err  # q.png is no file of the gallery


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--image": "nowhere.png"}, "no such file"),
        ({"--image": "text.png"}, "cannot be read as an image"),
        ({"--run": "css-desktop"}, "no pretrained model 'css-desktop'; known: css-laptop"),
        ({"--run": "photos"}, "found none"),
        ({"--gallery": "nowhere"}, "expected a folder of images, found nothing"),
        ({"--catalogue": "nowhere"}, "expected a folder of images, found nothing"),  # what the option was called before
        ({"--gallery": "text.png"}, "expected a folder of images, found a file"),
        ({"--gallery": "empty"}, "found none among 0 files"),
        ({"--k": "0"}, "--k: expected at least 1, found 0"),
    ],
)
def test_the_shells_errors(tmp_path, shell, monkeypatch, changes, message):
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "photos" / "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("no image")
    options = {"--image": "photos/a.png", "--gallery": "photos", "--run": "css-laptop", **changes}
    code, out, err = shell("search", *(word for pair in options.items() for word in pair))
    assert (code, out) == (2, "") and "maaf-lab: " in err and message in err and "Traceback" not in err
