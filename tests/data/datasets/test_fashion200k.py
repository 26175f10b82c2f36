"""Fashion200k as it is published, written small by this file's own helper: what loads, what is drawn, what damage says."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from maaf_lab.data.datasets.fashion200k import (
    CATEGORIES,
    QUERIES,
    Fashion200k,
    Partners,
    different_words,
    parse_labels,
    parse_queries,
)
from maaf_lab.errors import DataError

TRAIN = {
    "dress": ["red silk dress", "blue silk dress", "red silk dress", "red lace dress", "nobody's like"],
    "jacket": ["black a-line jacket", "white a-line jacket"],
    "pants": ["no. 1 pants", "no. 2 pants"],
    "skirt": ["red"],
    "top": ["blue"],
}
TEST = {
    "dress": ["red silk dress", "blue silk dress"],
    "jacket": ["black & white jacket", "black & grey jacket"],
    "pants": ["pants"],
    "skirt": ["red silk skirt"],
    "top": ["what? top*"],
}


def name(split, category, index):
    return f"women/{category}/{split}/{index}/{index}_0.jpeg"


def labels_file(root, category, split="test"):
    return root / "labels" / f"{category}_{split}_detect_all.txt"


def write_labels(root, split, captions):
    for category, texts in captions.items():
        names = [name(split, category, i) for i in range(len(texts))]
        lines = "".join(f"{path}\t-1.78\t{text}\n" for path, text in zip(names, texts))
        labels_file(root, category, split).write_text(lines, encoding="utf-8")
        for path in names:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            PILImage.new("RGB", (6, 8), "red").save(root / path)


PAIRS = [(("dress", 0), ("dress", 1)), (("dress", 1), ("dress", 0)), (("jacket", 0), ("jacket", 1))]


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "fashion200k"
    (root / "labels").mkdir(parents=True)
    write_labels(root, "train", TRAIN)
    write_labels(root, "test", TEST)
    (root / QUERIES).write_text("".join(f"{name('test', *s)} {name('test', *t)}\n" for s, t in PAIRS))
    return root


# --- test: published queries ----------------------------------------------------------------------------------------------


def test_the_test_split(root):
    split = Fashion200k(root).load("test")
    assert [image.id for image in split.images] == [name("test", c, i) for c in CATEGORIES for i in range(len(TEST[c]))]
    assert all(image.path == root / image.id and image.path.is_file() for image in split.images)
    assert [image.label for image in split.images[:5]] == [
        "red silk dress",
        "blue silk dress",
        "black andmark white jacket",
        "black andmark grey jacket",
        "pants",
    ]
    assert split.images[6].label == "whatquestionmark topstarmark"
    assert [(q.source, q.target, q.target_label, q.texts) for q in split.queries] == [
        (0, 1, "blue silk dress", ("replace red with blue",)),
        (1, 0, "red silk dress", ("replace blue with red",)),
        (2, 3, "black andmark grey jacket", ("replace white with grey",)),
    ]
    assert split.protocol.gallery == "split" and split.protocol.exclude_source and split.protocol.ks == (1, 10, 50)
    assert (split.dataset, Fashion200k.evaluation, split.draw) == ("fashion200k", "test", None)


@pytest.mark.parametrize(
    "source, target, words",
    [
        ("red silk dress", "blue silk dress", ("red", "blue")),
        ("silk red dress", "silk dress blue", ("red", "blue")),
        ("red silk dress", "blue lace dress", ("red", "blue")),  # the first that differs
        ("red dress", "red silk dress", ("dress", "silk")),  # the source lacks nothing: its last word
        ("dress", "dress", ("dress", "dress")),
        ("redder dress", "red dress", ("redder", "red")),
    ],
)
def test_different_words(source, target, words):
    assert different_words(source, target) == words


def test_lines_of_all_kinds(root):
    before = Fashion200k(root).load("test")
    for path in [*(root / "labels").iterdir(), root / QUERIES]:
        text = path.read_text(encoding="utf-8")
        path.write_bytes(("\ufeff\n" + text.replace("\n", "\n\n  \n")).replace("\n", "\r\n").encode("utf-8"))
    after = Fashion200k(root).load("test")
    assert (after.images, after.queries) == (before.images, before.queries) and after.origin != before.origin
    for path in [*(root / "labels").iterdir(), root / QUERIES]:
        path.write_text(path.read_text(encoding="utf-8-sig").replace("\n", "\r").rstrip("\r"), encoding="utf-8", newline="")
    assert Fashion200k(root).load("test").images == before.images


def test_strange_captions_are_read(root):
    captions = ["a\tdress", "  \U0001f457 größer  ", "word " * 2_000, "two\u2028lines", "double  space"]
    write_labels(root, "test", {"dress": captions})
    labels = [image.label for image in Fashion200k(root).load("test", missing="skip").images[:5]]
    assert labels == ["a dress", "\U0001f457 größer", ("word " * 2_000).strip(), "two\u2028lines", "double  space"]


def test_empty_captions(root):
    write_labels(root, "test", {"top": ["", "   "]})
    write_labels(root, "train", {"top": [" "]})
    split = Fashion200k(root).load("test")
    assert [image.label for image in split.images[-2:]] == ["", ""]
    assert any(
        "test: 2 images have an empty caption (first: women/top/test/0/0_0.jpeg)" in note
        for note in Fashion200k(root).check(progress=False).notes
    )
    train = Fashion200k(root).load("train")
    assert all(q.target_label and train.images[q.source].label for q in train.queries)
    with open(root / QUERIES, "a") as file:
        file.write(f"{name('test', 'dress', 0)} {name('test', 'top', 1)}\n")
    with pytest.raises(DataError, match=rf"{QUERIES}, line 4: expected a target with a caption, found .*top/test/1/1_0"):
        Fashion200k(root).load("test")


def test_repeated_paths_are_one_image(root):
    whole = Fashion200k(root).load("test")
    with open(labels_file(root, "dress"), "a") as file:
        file.write(f"{name('test', 'dress', 0)}\t-2\tred silk dress\n{name('test', 'dress', 1)}\t-2\tgreen dress\n")
    split = Fashion200k(root).load("test")
    assert split.images == whole.images and split.queries == whole.queries
    assert any(
        "test: 2 lines of the labels files repeat a path, 1 of them with another caption" in note
        for note in Fashion200k(root).check(progress=False).notes
    )


@pytest.mark.parametrize(
    "line, words",
    [
        (b"women/a.jpeg", "line 3: expected a path, a detection score and a caption, tab-separated, found 'women/a.jpeg'"),
        (b"women/a.jpeg\t0.9", "line 3: expected a path, a detection score and a caption"),
        (b"women/a.jpeg 0.9 red dress", "line 3: expected a path, a detection score and a caption"),
        (b"\t0.9\tred dress", "line 3: expected a path below the root .*found ''"),
        (b"../a.jpeg\t0.9\tred dress", r"line 3: expected a path below the root .*found '\.\./a\.jpeg'"),
        (b"women/../../a.jpeg\t0.9\tred dress", "line 3: expected a path below the root"),
        (b"/etc/passwd\t0.9\tred dress", "line 3: expected a path below the root .*found '/etc/passwd'"),
        (b"C:\\women\\a.jpeg\t0.9\tred dress", "line 3: expected a path below the root"),
        (b"C:/women/a.jpeg\t0.9\tred dress", "line 3: expected a path below the root"),
        (b"women\\..\\..\\a.jpeg\t0.9\tred dress", "line 3: expected a path below the root"),
        (b"women/a.jpeg\t0.9\tred dr\xe9ss", "line 3: expected UTF-8 text"),
    ],
)
def test_a_bad_line_of_labels(root, line, words):
    path = labels_file(root, "dress")
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(DataError, match=r"dress_test_detect_all\.txt, " + words):
        Fashion200k(root).load("test")
    assert len(Fashion200k(root).load("train").images) == 11  # the other split is whole
    report = Fashion200k(root).check(progress=False)
    assert not report.complete and [row.split for row in report.rows] == ["train"]


@pytest.mark.parametrize(
    "line, words",
    [
        (name("test", "dress", 0), "line 4: expected a source path and a target path"),
        (f"{name('test', 'dress', 0)} {name('test', 'dress', 1)} x", "line 4: expected a source path and a target path"),
        (f"{name('test', 'dress', 0)} {name('test', 'dress', 9)}", "line 4: expected a target of labels/.*dress/test/9/9_0"),
        (f"{name('train', 'dress', 0)} {name('test', 'dress', 1)}", "line 4: expected a source of labels/.*dress/train/0/0_0"),
        (f"{name('test', 'dress', 0)} ../b.jpeg", "line 4: expected a path below the root"),
        (f"/a.jpeg {name('test', 'dress', 0)}", "line 4: expected a path below the root"),
    ],
)
def test_a_bad_test_query(root, line, words):
    with open(root / QUERIES, "a") as file:
        file.write(f"{line}\n")
    with pytest.raises(DataError, match=rf"{QUERIES}, {words}"):
        Fashion200k(root).load("test")


def test_empty_files(root):
    for path in (labels_file(root, "dress"), root / QUERIES):
        whole = path.read_bytes()
        path.write_bytes(b"\n\n")
        with pytest.raises(DataError, match=rf"{path.name}: expected lines of text, found none"):
            Fashion200k(root).load("test")
        path.write_bytes(whole)


def test_half_an_archive(root):
    labels_file(root, "skirt").unlink()
    words = r"Fashion200k test: 1 of 6 annotation files missing under .*labels/skirt_test_detect_all\.txt\)\. What to get: "
    with pytest.raises(DataError, match=words):
        Fashion200k(root).load("test")
    assert len(Fashion200k(root).load("train").queries) == 10
    (root / QUERIES).unlink()
    report = Fashion200k(root).check(progress=False)
    assert any("2 of 6 annotation files missing" in problem and QUERIES in problem for problem in report.problems)
    labels_file(root, "top", "train").unlink()
    with pytest.raises(DataError, match=r"Fashion200k train: 1 of 5 annotation files missing"):
        Fashion200k(root).load("train")


def test_wrong_folders(root, wrong_folders):
    wrong_folders(Fashion200k, root, "xthan/fashion-200k", "labels", "women")


def test_missing_images(root):
    (root / name("test", "dress", 1)).unlink()
    with pytest.raises(DataError, match=r"1 of 7 images missing \(first: dress/test/1/1_0\.jpeg\) .*women; they cost 2 queries"):
        Fashion200k(root).load("test")
    split = Fashion200k(root).load("test", missing="skip")
    assert [(split.images[q.source].label, q.target_label) for q in split.queries] == [
        ("black andmark white jacket", "black andmark grey jacket")
    ]
    shutil.rmtree(root / "women")
    with pytest.raises(DataError, match=r"7 of 7 images missing.*What to get: "):
        Fashion200k(root).load("test", missing="skip")


def test_a_name_that_no_disk_takes(root):
    with open(labels_file(root, "top"), "a") as file:
        file.write(f"women/{'a' * 300}.jpeg\t1\tred top\n")
    with pytest.raises(DataError, match=r"1 of 8 images damaged .*name too long"):
        Fashion200k(root).load("test")
    assert len(Fashion200k(root).check(progress=False).rows[1].missing) == 1


def test_counts_and_notes(root):
    report = Fashion200k(root).check(progress=False)
    assert any("expected 172,049 and -" in problem for problem in report.problems)
    assert any("expected 29,789 and 33,480" in problem for problem in report.problems)
    assert any(note.startswith("train: 10 different captions (published: 53,099); 10 images have") for note in report.notes)
    made = {"dataset": "fashion200k", "origin": "synthetic fashion200k", "counts": {"train": [11, 10], "test": [7, 3]}}
    (root / "made.json").write_text(json.dumps(made))
    report = Fashion200k(root).check(progress=False)
    assert report.complete and not any("53,099" in note for note in report.notes)


# --- train: drawn queries -------------------------------------------------------------------------------------------------


def test_the_train_split(root):
    split = Fashion200k(root).load("train")
    assert len(split.images) == 11 and split.images[7].label == "nodotmark 1 pants"
    lonely = [i for i, image in enumerate(split.images) if image.label == "nobody's like"]
    assert [q.source for q in split.queries] == [i for i in range(11) if i not in lonely]
    for query in split.queries:
        source, target = split.images[query.source].label, split.images[query.target].label
        assert query.target_label == target != source
        assert query.texts == ("replace {} with {}".format(*different_words(source, target)),)
    assert split.queries == list(split.draw(np.random.default_rng(0))) == Fashion200k(root).load("train").queries


def test_a_draw_is_a_function_of_its_generator(root):
    draw = Fashion200k(root).load("train").draw
    epochs = [draw(np.random.default_rng([7, epoch])) for epoch in range(20)]
    assert epochs == [draw(np.random.default_rng([7, epoch])) for epoch in range(20)]
    assert len({tuple(q.target for q in epoch) for epoch in epochs}) > 1
    assert {len(epoch) for epoch in epochs} == {10}
    red = {q.target for epoch in epochs for q in epoch if q.source == 0}
    assert red == {1, 3}  # blue silk, red lace


def test_skipped_images_are_never_sampled(root):
    (root / name("train", "dress", 1)).unlink()  # the only blue silk dress
    (root / name("train", "jacket", 1)).unlink()  # the black jacket's only partner
    split = Fashion200k(root).load("train", missing="skip")
    lonely = ("nobody's like", "black a-line jacket")
    assert len(split.images) == 9 and "3 queries dropped: 2 images missing" in split.origin
    for seed in range(20):
        queries = split.draw(np.random.default_rng(seed))
        assert [q.source for q in queries] == [i for i, image in enumerate(split.images) if image.label not in lonely]
        assert all(split.images[q.target].label == q.target_label for q in queries)
    assert split.queries == list(split.draw(np.random.default_rng(0)))


def test_every_partner_is_drawn_as_often_as_in_tirg():
    """Three captions share 'silk dress', two 'red dress': TIRG draws again where it hits its own, which makes that 2/3 to 1/2."""
    captions = ["red silk dress", "blue silk dress", "green silk dress", "red lace dress", "red lace dress"]
    partners = Partners(captions)
    counts = Counter(q.target for seed in range(6_000) for q in partners.queries(np.random.default_rng(seed)) if q.source == 0)
    expected = np.array([2 / 7, 2 / 7, 3 / 14, 3 / 14])  # blue, green, and each picture of red lace
    found = np.array([counts[i] for i in (1, 2, 3, 4)]) / 6_000
    assert counts[0] == 0 and np.abs(found - expected).max() < 0.03  # five standard deviations


@pytest.mark.parametrize(
    "captions",
    [
        [],
        [""],
        ["red", ""],
        ["red", "red"],
        ["red dress", "dress red"],
        ["red red dress", "red dress"],
        ["red  dress", "red dress"],
        ["red dress", "blue skirt"],
        ["red silk dress", "red dress"],
    ],
)
def test_nobody_has_a_partner(captions):
    assert Partners(captions).queries(np.random.default_rng(0)) == []


def test_words_are_whole():
    """'red' is not taken out of 'bored': TIRG's code would pair these."""
    assert Partners(["red bored dress", "blue bo dress"]).queries(np.random.default_rng(0)) == []


