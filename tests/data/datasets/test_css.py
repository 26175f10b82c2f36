"""CSS as it is published, written small by this file's own helper: what loads, and what every kind of damage says."""

import copy
import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from maaf_lab.data import registry as datasets
from maaf_lab.data.datasets.css import ANNOTATION, CSS, image_name
from maaf_lab.data.datasets.css_scenes import CELLS, COLORS, SHAPES, SIZES, scene_label
from maaf_lab.errors import ConfigError, DataError


def thing(shape="cube", color="red", size="small", pos=(0.5, 0.5)):
    return {"shape": shape, "color": color, "size": size, "pos": pos}


def annotation():
    """Two references, three targets; images 2 and 4 show one scene (shifted within the cell)."""
    scenes = [
        [thing()],
        [thing("sphere", "blue", "large", (0.1, 0.9))],
        [thing(size="large")],
        [thing("sphere", "blue", "large", (0.1, 0.9)), thing("cylinder", "cyan", "small", (0.8, 0.2))],
        [thing(size="large", pos=(0.55, 0.45))],
    ]
    mods = [
        {"from": [0], "to": [2], "to_str": "make red cube large"},
        {"from": [1, 0], "to": [3, 4], "to_str": "add small cylinder to bottom-left"},
    ]
    return {split: copy.deepcopy({"objects_img": scenes, "mods": mods}) for split in ("train", "test")}


def write(root, data=None, made=None, pixels=12):
    data = annotation() if data is None else data
    (root / "images").mkdir(parents=True, exist_ok=True)
    np.save(root / ANNOTATION, data, allow_pickle=True)
    noise = np.random.default_rng(0)
    for split, part in data.items():
        for i in range(len(part.get("objects_img", []))):
            image = noise.integers(0, 255, (pixels, pixels, 3), dtype=np.uint8)
            PILImage.fromarray(image).save(root / "images" / image_name(split, i))
    if made is not None:
        (root / "made.json").write_text(json.dumps(made))
    return root


@pytest.fixture
def root(tmp_path):
    return write(tmp_path / "css")


def image(root, index, split="test"):
    return root / "images" / image_name(split, index)


def test_a_split(root):
    split = datasets.load("css", root, "test")
    assert [i.id for i in split.images] == [f"css_test_{i:06d}" for i in range(5)]
    assert all(i.path.is_file() for i in split.images)
    assert split.images[3].label == "top-right large blue sphere; bottom-left small cyan cylinder"
    assert split.images[2].label == split.images[4].label == "middle-center large red cube"
    add = ("add small cylinder to bottom-left",)
    assert [(q.source, q.target, q.texts) for q in split.queries] == [(0, 2, ("make red cube large",)), (1, 3, add), (0, 4, add)]
    assert all(q.target_label == split.images[q.target].label for q in split.queries)
    assert split.protocol.gallery == "split" and split.protocol.exclude_source and split.protocol.ks == (1, 5, 10, 50)
    assert split.protocol.relevant == "an image that shows the target scene" and split.dataset == "css" and split.name == "test"


def test_origin(root):
    first = datasets.load("css", root, "test").origin
    assert first.startswith("published sha256:") and len(first) == len("published sha256:") + 12
    assert first == datasets.origin("css", root)
    data = annotation()
    data["test"]["mods"][0]["to_str"] = "make red object large"
    np.save(root / ANNOTATION, data, allow_pickle=True)
    assert datasets.origin("css", root) != first
    write(
        root,
        made={"dataset": "css", "version": 1, "size": "tiny", "pixels": 12, "seed": 0, "origin": "synthetic css v1 size=tiny"},
    )
    assert datasets.load("css", root, "test").origin == datasets.origin("css", root) == "synthetic css v1 size=tiny"


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"dataset": "birds", "origin": "x", "counts": {}}', '{"dataset": "css", "origin": "x", "counts": 3}']
)
def test_a_spoilt_mark(root, content):
    (root / "made.json").write_text(content)
    with pytest.raises(DataError, match=r"made\.json"):
        datasets.load("css", root, "test")


