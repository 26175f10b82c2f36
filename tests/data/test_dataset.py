"""What every dataset shares: a check that finds what would keep a split from opening, and ignores the lab's own files."""

import numpy as np
import pytest
from PIL import Image as PILImage

from maaf_lab.data.cache import pixel_cache
from maaf_lab.data.dataset import Dataset, Part
from maaf_lab.data.part import Counts
from maaf_lab.data.split import Image, Protocol, Query
from maaf_lab.errors import ConfigError, DataError

GOOD = (Query(0, ("is red",), "b", 1),)


class Toy(Dataset):
    """Two images; the queries of `test` are whatever a test puts here."""

    key, title, download = "toy", "Toy", "two images"
    queries = GOOD

    def annotations(self):
        return [self.root / "toy.txt"]

    def read(self, split):
        images = [Image(name, self.root / "images" / f"{name}.png", name) for name in "ab"]
        queries = self.queries if split == "test" else GOOD
        return Part(images, queries, Protocol())


@pytest.fixture
def root(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "toy.txt").write_text("toy")
    for name in "ab":
        PILImage.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "images" / f"{name}.png")
    return tmp_path


@pytest.mark.parametrize(
    ("query", "what"),
    [
        (Query(0, "is red", "b", 1), "query 0: expected texts as a tuple of captions, found the text 'is red'"),
        (Query(0, ("is red",), "b", 2), "query 0: expected indices of the split's 2 images, found 0 -> 2"),
        (Query(0, ("is red",), "c"), "query 0: no image of the split has its target label 'c'"),
        (Query(0, ("is red",), "a", 1), "query 0 has the target label 'a', but its target image has the label 'b'"),
    ],
)
def test_a_check_opens_every_split(root, monkeypatch, shell, query, what):
    monkeypatch.setattr("maaf_lab.data.registry.DATASETS", {"toy": Toy})
    assert Toy(root).check(progress=False).complete and shell("check", "toy", "--root", root)[0] == 0
    monkeypatch.setattr(Toy, "queries", (query,))
    with pytest.raises(DataError, match="toy test: ") as error:
        Toy(root).load("test")
    assert what in str(error.value)
    report = Toy(root).check(progress=False)
    assert not report.complete and report.problems == (str(error.value),) and [row.split for row in report.rows] == ["train"]
    code, out, err = shell("check", "toy", "--root", root)
    assert code == 1 and f"problem: {error.value}" in out and "Traceback" not in out + err


def test_a_dataset_that_lacks_something_names_all_of_it():
    with pytest.raises(ConfigError, match=r"dataset Bare: expected key, .*; it lacks key .*, annotations .*, read "):
        type("Bare", (Dataset,), {})
    with pytest.raises(ConfigError, match=r"it lacks annotations \(a method, its annotation files\)\. See"):
        type("Bare", (Dataset,), {"key": "bare", "read": Toy.read})


def test_title_and_download_may_be_left_out(tmp_path):
    small = type("Small", (Dataset,), {"key": "small", "annotations": Toy.annotations, "read": Toy.read})
    assert (small.title, Toy.title) == ("small", "Toy")
    with pytest.raises(DataError, match=r"no such folder\.$"):
        small(tmp_path / "nowhere").load("test")
    assert "what to get" not in str(small(tmp_path).check(progress=False))


def test_missing_images_are_told_with_what_to_do(root, monkeypatch, shell):
    monkeypatch.setattr("maaf_lab.data.registry.DATASETS", {"toy": Toy})
    monkeypatch.setattr(Toy, "queries", (*GOOD, Query(1, ("is blue",), "b", 1)))
    (root / "images" / "a.png").unlink()
    with pytest.raises(DataError) as error:
        Toy(root).load("test")
    told = str(error.value)
    assert "they cost 1 query. " in told and "--set data.missing=skip (evaluate: --missing skip; " in told
    assert f"`maaf-lab check toy --root {root}` lists" in told and shell("check", "toy", "--root", root)[0] == 1


def test_images_are_looked_at_once(root, monkeypatch):
    seen = []
    monkeypatch.setattr(Toy, "damage", staticmethod(lambda path: seen.append(path)))
    assert len(Toy(root).load("test").images) == len(seen) == 2


