"""Synthetic CSS: what the texts promise holds, the same seed gives the same bytes, and a set on disk is whole or unfinished."""

import hashlib
import json
import re
import shutil
from collections import Counter
from itertools import count

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from maaf_lab.analysis.css_ceiling import best_recall, ceiling, ceiling_of_annotation, fitting_scenes
from maaf_lab.data import registry as datasets
from maaf_lab.data.datasets import css_scenes
from maaf_lab.data.datasets.css import ANNOTATION
from maaf_lab.data.datasets.css_scenes import COLORS, SHAPES, SIZES, cell_of, parse_label, parse_modification, scene_label
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.synthetic.css import dataset as css
from maaf_lab.synthetic.css import render, scenes
from maaf_lab.synthetic.css.dataset import draw, load_sidecar, make_css
from maaf_lab.synthetic.css.scenes import css_annotations

PIXELS = 32


@pytest.fixture(scope="module")
def full():
    return css_annotations("full", 0)


@pytest.fixture(scope="module")
def tiny():
    return css_annotations("tiny", 3)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_css(tmp_path_factory.mktemp("made") / "css", "tiny", PIXELS, seed=3, progress=False)


def obj(shape="cube", color="red", size="large", cell=4, shift=(0.0, 0.0)):
    row, column = divmod(cell, 3)
    return {"shape": shape, "color": color, "size": size, "pos": ((row + 0.5 + shift[0]) / 3, (column + 0.5 + shift[1]) / 3)}