def test_the_names_of_2d_drawings(root):
    data = annotation()
    for part in data.values():
        for scene in part["objects_img"]:
            for obj in scene:
                obj["shape"] = {"cube": "rectangle", "sphere": "circle", "cylinder": "triangle"}[obj["shape"]]
    labels = [i.label for i in datasets.load("css", root, "test").images]
    np.save(root / ANNOTATION, data, allow_pickle=True)
    assert [i.label for i in datasets.load("css", root, "test").images] == labels


def test_labels_of_the_file_decide(root):
    data = annotation()
    data["test"]["labels"] = [10, 11, 12, 13, 12]  # as the scenes
    np.save(root / ANNOTATION, data, allow_pickle=True)
    split = datasets.load("css", root, "test")
    assert split.images[2].label == split.images[4].label == "middle-center large red cube"
    data["test"]["labels"] = np.array([10, 11, 12, 13, 14])  # two equal scenes kept apart
    np.save(root / ANNOTATION, data, allow_pickle=True)
    split = datasets.load("css", root, "test")
    assert split.images[2].label != split.images[4].label and split.images[4].label.startswith("middle-center large red cube")
    assert any("group the images differently" in note for note in datasets.check("css", root, progress=False).notes)
    data["test"]["labels"] = [1, 2]
    np.save(root / ANNOTATION, data, allow_pickle=True)
    with pytest.raises(DataError, match="a label for each of 5 images, found 2"):
        datasets.load("css", root, "test")


def test_positions_on_the_edge(root):
    data = annotation()
    data["test"]["objects_img"][0] = [thing(pos=(1.0, -0.01)), thing(pos=np.array([0.0, 1.0]))]
    np.save(root / ANNOTATION, data, allow_pickle=True)
    assert datasets.load("css", root, "test").images[0].label == "top-right small red cube; bottom-left small red cube"


@pytest.mark.parametrize(
    "place, value, words",
    [
        (("objects_img", 3), [thing(shape="cone")], r"objects_img\[3\].*cone"),
        (("objects_img", 3), [thing(color="pink")], r"objects_img\[3\].*pink"),
        (("objects_img", 3), [thing(pos=(120, 80))], r"objects_img\[3\].*fractions"),
        (("objects_img", 3), [thing(pos=(float("nan"), 0))], r"objects_img\[3\].*fractions"),
        (("objects_img", 3), [thing(pos=None)], r"objects_img\[3\].*pos"),
        (("objects_img", 3), [{"shape": "cube"}], r"objects_img\[3\]"),
        (("objects_img", 3), None, r"objects_img\[3\]"),
        (("mods", 1), {"from": [1], "to": [2]}, r"mods\[1\].*to_str missing"),
        (("mods", 1), "make it red", r"mods\[1\]"),
        (("mods", 1), {"from": [1, 0], "to": [3], "to_str": "x"}, r"mods\[1\].*found 2 and 1"),
        (("mods", 1), {"from": [1], "to": [5], "to_str": "x"}, r"mods\[1\], 'to': .*0 to 4, found 5"),
        (("mods", 1), {"from": [-1], "to": [2], "to_str": "x"}, r"mods\[1\], 'from': .*found -1"),
        (("mods", 1), {"from": [0.5], "to": [2], "to_str": "x"}, r"mods\[1\], 'from'"),
        (("mods", 1), {"from": 1, "to": [2], "to_str": "x"}, r"mods\[1\], 'from'"),
        (("mods", 1), {"from": [1], "to": [2], "to_str": 7}, r"mods\[1\].*to_str as a text, found 7"),
    ],
)
def test_a_bad_annotation_names_the_place(root, place, value, words):
    data = annotation()
    data["test"][place[0]][place[1]] = value
    np.save(root / ANNOTATION, data, allow_pickle=True)
    with pytest.raises(DataError, match=words):
        datasets.load("css", root, "test")
    assert len(datasets.load("css", root, "train").queries) == 3  # the other split is whole
    report = datasets.check("css", root, progress=False)
    assert not report.complete and [r.split for r in report.rows] == ["train"] and place[0] in str(report)


