"""MIT-States as it is published, written small by this file's own helper: what loads, what is skipped, what is refused."""

import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PILImage

from maaf_lab.data.datasets.mit_states import TEST_NOUNS, MITStates
from maaf_lab.errors import ConfigError, DataError

FOLDERS = {
    "ripe apple": 2,
    "sliced apple": 3,
    "moldy apple": 1,
    "wet dog": 1,
    "small dog": 1,
    "tall tree": 2,
    "adj apple": 2,
    "ancient castle": 2,
    "ruined castle": 1,
    "painted castle": 1,
    "molten wax": 1,
    "melted wax": 1,
    "huge garden": 1,
    "adj wax": 1,
}
TEST_IDS = [
    "ancient castle/0.jpg",
    "ancient castle/1.jpg",
    "huge garden/0.jpg",
    "melted wax/0.jpg",
    "molten wax/0.jpg",
    "painted castle/0.jpg",
    "ruined castle/0.jpg",
]


def write(root, folders=None):
    for name, count in (FOLDERS if folders is None else folders).items():
        (root / "images" / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            PILImage.new("RGB", (6, 8)).save(root / "images" / name / f"{i}.jpg")
    return root


@pytest.fixture
def root(tmp_path):
    return write(tmp_path / "mit")


def queries_of(split):
    return [(split.images[q.source].id, *q.texts, q.target_label) for q in split.queries]


def test_the_test_nouns():
    assert len(TEST_NOUNS) == 49 and {"armor", "lead", "orange", "wool"} <= TEST_NOUNS and "apple" not in TEST_NOUNS


def test_every_test_image_asks_for_every_other_adjective_of_its_noun(root):
    split = MITStates(root).load("test")
    assert [image.id for image in split.images] == TEST_IDS
    assert [image.label for image in split.images] == [name.split("/")[0] for name in TEST_IDS]
    assert all(image.path == root / "images" / image.id for image in split.images)
    assert sorted(queries_of(split)) == sorted(
        [(f"ancient castle/{i}.jpg", word, f"{word} castle") for i in (0, 1) for word in ("ruined", "painted")]
        + [
            (f"{own} castle/0.jpg", word, f"{word} castle")
            for own in ("ruined", "painted")
            for word in ("ancient", "ruined", "painted")
            if word != own
        ]
        + [("melted wax/0.jpg", "molten", "molten wax"), ("molten wax/0.jpg", "melted", "melted wax")]
    )
    assert [q.source for q in split.queries] == sorted(q.source for q in split.queries)
    assert all(q.target is None for q in split.queries) and split.draw is None
    assert split.protocol.gallery == "split" and split.protocol.exclude_source and split.protocol.ks == (1, 5, 10)
    assert split.protocol.relevant == "an image with the target adjective and noun" and split.dataset == "mit_states"


def test_training_queries_are_drawn(root):
    split = MITStates(root).load("train")
    assert [image.label for image in split.images] == ["moldy apple"] + ["ripe apple"] * 2 + ["sliced apple"] * 3 + [
        "small dog"
    ] + ["tall tree"] * 2 + ["wet dog"]
    assert split.queries == split.draw(np.random.default_rng(0)) == MITStates(root).load("train").queries
    draws = [split.draw(np.random.default_rng(seed)) for seed in range(200)]
    assert len({tuple(queries) for queries in draws}) > 100
    chosen = Counter()
    for queries in draws:
        assert Counter(q.source for q in queries) == {i: 2 for i in (0, 1, 2, 3, 4, 5, 6, 9)}, "tall trees have no partner"
        assert [q.source for q in queries] == sorted(q.source for q in queries), "those of one reference come together"
        for first, second in zip(queries[::2], queries[1::2]):
            assert first.source == second.source and first.texts != second.texts
        for q in queries:
            assert q.target_label == split.images[q.target].label == f"{q.texts[0]} {split.images[q.source].label.split()[1]}"
            chosen[q.source, q.texts[0]] += 1
            chosen[q.target] += 1
    for word in ("moldy", "ripe", "sliced"):  # each is one of two of three: 400 queries / 3, give or take 5 standard deviations
        assert abs(chosen[0, word] - 400 / 3) < 5 * np.sqrt(200 * 2 / 9)
    assert all(chosen[i] for i in (0, 1, 2, 3, 4, 5, 6, 9)), "every image is a target at some time"


def test_the_number_a_reference_and_its_own_adjective(root):
    for number, counts in ((1, (1, 1)), (3, (3, 2)), (9, (3, 2))):  # apples have three adjectives, dogs two
        split = MITStates(root, per_reference=number).load("train")
        by_source = Counter(q.source for q in split.queries)
        assert (by_source[0], by_source[6]) == counts
    others = MITStates(root, per_reference=9, own_adjective=False).load("train")
    assert all(others.images[q.source].label != q.target_label for q in others.queries)
    assert Counter(q.source for q in others.queries)[0] == 2 and Counter(q.source for q in others.queries)[6] == 1
    for number in (0, -1, 1.5, True, "2"):
        with pytest.raises(ConfigError, match="per_reference to be a whole number of at least 1"):
            MITStates(root, per_reference=number)


def test_strange_names_and_files_are_skipped_and_noted(root):
    images = root / "images"
    whole = {name: MITStates(root).load(name).images for name in ("train", "test")}
    origin = MITStates(root).origin()
    for name in (".DS_Store", "ripe apple/.DS_Store", "ripe apple/Thumbs.db", "ripe apple/._0.jpg"):
        (images / name).write_bytes(b"x")
    (images / "__MACOSX").mkdir()
    notes = MITStates(root).check(progress=False).notes
    assert not any("files skipped" in note or "name of two words" in note for note in notes)
    for name in ("readme.txt", "ripe apple/list.csv"):
        (images / name).write_bytes(b"x")
    for name in ("no-space", "one two three", "empty apple"):
        (images / name).mkdir()
    assert {name: MITStates(root).load(name).images for name in whole} == whole
    assert MITStates(root).origin() == origin
    notes = MITStates(root).check(progress=False).notes
    assert "2 files skipped that are no images (first: readme.txt, ripe apple/list.csv)" in notes
    assert "2 folders skipped: expected a name of two words, adjective and noun (first: no-space, one two three)" in notes
    assert "1 folders without an image (first: empty apple)" in notes
    assert any(note.startswith("2 folders 'adj' + noun skipped") for note in notes)
    assert "train: 1 nouns have one adjective only and so no queries: tree" in notes
    assert "test: 1 nouns have one adjective only and so no queries: garden" in notes
    assert "test: 46 of the 49 test nouns have no folder with images: armor, bracelet, bush, camera, candy, ..." in notes
    assert "test: 7 images of 3 nouns and 6 adjectives, in 6 combinations" in notes


def test_names_that_differ_in_case_and_spaces_are_one_label(root):
    write(root, {"Ripe  Apple": 1})
    PILImage.new("RGB", (6, 8)).save(root / "images" / "wet dog" / "B.JPEG")
    split = MITStates(root).load("train")
    assert sum(image.label == "ripe apple" for image in split.images) == 3
    assert sum(image.label == "wet dog" for image in split.images) == 2


def test_wrong_folders(root, tmp_path, wrong_folders):
    wrong_folders(MITStates, root, "states_and_transformations", "images")
    for folder in (tmp_path, root / "images"):
        with pytest.raises(DataError, match=r"adjective and a noun.*holds it"):
            MITStates(folder).origin()
    with pytest.raises(DataError, match=r"found 0\.jpg, 1\.jpg\. What to get"):
        MITStates(root / "images" / "ripe apple").load("test")
    with pytest.raises(DataError, match="found a file"):
        MITStates(root / "images" / "ripe apple" / "0.jpg").load("test")
    (tmp_path / "empty" / "images").mkdir(parents=True)
    with pytest.raises(DataError, match=r"expected folders named by an adjective .*'images/ancient castle'.*found images\."):
        MITStates(tmp_path / "empty").load("test")
    (tmp_path / "empty" / "images").rmdir()
    (tmp_path / "empty" / "images").write_bytes(b"x")
    with pytest.raises(DataError, match="found images"):
        MITStates(tmp_path / "empty").load("test")


def test_half_an_archive(tmp_path):
    root = write(tmp_path / "training", {name: n for name, n in FOLDERS.items() if name.split()[1] not in TEST_NOUNS})
    with pytest.raises(
        DataError,
        match=r"expected folders of the 49 test nouns with images and at least two adjectives a noun, "
        r"found 0 images of 0 nouns",
    ):
        MITStates(root).load("test")
    assert MITStates(root).load("train").queries
    report = MITStates(root).check(progress=False)
    assert [row.split for row in report.rows] == ["train"] and not report.complete
    assert "nouns: 3 of 245; adjectives: 6 of 115: is the whole archive unpacked?" in report.problems

    root = write(tmp_path / "lonely", {"tall tree": 3, "wet dog": 1, "huge garden": 2})
    for split, nouns in (("train", 2), ("test", 1)):
        with pytest.raises(DataError, match=f"of {nouns} nouns and {nouns} adjectives"):
            MITStates(root).load(split)


def test_missing_images(root):
    (root / "images" / "ruined castle" / "0.jpg").write_bytes(b"")
    (root / "images" / "sliced apple" / "1.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 of 7 images damaged \(first: ruined castle/0\.jpg: .*they cost 5 queries"):
        MITStates(root).load("test")
    split = MITStates(root).load("test", missing="skip")
    assert [image.id for image in split.images] == TEST_IDS[:-1]
    assert not any("ruined castle" in query for query in queries_of(split)), "an adjective goes with its last image"
    assert len(split.queries) == 5 and split.origin.endswith("; 5 queries dropped: 1 images missing or damaged")

    train = MITStates(root).load("train", missing="skip")
    assert len(train.images) == 9 and len(train.queries) == 14
    for seed in range(20):
        drawn = train.draw(np.random.default_rng(seed))
        assert len(drawn) == 14, "every epoch has as many queries"
        assert all(q.target_label == train.images[q.target].label for q in drawn)
    report = MITStates(root).check(progress=False)
    assert [(r.split, r.images, r.queries, r.queries_lost) for r in report.rows] == [("train", 10, 16, 2), ("test", 7, 10, 5)]

    for path in (root / "images").glob("* castle/*"):
        path.write_bytes(b"")
    (root / "images" / "molten wax" / "0.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="No query of this split is left"):
        MITStates(root).load("test", missing="skip")


def test_origin_is_the_hash_of_the_names(root):
    first = MITStates(root).origin()
    assert first.startswith("published sha256:") and MITStates(root).load("train").origin == first
    assert MITStates(write(root.parent / "copy")).origin() == first, "the same names elsewhere"
    (root / "images" / "wet dog" / "0.jpg").rename(root / "images" / "wet dog" / "1.jpg")
    assert MITStates(root).origin() != first


def test_made_data(root):
    (root / "made.json").write_text(
        json.dumps({"dataset": "mit_states", "origin": "synthetic states", "counts": {"train": [10, 16], "test": [7, 10]}})
    )
    report = MITStates(root).check(progress=False)
    assert report.complete and report.origin == MITStates(root).load("test").origin == "synthetic states"
    (root / "images" / "wet dog" / "0.jpg").unlink()
    report = MITStates(root).check(progress=False)
    assert any("train: the annotation has 9 images and 12 queries; expected 10 and 16" in text for text in report.problems)


names = st.tuples(st.sampled_from(["old", "new", "Red", "adj"]), st.sampled_from(["castle", "wax", "dog", "tree"]))


@given(st.dictionaries(names, st.integers(0, 3), max_size=14), st.integers(1, 4), st.booleans(), st.integers(0, 9))
def test_any_folders(tmp_path_factory, folders, per_reference, own, seed):
    root = tmp_path_factory.mktemp("any")
    (root / "images").mkdir()
    labels = defaultdict(int)
    for (adjective, noun), count in folders.items():
        (root / "images" / f"{adjective} {noun}").mkdir()
        for i in range(count):
            (root / "images" / f"{adjective} {noun}" / f"{i}.jpg").touch()
        if adjective != "adj":
            labels[adjective.lower(), noun] += count
    labels = {label: count for label, count in labels.items() if count}
    for split in ("train", "test"):
        here = {label: n for label, n in labels.items() if (label[1] in TEST_NOUNS) == (split == "test")}
        kinds = Counter(noun for _, noun in here)
        if not any(n > 1 for n in kinds.values()):
            with pytest.raises(DataError):
                MITStates(root).read(split)
            continue
        part = MITStates(root, per_reference, own).read(split)
        assert Counter(image.label for image in part.images) == {" ".join(label): n for label, n in here.items()}
        if split == "test":
            assert len(part.queries) == sum(n * (kinds[noun] - 1) for (_, noun), n in here.items())
            continue
        queries = part.draw(np.random.default_rng(seed))
        assert (
            len(queries)
            == len(part.queries)
            == sum(n * min(per_reference, kinds[noun] - (not own)) for (_, noun), n in here.items() if kinds[noun] > 1)
        )
        assert len({(q.source, q.texts) for q in queries}) == len(queries)
        assert all(part.images[q.target].label == q.target_label for q in queries)
