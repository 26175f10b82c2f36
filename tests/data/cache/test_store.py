"""A cache is made once and found by the contents of its files; whoever wants it at the same time waits."""

import errno
import json
import os
import pickle
import threading
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from cached import files, noise, squares, stopped, write
from filelock import FileLock
from PIL import Image as PILImage

from maaf_lab.config import DataConfig
from maaf_lab.data.cache import STORES, pixel_cache
from maaf_lab.data.cache import build as cache_build
from maaf_lab.data.split import Image, Split
from maaf_lab.errors import ConfigError, DataError


def test_made_once(split, make, decodes):
    first = make(split, 16)
    decodes.clear()
    again = make(split, 16)
    assert not decodes and again.key == first.key and again.path == first.path
    np.testing.assert_array_equal(squares(again), squares(first))


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
    for name, hours in (("manifest-a.bin.123.tmp", 2), ("manifest-b.bin.123.tmp", 0)):  # the second may be somebody's at work
        (tmp_path / "cache" / name).write_bytes(b"x")
        os.utime(tmp_path / "cache" / name, (time.time() - hours * 3600,) * 2)
    make(split, 16, tmp_path / "cache")
    left = [name for name in files(tmp_path / "cache") if name.endswith((".partial", ".tmp"))]
    assert sorted(left) == ["b.pixels.partial", "manifest-b.bin.123.tmp"]


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


def test_a_key_is_no_path(tmp_path, make, decodes):
    """A manifest that came with somebody's data names a file outside, to have it read, replaced or removed."""
    split = write(tmp_path / "a" / "set", 3)
    folder = tmp_path / "a" / "set" / ".cache"
    kind = make(split, 16).path.suffix
    victim = tmp_path / f"victim{kind}"
    (manifest,) = folder.glob("manifest-*.bin")
    rest = manifest.read_bytes().partition(b"\n")[2]
    (folder / "pixels-").mkdir()
    for key in ("/../../../../victim", "", ["a"], None, 7):
        victim.write_bytes(b"precious")
        manifest.write_bytes(json.dumps({"key": key}).encode() + b"\n" + rest)
        PILImage.fromarray(noise()).save(split.images[0].path)
        make(split, 16)
        assert victim.read_bytes() == b"precious"


def test_a_cache_of_other_pixels_is_not_used(tmp_path, make):
    """It came with somebody's data, and all its hashes and checksums are right."""
    split, other = write(tmp_path / "set", 7), write(tmp_path / "other", 14)
    other = replace(other, images=other.images[7:], queries=())
    own, forged = make(split, 16), make(other, 16)
    expected = squares(own)
    own.path.write_bytes(forged.path.read_bytes())
    with pytest.warns(UserWarning, match="expected the pixels of the images, found others; built again"):
        np.testing.assert_array_equal(squares(make(split, 16)), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(squares(make(split, 16)), expected)


def test_nothing_is_written_through_links(split, make, decodes, tmp_path, monkeypatch):
    victim, folder = tmp_path / "victim", split.images[0].path.parents[1] / ".cache"
    victim.write_bytes(b"precious")
    left = stopped(make, split, folder, monkeypatch, 3)
    names = [*left.values(), folder / f"{next(iter(left.values())).name.partition('.')[0]}.lock"]
    for link in (lambda path: path.symlink_to(victim), lambda path: os.link(victim, path)):
        for path in names:
            path.unlink(missing_ok=True)
            link(path)
        cache = make(split, 16)
        assert victim.read_bytes() == b"precious" and not cache.path.is_symlink()
    for path in folder.iterdir():
        path.unlink()
        path.symlink_to("/dev/zero")
    decodes.clear()
    assert len(make(split, 16)) == 7 and len(decodes) == 7 and not any(path.is_symlink() for path in folder.iterdir())


def test_a_cache_folder_that_is_a_link_is_not_used(split, make, tmp_path):
    elsewhere, folder = tmp_path / "elsewhere", split.images[0].path.parents[1] / ".cache"
    elsewhere.mkdir()
    folder.symlink_to(elsewhere)
    with pytest.warns(UserWarning, match=r"it is a link.*stay in memory"):
        assert make(split, 16).path is None
    assert not files(elsewhere)
    assert make(split, 16, folder).path is not None  # asked for


def test_another_users_files_in_the_way(split, make, tmp_path, monkeypatch):
    """In a shared folder where nobody may replace another user's files."""

    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "replace", refused)
    with pytest.warns(UserWarning, match=r"another user's files are in the way.*stay in memory"):
        cache = make(split, 16)
    assert cache.path is None and len(cache) == 7
    with pytest.raises(DataError, match=r"another user's files are in the way.*Pass another cache_dir"):
        make(split, 16, tmp_path / "cache")


def test_nonsense(split):
    with pytest.raises(ConfigError, match="size"):
        pixel_cache(split, 0)
    with pytest.raises(ConfigError, match="expected store as one of 'raw', 'jpeg'; found 'png'"):
        pixel_cache(split, 16, store="png")
    with pytest.raises(DataError, match="no images"):
        pixel_cache(Split("test", [], []), 16)
    with pytest.raises(ConfigError, match=r"data\.cache: expected one of 'raw', 'jpeg'; found 'png'"):
        DataConfig(cache="png")