@pytest.mark.parametrize(
    "data, words",
    [
        ({"train": {"mods": []}}, "expected split 'test', found train"),
        ({"test": {"mods": []}}, "expected the key 'objects_img', found mods"),
        ({"test": [1]}, "expected a dict with objects_img and mods, found list"),
        ([1, 2], "expected a dict of splits"),
        ({}, "expected a dict of splits"),
    ],
)
def test_a_bad_outline(root, data, words):
    box = np.empty((), dtype=object)
    box[()] = data
    np.save(root / ANNOTATION, box, allow_pickle=True)
    with pytest.raises(DataError, match=words):
        datasets.load("css", root, "test")


def test_wrong_folders(root, tmp_path, no_image_folder):
    with pytest.raises(DataError, match=r"no such folder.*google/tirg"):
        datasets.load("css", tmp_path / "nowhere", "test")
    with pytest.raises(DataError, match=r"found css\. .*css holds it"):
        datasets.load("css", tmp_path, "test")
    with pytest.raises(DataError, match=r"found css_test_000000\.png, .* holds it: pass that folder") as error:
        datasets.load("css", root / "images", "test")
    assert f"{root} holds it" in str(error.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"an empty folder.*What to get"):
        datasets.load("css", tmp_path / "empty", "test")
    with pytest.raises(DataError, match="found a file"):
        datasets.load("css", root / ANNOTATION, "test")
    no_image_folder(CSS, root, ANNOTATION)


def test_an_unfinished_made_set(root):
    (root / "made.json.part").write_text("{}")
    with pytest.raises(DataError, match="did not finish"):
        datasets.load("css", root, "test")


