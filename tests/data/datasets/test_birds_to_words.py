"""Birds-to-Words as it is published, written small by this file's own helper: what loads, and what every kind of damage says."""

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image as PILImage

from maaf_lab.data.datasets.birds_to_words import ANNOTATION, COLUMNS, BirdsToWords, swapped
from maaf_lab.errors import DataError

HEADER = "\t".join(COLUMNS)


def address(number):
    return f"https://static.inaturalist.org/photos/{number}/large.jpg?{number}"


def row(left, right, split, text, number=1):
    """A line of the file, as the dataset's README describes its eleven columns."""
    left, right = (address(n) if isinstance(n, int) else n for n in (left, right))
    return "\t".join(
        [
            "https://www.inaturalist.org/observations/1",
            left,
            "Turdus merula",
            "base",
            "https://www.inaturalist.org/observations/2",
            right,
            "Pica pica",
            "sameClass",
            split,
            str(number),
            text,
        ]
    )


ROWS = [
    row(11, 12, "train", "animal1 is small , animal2 is red", 1),
    row(11, 12, "train", "Animal 2 has a beak.", 2),
    row(13, 11, "train", "they look alike", 1),
    row(21, 22, "val", 'animal2 is "blue"', 1),
    row(33, 32, "test", "Animal 1 is round", 1),
    row(32, 31, "test", "animal2 flies", 1),
    row(32, 31, "test", "animal2 sings", 2),
]
TEST_NAMES = [f"large.jpg?{n}" for n in (31, 32, 33)]


def write(root, rows=None, header=HEADER, end="\n", encoding="utf-8"):
    (root / "images").mkdir(parents=True, exist_ok=True)
    lines = ([header] if header else []) + (ROWS if rows is None else rows)
    (root / ANNOTATION).write_bytes("".join(line + end for line in lines).encode(encoding))
    for number in (11, 12, 13, 21, 22, 31, 32, 33):
        PILImage.new("RGB", (8, 6)).save(root / "images" / f"large.jpg?{number}", format="JPEG")
    return root


@pytest.fixture
def root(tmp_path):
    return write(tmp_path / "birds")


def pairs(split):
    return [(split.images[q.source].id, split.images[q.target].id, *q.texts) for q in split.queries]


def numbered(*expected):
    return [(f"large.jpg?{left}", f"large.jpg?{right}", text) for left, right, text in expected]


def test_evaluation_has_a_query_for_each_description(root):
    split = BirdsToWords(root).load("test")
    assert [image.id for image in split.images] == TEST_NAMES
    assert [image.label for image in split.images] == TEST_NAMES
    assert all(image.path == root / "images" / image.id for image in split.images)
    assert pairs(split) == numbered((33, 32, "Animal 1 is round"), (32, 31, "animal2 flies"), (32, 31, "animal2 sings"))
    assert all(q.target_label == split.images[q.target].label for q in split.queries) and split.draw is None
    assert split.protocol.gallery == "split" and split.protocol.exclude_source and split.protocol.ks == (10, 50)
    assert split.protocol.relevant == "the target image" and split.dataset == "birds_to_words"
    assert pairs(BirdsToWords(root).load("val")) == numbered((21, 22, 'animal2 is "blue"'))


def test_training_holds_each_pair_both_ways(root):
    split = BirdsToWords(root).load("train")
    assert pairs(split) == numbered(
        (11, 12, "animal1 is small , animal2 is red"),
        (11, 12, "Animal 2 has a beak."),
        (13, 11, "they look alike"),
        (12, 11, "animal2 is small , animal1 is red"),
        (12, 11, "Animal 1 has a beak."),
        (11, 13, "they look alike"),
    )


def test_training_draws_one_description_of_each_pair_and_direction(root):
    split = BirdsToWords(root).load("train")
    seen = set()
    for seed in range(40):
        drawn = split.draw(np.random.default_rng(seed))
        assert drawn == split.draw(np.random.default_rng(seed)) and set(drawn) <= set(split.queries)
        assert [(q.source, q.target) for q in drawn] == [(0, 1), (2, 0), (1, 0), (0, 2)]
        seen.update(drawn)
    assert seen == set(split.queries)


