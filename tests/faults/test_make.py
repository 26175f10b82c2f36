"""Odd options of `make`, folders that cannot be drawn in, and makes that were killed or share a folder."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults.battery import ERROR, TOLD, WORKS, faults

from maaf_lab.synthetic.registry import make
from maaf_lab.utils.registry import SYNTHETIC

TINY = ("--size", "tiny", "--pixels", 32)
MARK = {"dataset": "css", "version": 1, "size": "tiny", "pixels": 56, "seed": 0, "origin": "x"}


def made(what, expected, *more, dataset="css", out=lambda lab: lab.folder / "out"):
    return what, expected, lambda lab: lab("make", dataset, "--out", out(lab), *TINY, *more)


def dangling(lab):
    (lab.folder / "link").symlink_to(lab.folder / "nothing")
    return lab.folder / "link"


def linked(lab):
    (lab.folder / "mine").mkdir()
    (lab.folder / "out").mkdir()
    (lab.folder / "out" / "images").symlink_to(lab.folder / "mine")
    (lab.folder / "out" / "made.json.part").write_text("{}")
    return lab.folder / "out"


def closed(lab):
    lab.file("out/x").parent.chmod(0o500)
    return lab.folder / "out" / "inside" if os.getuid() else "/proc/inside"


def marked(what, text):
    return (
        f"made.json: {what}",
        ERROR("(made.json|out holds).*pass another folder"),
        lambda lab: lab("make", "css", "--out", lab.file("out/made.json", text).parent, *TINY),
    )


def half(lab):
    """A folder that an earlier version marked as finished with a part of its images."""
    folder = lab.css_copy()
    mark = json.loads((folder / "made.json").read_text())
    for path in sorted((folder / "images").iterdir())[168:]:
        path.unlink()
    (folder / "made.json").write_text(json.dumps({**mark, "pictures": 168}))
    return lab("make", "css", "--out", folder, "--size", "tiny", "--pixels", 56)


@faults(
    *(made(f"pixels {n}", ERROR("pixels.*whole number"), "--pixels", n) for n in (0, -7, 15, 5000, 100_000, 10**30)),
    *(made(f"seed {n}", ERROR("seed.*whole number"), "--seed", n) for n in (-1, 2**32, 2**70)),
    *(
        made(f"{name} of 100,000 pixels", ERROR("pixels.*whole number"), "--pixels", 100_000, dataset=name)
        for name in ("fashion_iq", "fashion200k", "mit_states", "birds_to_words", "spot_the_diff")
    ),
    ("the last seed", WORKS, lambda lab: lab("make", "css", "--out", lab.folder / "out", *TINY, "--seed", 2**32 - 1)),
    *(
        (
            f"css2d of {n} pixels",
            ERROR("pixels.*whole number"),
            lambda lab, n=n: lab("make", "css2d", "--out", lab.css, "--pixels", n),
        )
        for n in (0, -7, 100_000)
    ),
    ("css2d with a seed", ERROR("no --seed"), lambda lab: lab("make", "css2d", "--out", lab.css, "--seed", 1)),
    ("css2d with a size", ERROR("no --size"), lambda lab: lab("make", "css2d", "--out", lab.css, "--size", "tiny")),
    (
        "an unknown size, and no folder",
        ERROR("--size: expected tiny or full, found 'huge'"),
        lambda lab: lab("make", "css", "--size", "huge"),
    ),
    ("no folder", ERROR("expected --out FOLDER, or --profile smoke"), lambda lab: lab("make", "css", "--size", "tiny")),
    ("what --help says of --out", WORKS("needed without --profile"), lambda lab: lab("make", "--help")),
    (
        "css2d in a new folder",
        ERROR("put CSS there first, or draw it: maaf-lab make css --out"),
        lambda lab: lab("make", "css2d", "--out", lab.folder / "no"),
    ),
    ("css2d beside nothing", ERROR("no such folder"), lambda lab: lab("make", "css2d", "--out", lab.folder / "no")),
    ("an unknown size", ERROR("tiny"), lambda lab: lab("make", "css", "--out", lab.folder / "out", "--size", "huge")),
    made("into a file", ERROR("x"), out=lambda lab: lab.file("x")),
    made("below a file", ERROR("Not a directory"), out=lambda lab: lab.file("x") / "y" / "z"),
    made("into /proc", ERROR("No such file"), out=lambda lab: "/proc/x"),
    made("into a name of 300 letters", ERROR("too long"), out=lambda lab: lab.folder / ("a" * 300)),
    made("into a path of 5,000 letters", ERROR("longer"), out=lambda lab: lab.folder.joinpath(*["a" * 99] * 50)),
    made("into a dangling link", ERROR("File exists"), out=dangling),
    made("over a link to another folder", ERROR("is a link"), out=linked),
    made("into a folder that is closed", ERROR("expected a folder"), out=closed),
    made("into a folder with other images", ERROR("did not draw it"), out=lambda lab: lab.pictures(name="out/images").parent),
    made(
        "into a folder of somebody's pictures",
        ERROR("holds 0.png, 1.png, 2.png but neither .*did not draw it"),
        out=lambda lab: lab.pictures(name="out"),
    ),
    made("into a folder with a text", ERROR("holds notes.txt but"), out=lambda lab: lab.file("out/notes.txt", "x").parent),
    made("into a folder with hidden files alone", WORKS, out=lambda lab: lab.file("out/.DS_Store", "x").parent),
    marked("nested 100,000 deep", "[" * 100_000),
    marked("cut", '{"dataset": "css"'),
    marked("a list", "[]"),
    marked("not UTF-8", b"\xff"),
    marked("null counts", json.dumps({**MARK, "counts": None})),
    ("half of the images, recorded as all of them", ERROR("168 of 720 images"), half),
    ("check of it", TOLD("NOT COMPLETE"), lambda lab: (half(lab), lab("check", "css", "--root", lab.folder / "css"))[1]),
)
def test_make(fault, lab):
    fault(lab)


@pytest.mark.parametrize("dataset", SYNTHETIC)
def test_a_make_that_was_killed_starts_over(dataset, tmp_path):
    """Whatever it left: empty folders, half of the images, a file that was being written."""
    out = tmp_path / "out"
    whole = make(dataset, tmp_path / "whole", "tiny", 32, progress=False)
    names = [path.relative_to(whole) for path in whole.iterdir() if path.name != "made.json"]
    for name in names:
        (out / name).mkdir(parents=True) if (whole / name).is_dir() else None
    (out / "made.json.part").write_text("{}")
    (out / "made.json.tmp").write_text("{")
    make(dataset, out, "tiny", 32, progress=False)
    assert {path.relative_to(out) for path in out.rglob("*")} == {path.relative_to(whole) for path in whole.rglob("*")}


def test_two_makes_into_one_folder_share_it(tmp_path):
    """The second waits for the first, and both exit 0 with a whole dataset."""
    words = [sys.executable, "-m", "maaf_lab", "make", "css", "--out", str(tmp_path / "out"), *map(str, TINY)]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(list((tmp_path / "out" / "images").iterdir())) == 720
    assert sum("nothing to do" in text for text in said) == 1
    assert sorted(os.listdir(tmp_path / "out")) == ["css_toy_dataset_novel2_small.dup.npy", "images", "made.json", "objects.npz"]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")
def test_workers_end_with_the_process_that_started_them(tmp_path):
    words = [sys.executable, "-m", "maaf_lab", "make", "spot_the_diff", "--out", str(tmp_path / "out"), "--pixels", "64"]
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "MINE": str(tmp_path)}
    )
    images = tmp_path / "out" / "resized_images"
    wait_for(lambda: images.is_dir() and len(os.listdir(images)) > 5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not started_with(f"MINE={tmp_path}"))


def wait_for(happened, seconds=30):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def started_with(variable):
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and variable.encode() in (folder / "environ").read_bytes():
                found.append(folder.name)
        except OSError:
            pass
    return found
