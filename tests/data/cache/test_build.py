"""A build that is stopped, in whatever way, resumes; one that cannot be finished says why."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from cached import files, noise, squares, stopped, write
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PILImage

from maaf_lab.data.cache import STORES, pixel_cache
from maaf_lab.data.cache import build as cache_build
from maaf_lab.data.cache.build import SEALED
from maaf_lab.data.split import Split
from maaf_lab.errors import DataError


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
def test_whatever_a_kill_leaves_is_resumed(remains, store, data):
    """Any beginning of the journal, the pixels of its records or fewer, torn or foreign bytes after: the same file in the end."""
    left = remains[store]
    for old in left.journal.parent.iterdir():
        old.unlink()
    ends = np.frombuffer(left.records, SEALED)["record"]["end"].tolist()
    cut = data.draw(st.integers(0, len(left.records)), "journal bytes")
    torn = st.one_of(st.binary(max_size=130), st.integers(0, 130).map(bytes))
    least = ends[-(-cut // SEALED.itemsize) - 1] if cut else 0  # on the disk before the journal had their records
    keep = data.draw(st.integers(0, len(left.pixels)), "pixel bytes")
    left.journal.write_bytes(left.records[:cut] + data.draw(torn, "after the journal"))
    left.partial.write_bytes(left.pixels[:keep] + (data.draw(torn, "after the pixels") if keep >= least else b""))
    found, size = left.journal.read_bytes(), left.partial.stat().st_size
    sound = [
        (i + 1) * SEALED.itemsize <= len(found) and left.records.startswith(found[: (i + 1) * SEALED.itemsize]) and end <= size
        for i, end in enumerate(ends)
    ]
    seen, real = [], cache_build.square
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_build, "square", lambda *args: (seen.append(args), real(*args))[1])
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


def test_all_bad_files_in_one_error(split, make, tmp_path, decodes):
    good = {i: split.images[i].path.read_bytes() for i in (1, 3, 4, 6)}
    for i, data in good.items():
        split.images[i].path.write_bytes(b"" if i == 1 else data[:60])
    with pytest.raises(DataError) as error:
        make(split, 16, tmp_path / "cache")
    text = str(error.value)
    assert "4 of 7 images damaged" in text and all(f"im{i}.png" in text for i in (1, 3, 4)) and "im6.png" not in text
    assert not list((tmp_path / "cache").glob("pixels-*")) and not list((tmp_path / "cache").glob("manifest-*"))
    for i, data in good.items():
        split.images[i].path.write_bytes(data)
    decodes.clear()
    assert len(make(split, 16, tmp_path / "cache")) == 7 and len(decodes) == 6  # what stood before the first bad one is kept
    for i in (0, 2):
        split.images[i].path.unlink()
    with pytest.raises(DataError, match=r"2 of 7 images missing under .*first: im0\.png, im2\.png"):
        make(split, 16, tmp_path / "cache")


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


def test_the_bar_shows_only_on_request(split, make, tmp_path, capsys):
    make(split, 16, tmp_path / "a")
    assert capsys.readouterr().err == ""
    make(split, 16, tmp_path / "b", progress=True)
    assert "toy test -> 16 px" in capsys.readouterr().err