@pytest.mark.parametrize(
    "text, other",
    [
        ("animal1 is big", "animal2 is big"),
        ("Animal 1 and ANIMAL  2", "Animal 2 and ANIMAL  1"),
        ("animal1's beak, (Animal 2)", "animal2's beak, (Animal 1)"),
        ("animal_1 animal-2 animal #1", "animal_2 animal-1 animal #2"),
        ("animals 1", "animals 1"),
        ("animal12 animal 1st animal 3 mammal1", "animal12 animal 1st animal 3 mammal1"),
        ("1 animal, 2 animals", "1 animal, 2 animals"),
        ("", ""),
    ],
)
def test_swapped(text, other):
    assert swapped(text) == other and swapped(other) == text


words = st.sampled_from(["animal1", "animal2", "Animal 1", "ANIMAL 2", "animal", "1", "2", " ", ".", "é", "has"])


@given(st.lists(words | st.text(max_size=4), max_size=12).map("".join))
def test_swapping_twice_changes_nothing(text):
    other = swapped(text)
    assert swapped(other) == text and len(other) == len(text)
    assert all(a == b or {a, b} == {"1", "2"} for a, b in zip(text, other))


@pytest.mark.parametrize(
    "change",
    [
        {"end": "\r\n"},
        {"encoding": "utf-8-sig"},
        {"end": "\n\n  \n"},
        {"end": "\r\n\r\n", "encoding": "utf-8-sig"},
        {"header": ""},
    ],
)
def test_line_ends_a_mark_empty_lines_and_no_header_change_nothing(root, change):
    whole = {name: BirdsToWords(root).load(name).queries for name in ("train", "val", "test")}
    write(root, **change)
    assert {name: BirdsToWords(root).load(name).queries for name in whole} == whole
    (root / ANNOTATION).write_bytes((root / ANNOTATION).read_bytes().rstrip())
    assert BirdsToWords(root).load("test").queries == whole["test"], "a last line without an end"


@pytest.mark.parametrize(
    "text",
    [
        '"animal1 is big',
        'animal1 is "big',
        '"',
        '"a" "b',
        "a\tb\tc",
        "🐦 animal2",
        "word " * 1_999 + "word",
        "a\u2028b\x0bc\x85d",
        "split",
    ],
)
def test_odd_descriptions_are_read(root, text):
    write(root, [row(31, 32, "test", text), *ROWS], header="")
    found = BirdsToWords(root).load("test")
    assert found.queries[0].texts == (text,) and len(found.queries) == 4, "quotes and tabs swallow no line"


def test_columns_are_found_by_name(root):
    order = [10, 8, 5, 1]
    lines = ["\t".join(line.split("\t")[i] for i in order) for line in ROWS]
    whole = BirdsToWords(root).load("train").queries
    write(root, lines, header="\t".join(COLUMNS[i] for i in order))
    assert BirdsToWords(root).load("train").queries == whole


def test_a_header_with_other_names_is_read_by_order_and_noted(root):
    whole = BirdsToWords(root).load("train").queries
    write(root, header="\t".join("abcdefghijk"))
    assert BirdsToWords(root).load("train").queries == whole
    assert any(
        "line 1: assumed to be a header with other names (a, b, c" in note
        for note in BirdsToWords(root).check(progress=False).notes
    )


def test_a_missing_column_is_named(root):
    for column in ("img1ImgURL", "img2ImgURL", "split", "description"):
        write(root, header="\t".join(name for name in COLUMNS if name != column))
        with pytest.raises(DataError, match=rf"{ANNOTATION}, line 1: expected the columns .*; {column} missing \(found img1"):
            BirdsToWords(root).load("test")
    write(root, header=HEADER.replace("img1Species", "split"))
    with pytest.raises(DataError, match="line 1: expected each column once, found split 2 times"):
        BirdsToWords(root).load("test")