def test_a_folder_of_another_synthetic_dataset_is_named(root):
    (root / "made.json").write_text('{"dataset": "css", "origin": "synthetic css", "counts": {}}')
    (problem,) = Toy(root).check(progress=False).problems
    assert problem == f"{root}: expected toy, but this folder holds css (made.json)"


def in_the_middle(path):
    """Damage that the ends of a file do not show."""
    PILImage.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    data = bytearray(path.read_bytes())
    data[1_000:2_000] = bytes(1_000)
    path.write_bytes(data)
    return path


class Three(Toy):
    """A third image, and a query that needs it."""

    def read(self, split):
        images = [Image(name, self.root / "images" / f"{name}.png", name) for name in "abc"]
        return Part(images, [*GOOD, Query(0, ("is gone",), "c", 2)], Protocol())


def test_skip_means_skip(root, monkeypatch):
    path = in_the_middle(root / "images" / "c.png")
    seen, real = [], Three.damage_inside
    monkeypatch.setattr(Three, "damage_inside", staticmethod(lambda path: (seen.append(path.name), real(path))[1]))
    for again in (["a.png", "b.png", "c.png"], ["c.png"]):
        split = Three(root).load("test", "skip")
        assert [image.id for image in split.images] == ["a", "b"] and len(split.queries) == 1
        assert split.origin.endswith("; 1 queries dropped: 1 images missing or damaged")
        assert len(pixel_cache(split, 4, progress=False)) == 2
        assert sorted(seen) == again
        seen.clear()
    PILImage.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
    assert len(Three(root).load("test", "skip").images) == 3 and seen == ["c.png"]
    in_the_middle(path)
    assert len(Three(root).load("train", "skip").images) == 2
    for known in (root / ".cache").glob("whole-*.bin"):
        known.write_bytes(b"x")
    assert len(Three(root).load("train", "skip").images) == 2


@pytest.mark.parametrize("counts", ["3", '{"train": 3}', '{"train": [2]}', '{"train": ["2", "1"]}', "[1, 2]"])
def test_damaged_counts_are_a_problem(root, counts):
    mark = '{"dataset": "toy", "origin": "synthetic toy", "counts": COUNTS}'
    (root / "made.json").write_text(mark.replace("COUNTS", '{"train": [2, 1], "test": [2, 1]}'))
    assert Toy(root).check(progress=False).complete
    (root / "made.json").write_text(mark.replace("COUNTS", counts))
    report = Toy(root).check(progress=False)
    assert not report.complete and any("expected dataset 'toy', an origin and counts" in text for text in report.problems)


def test_the_labs_own_cache_is_no_entry_of_the_dataset(root):
    before = str(Toy(root).check(progress=False))
    assert "2 entries" in before
    for folder in (root, root / "images"):
        (folder / ".cache").mkdir()
        (folder / ".cache" / "toy.txt").write_text("toy")
    assert str(Toy(root).check(progress=False)) == before
    (root / "toy.txt").unlink()
    with pytest.raises(DataError, match=r"found images\. What to get"):  # no hint at the cache either
        Toy(root).load("test")


def test_what_is_odd_is_told_before_training(root, monkeypatch):
    """The same in a check and in `remarks`, which training prints."""
    monkeypatch.setattr(Toy, "published", {"test": Counts(1000, 2)})
    monkeypatch.setattr(Toy, "queries", (Query(0, ("is red",), "b", 1), Query(1, ("", "!"), "b", 1)))
    report, found = Toy(root).check(progress=False), Toy(root).remarks(Toy(root).load("test"))
    assert [text.removeprefix("toy ") for text in found] == [*report.problems, *report.notes]
    for text, words in zip(
        found,
        (
            "the annotation has 2 images and 2 queries; expected 1,000 and 2",
            "1 empty captions (first: candidate b)",
            "1 of 3 texts leave no word",
            "1 of 2 queries have their own reference as target (first: b); ranked without their reference, 1 of them cannot",
        ),
        strict=True,
    ):
        assert words in text
    assert Toy(root).remarks(Toy(root).load("train")) == []