def fits(source, target):
    """The slow definition: one word of each, wherever it stands, taken out leaves the same; the two words differ."""
    a, b = source.split(), target.split()
    return any(v != w and [x for x in a if x != v] == [x for x in b if x != w] for v in a for w in b)


words = st.sampled_from(["red", "blue", "silk", "dress", "re", "a-line"])
texts = st.lists(st.lists(words, max_size=4).map(" ".join), max_size=14)


@given(texts, st.integers(0, 2**32 - 1))
def test_a_draw_by_its_definition(captions, seed):
    queries = Partners(captions).queries(np.random.default_rng(seed))
    assert [q.source for q in queries] == [i for i, c in enumerate(captions) if any(fits(c, other) for other in captions)]
    for query in queries:
        source, target = captions[query.source], captions[query.target]
        assert fits(source, target) and query.target_label == target
        assert query.texts == ("replace {} with {}".format(*different_words(source, target)),)


@settings(max_examples=40)
@given(texts)
def test_every_partner_can_be_drawn(captions):
    partners = Partners(captions[:5])
    drawn = {(q.source, q.target) for seed in range(400) for q in partners.queries(np.random.default_rng(seed))}
    assert drawn == {(i, j) for i, a in enumerate(captions[:5]) for j, b in enumerate(captions[:5]) if fits(a, b)}