@pytest.mark.parametrize(
    "line, words",
    [
        (ROWS[4].rsplit("\t", 1)[0], r"line 3: expected 11 tab-separated columns, found 10, nothing for description"),
        ("no tabs at all", r"line 3: expected 11 tab-separated columns, found 1, nothing for img1ImgURL: 'no tabs at all'"),
        (row(31, 32, "dev", "a"), r"line 3: expected the column split to be train, val or test, found 'dev'"),
        (row(31, 32, "", "a"), r"line 3: .*found ''"),
        (row(31, 32, "Test", "a"), r"line 3: .*found 'Test'"),
        (row("https://host/photos/..", 32, "test", "a"), r"line 3, img1ImgURL: expected the name of a file inside .*'\.\.'"),
        (row(31, "https://host/photos/", "test", "a"), r"line 3, img2ImgURL: .*found ''"),
        (row(31, "..\\x.jpg", "test", "a"), r"line 3, img2ImgURL: .*found '\.\."),
        (row(31, "x" * 300, "test", "a"), r"line 3, img2ImgURL"),
    ],
)
def test_a_bad_row_names_its_line(root, line, words):
    write(root, [ROWS[0], line, *ROWS[1:]])
    with pytest.raises(DataError, match=words) as error:
        BirdsToWords(root).load("test")
    assert str(root / ANNOTATION) in str(error.value)
    report = BirdsToWords(root).check(progress=False)
    assert not report.complete and not report.rows and len(report.problems) == 1


def test_a_path_that_leaves_the_root_is_only_its_last_name(root):
    write(root, [row("../../large.jpg?31", 32, "test", "a")])
    assert all(image.path.parent == root / "images" for image in BirdsToWords(root).load("test").images)


def test_other_encodings_name_the_line(root):
    whole = (root / ANNOTATION).read_bytes()
    (root / ANNOTATION).write_bytes(whole.replace(b"they look", b"caf\xe9 look"))
    with pytest.raises(DataError, match=rf"{ANNOTATION}, line 4: expected UTF-8 text, found the byte 0xe9"):
        BirdsToWords(root).load("test")


def test_a_file_cut_in_the_middle(root):
    whole = (root / ANNOTATION).read_bytes()
    last = whole.rstrip().rfind(b"\n") + 1
    (root / ANNOTATION).write_bytes(whole[: last + 60])
    with pytest.raises(DataError, match=r"line 8: expected 11 tab-separated columns"):
        BirdsToWords(root).load("test")
    for content in (b"", b"\n\n", b"\xef\xbb\xbf"):
        (root / ANNOTATION).write_bytes(content)
        with pytest.raises(DataError, match="expected rows of 11 columns, found an empty file"):
            BirdsToWords(root).load("test")
    (root / ANNOTATION).write_text(HEADER + "\n" + ROWS[0] + "\n")
    with pytest.raises(DataError, match="expected rows of the split 'test' with a description, found none"):
        BirdsToWords(root).load("test")


def test_wrong_folders(root, wrong_folders, no_image_folder):
    wrong_folders(BirdsToWords, root, "google-research-datasets/birds-to-words", "images")
    with pytest.raises(DataError, match="found a file"):
        BirdsToWords(root / ANNOTATION).load("test")
    no_image_folder(BirdsToWords, root, ANNOTATION)


def test_missing_images(root):
    (root / "images" / "large.jpg?31").unlink()
    (root / "images" / "large.jpg?12").write_bytes(b"<html>")
    with pytest.raises(DataError) as error:
        BirdsToWords(root).load("test")
    assert "1 of 3 images missing (first: large.jpg?31)" in str(error.value) and "they cost 2 queries" in str(error.value)
    split = BirdsToWords(root).load("test", missing="skip")
    assert pairs(split) == numbered((33, 32, "Animal 1 is round"))
    assert split.origin.endswith("; 2 queries dropped: 1 images missing or damaged")
    train = BirdsToWords(root).load("train", missing="skip")
    assert pairs(train) == numbered((13, 11, "they look alike"), (11, 13, "they look alike"))
    assert train.draw(np.random.default_rng(0)) == train.queries
    report = BirdsToWords(root).check(progress=False)
    assert [(r.split, r.queries, r.queries_lost) for r in report.rows] == [("train", 6, 4), ("val", 1, 0), ("test", 3, 2)]