def hashes(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# --- a slow reader of texts, on purpose not the package's ---------------------------------------------------------------

PLACE = r"(?:top|middle|bottom)-(?:left|center|right)"
THING = rf"(?P<size>small |large )?(?P<color>{'|'.join(c + ' ' for c in COLORS)})?(?P<shape>cube|sphere|cylinder|object)"
ADD = re.compile(rf"add {THING} to (?P<place>{PLACE})")
REMOVE = re.compile(rf"remove (?P<place>{PLACE} )?{THING}")
CHANGE = re.compile(rf"make (?P<place>{PLACE} )?{THING} (?P<value>\w+)")


def grid(objects):
    """cell name -> (size, color, shape)"""
    seen = {}
    for o in objects:
        y, x = o["pos"]
        name = f"{('top', 'middle', 'bottom')[int(y // (1 / 3))]}-{('left', 'center', 'right')[int(x // (1 / 3))]}"
        assert name not in seen
        seen[name] = (o["size"], o["color"], o["shape"])
    return seen


def holds(text, before, after):
    """Whether `after` is a right answer to `text` on `before` (grids)."""
    match = ADD.fullmatch(text) or REMOVE.fullmatch(text) or CHANGE.fullmatch(text)
    assert match, text
    words = {k: (v or "").strip() for k, v in match.groupdict().items()}

    def fits(place, thing):
        wanted = (words["size"], words["color"], words["shape"].replace("object", ""))
        return words["place"] in ("", place) and all(w in ("", t) for w, t in zip(wanted, thing))

    if match.re is ADD:
        place = words["place"]
        rest = {p: t for p, t in after.items() if p != place}
        return place not in before and place in after and rest == before and fits(place, after[place])
    if match.re is REMOVE:
        return after == {p: t for p, t in before.items() if not fits(p, t)}
    at = 0 if words["value"] in ("small", "large") else 1
    return after == {p: (*t[:at], words["value"], *t[at + 1 :]) if fits(p, t) else t for p, t in before.items()}


# --- the scenes ---------------------------------------------------------------------------------------------------------


def test_counts_of_the_full_set(full):
    for part in full.values():
        images, mods = part["objects_img"], part["mods"]
        uses = Counter(i for mod in mods for i in mod["from"])
        assert len(images) == 17_000 == len(part["labels"]) and sum(map(len, (m["to"] for m in mods))) == 16_000
        assert sorted(uses) == list(range(1000)) and set(uses.values()) == {16}
        assert sorted(i for mod in mods for i in mod["to"]) == list(range(1000, 17_000))  # one target a query
        assert {len(o) for o in images[:1000]} == set(range(2, 8)) and all(images)
        assert sum(len(m["from"]) == 8 for m in mods) > 0.97 * len(mods)  # one modification meets about eight references
        kinds = Counter(m["to_str"].split()[0] for m in mods for _ in m["from"])
        assert max(kinds.values()) - min(kinds.values()) < 160 and set(kinds) == {"add", "remove", "make"}
        pairs = [(i, m["to_str"]) for m in mods for i in m["from"]]
        assert len(set(pairs)) == len(pairs)


def test_every_text_holds_between_its_source_and_its_target(full, tiny):
    for part in (*full.values(), *tiny.values()):
        grids = [grid(objects) for objects in part["objects_img"]]
        for mod in part["mods"]:
            for source, target in zip(mod["from"], mod["to"], strict=True):
                assert grids[source] != grids[target] and holds(mod["to_str"], grids[source], grids[target]), mod["to_str"]


def test_the_splits_keep_their_color_shape_pairs(full):
    one, two = {"gray", "blue", "brown", "yellow"}, {"red", "green", "purple", "cyan"}
    for split, cubes, cylinders in (("train", one, two), ("test", two, one)):
        seen = {(o["shape"], o["color"]) for objects in full[split]["objects_img"] for o in objects}
        assert {c for s, c in seen if s == "cube"} == cubes and {c for s, c in seen if s == "cylinder"} == cylinders
        assert {c for s, c in seen if s == "sphere"} == set(COLORS)


def test_annotations_are_plain_and_follow_the_seed(tiny):
    assert css_annotations("tiny", 3) == tiny != css_annotations("tiny", 4)
    assert tiny["train"]["objects_img"] != tiny["test"]["objects_img"]
    json.dumps(tiny)  # no numpy types
    first = tiny["train"]["objects_img"][0][0]
    assert type(first["pos"]) is tuple and {type(v) for v in first["pos"]} == {float} and type(tiny["train"]["labels"][0]) is int
    digest = hashlib.sha256(json.dumps(tiny, sort_keys=True).encode()).hexdigest()
    assert digest[:12] == "7811c5b6b062"  # the same on every platform; a change means css.VERSION goes up


def test_shifts_are_fresh_in_every_image_and_stay_in_the_cell(full):
    part = full["train"]
    mod = next(m for m in part["mods"] if m["to_str"].startswith("add"))
    places = {cell_of(o): o["pos"] for o in part["objects_img"][mod["from"][0]]}
    assert all(places.get(cell_of(o)) != o["pos"] for o in part["objects_img"][mod["to"][0]])
    shifts = np.array([o["pos"] for objects in part["objects_img"] for o in objects]) * 3 % 1 - 0.5
    assert 0.09 < np.abs(shifts).max() < scenes.MAX_SHIFT + 1e-3
    labels = [scene_label(objects) for objects in part["objects_img"]]
    groups = {}
    assert all(groups.setdefault(scene, label) == label for scene, label in zip(labels, part["labels"]))
    assert len(groups) == len(set(part["labels"]))


def test_texts_and_labels_can_be_read_back(full):
    texts = {mod["to_str"] for part in full.values() for mod in part["mods"]}
    assert {"add object to top-left", "remove middle-center object"} <= texts
    assert all(parse_modification(text).text == text for text in texts)
    expected = css_scenes.Modification("change", color="yellow", shape="sphere", value="small")
    assert parse_modification("make yellow sphere small") == expected
    for objects in full["test"]["objects_img"][:100]:
        assert scene_label(parse_label(scene_label(objects))) == scene_label(objects)
    assert parse_label("empty") == []
    for text in ("paint it red", "add red cube to nowhere", "remove red blue cube", "make cube", "add cube"):
        with pytest.raises(DataError):
            parse_modification(text)
    with pytest.raises(DataError, match="top-left large red cube"):
        parse_label("red cube")
    with pytest.raises(ConfigError, match="tiny"):
        css_annotations("huge")


# --- the ceiling --------------------------------------------------------------------------------------------------------


def test_ceiling_equals_brute_force(tiny):
    for part in tiny.values():
        images = [grid(objects) for objects in part["objects_img"]]
        slow = []
        for text, source in ((mod["to_str"], source) for mod in part["mods"] for source in mod["from"]):
            fit = [g for i, g in enumerate(images) if i != source and holds(text, images[source], g)]
            slow.append(len({str(sorted(g.items())) for g in fit}))
        k = ceiling_of_annotation(part)
        assert k.tolist() == slow and k.min() == 1 and k.max() > 1


def test_ceiling_counts_scenes_that_fit_not_images():
    base, red, blue = [obj()], [obj(), obj("sphere", "red", cell=0)], [obj(), obj("sphere", "blue", cell=0)]
    labels = [scene_label(s) for s in (base, red, red, blue, [obj(), obj("sphere", "red", cell=1)])]
    texts = ["add object to top-left", "add red object to top-left", "add cube to top-left", "make cube blue"]
    k = fitting_scenes(labels, [0] * len(texts), texts)
    assert k.tolist() == [2, 1, 0, 0] and best_recall(k) == pytest.approx((1 / 2 + 1) / 4)
    # the source image is no answer, unless another image shows its scene
    assert fitting_scenes(labels[:2], [0], ["make cube red"]).tolist() == [0]
    assert fitting_scenes([labels[0], *labels[:2]], [0], ["make cube red"]).tolist() == [1]


def test_ceiling_of_the_full_set(full):
    k = ceiling_of_annotation(full["test"])
    assert k.min() == 1 and 0.97 < best_recall(k) < 1
    kinds = np.array([m["to_str"].split()[0] for m in full["test"]["mods"] for _ in m["from"]])
    assert (k[kinds != "add"] == 1).all()  # only what an add leaves out is open


# --- pictures -----------------------------------------------------------------------------------------------------------


def test_a_picture_does_not_depend_on_its_batch(tiny):
    objects = tiny["test"]["objects_img"][:70]
    together = draw(objects, 40)
    assert together.shape == (70, 40, 40, 3) and together.dtype == np.uint8
    assert all((draw([objects[i]], 40)[0] == together[i]).all() for i in (0, 1, 31, 32, 33, 69))
    backwards = draw(objects[::-1], 40)[::-1]
    assert (backwards == together).all()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert (draw(objects, 40) == together).all()
    torch.set_num_threads(threads)


def test_the_order_of_objects_does_not_show(tiny):
    objects = max(tiny["train"]["objects_img"], key=len)
    assert (draw([objects], 56) == draw([objects[::-1]], 56)).all()


@pytest.mark.parametrize("pixels", [24, 56, 101])
def test_pos_is_where_an_object_shows(pixels):
    cases = [obj(shape, "red", size, cell, (0.1, -0.1)) for shape in SHAPES for size in SIZES for cell in range(9)]
    drawing = render.draw([[o] for o in cases], pixels)
    x0, y0, x1, y1 = drawing.box.T / pixels
    y, x = np.array([o["pos"] for o in cases]).T
    assert np.abs((x0 + x1) / 2 - x).max() < 0.02 + 1 / pixels and np.abs((y0 + y1) / 2 - y).max() < 0.03 + 1 / pixels
    assert (drawing.share == 1).all() and (drawing.box >= 0).all() and (drawing.box <= pixels).all()


def test_sizes_shapes_and_colors_are_legible_at_56_pixels():
    for shape in SHAPES:
        large, small = (np.ptp(render.draw([[obj(shape, size=size)]], 56).box[0][[0, 2]]) for size in ("large", "small"))
        assert 12 <= large <= 15 and 7 <= small <= 10
    patches = {(s, c): draw([[obj(s, c, "small")]], 56)[0, 23:33, 23:33].astype(int) for s in SHAPES for c in COLORS}
    keys = list(patches)
    gaps = [np.abs(patches[a] - patches[b]).mean() for i, a in enumerate(keys) for b in keys[:i]]
    assert min(gaps) > 5  # gray levels, mean over the patch, of the two most similar small objects


def test_boxes_and_visible_areas_agree_with_the_pixels(tiny):
    for objects in tiny["train"]["objects_img"][:12]:
        drawing = render.draw([objects], 48)
        whole = drawing.images[0].numpy().astype(int)
        for i in range(len(objects)):
            alone = render.draw([[objects[i]]], 48)
            x0, y0, x1, y1 = alone.box[0]
            assert (drawing.box[i] == alone.box[0]).all()
            assert drawing.visible[i] == pytest.approx(float(alone.visible[0] * drawing.share[i]), abs=1e-3)
            without = draw([objects[:i] + objects[i + 1 :]], 48)[0].astype(int)
            ys, xs = np.nonzero(np.abs(whole - without).sum(-1))
            # The object and its shadow, which falls to the right and backward: nothing else differs.
            assert xs.min() >= x0 - 1 and ys.max() <= y1 and xs.max() <= x1 + 8 and ys.min() >= y0 - 6
            assert len(xs) >= drawing.visible[i] * 0.8


def test_shadows_and_hidden_parts():
    near, far = obj("cylinder", "red", cell=4, shift=(-0.2, 0)), obj("cube", "blue", cell=1, shift=(0.3, 0))
    drawing = render.draw([[far, near]], 56)
    assert drawing.share[1] == 1 and 0.3 < drawing.share[0] < 0.95
    ground, image = (draw([o], 56)[0].astype(int).sum(-1) for o in ([], [obj("sphere", "yellow")]))
    y, x = 27, 37
    assert image[y, x] < 0.75 * ground[y, x] and (image[:, :18] == ground[:, :18]).all()
    assert draw([], 56).shape == (0, 56, 56, 3)


@pytest.mark.parametrize(
    "change, told",
    [({"color": "pink"}, "pink"), ({"size": "huge"}, "huge"), ({"pos": (1.2, 0.5)}, "pos"), ({"shape": "cone"}, "cone")],
)
def test_objects_that_cannot_be_drawn(change, told):
    with pytest.raises(DataError, match=told):
        draw([[{**obj(), **change}]], 32)


# --- the files ----------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_files(made, tmp_path):
    again = make_css(tmp_path / "again", "tiny", PIXELS, seed=3, progress=False)
    assert hashes(again) == hashes(made)
    assert len(hashes(made)) == 720 + 3


def test_the_loader_reads_what_was_made(made, tiny):
    for name, part in tiny.items():
        split = datasets.load("css", made, name)
        assert len(split.images) == 360 and len(split.queries) == 320
        assert split.origin == "synthetic css v1 size=tiny pixels=32 seed=3" == css.origin("tiny", 32, 3)
        assert [i.label for i in split.images] == [scene_label(objects) for objects in part["objects_img"]]
        assert (ceiling(split) == ceiling_of_annotation(part)).all()
        for i in (0, 41, 359):
            assert (np.asarray(PILImage.open(split.images[i].path)) == draw(part["objects_img"][i : i + 1], PIXELS)[0]).all()
    assert not datasets.check("css", made, progress=False).problems


def test_the_sidecar_names_every_object(made, tiny):
    table = load_sidecar(made, "test")
    expected = [(i, j) for i, objects in enumerate(tiny["test"]["objects_img"]) for j in range(len(objects))]
    assert list(zip(table["image"].tolist(), table["object"].tolist())) == expected
    drawing = render.draw(tiny["test"]["objects_img"][:50], PIXELS)
    n = len(drawing.box)
    assert (table["box"][:n] == drawing.box).all() and (table["share"][:n] == drawing.share).all()
    assert table["share"].min() > 0.8 and (table["visible"] > 5).all()  # nothing hides behind anything
    with pytest.raises(DataError, match="train or test"):
        load_sidecar(made, "val")
    with pytest.raises(DataError, match="maaf-lab make css"):
        load_sidecar(made.parent, "test")


def test_an_interrupted_make_looks_unfinished_and_is_redone(made, tmp_path, monkeypatch):
    out, saved, real = tmp_path / "css", count(), PILImage.Image.save

    def stop_at_the_hundredth(*args, **options):
        if next(saved) == 99:
            raise KeyboardInterrupt
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(PILImage.Image, "save", stop_at_the_hundredth)
        with pytest.raises(KeyboardInterrupt):
            make_css(out, "tiny", 24, seed=5, progress=False)  # other settings than the next call's
    assert list((out / "images").iterdir()) and not (out / "made.json").exists() and not (out / ANNOTATION).exists()
    with pytest.raises(DataError):
        datasets.load("css", out, "train")
    make_css(out, "tiny", PIXELS, seed=3, progress=False)
    assert hashes(out) == hashes(made)


def test_a_finished_set_is_left_alone(made, capsys, monkeypatch):
    monkeypatch.setattr(PILImage.Image, "save", None)  # would fail
    make_css(made, "tiny", PIXELS, seed=3)
    assert "nothing to do" in capsys.readouterr().out


def test_a_set_drawn_when_origins_began_with_made_is_the_same_set(made, tmp_path, capsys, monkeypatch):
    old = shutil.copytree(made, tmp_path / "old")
    mark = (old / "made.json").read_text().replace("synthetic css", "made css")
    (old / "made.json").write_text(mark)
    assert datasets.origin("css", old) == datasets.load("css", old, "test").origin == datasets.origin("css", made)
    assert datasets.check("css", old).origin == datasets.origin("css", made)
    monkeypatch.setattr(css, "_save", None)  # would fail
    make_css(old, "tiny", PIXELS, seed=3)
    assert "nothing to do" in capsys.readouterr().out and "made css" in (old / "made.json").read_text()
    with pytest.raises(DataError, match="holds 'synthetic css v1 size=tiny pixels=32 seed=3'"):
        make_css(old, "tiny", PIXELS, seed=4)


def test_other_files_are_never_overwritten(made, tmp_path):
    before = hashes(made)
    for change in ({"seed": 4}, {"pixels": 40}, {"size": "full"}):
        with pytest.raises(DataError, match=r"holds 'synthetic css v1 size=tiny pixels=32 seed=3'.*pass another folder"):
            make_css(made, **{"size": "tiny", "pixels": PIXELS, "seed": 3, **change})
    assert hashes(made) == before
    copy = shutil.copytree(made, tmp_path / "copy")
    (copy / "images" / "css_test_000007.png").unlink()
    with pytest.raises(DataError, match="719 of 720 images: delete the folder"):
        make_css(copy, "tiny", PIXELS, seed=3)
    (copy / "made.json").unlink()  # now it could be anybody's
    with pytest.raises(DataError, match="the lab did not draw it"):
        make_css(copy, "tiny", PIXELS, seed=3)
    assert (copy / ANNOTATION).exists()


@pytest.mark.parametrize("bad", [{"size": "big"}, {"pixels": 8}, {"pixels": 56.0}, {"seed": -1}, {"seed": True}])
def test_settings_that_make_no_sense(bad, tmp_path):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        make_css(tmp_path / "css", **bad)
    assert not (tmp_path / "css").exists()


def test_cells_follow_the_grid():
    assert [cell_of(obj(cell=i)) for i in range(9)] == list(range(9)) and css_scenes.CELLS[5] == "middle-right"


def test_a_split_that_comes_with_the_lab_is_the_one_that_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(scenes, "SHIPPED", tmp_path)
    assert scenes.shipped_split("test", "tiny", 0) is None
    made, pos, mods = scenes.draw_split("test", "tiny", 0)
    scenes.save_split(tmp_path / "scenes-test-tiny-0.npz", (made, pos, mods))
    read, read_pos, read_mods = scenes.shipped_split("test", "tiny", 0)
    assert all(np.array_equal(getattr(read, name), getattr(made, name)) for name in ("shape", "color", "size"))
    assert np.abs(read_pos - pos)[made.shape >= 0].max() < 1e-4 and read_mods == mods
