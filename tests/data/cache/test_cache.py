"""The cache's promises: made once, whole or absent, found by contents, and a build that is killed goes on."""

import errno
import io
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PILImage

from maaf_lab.config import DataConfig, RunConfig
from maaf_lab.data.cache import STORES, JpegCache, PixelCache, pixel_cache
from maaf_lab.data.cache import build as cache_build
from maaf_lab.data.cache.build import SEALED
from maaf_lab.data.images import decode, to_square
from maaf_lab.data.split import Image, Split
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.experiments.runs import finished_runs
from maaf_lab.utils.paths import records_folder

NOISE = np.random.default_rng(0)


def noise(height=16, width=16):
    return NOISE.integers(0, 256, (height, width, 3), dtype=np.uint8)


def write(root, n, size=16):
    (root / "images").mkdir(parents=True)
    images = [Image(f"im{i}", root / "images" / f"im{i}.png", f"label {i}") for i in range(n)]
    for image in images:
        PILImage.fromarray(noise(size, size)).save(image.path)
    return Split("test", images, [], dataset="toy", origin="a test")


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
    seen, real = [], cache_build.decode
    monkeypatch.setattr(cache_build, "decode", lambda path, data=None: (seen.append(path), real(path, data))[1])
    return seen


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def squares(cache):
    return np.stack([cache.image(i) for i in range(len(cache))])


# --- what a cache holds -----------------------------------------------------------------------------------------------


def test_images_of_the_right_size_keep_their_bytes(split, decodes):
    cache = pixel_cache(split, 16, progress=False)
    assert len(cache) == 7 and cache.size == 16 and len(decodes) == 7
    for i, image in enumerate(split.images):
        np.testing.assert_array_equal(cache.image(i), np.asarray(PILImage.open(image.path)))
    assert cache.path.parent == split.images[0].path.parents[1] / ".cache"


def test_other_sizes(split):
    cache = pixel_cache(split, 8, progress=False)
    np.testing.assert_array_equal(cache.image(3), to_square(decode(split.images[3].path), 8))


def test_jpeg_is_close_to_raw_and_smaller(tmp_path):
    smooth = np.stack(np.meshgrid(np.linspace(0, 255, 96), np.linspace(255, 0, 96), indexing="ij")).sum(0) / 2
    split = write(tmp_path / "set", 4, 96)
    for i, image in enumerate(split.images):  # shapes with edges on a gradient, in colours: what photographs are made of
        picture = np.stack([smooth, np.roll(smooth, 17 * i, 0), smooth.T], -1)
        picture[20:50, 10 + i : 60] = (200, 30 + 40 * i, 90)
        PILImage.fromarray(picture.astype(np.uint8)).save(image.path)
    raw, jpeg = (pixel_cache(split, 96, progress=False, store=store) for store in ("raw", "jpeg"))
    error = (squares(raw).astype(float) - squares(jpeg)) ** 2
    psnr = 10 * np.log10(255**2 / error.mean((1, 2, 3)))
    assert (psnr > 36).all() and (error > 0).any() and jpeg.nbytes < raw.nbytes / 4
    assert raw.key != jpeg.key and type(jpeg) is JpegCache and "JpegCache(4 images of 96 px" in repr(jpeg)


def test_jpeg_keeps_what_the_encoder_wrote(split):
    cache = pixel_cache(split, 12, progress=False, store="jpeg")
    data = cache.path.read_bytes()
    for i, image in enumerate(split.images):
        encoded = JpegCache.encode(to_square(decode(image.path), 12))
        assert data[cache.ends[i] - len(encoded) : cache.ends[i]] == encoded
        np.testing.assert_array_equal(cache.image(i), decode("a.jpg", encoded))