def test_notes(root):
    rows = [*ROWS, ROWS[5], row(33, 33, "test", "same"), row(33, 31, "test", " "), row(11, 31, "test", "shared")]
    write(root, rows)
    loader = BirdsToWords(root)
    assert len(loader.load("test").queries) == 5
    notes = "\n".join(loader.check(progress=False).notes)
    assert "test: 5 pairs and 7 descriptions; all splits together: 8 pairs with 1.4 descriptions each" in notes
    assert "(paper: 3,347 and 4.8)" in notes and "URL" not in notes
    assert "test: 1 rows without a description left out (first: line 11)" in notes
    assert "test: 1 rows left out whose two images are one file (first: line 10)" in notes
    assert "test: 1 descriptions occur more than once for the same pair (first: large.jpg?32 and large.jpg?31)" in notes
    assert "test: 1 images are in another split too (first: large.jpg?11)" in notes
    assert "val:" in notes and "val: 1 images" not in notes and "header" not in notes


def test_two_photographs_of_one_name_are_noted(root):
    write(root, [*ROWS, row("https://other/large.jpg?31", 33, "test", "clash")])
    assert len(BirdsToWords(root).load("test").images) == 3
    assert any(
        "test: 1 file names belong to more than one URL and count as one image each (first: large.jpg?31)" in note
        for note in BirdsToWords(root).check(progress=False).notes
    )


def test_origin_and_made_data(root):
    first = BirdsToWords(root).origin()
    assert first.startswith("published sha256:") and BirdsToWords(root).load("val").origin == first
    write(root, ROWS[1:])
    assert BirdsToWords(root).origin() != first
    write(root)
    (root / "made.json").write_text(
        json.dumps(
            {"dataset": "birds_to_words", "origin": "synthetic birds", "counts": {"train": [3, 6], "val": [2, 1], "test": [3, 3]}}
        )
    )
    report = BirdsToWords(root).check(progress=False)
    assert report.complete and report.origin == "synthetic birds"
    assert not any("paper" in note for note in report.notes), "synthetic data is not compared with the paper's"


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=30)
lines = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd"), st.sampled_from(["train", "val", "test"]), texts), max_size=10
)


@given(lines, st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n"]))
@example([("a", "b", "test", '"quoted\tand tabbed"')], True, "\r\n")
def test_any_rows(tmp_path_factory, data, header, end):
    """Every description of two images is a query, and in training its swapped text too."""
    root = tmp_path_factory.mktemp("any")
    (root / "images").mkdir()
    lines = [HEADER] * header + [row(left, right, split, text) for left, right, split, text in data]
    (root / ANNOTATION).write_bytes("".join(line + end for line in lines).encode())
    for split in ("train", "val", "test"):
        expected = [(a, b, text.strip()) for a, b, name, text in data if name == split and a != b and text.strip()]
        if not expected:
            with pytest.raises(DataError, match="expected rows of"):
                BirdsToWords(root).read(split)
            continue
        part = BirdsToWords(root).read(split)
        mirrored = [(b, a, swapped(text)) for a, b, text in expected] if split == "train" else []
        assert pairs(part) == expected + mirrored
        if part.draw:
            drawn = part.draw(np.random.default_rng(0))
            assert sorted((q.source, q.target) for q in drawn) == sorted({(q.source, q.target) for q in part.queries})


@given(st.binary(max_size=200))
@example(b"\t" * 10)
@example(HEADER.encode())
def test_any_bytes_are_refused_in_words(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("any")
    (root / "images").mkdir()
    (root / ANNOTATION).write_bytes(data)
    with pytest.raises(DataError, match=ANNOTATION):
        BirdsToWords(root).read("test")
