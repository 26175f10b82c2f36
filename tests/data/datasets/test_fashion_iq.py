"""Fashion IQ as it is published, written small by this file's own helper; the published annotations, where they are at hand."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PILImage

from maaf_lab.data.check import query_notes
from maaf_lab.data.datasets.fashion_iq import CATEGORIES, PUBLISHED_CATEGORIES, FashionIQ, parse_captions, parse_split
from maaf_lab.data.text import JOINER, MOST_WORDS, Vocabulary, tokenize
from maaf_lab.errors import ConfigError, DataError

GALLERIES = {"dress": ["D1", "D2", "DT"], "shirt": ["S1", "S2"], "toptee": ["T1", "DT", "T2"]}  # DT stands in two
QUERIES = {
    "dress": [("D2", "DT", ["is red", "has longer sleeves"]), ("D1", "D2", ["is blue", "is solid"])],
    "shirt": [("S1", "S2", ["has a\ttab", "is \U0001f600 happy"])],
    "toptee": [("DT", "T2", ["is darker", "is striped"])],
}


def entries(category, split="val"):
    targets = split != "test"
    return [{"candidate": c, "captions": texts, **({"target": t} if targets else {})} for c, t, texts in QUERIES[category]]


def captions_file(root, category, split="val"):
    return root / "captions" / f"cap.{category}.{split}.json"


def split_file(root, category, split="val"):
    return root / "image_splits" / f"split.{category}.{split}.json"


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.new("RGB", (6, 8), "red").save(path)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "fashion_iq"
    for category in CATEGORIES:
        for split in FashionIQ.splits:
            put(captions_file(root, category, split), entries(category, split))
            put(split_file(root, category, split), GALLERIES[category])
        for asin in GALLERIES[category]:
            picture(root / "images" / f"{asin}.jpg")
    return root


def test_a_split(root):
    split = FashionIQ(root).load("val")
    assert [(i.id, i.label, i.categories) for i in split.images] == [
        ("D1", "D1", ("dress",)),
        ("D2", "D2", ("dress",)),
        ("DT", "DT", ("dress", "toptee")),
        ("S1", "S1", ("shirt",)),
        ("S2", "S2", ("shirt",)),
        ("T1", "T1", ("toptee",)),
        ("T2", "T2", ("toptee",)),
    ]
    assert all(image.path == root / "images" / f"{image.id}.jpg" for image in split.images)
    assert [(q.source, q.target, q.target_label, q.category, q.texts) for q in split.queries] == [
        (1, 2, "DT", "dress", ("is red", "has longer sleeves")),
        (0, 1, "D2", "dress", ("is blue", "is solid")),
        (3, 4, "S2", "shirt", ("has a\ttab", "is \U0001f600 happy")),
        (2, 6, "T2", "toptee", ("is darker", "is striped")),
    ]
    assert split.protocol.gallery == "category" and split.protocol.exclude_source and split.protocol.ks == (10, 50)
    assert (split.dataset, split.name, FashionIQ.evaluation) == ("fashion_iq", "val", "val")
    assert split.draw is None and split.origin.startswith("published sha256:")


def test_test_has_no_targets(root):
    split = FashionIQ(root).load("test")
    assert [(q.source, q.target, q.target_label) for q in split.queries] == [
        (1, None, None),
        (0, None, None),
        (3, None, None),
        (2, None, None),
    ]
    assert any("4 queries have no target" in note for note in FashionIQ(root).check(progress=False).notes)
    put(captions_file(root, "shirt", "test"), entries("shirt"))  # targets published later are used
    put(captions_file(root, "toptee", "test"), [{**entries("toptee", "test")[0], "target": None}])
    assert [q.target_label for q in FashionIQ(root).load("test").queries] == [None, None, "S2", None]


def test_other_image_formats(root):
    for asin, suffix in (("D1", ".png"), ("S1", ".jpeg"), ("T1", ".png")):
        picture(root / "images" / f"{asin}{suffix}")
    for asin in ("D1", "S1"):
        (root / "images" / f"{asin}.jpg").unlink()
    names = {image.id: image.path.name for image in FashionIQ(root).load("val").images}
    assert (names["D1"], names["S1"], names["T1"]) == ("D1.png", "S1.jpeg", "T1.jpg")


def test_missing_images(root):
    (root / "images" / "DT.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 7 images missing \(first: DT\.jpg\) under .*images; they cost 2 queries"):
        FashionIQ(root).load("val")
    split = FashionIQ(root).load("val", missing="skip")
    assert [(split.images[q.source].id, split.images[q.target].id) for q in split.queries] == [("D1", "D2"), ("S1", "S2")]
    assert FashionIQ(root).check(progress=False).rows[1].queries_lost == 2
    shutil.rmtree(root / "images")
    with pytest.raises(DataError, match=r"7 of 7 images missing.*No query of this split is left.*XiaoxiaoGuo"):
        FashionIQ(root).load("val", missing="skip")


def test_wrong_folders(root, wrong_folders):
    wrong_folders(FashionIQ, root, "XiaoxiaoGuo/fashion-iq", "captions", "images", split="val")
    with pytest.raises(ConfigError, match="no split 'valid'; it has train, val, test"):
        FashionIQ(root).load("valid")


def test_half_an_archive(root):
    captions_file(root, "shirt").unlink()
    split_file(root, "toptee").unlink()
    with pytest.raises(
        DataError,
        match=r"Fashion IQ val: 2 of 6 annotation files missing under .*cap\.shirt\.val\.json, "
        r"image_splits/split\.toptee\.val\.json\)\. What to get: ",
    ):
        FashionIQ(root).load("val")
    assert len(FashionIQ(root).load("train").queries) == 4  # the other splits are whole
    report = FashionIQ(root).check(progress=False)
    assert not report.complete and [row.split for row in report.rows] == ["train", "test"]
    assert any("2 of 6 annotation files missing" in problem for problem in report.problems)


def test_a_file_cut_in_the_middle(root):
    for path in (captions_file(root, "dress"), split_file(root, "dress")):
        whole = path.read_bytes()
        for length in (0, 1, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:length])
            with pytest.raises(DataError, match=rf"{path.name}, line 1, column \d+: expected JSON, a list of .*copy it again"):
                FashionIQ(root).load("val")
        path.write_bytes(whole)
    assert len(FashionIQ(root).load("val").queries) == 4


@pytest.mark.parametrize(
    "content, words",
    [
        (b'["D1", "D\xff2"]', r"line 1: expected UTF-8 text, found"),
        (b'["D1",\n\n"D\xe92"]', r"line 3: expected UTF-8 text, found"),
        (b"[" * 100_000, r"split\.dress\.val\.json: expected JSON"),
    ],
)
def test_bytes_that_are_no_json(root, content, words):
    split_file(root, "dress").write_bytes(content)
    with pytest.raises(DataError, match=words):
        FashionIQ(root).load("val")


def test_other_ways_to_write_the_same(root):
    before = FashionIQ(root).load("val")
    for path in [*(root / "captions").iterdir(), *(root / "image_splits").iterdir()]:
        pretty = json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=2, ensure_ascii=False)
        path.write_bytes(b"\xef\xbb\xbf" + pretty.replace("\n", "\r\n").encode())  # a byte order mark, CRLF, no escapes
    after = FashionIQ(root).load("val")
    assert (after.images, after.queries) == (before.images, before.queries) and after.origin != before.origin


@pytest.mark.parametrize(
    "data, words",
    [
        ({"D1": "D2"}, r"expected a list of asins, found dict"),
        ([], r"expected a list of asins, found list \[\]"),
        (["D1", 7], r"entry \[1\]: expected an asin .*found int 7"),
        (["D1", "../../etc/passwd"], r"entry \[1\]: expected an asin .*etc/passwd"),
        (["/D1"], r"entry \[0\]: expected an asin"),
        ([".."], r"entry \[0\]: expected an asin"),
        (["D1\n"], r"entry \[0\]: expected an asin"),
        ([""], r"entry \[0\]: expected an asin"),
        (["D" * 300], r"entry \[0\]: expected an asin"),
        ([entries("dress")[0]], r"entry \[0\]: expected an asin .*found dict"),
    ],
)
def test_a_bad_split_file(root, data, words):
    put(split_file(root, "dress"), data)
    with pytest.raises(DataError, match=r"split\.dress\.val\.json.*" + words):
        FashionIQ(root).load("val")


GOOD = {"candidate": "D1", "target": "D2", "captions": ["is red", "is long"]}


@pytest.mark.parametrize(
    "data, words",
    [
        ({"entries": [GOOD]}, r"expected a list of entries .*found dict"),
        ("captions", r"expected a list of entries .*found str"),
        ([GOOD, "D1"], r"entry \[1\]: expected the keys candidate, target, captions; .*found str 'D1'"),
        ([GOOD, {}], r"entry \[1\]: .*candidate, target, captions missing \(found no keys\)"),
        ([{k: v for k, v in GOOD.items() if k != "candidate"}], r"entry \[0\]: .*; candidate missing \(found target, captions\)"),
        ([GOOD, {k: v for k, v in GOOD.items() if k != "target"}], r"entry \[1\]: .*; target missing"),
        ([{k: v for k, v in GOOD.items() if k != "captions"}], r"entry \[0\]: .*; captions missing"),
        ([{**GOOD, "target": None}], r"entry \[0\]: expected an asin as target .*found NoneType None"),
        ([{**GOOD, "candidate": ["D1"]}], r"entry \[0\]: expected an asin as candidate .*found list"),
        ([{**GOOD, "captions": "is red"}], r"entry \[0\]: expected captions as a list of texts, found str 'is red'"),
        ([{**GOOD, "captions": []}], r"entry \[0\]: expected captions as a list of texts, found list \[\]"),
        ([{**GOOD, "captions": ["is red", 7]}], r"entry \[0\]: expected captions as a list of texts"),
        ([{**GOOD, "captions": [None, "is red"]}], r"entry \[0\]: expected captions as a list of texts"),
        ([GOOD, {**GOOD, "target": "S1"}], r"entry \[1\]: expected a target of split\.dress\.val\.json, found 'S1'"),
        ([{**GOOD, "candidate": "T1"}], r"entry \[0\]: expected a candidate of split\.dress\.val\.json, found 'T1'"),
    ],
)
def test_a_bad_captions_file(root, data, words):
    put(captions_file(root, "dress"), data)
    with pytest.raises(DataError, match=r"cap\.dress\.val\.json.*" + words):
        FashionIQ(root).load("val")
    report = FashionIQ(root).check(progress=False)
    assert not report.complete and [row.split for row in report.rows] == ["train", "test"]


def test_messages_stay_short(root):
    put(captions_file(root, "dress"), [{**GOOD, "captions": "word " * 100_000}])
    with pytest.raises(DataError) as error:
        FashionIQ(root).load("val")
    assert len(str(error.value)) < 1_000


def test_strange_captions_are_read(root):
    captions = ["word " * 2_000, "", "   ", "a\tb\nc", "\U0001f457 größer", "half an emoji \ud83d"]
    put(captions_file(root, "dress"), [{**GOOD, "captions": captions}])
    texts = FashionIQ(root).load("val").queries[0].texts
    assert texts[:5] == tuple(captions[:5]) and texts[5] == "half an emoji \ufffd"
    assert "".join(texts).encode("utf-8") and len(tokenize(texts[0])) == MOST_WORDS
    notes = FashionIQ(root).check(progress=False).notes
    assert any("val: 2 empty captions (first: dress, candidate D1)" in note for note in notes)


def test_repeated_asins_are_one_image(root):
    whole = FashionIQ(root).load("val")
    put(split_file(root, "dress"), ["D1", "D2", "D1", "DT", "D1"])
    split = FashionIQ(root).load("val")
    assert split.images == whole.images and split.queries == whole.queries
    notes = FashionIQ(root).check(progress=False).notes
    assert any("val: 1 asins occur more than once in split.dress.val.json (first: D1)" in note for note in notes)


def test_notes(root):
    put(captions_file(root, "dress"), [{**GOOD, "target": "D1"}])
    notes = FashionIQ(root).check(progress=False).notes
    assert "val, dress: 3 images and 1 queries (published: 3,817 and 2,017)" in notes
    assert any(note.startswith("val: 1 images are in more than one category") for note in notes)
    same = "have their own reference as target (first: D1); ranked without their reference, 1 of them cannot be answered"
    assert sum("as target" in note for note in notes) == 1 and any(
        note.startswith("val: 1 of ") and note.endswith(same) for note in notes
    )
    counts = {split: [7, 3 if split == "val" else 4] for split in FashionIQ.splits}
    (root / "made.json").write_text(json.dumps({"dataset": "fashion_iq", "origin": "synthetic fashion_iq", "counts": counts}))
    report = FashionIQ(root).check(progress=False)
    assert report.complete and "val, dress: 3 images and 1 queries" in report.notes


def test_published_counts(root):
    assert any("expected 15,415 and 6,016" in problem for problem in FashionIQ(root).check(progress=False).problems)
    for split, categories in PUBLISHED_CATEGORIES.items():
        assert sum(queries for _, queries in categories.values()) == FashionIQ.published[split].queries


# --- the parsers, whatever comes ------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["candidate", "target", "captions", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)
asins = st.from_regex(r"[A-Z0-9]{1,10}", fullmatch=True)
good_entries = st.fixed_dictionaries(
    {"candidate": asins, "target": asins, "captions": st.lists(st.text(st.characters(exclude_categories=("Cs",))), min_size=1)}
)


@given(st.text(max_size=40) | json_values.map(json.dumps), st.booleans())
def test_anything_is_read_or_named(text, targets):
    for parse, more in ((parse_split, ()), (parse_captions, (targets,))):
        try:
            read = parse(text, "file.json", *more)
        except DataError as error:
            assert str(error).startswith("file.json")
        else:
            assert len(read) == len(json.loads(text)) > 0


@given(st.lists(good_entries, min_size=1, max_size=5), st.booleans())
def test_good_entries_come_back(raw, ascii_only):
    text = json.dumps(raw, ensure_ascii=ascii_only)
    assert [e._asdict() | {"captions": list(e.captions)} for e in parse_captions(text, "f")] == raw
    without = json.dumps([{k: v for k, v in entry.items() if k != "target"} for entry in raw])
    assert [e.target for e in parse_captions(without, "f", targets=False)] == [None] * len(raw)
    with pytest.raises(DataError, match=r"f, entry \[0\]: .*target missing"):
        parse_captions(without, "f")
    for cut in (1, len(text) // 2, len(text) - 1):
        with pytest.raises(DataError, match="f, line"):
            parse_captions(text[:cut], "f")


@given(st.lists(asins, min_size=1))
def test_asins_come_back_in_order(raw):
    assert parse_split(json.dumps(raw), "f") == raw


@given(st.text(min_size=1) | st.text("aB1._-/\\\0: ", min_size=1, max_size=4))
def test_an_asin_cannot_leave_the_folder(asin):
    try:
        (read,) = parse_split(json.dumps([asin]), "f")
    except DataError:
        return
    assert read == asin and Path("images", f"{asin}.jpg").parent == Path("images") and not asin.startswith(".")
    assert "\0" not in asin and "\\" not in asin


# --- the published files --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def annotated(published):
    return FashionIQ(published("fashion_iq", "captions").parent)


@pytest.fixture(scope="module")
def stood_in(annotated, annotations_only):
    """Every image is taken for present."""
    return annotations_only(FashionIQ)(annotated.root)


@pytest.mark.parametrize("name", FashionIQ.splits)
def test_the_published_annotations(stood_in, name):
    split = stood_in.load(name)
    assert (len(split.images), len(split.queries)) == (FashionIQ.published[name].images, FashionIQ.published[name].queries)
    for category in CATEGORIES:
        gallery = {image.id for image in split.images if category in image.categories}
        queries = [q for q in split.queries if q.category == category]
        assert (len(gallery), len(queries)) == PUBLISHED_CATEGORIES[name][category]
        assert all(split.images[q.source].id in gallery for q in queries)
        assert all(q.target_label in gallery for q in queries) or name == "test"
    assert all((q.target_label is None) == (name == "test") and len(q.texts) == 2 for q in split.queries)
    shared = sum(len(image.categories) == 2 for image in split.images)
    empty = sum(not text.strip() for text in split.texts)
    assert (shared, empty) == {"train": (1_180, 12), "val": (121, 3), "test": (121, 1)}[name]
    assert sum(len(image.categories) for image in split.images) == sum(n for n, _ in PUBLISHED_CATEGORIES[name].values())


def test_the_words_of_the_published_captions(stood_in):
    texts = stood_in.load("train").texts
    assert len(texts) == 36_000 and round(sum(len(tokenize(text)) for text in texts) / len(texts), 1) == 5.3
    assert len(set(Vocabulary.build(texts).words) - {JOINER}) == 3_945


def test_published_annotations_without_images(annotated):
    with pytest.raises(DataError, match=r"15,415 of 15,415 images missing.*they cost 6,016 queries"):
        annotated.load("val")


def test_notes_on_the_published_annotations(annotated):
    parts = {split: annotated.read(split) for split in FashionIQ.splits}
    notes = [note for split, part in parts.items() for note in (*annotated.notes(split, part), *query_notes(split, part))]
    assert "val, dress: 3,817 images and 2,017 queries" in notes and not any("published" in note for note in notes)
    assert not any("more than once" in note or "as target" in note for note in notes)
