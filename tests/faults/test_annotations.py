"""Annotations that are valid and of the wrong shape, texts and names that no file can hold, and damaged sidecars."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from faults.battery import TOLD, WORKS, faults
from PIL import Image as PILImage

from maaf_lab.data.part import as_spelled
from maaf_lab.data.registry import open_dataset
from maaf_lab.data.split import Image, Query
from maaf_lab.errors import DataError
from maaf_lab.synthetic import registry
from maaf_lab.synthetic.birds.dataset import load_sidecar as birds
from maaf_lab.synthetic.css.dataset import load_sidecar as objects
from maaf_lab.synthetic.garments.fashion_iq import read_attributes
from maaf_lab.synthetic.states.dataset import load_sidecar as states
from maaf_lab.synthetic.streets.dataset import load_sidecar as streets

DEEP = "[" * 100_000
TWICE = '[{"img_id": "1", "img_id": "2", "sentences": ["gone"]}]'
SHAPES = {
    "null": "null",
    "a number": "5",
    "a text": '"x"',
    "an empty list": "[]",
    "an object": "{}",
    "a list of nulls": "[null]",
    "a list of lists": "[[]]",
    "nested 100,000 deep": DEEP,
    "a number of 5,000 digits": "9" * 5000,
    "cut": '[{"img_id": "1"',
    "empty": "",
    "not UTF-8": b"[\xff]",
    "a byte order mark alone": b"\xef\xbb\xbf",
}
MARKS = {
    "a list": [],
    "counts that are numbers": {"dataset": "css", "origin": "synthetic css", "counts": {"train": 5}},
    "counts that are texts": {"dataset": "css", "origin": "synthetic css", "counts": {"train": ["a", "b"]}},
    "no origin": {"dataset": "css", "counts": {}},
    "an origin that is a number": {"dataset": "css", "origin": 5},
    "an origin with 5,000 digits": {"dataset": "css", "origin": f"synthetic css v1 size=tiny pixels={'9' * 5000} seed=0"},
    "another dataset": {"dataset": "fashion_iq", "origin": "synthetic fashion_iq"},
}


def spot(lab, text):
    lab.picture("data/resized_images/1.png")
    lab.picture("data/resized_images/1_2.png")
    for split in ("train", "val", "test"):
        lab.file(f"data/annotations/{split}.json", text)
    return lab.folder / "data"


def iq(lab, captions, gallery='["A"]'):
    lab.picture("data/images/A.png")
    for category in ("dress", "shirt", "toptee"):
        for split in ("train", "val", "test"):
            lab.file(f"data/captions/cap.{category}.{split}.json", captions)
            lab.file(f"data/image_splits/split.{category}.{split}.json", gallery)
    return lab.folder / "data"


def css(lab, mark):
    folder = lab.css_copy()
    (folder / "made.json").write_text(mark if isinstance(mark, str) else json.dumps(mark))
    return lab("check", "css", "--root", folder)


def entries(*sentences):
    return json.dumps([{"img_id": "1", "sentences": list(sentences)}])


def told(dataset, folder):
    return TOLD("NOT COMPLETE"), lambda lab: lab("check", dataset, "--root", folder(lab))


def spot_check(sentence):
    return lambda lab: lab("check", "spot_the_diff", "--root", spot(lab, entries(sentence)))


def mended(lab):
    assert open_dataset("spot_the_diff", spot(lab, entries("gone \ud83d"))).load("test").texts == ["gone \ufffd"]


def published_css(lab):
    """Somebody's own copy, of a few scenes."""
    folder = lab.css_copy()
    (folder / "made.json").unlink()
    return folder


@faults(
    (
        "training on other counts than the published ones",
        WORKS(r"css train: the annotation has .*expected (.|\n)*Training goes on; `maaf-lab check css --root \S+` says more"),
        lambda lab: lab.train("--data-root", published_css(lab)),
    ),
    *((f"spot_the_diff: {what}", *told("spot_the_diff", lambda lab, t=text: spot(lab, t))) for what, text in SHAPES.items()),
    *((f"fashion_iq, captions: {what}", *told("fashion_iq", lambda lab, t=text: iq(lab, t))) for what, text in SHAPES.items()),
    *((f"fashion_iq, split: {what}", *told("fashion_iq", lambda lab, t=text: iq(lab, "[]", t))) for what, text in SHAPES.items()),
    *((f"made.json: {what}", TOLD("NOT COMPLETE"), lambda lab, mark=mark: css(lab, mark)) for what, mark in MARKS.items()),
    ("made.json nested 100,000 deep", TOLD("NOT COMPLETE"), lambda lab: css(lab, DEEP)),
    ("no word in any text", TOLD("1 of 1 texts leave no word"), spot_check("!!!")),
    ("another script", TOLD("beyond ASCII"), spot_check("颜色更深")),
    ("half an emoji", WORKS, mended),
    (
        "spot_the_diff: a key twice",
        TOLD("'img_id' stands twice"),
        lambda lab: lab("check", "spot_the_diff", "--root", spot(lab, TWICE)),
    ),
    ("fashion_iq: a key twice", TOLD("'img_id' stands twice"), lambda lab: lab("check", "fashion_iq", "--root", iq(lab, TWICE))),
    (
        "made.json: a key twice",
        TOLD("NOT COMPLETE"),
        lambda lab: css(lab, '{"dataset": "css", "dataset": "css", "origin": "synthetic css"}'),
    ),
    ("an image whose name is too long", WORKS, lambda lab: as_spelled([Image("a", lab.folder / ("x" * 300) / "a.png", "a")])),
)
def test_annotations(fault, lab):
    fault(lab)