def test_a_half_written_annotation(root):
    whole = (root / ANNOTATION).read_bytes()
    for length in (0, 5, 60, 200, len(whole) // 2, len(whole) - 1):
        (root / ANNOTATION).write_bytes(whole[:length])
        with pytest.raises(DataError, match=ANNOTATION):
            datasets.load("css", root, "test")
        report = datasets.check("css", root, progress=False)
        assert not report.complete and not report.rows and ANNOTATION in report.problems[0]


def test_missing_and_damaged_images(root):
    image(root, 3).unlink()
    image(root, 4).write_bytes(image(root, 4).read_bytes()[:-30])
    with pytest.raises(DataError) as error:
        datasets.load("css", root, "test")
    text = str(error.value)
    assert "1 of 5 images missing (first: css_test_000003.png)" in text
    assert "1 of 5 images damaged (first: css_test_000004.png: " in text
    assert "they cost 2 queries" in text and "--missing skip" in text and str(root / "images") in text

    split = datasets.load("css", root, "test", missing="skip")
    assert [i.id for i in split.images] == ["css_test_000000", "css_test_000001", "css_test_000002"]
    assert [(q.source, q.target) for q in split.queries] == [(0, 2)]
    assert split.origin.endswith("; 2 queries dropped: 2 images missing or damaged")
    assert len(datasets.load("css", root, "train").queries) == 3

    report = datasets.check("css", root, progress=False)
    test = report.rows[1]
    assert not report.complete and test.missing == ("css_test_000003.png",) and test.queries_lost == 2
    assert [name for name, _ in test.damaged] == ["css_test_000004.png"]
    assert report.to_frame().loc[1, ["missing", "damaged", "queries lost"]].tolist() == [1, 1, 2]
    assert "NOT COMPLETE" in str(report) and "css_test_000003.png" in str(report) and "google/tirg" in str(report)


def test_skip_moves_indices(root):
    image(root, 1).unlink()
    split = datasets.load("css", root, "test", missing="skip")
    assert [(q.source, q.target) for q in split.queries] == [(0, 1), (0, 3)]
    assert [split.images[q.target].id for q in split.queries] == ["css_test_000002", "css_test_000004"]


def test_nothing_left(root):
    for i in (0, 1):
        image(root, i).unlink()
    with pytest.raises(DataError, match=r"they cost 3 queries\. No query of this split is left"):
        datasets.load("css", root, "test", missing="skip")
    for i in (2, 3, 4):
        image(root, i).unlink()
    with pytest.raises(DataError, match=r"5 of 5 images missing.*What to get"):
        datasets.load("css", root, "test", missing="skip")
    with pytest.raises(ConfigError, match="'drop'"):
        datasets.load("css", root, "test", missing="drop")


def test_an_image_is_judged_by_its_contents_not_its_last_bytes(root):
    with open(image(root, 0), "ab") as file:
        file.write(b"trailing bytes")
    PILImage.new("RGB", (12, 12)).save(image(root, 1), format="JPEG")
    image(root, 2).write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 5 images damaged \(first: css_test_000002\.png"):
        datasets.load("css", root, "test")


def test_the_report_of_a_whole_copy(tmp_path):
    made = {
        "dataset": "css",
        "version": 1,
        "size": "tiny",
        "pixels": 4,
        "seed": 0,
        "origin": "synthetic css v1 size=tiny pixels=4",
        "counts": {"train": [360, 320], "test": [360, 320]},
    }
    part = {"objects_img": [[thing()]] * 360, "mods": [{"from": [i % 40], "to": [40 + i], "to_str": "x"} for i in range(320)]}
    root = write(tmp_path / "css", {"train": part, "test": part}, made, pixels=4)
    report = datasets.check("css", root, progress=False)
    assert report.complete and report.problems == () and report.origin == made["origin"] and ": complete" in repr(report)
    assert report.to_frame()["queries"].tolist() == [320, 320]
    image(root, 0).rename(root / "images" / "stray.png")
    report = datasets.check("css", root, progress=False)
    assert not report.complete and report.rows[1].queries_lost == 8


def test_published_counts(root):
    report = datasets.check("css", root, progress=False)  # whole files, but five images are not CSS
    assert not report.complete and any("expected - and about 16,000" in p for p in report.problems)
    assert any("2 reference scenes and 2 modifications (published: 1,000 and 6,004)" in note for note in report.notes)


def test_the_registry(root):
    assert datasets.load("css", root, "train").queries == datasets.load("css", root, "train").queries
    for call, *arguments in ((datasets.load, "train"), (datasets.check,), (datasets.origin,)):
        with pytest.raises(ConfigError, match="unknown dataset 'ccs'; known: css"):
            call("ccs", root, *arguments)


objects = st.lists(
    st.builds(
        thing,
        st.sampled_from(SHAPES),
        st.sampled_from(COLORS),
        st.sampled_from(SIZES),
        st.tuples(st.integers(0, 2), st.integers(0, 2)).map(lambda cell: ((cell[0] + 0.5) / 3, (cell[1] + 0.5) / 3)),
    ),
    max_size=9,
)


@settings(max_examples=60, deadline=None)
@given(objects, st.randoms(use_true_random=False))
def test_a_label_is_the_scene(scene, rng: random.Random):
    moved = [{**o, "pos": tuple(p + rng.uniform(-0.15, 0.15) for p in o["pos"])} for o in scene]
    rng.shuffle(moved)
    assert scene_label(moved) == scene_label(scene)
    if scene:
        changed = [{**scene[0], "size": "small" if scene[0]["size"] == "large" else "large"}, *scene[1:]]
        assert scene_label(changed) != scene_label(scene)
    assert all(any(cell in part for cell in CELLS) for part in scene_label(scene).split("; ") if scene)
