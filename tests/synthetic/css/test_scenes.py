"""Scenes of synthetic CSS: what the texts promise holds, and the same seed gives the same scenes."""

import hashlib
import json
from collections import Counter

import numpy as np
import pytest
from css_texts import grid, holds

from maaf_lab.data.datasets.css_scenes import COLORS, cell_of, scene_label
from maaf_lab.errors import ConfigError
from maaf_lab.synthetic.css import scenes
from maaf_lab.synthetic.css.scenes import css_annotations


def test_counts_of_the_full_set(full_scenes):
    for part in full_scenes.values():
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


def test_every_text_holds_between_its_source_and_its_target(full_scenes, tiny_scenes):
    for part in (*full_scenes.values(), *tiny_scenes.values()):
        grids = [grid(objects) for objects in part["objects_img"]]
        for mod in part["mods"]:
            for source, target in zip(mod["from"], mod["to"], strict=True):
                assert grids[source] != grids[target] and holds(mod["to_str"], grids[source], grids[target]), mod["to_str"]


def test_the_splits_keep_their_color_shape_pairs(full_scenes):
    one, two = {"gray", "blue", "brown", "yellow"}, {"red", "green", "purple", "cyan"}
    for split, cubes, cylinders in (("train", one, two), ("test", two, one)):
        seen = {(o["shape"], o["color"]) for objects in full_scenes[split]["objects_img"] for o in objects}
        assert {c for s, c in seen if s == "cube"} == cubes and {c for s, c in seen if s == "cylinder"} == cylinders
        assert {c for s, c in seen if s == "sphere"} == set(COLORS)


def test_annotations_are_plain_and_follow_the_seed(tiny_scenes):
    assert css_annotations("tiny", 3) == tiny_scenes != css_annotations("tiny", 4)
    assert tiny_scenes["train"]["objects_img"] != tiny_scenes["test"]["objects_img"]
    json.dumps(tiny_scenes)  # no numpy types
    first = tiny_scenes["train"]["objects_img"][0][0]
    assert (
        type(first["pos"]) is tuple
        and {type(v) for v in first["pos"]} == {float}
        and type(tiny_scenes["train"]["labels"][0]) is int
    )
    digest = hashlib.sha256(json.dumps(tiny_scenes, sort_keys=True).encode()).hexdigest()
    assert digest[:12] == "7811c5b6b062"  # the same on every platform; a change means css.VERSION goes up


def test_shifts_are_fresh_in_every_image_and_stay_in_the_cell(full_scenes):
    part = full_scenes["train"]
    mod = next(m for m in part["mods"] if m["to_str"].startswith("add"))
    places = {cell_of(o): o["pos"] for o in part["objects_img"][mod["from"][0]]}
    assert all(places.get(cell_of(o)) != o["pos"] for o in part["objects_img"][mod["to"][0]])
    shifts = np.array([o["pos"] for objects in part["objects_img"] for o in objects]) * 3 % 1 - 0.5
    assert 0.09 < np.abs(shifts).max() < scenes.MAX_SHIFT + 1e-3
    labels = [scene_label(objects) for objects in part["objects_img"]]
    groups = {}
    assert all(groups.setdefault(scene, label) == label for scene, label in zip(labels, part["labels"]))
    assert len(groups) == len(set(part["labels"]))


def test_an_unknown_size():
    with pytest.raises(ConfigError, match="tiny"):
        css_annotations("huge")


def test_a_split_that_comes_with_the_lab_is_the_one_that_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(scenes, "SHIPPED", tmp_path)
    assert scenes.shipped_split("test", "tiny", 0) is None
    made, pos, mods = scenes.draw_split("test", "tiny", 0)
    scenes.save_split(tmp_path / "scenes-test-tiny-0.npz", (made, pos, mods))
    read, read_pos, read_mods = scenes.shipped_split("test", "tiny", 0)
    assert all(np.array_equal(getattr(read, name), getattr(made, name)) for name in ("shape", "color", "size"))
    assert np.abs(read_pos - pos)[made.shape >= 0].max() < 1e-4 and read_mods == mods
