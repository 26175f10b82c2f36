"""Image files that are no files, damaged, huge, narrow, or in unusual formats; what came with a folder."""

import os
import struct
import zlib

from faults.battery import ERROR, TOLD, WORKS, faults
from PIL import Image as PILImage


def png(width, height, color=0):
    """A PNG of few bytes, however large the image. color: 0 gray, 2 RGB, 6 with transparency."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row, packer = b"\0" + bytes(width * {0: 1, 2: 3, 6: 4}[color]), zlib.compressobj(1)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def fifo(path):
    os.mkfifo(path)
    return path


def link(path, to):
    path.symlink_to(to)
    return path


def with_one(make, name="odd.png"):
    """A search in a folder of three pictures and an odd one."""

    def how(lab):
        make(lab.pictures() / name)
        return lab.search()

    return how


def among_css(make, *command):
    """A command on a CSS folder with something odd in an image's place; "ROOT" in the command is the folder."""

    def how(lab):
        root = lab.css_copy()
        path = sorted((root / "images").glob("css_test*.png"))[0]
        data = path.read_bytes()
        path.unlink()
        make(path, data)
        return lab(*(root if word == "ROOT" else word for word in command))

    return how


def middle(path, data):
    half = len(data) // 2
    path.write_bytes(data[:half] + bytes(60) + data[half + 60 :])


CHECK = ("check", "css", "--root", "ROOT")
IN_PLACE = {
    "a pipe": lambda path, data: fifo(path),
    "a link to /dev/zero": lambda path, data: link(path, "/dev/zero"),
    "a link to /dev/random": lambda path, data: link(path, "/dev/random"),
    "a link to itself": lambda path, data: link(path, path.name),
    "a folder": lambda path, data: path.mkdir(),
    "zeros in the middle": middle,
    "a narrow image": lambda path, data: path.write_bytes(png(1, 30_000)),
    "no bytes": lambda path, data: path.write_bytes(b""),
}
FORMATS = ("jfif", "jpe", "webp", "avif", "jp2", "tiff", "bmp", "ppm", "tga", "gif", "ico")


@faults(
    *((f"check, {what}", TOLD("NOT COMPLETE"), among_css(make, *CHECK)) for what, make in IN_PLACE.items()),
    ("search, the image is a pipe", ERROR("pipe or a device"), lambda lab: lab.search(image=fifo(lab.folder / "f.png"))),
    ("search, the image is a device", ERROR("pipe or a device"), lambda lab: lab.search(image="/dev/zero")),
    ("search, the image is a folder", ERROR("a folder"), lambda lab: lab.search(image=lab.pictures())),
    ("search, a narrow image", ERROR("100 times"), lambda lab: lab.search(image=lab.file("f.png", png(30_000, 1)))),
    ("a pipe in the gallery", TOLD("1 broken"), with_one(fifo)),
    ("a device in the gallery", TOLD("1 broken"), with_one(lambda path: link(path, "/dev/zero"))),
    ("1 x 1,000,000 in the gallery", TOLD("1 broken"), with_one(lambda path: path.write_bytes(png(1, 1_000_000)))),
    ("1,000,000 x 1 in the gallery", TOLD("1 broken"), with_one(lambda path: path.write_bytes(png(1_000_000, 1)))),
    ("100 x 10,000 in the gallery", WORKS("4 images"), with_one(lambda path: path.write_bytes(png(100, 10_000, 6)))),
    ("too many pixels in the gallery", TOLD("pixels, at most"), with_one(lambda path: path.write_bytes(png(20_000, 20_000)))),
    ("a video in the gallery", TOLD(r"1 other file \(1 \.mp4\)"), with_one(lambda path: path.touch(), "a.mp4")),
    ("a name that ends with a query", WORKS("4 images"), with_one(lambda p: p.write_bytes(png(9, 9)), "a.png?12.5")),
    *(
        (f"a .{kind} in the gallery", WORKS("4 images"), with_one(lambda p: PILImage.new("RGB", (64, 64)).save(p), f"a.{kind}"))
        for kind in FORMATS
        if f".{kind}" in PILImage.registered_extensions()
    ),
)
def test_image_files(fault, lab):
    fault(lab)


def test_four_huge_images(lab):
    """Of 100 megapixels and few bytes each: one is decoded at a time."""
    folder, huge = lab.pictures(1), png(10_000, 10_000)
    for i in range(4):
        (folder / f"huge{i}.png").write_bytes(huge)
    found = lab.child("search", "--image", folder / "0.png", "--gallery", folder, "--run", "css-laptop", seconds=60)
    assert found.code == 0 and "5 images" in found.said and "broken" not in found.said, found.said