def test_texts_and_names_that_no_file_can_hold_are_repaired_at_the_door():
    """For all datasets and for one's own: half an emoji in a text, bytes of a file name that are no UTF-8."""
    name = os.fsdecode(b"caf\xe9.jpg")
    image = Image(name, Path(name), name)
    query = Query(0, ("red", "gone \ud83d", "\ud83d\ude00", "été"), name)
    assert query.texts == ("red", "gone \ufffd", "\U0001f600", "été")
    assert image.id == image.label == query.target_label == "caf\\udce9.jpg" and str(image.path) == name
    json.dumps([image.id, *query.texts], ensure_ascii=False).encode()


@pytest.mark.skipif(os.name != "posix", reason="file names are texts there")
def test_file_names_that_are_no_text_can_be_trained_on_and_ranked(tmp_path):
    for number, (adjective, noun) in enumerate([("old", "castle"), ("new", "castle"), ("old", "dog"), ("new", "dog")]):
        folder = tmp_path / "images" / f"{adjective} {noun}"
        folder.mkdir(parents=True)
        PILImage.fromarray(np.full((32, 32, 3), 50 * number, np.uint8)).save(folder / os.fsdecode(b"caf\xe9.png"))
    split = open_dataset("mit_states", tmp_path).load("test")
    assert [image.id for image in split.images] == ["new castle/caf\\udce9.png", "old castle/caf\\udce9.png"]


@pytest.mark.parametrize(("name", "load"), [("birds.json", birds), ("scenes.json", streets), ("states.json", states)])
@pytest.mark.parametrize("text", ["", "[]", DEEP, '{"a": 1', b"\xff"])
def test_damaged_sidecars_are_refused(tmp_path, name, load, text):
    (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(DataError, match=f"{name}.*draw the dataset again"):
        load(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", DEEP, '{"attributes": 5, "images": {}}', '{"attributes": ["x"], "images": {"a": ["b"]}}']
)
def test_damaged_attributes_and_objects_are_refused(tmp_path, text):
    for name in ("attributes.json", "objects.npz"):
        (tmp_path / name).write_text(text)
    if "5" not in text:
        with pytest.raises(DataError, match=r"attributes\.json.*draw the dataset again"):
            read_attributes(tmp_path / "attributes.json")
    with pytest.raises(DataError, match=r"objects\.npz.*draw the dataset again"):
        objects(tmp_path, "test")


@pytest.mark.parametrize(
    ("dataset", "change"),
    [
        ("fashion_iq", "a folder a category"),
        *(
            (dataset, change)
            for dataset in ("css", "fashion_iq", "birds_to_words", "mit_states")
            for change in ("Images", "upper")
        ),
        ("spot_the_diff", "upper"),
        ("fashion200k", "upper"),
        ("mit_states", "underscores"),
    ],
)
def test_layouts_of_other_copies_are_read(dataset, change, tmp_path):
    root = registry.make(dataset, tmp_path / "data", "tiny", 32, progress=False)
    opened = open_dataset(dataset, root)
    split = opened.load(opened.evaluation)
    folder = root / opened.image_folder
    if change == "Images":
        folder.rename(root / "Images")
    for path in sorted(folder.rglob("*.*")) if change == "upper" else ():
        path.rename(path.with_suffix(path.suffix.upper()))
    for path in list(folder.iterdir()) if change == "underscores" else ():
        path.rename(path.with_name(path.name.replace(" ", "_")))
    for image in split.images if change == "a folder a category" else ():
        place = folder / image.categories[-1]
        place.mkdir(exist_ok=True)
        image.path.rename(place / image.path.name)
    again = open_dataset(dataset, root).load(opened.evaluation)
    assert [(q.texts, q.source, q.target) for q in again.queries] == [(q.texts, q.source, q.target) for q in split.queries]
    assert [image.label for image in again.images] == [image.label for image in split.images]


def test_an_origin_with_thousands_of_digits_is_no_origin_that_can_be_drawn():
    assert not registry.can_draw_lazily(f"synthetic css v1 size=tiny pixels={'9' * 5000} seed=0")


def test_an_accent_written_in_two_signs_is_the_same_name(tmp_path):
    """As a Mac writes it in an archive; of two files that differ in nothing else the one that is named is read."""
    one, two = "caf\xe9.jpg", "cafe\u0301.JPG"
    (tmp_path / two).touch()
    image = Image(one, tmp_path / one, one)
    assert as_spelled([image])[0].path == tmp_path / two
    (tmp_path / one).touch()
    assert as_spelled([image])[0].path == tmp_path / one
