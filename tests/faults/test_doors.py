"""What commands say: of what nobody has, once and not again, of names that no line can hold."""

import os

import pytest
from faults.battery import ERROR, WORKS, faults
from PIL import Image as PILImage

from maaf_lab.data import registry as datasets


def broken(lab):
    """The second search of a folder with broken files."""
    folder = lab.pictures()
    for i in range(3):
        lab.file(f"pictures/bad{i}.png", "x")
    first = lab.search(gallery=folder)
    assert first.said.count("broken: bad") == 3
    second = lab.search(gallery=folder)
    assert "broken: bad" not in second.said
    lab.file("pictures/bad9.png", "x")
    third = lab.search(gallery=folder)
    assert third.said.count("broken: bad") == 1 and "broken: bad9.png" in third.said
    return second


def named(lab, name):
    """A search whose only hit has this name."""
    os.makedirs(lab.folder / "pictures")
    os.rename(lab.picture("a.png"), os.fsencode(lab.folder / "pictures") + b"/" + name)
    return lab.search(gallery=lab.folder / "pictures")


def only_broken(lab):
    answer = lab.search(gallery=lab.file("pictures/bad.png", "x").parent)
    assert not (lab.folder / "pictures" / ".cache").exists()
    return answer


def bomb(lab):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PILImage, "MAX_IMAGE_PIXELS", 3_000)
        return lab.search(image=lab.picture("large.png", side=200))


def runs_into(where):
    def how(lab):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(datasets, "load", None)  # told before the data is read
            return lab.train("--runs-root", where(lab))

    return how


def nearly(lab):
    name = lab.run_copy().name
    return lab("evaluate", name[:-2], "--runs-root", lab.folder / "runs")


FOLDER = ERROR("expected a folder for runs that can be written; .*Name another folder")


@faults(
    ("the version", WORKS(r"(?m)^maaf-lab \d+\.\d+\.\d+$"), lambda lab: lab("--version")),
    ("broken files, told once", WORKS("3 images, 3 broken"), broken),
    ("a name with a line break", WORKS(r"pictures/a\\nb\.png\n"), lambda lab: named(lab, b"a\nb.png")),
    ("a name that is no UTF-8", WORKS(r"pictures/a\\xffb\.png\n"), lambda lab: named(lab, b"a\xffb.png")),
    ("a gallery of broken files leaves nothing", ERROR("none usable"), only_broken),
    ("more pixels than Pillow opens", ERROR("too large: 40,000 pixels, at most 6,000; save it smaller"), bomb),
    ("two letters of a run's name missing", ERROR(r"Did you mean 'css-text_only-\w+'\?"), nearly),
    ("runs into a file", FOLDER, runs_into(lambda lab: lab.file("runs"))),
    ("runs into /proc", FOLDER, runs_into(lambda lab: "/proc/runs")),
    ("records that are not there", ERROR("found nothing at nowhere"), lambda lab: lab("tables", "--records", "nowhere")),
    (
        "figure 9",
        ERROR("no figure 'figure9' in the lab; known: .*figures for all of them$"),
        lambda lab: lab("tables", "figure9"),
    ),
)
def test_doors(fault, lab):
    fault(lab)


def test_a_check_says_once_what_to_get(shell, tmp_path):
    _, out, _ = shell("check", "css", "--root", tmp_path / "nowhere")
    assert out.lower().count("what to get:") == 1