# --- the parsers, whatever comes ------------------------------------------------------------------------------------------

pieces = ["women/a.jpeg", "..", "/", "\t", " ", "0.9", "red", "\n", "\r\n", "\\", "C:"]
lines = st.text() | st.lists(st.sampled_from(pieces)).map("".join)


@given(lines)
def test_anything_is_read_or_named(text):
    for parse in (parse_labels, parse_queries):
        try:
            read = parse(text, "file.txt")
        except DataError as error:
            assert str(error).startswith("file.txt")
        else:
            paths = [p for row in read for p in (row[1:] if parse is parse_queries else row[:1])]
            assert paths and all((Path("/root") / p).resolve().is_relative_to("/root") and p not in ("", ".") for p in paths)


plain = st.text(st.characters(exclude_characters="\t\n\r.?&*", exclude_categories=("Cs",))).map(str.strip)
paths = st.lists(st.from_regex(r"[a-z0-9_]{1,6}", fullmatch=True), min_size=1, max_size=4).map("/".join)


@given(st.lists(st.tuples(paths, st.floats(), plain), min_size=1), st.sampled_from(["\n", "\r\n", "\r"]))
def test_good_labels_come_back(rows, end):
    text = end.join(f"{path}\t{score}\t{caption}" for path, score, caption in rows)
    assert [tuple(line) for line in parse_labels(text, "f")] == [(path, caption) for path, _, caption in rows]
    with pytest.raises(DataError, match=f"f, line {len(rows) + 1}: "):
        parse_labels(f"{text}{end}women/a.jpeg\t0.5", "f")


@given(st.lists(st.tuples(paths, paths), min_size=1), st.sampled_from([" ", "\t", "  "]))
def test_good_queries_come_back(pairs, between):
    text = "\n".join(between.join(pair) for pair in pairs)
    assert parse_queries(text, "f") == [(i, *pair) for i, pair in enumerate(pairs, 1)]
