"""What a cache holds, raw or as JPEG: the right squares, in batches, in any process."""

import io
import os
import pickle
import signal

import numpy as np
import pytest
import torch
from cached import squares, write
from PIL import Image as PILImage

from maaf_lab.data.cache import JpegCache, PixelCache, pixel_cache
from maaf_lab.data.images import decode, to_square
from maaf_lab.errors import DataError


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
    for i, image in enumerate(split.images):  # shapes with edges on a gradient, in colors, as in photographs
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


def test_zeroed_bytes_are_noticed(tmp_path, make):
    split = write(tmp_path / "set", 7, 24)
    cache = make(split, 24)
    whole, path, n = cache.path.read_bytes(), cache.path, cache.batch(range(7))
    damaged = bytearray(whole)
    damaged[-4_500:-3_500] = bytes(1_000)
    path.write_bytes(damaged)
    cache = make(split, 24)
    with pytest.raises(DataError, match=r"image \d is damaged.*delete the file, it is built again"):
        cache.batch(range(7))
    path.unlink()
    assert make(split, 24).path.read_bytes() == whole
    path.write_bytes(whole[: -4 * 7])  # as earlier versions wrote it
    os.utime(path, ns=(1, 1))
    cache = make(split, 24)
    assert torch.equal(cache.batch(range(7)), n) and path.stat().st_mtime_ns == 1