def test_batches(split, make):
    cache = make(split, 16)
    assert len(cache) == 7 and cache.size == 16
    for indices in (np.array([4, 0, 4]), torch.tensor([4, 0, 4]), [4, 0, 4]):
        batch = cache.batch(indices)
        assert batch.shape == (3, 3, 16, 16) and batch.dtype == torch.uint8
        assert batch.is_contiguous(memory_format=torch.channels_last)
        np.testing.assert_array_equal(batch.permute(0, 2, 3, 1).numpy(), np.stack([cache.image(i) for i in (4, 0, 4)]))
    batch[:] = 0  # a batch is its own memory
    assert cache.image(4).any() and cache.batch([]).shape == (0, 3, 16, 16)
    assert torch.equal(cache.batch([-1]), cache.batch([6])) and not torch.equal(cache.batch([5]), cache.batch([6]))
    for outside in (7, -8):
        with pytest.raises(IndexError):
            cache.batch([outside])


def test_made_once(split, make, decodes):
    first = make(split, 16)
    decodes.clear()
    again = make(split, 16)
    assert not decodes and again.key == first.key and again.path == first.path
    np.testing.assert_array_equal(squares(again), squares(first))


def test_other_processes_map_the_same_file(split, make):
    cache = make(split, 16)
    sent = pickle.dumps(cache)
    assert len(sent) < 1000
    got = pickle.loads(sent)
    assert type(got) is type(cache) and isinstance(getattr(got, "pixels" if got.store == "raw" else "data"), np.memmap)
    assert torch.equal(got.batch(range(7)), cache.batch(range(7)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_processes_decode(split, make, cores):
    cores(2)
    cache = make(split, 16)
    want = cache.batch(range(7))  # its threads run; in the child they do not
    child = os.fork()
    if not child:
        signal.alarm(60)  # ends a child that waits for them
        os._exit(0 if torch.equal(cache.batch(range(7)), want) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_loaders_workers_decode(split, make):
    cache = make(split, 16)
    loader = torch.utils.data.DataLoader(range(1), num_workers=1, collate_fn=lambda _: cache.batch(range(7)), timeout=60)
    assert torch.equal(next(iter(loader)), cache.batch(range(7)))


def test_a_cache_in_memory_needs_no_file():
    cache = PixelCache("key", np.zeros((2, 4, 4, 3), np.uint8), None)
    assert cache.batch([1]).shape == (1, 3, 4, 4) and io.BytesIO(pickle.dumps(cache)).getbuffer().nbytes > 96


# --- found again, or not ----------------------------------------------------------------------------------------------


def test_a_changed_file_is_seen(split, make, decodes):
    first = make(split, 16)
    old = first.image(2)
    PILImage.fromarray(noise()).save(split.images[2].path)
    decodes.clear()
    second = make(split, 16)
    assert len(decodes) == 7 and second.key != first.key and not np.array_equal(second.image(2), old)
    assert np.array_equal(first.image(2), old)  # who holds the old one keeps it
    assert [name for name in files(second.path.parent) if name.startswith("pixels-")] == [second.path.name]  # the old one goes
    assert len(files(second.path.parent)) == 2


@pytest.mark.skipif(os.name == "nt", reason="ctime is the time of creation there")
def test_a_change_that_keeps_bytes_and_mtime_is_seen(tmp_path, make):
    split = write(tmp_path / "set", 3)
    for image in split.images:  # stored without compression: same number of bytes whatever the picture
        PILImage.fromarray(noise()).save(image.path, compress_level=0)
    first = make(split, 16)
    path, before = split.images[1].path, os.stat(split.images[1].path)
    time.sleep(0.02)  # a tick of the file system's clock
    PILImage.fromarray(noise()).save(path, compress_level=0)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = os.stat(path)
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert make(split, 16).key != first.key


def test_touched_or_moved_files_are_not_decoded_again(tmp_path, make, decodes):
    split = write(tmp_path / "set", 4)
    first = make(split, 16)
    for image in split.images:
        os.utime(image.path, ns=(1, 1))
    decodes.clear()
    assert make(split, 16).key == first.key
    (tmp_path / "set").rename(tmp_path / "moved")
    moved = Split("test", [Image(i.id, tmp_path / "moved" / "images" / i.path.name, i.label) for i in split.images], [])
    assert make(moved, 16).key == first.key and not decodes


def test_order_size_and_store_are_part_of_the_key(split, make):
    cache = make(split, 16)
    other = make(Split("test", split.images[::-1], []), 16)
    keys = {cache.key, other.key, *(make(split, size, store=s).key for size in (8, 16) for s in STORES)}
    assert len(keys) == 5
    np.testing.assert_array_equal(other.image(0), cache.image(6))
    assert make(split, 16).key == cache.key


def test_a_damaged_cache_is_built_again(split, make):
    cache = make(split, 16)
    good, path = squares(cache), cache.path
    whole = path.read_bytes()
    del cache
    for content in (b"", whole[:500], whole[:-1], whole + b"x", b"x" + whole[1:]):
        path.write_bytes(content)
        if content[:-1] == whole and path.suffix == ".npy":
            continue  # bytes after the last pixel harm nobody
        np.testing.assert_array_equal(squares(make(split, 16)), good)
        assert path.read_bytes() == whole
    for damage in (b"{", b"", b"\xff" * 100, b'{"key": 3}\n', b'{"key": "0"}\n' + bytes(64 * 7)):
        for manifest in path.parent.glob("manifest-*"):
            manifest.write_bytes(damage)
        np.testing.assert_array_equal(squares(make(split, 16)), good)


def test_a_damaged_image_is_named(split):
    cache = pixel_cache(split, 16, progress=False, store="jpeg")
    data, start = bytearray(cache.path.read_bytes()), int(cache.ends[2])
    path, end = cache.path, int(cache.ends[3])
    del cache
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    cache = pixel_cache(split, 16, progress=False, store="jpeg")
    assert cache.batch([2, 4]).any()
    with pytest.raises(DataError, match="image 3 is damaged"):
        cache.batch([2, 3])


# --- builds that are stopped ------------------------------------------------------------------------------------------


def stopped(make, split, folder, monkeypatch, after):
    """A build that Ctrl-C stopped when `after` images had been decoded; what it left, by name."""
    real, seen = cache_build.Listing.encoded, []

    def stop(self, start):
        for image in real(self, start):
            if len(seen) == after:
                raise KeyboardInterrupt
            seen.append(image)
            yield image

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cache_build.Listing, "encoded", stop)
        make(split, 16, folder)
    return {path.name.partition(".")[2]: path for path in folder.iterdir()}


@pytest.mark.parametrize("after", range(7))
def test_a_stopped_build_goes_on(split, make, decodes, monkeypatch, tmp_path, after):
    whole = make(split, 16, tmp_path / "other")
    left = stopped(make, split, tmp_path / "cache", monkeypatch, after)
    assert set(left) == ({"pixels.partial", "journal.partial"} if after else set())
    decodes.clear()
    cache = make(split, 16, tmp_path / "cache")
    assert len(decodes) == 7 - after and cache.key == whole.key
    assert cache.path.read_bytes() == whole.path.read_bytes() and len(files(tmp_path / "cache")) == 2


def test_stopped_again_and_again(split, make, decodes, monkeypatch, tmp_path):
    for done in range(7):
        decodes.clear()
        left = stopped(make, split, tmp_path / "cache", monkeypatch, min(done, 1))  # one image further each time
        if done:
            assert left["journal.partial"].stat().st_size == done * SEALED.itemsize
            for path in left.values():
                path.write_bytes(path.read_bytes() + b"torn")
    decodes.clear()
    np.testing.assert_array_equal(squares(make(split, 16, tmp_path / "cache")), squares(make(split, 16, tmp_path / "other")))
    assert len(decodes) == 1 + 7


@pytest.mark.parametrize("at", ["fsync", "replace"])
@pytest.mark.parametrize("call", [1, 2])
def test_stopped_between_the_last_steps(split, make, decodes, monkeypatch, tmp_path, at, call):
    whole, calls, real = make(split, 16, tmp_path / "other"), [], getattr(os, at)

    def stop(*args):
        calls.append(args)
        if len(calls) == call:
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, at, stop)
        make(split, 16, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("pixels-*"))
    decodes.clear()
    assert make(split, 16, tmp_path / "cache").path.read_bytes() == whole.path.read_bytes()
    assert len(decodes) == (7 if (at, call) == ("fsync", 1) else 0) and len(files(tmp_path / "cache")) == 2


@dataclass(repr=False)
class Remains:
    """What a build left that was stopped after its last image: two files and their bytes; and the bytes of a whole cache."""

    split: Split
    whole: bytes
    journal: Path
    records: bytes
    partial: Path
    pixels: bytes


@pytest.fixture(scope="module")
def remains(tmp_path_factory):
    """store -> Remains."""
    out = {}
    for store in STORES:
        root = tmp_path_factory.mktemp(store)
        split = write(root / "set", 5)
        whole = pixel_cache(split, 16, root / "other", progress=False, store=store)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(os, "replace", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
            pixel_cache(split, 16, root / "cache", progress=False, store=store)
        journal, partial = (next((root / "cache").glob(f"*.{part}.partial")) for part in ("journal", "pixels"))
        out[store] = Remains(split, whole.path.read_bytes(), journal, journal.read_bytes(), partial, partial.read_bytes())
    return out


@given(store=st.sampled_from(list(STORES)), data=st.data())
def test_whatever_a_kill_leaves_is_gone_on_with(remains, store, data):
    """Any beginning of the journal, the pixels it speaks of or fewer, torn or foreign bytes after: the same file in the end."""
    left = remains[store]
    for old in left.journal.parent.iterdir():
        old.unlink()
    ends = np.frombuffer(left.records, SEALED)["record"]["end"].tolist()
    cut = data.draw(st.integers(0, len(left.records)), "journal bytes")
    torn = st.one_of(st.binary(max_size=130), st.integers(0, 130).map(bytes))
    told = ends[-(-cut // SEALED.itemsize) - 1] if cut else 0  # pixels that were on the disk before the journal spoke of them
    keep = data.draw(st.integers(0, len(left.pixels)), "pixel bytes")
    left.journal.write_bytes(left.records[:cut] + data.draw(torn, "after the journal"))
    left.partial.write_bytes(left.pixels[:keep] + (data.draw(torn, "after the pixels") if keep >= told else b""))
    found, size = left.journal.read_bytes(), left.partial.stat().st_size
    sound = [
        (i + 1) * SEALED.itemsize <= len(found) and left.records.startswith(found[: (i + 1) * SEALED.itemsize]) and end <= size
        for i, end in enumerate(ends)
    ]
    seen, real = [], cache_build.decode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_build, "decode", lambda *args: (seen.append(args), real(*args))[1])
        cache = pixel_cache(left.split, 16, left.journal.parent, progress=False, store=store)
    assert cache.path.read_bytes() == left.whole and len(seen) == sound.count(False)
    assert len(files(left.journal.parent)) == 2


@pytest.mark.parametrize("changed", [0, 2, 5])
def test_a_file_that_changed_since_the_stop_is_decoded_again(split, make, decodes, monkeypatch, tmp_path, changed):
    stopped(make, split, tmp_path / "cache", monkeypatch, 5)
    PILImage.fromarray(noise()).save(split.images[changed].path)
    os.utime(split.images[4].path, ns=(1, 1))  # only touched
    decodes.clear()
    cache = make(split, 16, tmp_path / "cache")
    assert len(decodes) == 7 - min(changed, 5)
    np.testing.assert_array_equal(squares(cache), squares(make(split, 16, tmp_path / "other")))


CHILD = """
import sys, time
from pathlib import Path
from maaf_lab.data.cache import build as cache_build
from maaf_lab.data.cache import pixel_cache
from maaf_lab.data.split import Image, Split
cache_build.SAVE_EVERY, real = 0.0, cache_build.Listing.encoded
def slow(*args):
    for i, image in enumerate(real(*args)):
        yield image
        time.sleep(0 if i < 3 else 60)
cache_build.Listing.encoded = slow
paths = sorted(Path(sys.argv[1]).glob("*.png"))
pixel_cache(Split("test", [Image(p.stem, p, p.stem) for p in paths], []), 16, sys.argv[2], progress=False, store=sys.argv[3])
"""


@pytest.mark.skipif(os.name == "nt", reason="another way of killing there")
def test_a_killed_process_loses_at_most_what_was_not_saved(split, make, decodes, tmp_path, store):
    args = [sys.executable, "-c", CHILD, str(split.images[0].path.parent), str(tmp_path / "cache"), store]
    child = subprocess.Popen(args, cwd=Path(__file__).parents[3])
    try:
        deadline = time.monotonic() + 120
        while not any(path.stat().st_size >= 3 * SEALED.itemsize for path in (tmp_path / "cache").glob("*.journal.partial")):
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    decodes.clear()
    cache = make(split, 16, tmp_path / "cache")
    assert 3 <= len(decodes) <= 4
    np.testing.assert_array_equal(squares(cache), squares(make(split, 16, tmp_path / "other")))


def test_two_builders_make_one_cache(split, make, decodes, tmp_path, monkeypatch):
    started, go, real, got = threading.Event(), threading.Event(), cache_build.Listing.encoded, []

    def slow(self, start):
        started.set()
        assert go.wait(60)
        yield from real(self, start)

    monkeypatch.setattr(cache_build.Listing, "encoded", slow)
    first, second = (threading.Thread(target=lambda: got.append(make(split, 16, tmp_path / "cache"))) for _ in range(2))
    first.start()
    assert started.wait(60)
    second.start()
    second.join(0.2)
    assert second.is_alive() and not got  # it waits
    go.set()
    first.join(60)
    second.join(60)
    assert len(got) == 2 and got[0].path == got[1].path and len(decodes) == 7 and len(files(tmp_path / "cache")) == 2


def test_many_builders_at_once(split, make, tmp_path):
    got, whole = [], make(split, 16, tmp_path / "other").path.read_bytes()
    threads = [threading.Thread(target=lambda: got.append(make(split, 16, tmp_path / "cache"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == 6 and {cache.path.read_bytes() for cache in got} == {whole} and len(files(tmp_path / "cache")) == 2


def test_without_locks_each_builds_its_own(split, make, tmp_path, monkeypatch):
    def none(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", none)
    whole = make(split, 16, tmp_path / "other")
    assert not stopped(make, split, tmp_path / "cache", monkeypatch, 4)
    assert make(split, 16, tmp_path / "cache").path.read_bytes() == whole.path.read_bytes()
    assert len(files(tmp_path / "cache")) == 2


def test_another_users_remains_are_left_alone(split, make, decodes, tmp_path, monkeypatch):
    left = stopped(make, split, tmp_path / "cache", monkeypatch, 4)
    before = {path: path.read_bytes() for path in left.values()}
    decodes.clear()
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        cache = make(split, 16, tmp_path / "cache")
    assert len(decodes) == 7 and before == {path: path.read_bytes() for path in left.values()}
    np.testing.assert_array_equal(squares(cache), squares(make(split, 16, tmp_path / "other")))
    assert len(files(tmp_path / "cache")) == 2 + 2


def test_remains_of_forgotten_builds_go(split, make, tmp_path):
    (tmp_path / "cache").mkdir()
    for name, days in (("a.pixels.partial", 8), ("b.pixels.partial", 6)):
        (tmp_path / "cache" / name).write_bytes(b"x")
        os.utime(tmp_path / "cache" / name, (time.time() - days * 86_400,) * 2)
    make(split, 16, tmp_path / "cache")
    assert [name for name in files(tmp_path / "cache") if name.endswith(".partial")] == ["b.pixels.partial"]


# --- what cannot be built ---------------------------------------------------------------------------------------------


def test_all_bad_files_in_one_error(split, make, tmp_path, decodes):
    good = {i: split.images[i].path.read_bytes() for i in (1, 3, 4, 6)}
    for i, data in good.items():
        split.images[i].path.write_bytes(b"" if i == 1 else data[:60])
    with pytest.raises(DataError) as error:
        make(split, 16, tmp_path / "cache")
    text = str(error.value)
    assert "4 of 7 images unreadable" in text and all(f"im{i}.png" in text for i in (1, 3, 4)) and "im6.png" not in text
    assert not list((tmp_path / "cache").glob("pixels-*")) and not list((tmp_path / "cache").glob("manifest-*"))
    for i, data in good.items():
        split.images[i].path.write_bytes(data)
    decodes.clear()
    assert len(make(split, 16, tmp_path / "cache")) == 7 and len(decodes) == 6  # what stood before the first bad one is kept
    for i in (0, 2):
        split.images[i].path.unlink()
    with pytest.raises(DataError, match=r"2 of 7 images missing under .*first: im0\.png, im2\.png"):
        make(split, 16, tmp_path / "cache")


def test_a_folder_that_cannot_be_written(split, make, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="Pass another cache_dir"):
        make(split, 16, tmp_path / "file")
    (split.images[0].path.parents[1] / ".cache").write_text("in the way")
    with pytest.warns(UserWarning, match="stay in memory"):
        cache = make(split, 16)
    written = make(split, 16, tmp_path / "cache")
    assert cache.path is None and "in memory" in repr(cache) and type(cache) is type(written)
    assert cache.key == written.key and cache.size == 16
    np.testing.assert_array_equal(squares(cache), squares(written))
    np.testing.assert_array_equal(squares(pickle.loads(pickle.dumps(cache))), squares(written))


def test_a_full_disk(split, make, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DataError, match=r"No space left on device.*Make room"):
            make(split, 16, tmp_path / "cache")
    assert files(tmp_path / "cache") == []
    assert len(make(split, 16, tmp_path / "cache")) == 7


def test_a_disk_that_will_be_full(split, make, tmp_path, monkeypatch, decodes):
    left = stopped(make, split, tmp_path / "cache", monkeypatch, 3)
    decodes.clear()
    with monkeypatch.context() as patch:
        patch.setattr(cache_build.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100}))
        for folder, keeps in ((tmp_path / "cache", 2), (tmp_path / "new", 0)):
            with pytest.raises(DataError, match=r"MB of free space for toy test, found 0 MB\. Make room"):
                make(split, 16, folder)
            assert len(files(folder)) == keeps
    assert not decodes and left["journal.partial"].stat().st_size == 3 * SEALED.itemsize
    make(split, 16, tmp_path / "cache")
    assert len(decodes) == 4


def test_nonsense(split):
    with pytest.raises(ConfigError, match="size"):
        pixel_cache(split, 0)
    with pytest.raises(ConfigError, match="expected store as one of 'raw', 'jpeg'; found 'png'"):
        pixel_cache(split, 16, store="png")
    with pytest.raises(DataError, match="no images"):
        pixel_cache(Split("test", [], []), 16)
    with pytest.raises(ConfigError, match=r"data\.cache: expected one of 'raw', 'jpeg'; found 'png'"):
        DataConfig(cache="png")


def test_the_bar_shows_only_on_request(split, make, tmp_path, capsys):
    make(split, 16, tmp_path / "a")
    assert capsys.readouterr().err == ""
    make(split, 16, tmp_path / "b", progress=True)
    assert "toy test -> 16 px" in capsys.readouterr().err


# --- the setting ------------------------------------------------------------------------------------------------------


def test_committed_records_keep_their_names():
    records = finished_runs(records_folder("lab"))
    assert len(records) >= 4
    for run in records:
        assert run.config.name == run.name and run.config.data.cache == "raw"


def test_the_store_names_another_run_only_where_it_is_not_raw():
    config = RunConfig()
    assert config.replace(**{"data.cache": "raw"}).name == config.name != config.replace(**{"data.cache": "jpeg"}).name
    jpeg = config.replace(**{"data.cache": "jpeg"})
    assert RunConfig.from_dict(jpeg.to_dict()) == jpeg and jpeg.to_dict()["data"]["cache"] == "jpeg"
