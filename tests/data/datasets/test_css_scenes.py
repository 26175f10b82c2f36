"""CSS in words: scenes, labels and texts can be read back."""

import pytest
from css_texts import obj

from maaf_lab.data.datasets import css_scenes
from maaf_lab.data.datasets.css_scenes import cell_of, parse_label, parse_modification, scene_label
from maaf_lab.errors import DataError


def test_texts_and_labels_can_be_read_back(full_scenes):
    texts = {mod["to_str"] for part in full_scenes.values() for mod in part["mods"]}
    assert {"add object to top-left", "remove middle-center object"} <= texts
    assert all(parse_modification(text).text == text for text in texts)
    expected = css_scenes.Modification("change", color="yellow", shape="sphere", value="small")
    assert parse_modification("make yellow sphere small") == expected
    for objects in full_scenes["test"]["objects_img"][:100]:
        assert scene_label(parse_label(scene_label(objects))) == scene_label(objects)
    assert parse_label("empty") == []
    for text in ("paint it red", "add red cube to nowhere", "remove red blue cube", "make cube", "add cube"):
        with pytest.raises(DataError):
            parse_modification(text)
    with pytest.raises(DataError, match="top-left large red cube"):
        parse_label("red cube")


def test_cells_follow_the_grid():
    assert [cell_of(obj(cell=i)) for i in range(9)] == list(range(9)) and css_scenes.CELLS[5] == "middle-right"
