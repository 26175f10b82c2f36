"""Decoding odd files, and the transforms."""

import numpy as np
import pytest
from PIL import Image as PILImage
from torchvision.transforms import v2

from maaf_lab.data.images import damage, decode, to_square
from maaf_lab.errors import DataError

NOISE = np.random.default_rng(0)


def noise(height=16, width=16):
    return NOISE.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_png_comes_back_as_it_is(tmp_path):
    image = noise(5, 9)
    PILImage.fromarray(image).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), image)
    np.testing.assert_array_equal(decode("named.png", (tmp_path / "a.png").read_bytes()), image)


def test_modes(tmp_path):
    def through(image, name="a.png", **options):
        image.save(tmp_path / name, **options)
        out = decode(tmp_path / name)
        assert out.dtype == np.uint8 and out.shape == (*image.size[::-1], 3)
        return out[0, 0].tolist()

    assert through(PILImage.new("L", (3, 2), 77)) == [77, 77, 77]
    assert through(PILImage.new("1", (3, 2), 1)) == [255, 255, 255]
    assert through(PILImage.new("RGBA", (3, 2), (200, 0, 0, 0))) == [255, 255, 255]
    assert through(PILImage.new("RGBA", (3, 2), (200, 0, 0, 255))) == [200, 0, 0]
    assert through(PILImage.new("LA", (3, 2), (40, 0))) == [255, 255, 255]
    assert through(PILImage.new("P", (3, 2), 0), transparency=0) == [255, 255, 255]
    assert through(PILImage.new("RGB", (3, 2), (1, 2, 3)), transparency=(1, 2, 3)) == [255, 255, 255]
    palette = PILImage.new("P", (3, 2), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert through(palette) == [10, 20, 30]
    assert through(PILImage.fromarray(np.full((2, 3), 0x8080, np.uint16))) == [128, 128, 128]
    assert through(PILImage.fromarray(np.full((2, 3), 65535, np.uint16))) == [255, 255, 255]
    red = through(PILImage.new("CMYK", (8, 8), (0, 255, 255, 0)), "a.jpg", quality=95)
    assert red[0] > 240 and max(red[1:]) < 15
    assert through(
        PILImage.new("RGB", (3, 2), (9, 9, 9)),
        "a.gif",
        save_all=True,
        append_images=[PILImage.new("RGB", (3, 2), (200, 200, 200))],
    ) == [9, 9, 9]


def test_exif_turns_the_image(tmp_path):
    image = np.zeros((8, 16, 3), np.uint8)
    image[:, :8] = 255
    exif = PILImage.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    PILImage.fromarray(image).save(tmp_path / "a.png", exif=exif)
    out = decode(tmp_path / "a.png")
    assert out.shape == (16, 8, 3) and out[0, 0, 0] == 255 and out[-1, 0, 0] == 0


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif"])
def test_files_cut_short(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    PILImage.fromarray(noise(40, 40)).save(path)
    whole = path.read_bytes()
    for length in (0, 4, 20, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=rf"a\.{suffix}: cannot be read as an image .*{length:,} bytes"):
            decode(path)
        assert damage(path)


def test_files_that_are_no_images(tmp_path):
    (tmp_path / "a.png").write_bytes(b"<html>404</html>")
    with pytest.raises(DataError, match=r"a\.png.*no image format known here"):
        decode(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"b\.png: no such file"):
        decode(tmp_path / "b.png")
    PILImage.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(DataError, match="no agreed range"):
        decode(tmp_path / "a.tiff")
    assert damage(tmp_path / "b.png") == "missing"


@pytest.mark.parametrize(
    "height, width, size", [(20, 31, 8), (31, 20, 8), (9, 9, 16), (16, 16, 16), (16, 21, 16), (37, 16, 16), (50, 33, 14)]
)
def test_squares_are_torchvisions(height, width, size):
    image = noise(height, width)
    want = v2.Compose([v2.Resize(size), v2.CenterCrop(size)])(PILImage.fromarray(image))
    np.testing.assert_array_equal(to_square(image, size), np.asarray(want))
