"""Decoding odd files, and the transforms."""

import os
import struct
import threading

import numpy as np
import pytest
from PIL import Image as PILImage
from torchvision.transforms import v2

from maaf_lab.data import images
from maaf_lab.data.images import damage, damage_inside, decode, square, suffix, to_square
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


def odd_exif(tag, kind, value):
    """EXIF with a value of an unusual type, beside an orientation of 6."""
    entries = struct.pack("<HHLL", tag, kind, 1, 38) + struct.pack("<HHLL", 0x112, 3, 1, 6)
    return b"Exif\0\0II*\0" + struct.pack("<LH", 8, 2) + entries + struct.pack("<L", 0) + value


@pytest.mark.parametrize(
    "name, exif, turned",
    [
        ("rational.jpg", odd_exif(0x10E, 5, struct.pack("<LL", 1, 3)), True),
        ("double.jpg", odd_exif(0x10F, 12, struct.pack("<d", 1.5)), True),
        ("header.png", b"Exif\0\0\x00\x08\x00\x02\x01\x12\x00\x03", False),
        ("cut.jpg", odd_exif(0x10E, 2, b"")[:30], False),
    ],
)
def test_odd_exif_breaks_no_image(tmp_path, name, exif, turned):
    PILImage.fromarray(noise(8, 16)).save(tmp_path / name, exif=exif)
    assert damage_inside(tmp_path / name) is None
    assert decode(tmp_path / name).shape == ((16, 8, 3) if turned else (8, 16, 3))


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("/dev/zero")
    for read in (decode, lambda path: square(path, 8)):
        for name in ("a.png", "b.png"):
            with pytest.raises(DataError, match=rf"{name}: expected a file, found a pipe or a device"):
                read(tmp_path / name)
    for why in (damage, damage_inside):
        assert "a pipe or a device" in why(tmp_path / "a.png") and "a folder" in why(tmp_path)


def test_narrow_images(tmp_path):
    for size in ((1, 100), (200, 2)):
        PILImage.new("L", size).save(tmp_path / "a.png")
        assert square(tmp_path / "a.png", 8).shape == (8, 8, 3)
    PILImage.new("L", (1, 101)).save(tmp_path / "a.png")
    for read in (decode, lambda path: square(path, 8)):
        with pytest.raises(DataError, match=r"100 times as long as wide, found 1 x 101 pixels"):
            read(tmp_path / "a.png")
    assert "100 times" in damage_inside(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16", "CMYK"])
@pytest.mark.parametrize("turned", [1, 6])
def test_large_images_are_made_smaller_in_strips_with_the_same_values(tmp_path, monkeypatch, mode, turned):
    exif = PILImage.Exif()
    exif[0x0112] = turned
    for height, width in ((90, 131), (150, 61)):
        image = PILImage.fromarray(noise(height, width))
        if mode == "I;16":
            image = PILImage.fromarray(NOISE.integers(0, 65536, (height, width)).astype(np.uint16))
        path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
        (image if mode == "I;16" else image.convert(mode)).save(path, exif=exif)
        want = to_square(decode(path), 40)
        np.testing.assert_array_equal(square(path, 40), want)
        with monkeypatch.context() as patch:
            patch.setattr(images, "STRIP", 2_000)
            np.testing.assert_array_equal(square(path, 40), want)
            np.testing.assert_array_equal(square(path, 40, path.read_bytes()), want)


def test_what_is_decoded_at_once_is_bounded():
    room, inside, most, lock = images._Room(10), [], [], threading.Lock()

    def work(amount):
        for _ in range(20):
            with room.of(amount):
                with lock:
                    inside.append(amount)
                    most.append(list(inside))
                with lock:
                    inside.remove(amount)

    threads = [threading.Thread(target=work, args=(amount,)) for amount in (1, 3, 4, 6, 10, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(most) == 120 and room.taken == 0
    assert all(sum(now) <= 10 or now == [25] for now in most)


def test_suffixes():
    names = {"a.JPG": ".jpg", "large.jpg?1545404551": ".jpg", "a.b.jpeg?w=1.5": ".jpeg", "x.png:large": ".png", "README": ""}
    assert {name: suffix(name) for name in names} == names and suffix("a.png~") == suffix(".png") == ""
    assert {".png", ".jpg", ".jfif", ".webp", ".tif"} <= images.suffixes() and not {".eps", ".txt", ".pdf"} & images.suffixes()


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
