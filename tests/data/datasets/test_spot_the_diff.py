"""Spot-the-Diff as it is published, written small by this file's own helper, and the published annotations themselves."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PILImage

from maaf_lab.data.datasets.spot_the_diff import SpotTheDiff
from maaf_lab.data.text import tokenize
from maaf_lab.errors import DataError

ENTRIES = [
    {"img_id": "7", "sentences": ["the red car is gone", "", "a man walks to the left"]},
    {"img_id": "12", "sentences": [""]},
    {"img_id": "7", "sentences": ["there is no car"]},
    {"img_id": "3", "sentences": ["two more people"]},
]


def write(root, entries=None, **others):
    """Every split has ENTRIES, or `entries`, or what is passed by its name; all images exist."""
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / "resized_images").mkdir(exist_ok=True)
    for split in ("train", "val", "test"):
        data = others.get(split, ENTRIES if entries is None else entries)
        (root / "annotations" / f"{split}.json").write_text(json.dumps(data))
        for entry in data if isinstance(data, list) else []:
            for name in picture_names(entry):
                PILImage.new("RGB", (8, 6)).save(root / "resized_images" / name)
    return root


def picture_names(entry):
    pair = entry.get("img_id") if isinstance(entry, dict) else None
    return [f"{pair}.png", f"{pair}_2.png"] if isinstance(pair, str | int) and "/" not in str(pair) else []


@pytest.fixture
def root(tmp_path):
    return write(tmp_path / "spot")


def annotation(root, split="test"):
    return root / "annotations" / f"{split}.json"


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split(root, split):
    loaded = SpotTheDiff(root).load(split)
    assert [image.id for image in loaded.images] == ["7", "7_2", "12", "12_2", "3", "3_2"], "each image once, in file order"
    assert [image.label for image in loaded.images] == [image.id for image in loaded.images]
    assert all(image.path == root / "resized_images" / f"{image.id}.png" for image in loaded.images)
    texts = ["the red car is gone", "a man walks to the left", "there is no car", "two more people"]
    assert [(q.source, q.target, q.target_label, q.texts) for q in loaded.queries] == [
        (0, 1, "7_2", (texts[0],)),
        (0, 1, "7_2", (texts[1],)),
        (0, 1, "7_2", (texts[2],)),
        (4, 5, "3_2", (texts[3],)),
    ]
    assert loaded.protocol.gallery == "split" and loaded.protocol.exclude_source and loaded.protocol.ks == (10, 50)
    assert loaded.protocol.relevant == "the target image" and loaded.dataset == "spot_the_diff"
    assert (loaded.draw is None) == (split != "train")


def test_training_draws_one_sentence_of_each_entry(root):
    split = SpotTheDiff(root).load("train")
    seen = set()
    for seed in range(30):
        drawn = split.draw(np.random.default_rng(seed))
        assert drawn == split.draw(np.random.default_rng(seed))
        assert [q.source for q in drawn] == [0, 0, 4] and set(drawn) <= set(split.queries)
        assert drawn[1].texts == ("there is no car",) and drawn[2].texts == ("two more people",)
        seen.add(drawn[0].texts[0])
    assert seen == {"the red car is gone", "a man walks to the left"}


def test_origin_is_the_hash_of_all_three_files(root):
    first = SpotTheDiff(root).origin()
    assert first.startswith("published sha256:") and SpotTheDiff(root).load("test").origin == first
    for split in ("train", "val", "test"):
        before = SpotTheDiff(root).origin()
        annotation(root, split).write_text(json.dumps(ENTRIES[:3]))
        assert SpotTheDiff(root).origin() != before


def test_odd_captions_are_read(root):
    texts = ["tab\tinside", "a bus 🚌 left", "word " * 2_000, "\u00e9\u4e2d", 'says "stop"', "line\nbreak", "  kept  "]
    write(root, test=[{"img_id": 5, "sentences": [*texts, "  ", "\t\n"], "more": 1}])
    split = SpotTheDiff(root).load("test")
    assert [q.texts[0] for q in split.queries] == texts, "blank ones are dropped, the rest is as written"
    assert [image.id for image in split.images] == ["5", "5_2"], "a number is read as a name"


@pytest.mark.parametrize(
    "data", [b"\xef\xbb\xbf" + json.dumps(ENTRIES).encode(), json.dumps(ENTRIES, indent=1).replace("\n", "\r\n").encode()]
)
def test_a_mark_and_windows_lines_change_nothing(root, data):
    whole = SpotTheDiff(root).load("test")
    annotation(root).write_bytes(data)
    again = SpotTheDiff(root).load("test")
    assert again.queries == whole.queries and again.images == whole.images


@pytest.mark.parametrize(
    "data, words",
    [
        ({"img_id": "7"}, r"test\.json: expected a list of entries with img_id and sentences, found dict"),
        ([], "found an empty list"),
        ("text", "found str"),
        (None, "found NoneType"),
        ([ENTRIES[0], "7"], r"\[1\]: expected the keys img_id and sentences; img_id, sentences missing \(found str\)"),
        ([ENTRIES[0], {"img_id": "7"}], r"\[1\]: .* sentences missing \(found img_id\)"),
        ([{"sentences": []}], r"\[0\]: .* img_id missing"),
        ([{}], r"\[0\]: .*\(found none\)"),
        ([{"img_id": None, "sentences": []}], r"\[0\]: expected img_id as a text such as '256', found None"),
        ([{"img_id": True, "sentences": []}], "found True"),
        ([{"img_id": "7", "sentences": "one text"}], r"\[0\]: expected sentences as a list of texts, found 'one text'"),
        ([{"img_id": "7", "sentences": None}], "expected sentences as a list"),
        (
            [ENTRIES[0], {"img_id": "8", "sentences": ["a", 7]}],
            r"\[1\]\.sentences\[1\]: expected a text, found 7 \(int\) for .*'8'",
        ),
        ([{"img_id": "8", "sentences": [["a"]]}], r"sentences\[0\]: expected a text, found \['a'\] \(list\)"),
        ([{"img_id": "../8", "sentences": ["a"]}], r"\[0\], img_id: expected the name of a file inside .*'\.\./8'"),
        ([{"img_id": "..", "sentences": ["a"]}], r"\[0\], img_id"),
        ([{"img_id": " ", "sentences": ["a"]}], r"\[0\], img_id"),
        ([{"img_id": "a\\b", "sentences": ["a"]}], r"\[0\], img_id"),
        ([{"img_id": "\ud800", "sentences": ["a"]}], r"\[0\], img_id"),
        ([{"img_id": "x" * 300, "sentences": ["a"]}], r"\[0\], img_id"),
        ([{"img_id": "7", "sentences": ["", " "]}], "expected at least one sentence, found 1 entries without any"),
    ],
)
def test_a_bad_annotation_names_the_place(root, data, words):
    annotation(root).write_text(json.dumps(data))
    with pytest.raises(DataError, match=words) as error:
        SpotTheDiff(root).load("test")
    assert str(annotation(root)) in str(error.value)
    assert len(SpotTheDiff(root).load("val").queries) == 4, "the other splits are whole"
    report = SpotTheDiff(root).check(progress=False)
    assert not report.complete and [row.split for row in report.rows] == ["train", "val"]
    assert any("test.json" in problem for problem in report.problems)


def test_a_file_cut_in_the_middle(root):
    whole = annotation(root).read_bytes()
    for length in (0, 1, 20, len(whole) // 2, len(whole) - 1):
        annotation(root).write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"test\.json: expected JSON, found a file cut short or damaged .*copy it again"):
            SpotTheDiff(root).load("test")
    annotation(root).write_bytes(b"[" * 100_000)
    with pytest.raises(DataError, match="expected JSON"):
        SpotTheDiff(root).load("test")


def test_other_encodings_name_the_line(root):
    annotation(root).write_bytes(b'[{"img_id": "7",\n"sentences": ["caf\xe9"]}]')
    with pytest.raises(DataError, match=r"test\.json, line 2: expected UTF-8 text, found the byte 0xe9"):
        SpotTheDiff(root).load("test")
    annotation(root).write_bytes(json.dumps(ENTRIES).encode("utf-16"))
    with pytest.raises(DataError, match=r"line 1: expected UTF-8 text, found the byte 0xff"):
        SpotTheDiff(root).load("test")


def test_wrong_folders(root, tmp_path, wrong_folders):
    wrong_folders(SpotTheDiff, root, "harsh19/spot-the-diff", "annotations", "resized_images")
    with pytest.raises(DataError, match="found a file"):
        SpotTheDiff(annotation(root)).load("test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"expected annotations/train\.json, .* and resized_images/, found an empty folder"):
        SpotTheDiff(tmp_path / "empty").load("test")


def test_half_an_archive(root, no_image_folder):
    annotation(root).unlink()
    with pytest.raises(DataError, match=r"test: 1 of 1 annotation files missing .*annotations/test\.json"):
        SpotTheDiff(root).load("test")
    assert len(SpotTheDiff(root).load("val").queries) == 4
    no_image_folder(SpotTheDiff, root, "annotations/", "val")


def test_missing_images(root):
    (root / "resized_images" / "7_2.png").unlink()
    (root / "resized_images" / "12.png").write_bytes(b"no image")
    with pytest.raises(DataError) as error:
        SpotTheDiff(root).load("test")
    text = str(error.value)
    assert "1 of 6 images missing (first: 7_2.png)" in text and "1 of 6 images damaged (first: 12.png: " in text
    assert "they cost 3 queries" in text and str(root / "resized_images") in text

    split = SpotTheDiff(root).load("test", missing="skip")
    assert [image.id for image in split.images] == ["7", "12_2", "3", "3_2"]
    assert [(q.source, q.target) for q in split.queries] == [(2, 3)]
    assert split.origin.endswith("; 3 queries dropped: 2 images missing or damaged")
    train = SpotTheDiff(root).load("train", missing="skip")
    assert train.draw(np.random.default_rng(0)) == train.queries, "draws keep to the images that are left"

    report = SpotTheDiff(root).check(progress=False)
    assert report.rows[2].missing == ("7_2.png",) and report.rows[2].queries_lost == 3

    for name in ("3.png", "12_2.png"):
        (root / "resized_images" / name).unlink()
    for each in ("test", "train"):
        with pytest.raises(DataError, match=r"they cost 4 queries\. No query of this split is left"):
            SpotTheDiff(root).load(each, missing="skip")


def test_notes_say_what_was_joined_and_left_out(root):
    notes = SpotTheDiff(root).check(progress=False).notes
    assert "test: 3 pairs of images and 6 sentences, 2 of them empty and left out" in notes
    assert any(note.startswith("test: 4 entries describe these pairs; each image is in the gallery once") for note in notes)
    write(root, ENTRIES[-1:])
    assert not any("describe these pairs" in note for note in SpotTheDiff(root).check(progress=False).notes)


def test_a_small_copy_is_not_the_published_set(root):
    report = SpotTheDiff(root).check(progress=False)
    assert any("test: the annotation has 6 images and 4 queries; expected 2,540 and 2,100" in text for text in report.problems)
    (root / "made.json").write_text(
        json.dumps(
            {
                "dataset": "spot_the_diff",
                "origin": "synthetic spot",
                "counts": {split: [6, 4] for split in ("train", "val", "test")},
            }
        )
    )
    report = SpotTheDiff(root).check(progress=False)
    assert report.complete and report.origin == SpotTheDiff(root).load("test").origin == "synthetic spot"


names = st.text("abc012_. -é", min_size=1, max_size=6).filter(lambda name: name.strip() not in ("", ".", ".."))
ids = st.integers(0, 99) | names
entries = st.lists(
    st.fixed_dictionaries({"img_id": ids, "sentences": st.lists(st.text(max_size=20), max_size=4)}), min_size=1, max_size=8
)


@given(entries, st.booleans())
def test_any_file_of_the_right_shape(tmp_path_factory, data, ascii_only):
    """Every sentence that says something is one query from its pair's first frame to its second; every frame stands once."""
    root = tmp_path_factory.mktemp("any")
    (root / "resized_images").mkdir()
    (root / "annotations").mkdir()
    annotation(root).write_text(json.dumps(data, ensure_ascii=ascii_only), encoding="utf-8")
    expected = [(str(entry["img_id"]), text) for entry in data for text in entry["sentences"] if text.strip()]
    if not expected:
        with pytest.raises(DataError, match="expected at least one sentence"):
            SpotTheDiff(root).read("test")
        return
    part = SpotTheDiff(root).read("test")
    found = [(part.images[q.source].id, part.images[q.target].id, *q.texts) for q in part.queries]
    assert found == [(pair, f"{pair}_2", text) for pair, text in expected]
    names = [image.path.name for image in part.images]
    assert len(names) == len(set(names))
    assert set(names) == {name for entry in data for name in (f"{entry['img_id']}.png", f"{entry['img_id']}_2.png")}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["img_id", "sentences", "x"]), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_any_json_is_read_or_refused(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("any")
    (root / "resized_images").mkdir()
    (root / "annotations").mkdir()
    annotation(root).write_text(json.dumps(data))
    try:
        part = SpotTheDiff(root).read("test")
    except DataError as error:
        assert "test.json" in str(error)
    else:
        assert part.queries and isinstance(data, list)


@pytest.fixture
def annotated(tmp_path, published, annotations_only):
    """The published annotations, with every image taken for present."""
    (tmp_path / "annotations").symlink_to(published("spot_the_diff", "annotations"))
    (tmp_path / "resized_images").mkdir()
    return annotations_only(SpotTheDiff)(tmp_path)


@pytest.mark.parametrize(
    "name, entries, pairs, sentences, queries",
    [("train", 9_524, 8_566, 17_676, 17_623), ("val", 1_634, 1_493, 3_310, 3_304), ("test", 1_404, 1_270, 2_107, 2_100)],
)
def test_the_published_annotations(annotated, name, entries, pairs, sentences, queries):
    raw = json.loads(annotation(annotated.root, name).read_text())
    assert len(raw) == entries and sum(len(entry["sentences"]) for entry in raw) == sentences
    split = annotated.load(name)
    assert len(split.images) == 2 * pairs and len(split.queries) == queries
    assert (annotated.counts(name).images, annotated.counts(name).queries) == (2 * pairs, queries)
    assert all(split.images[q.target].id == f"{split.images[q.source].id}_2" for q in split.queries)
    assert all(tokenize(text) for text in split.texts)
    if name == "train":
        drawn = split.draw(np.random.default_rng(1))
        assert len(drawn) == sum(any(entry["sentences"]) for entry in raw) == 9_477
        assert set(drawn) <= set(split.queries) and drawn != split.draw(np.random.default_rng(2))


def test_the_published_annotations_are_complete(annotated):
    report = annotated.check(progress=False)
    assert report.complete and report.origin == annotated.load("val").origin
    assert any("1,404 entries describe these pairs" in note and "2,808" in note for note in report.notes)
