"""Synthetic CSS on disk: the files show the annotation's scenes, and the sidecar names every object."""

import numpy as np
import pytest
from PIL import Image as PILImage
from synthetic_files import PIXELS

from maaf_lab.analysis.css_ceiling import ceiling, ceiling_of_annotation
from maaf_lab.data import registry as datasets
from maaf_lab.data.datasets.css_scenes import scene_label
from maaf_lab.errors import DataError
from maaf_lab.synthetic.css import dataset as css
from maaf_lab.synthetic.css import render
from maaf_lab.synthetic.css.dataset import draw, load_sidecar


@pytest.fixture(scope="module")
def made(drawn):
    return drawn("css")


def test_the_loader_reads_what_was_made(made, tiny_scenes):
    for name, part in tiny_scenes.items():
        split = datasets.load("css", made, name)
        assert len(split.images) == 360 and len(split.queries) == 320
        assert split.origin == "synthetic css v1 size=tiny pixels=32 seed=3" == css.origin("tiny", 32, 3)
        assert [i.label for i in split.images] == [scene_label(objects) for objects in part["objects_img"]]
        assert (ceiling(split) == ceiling_of_annotation(part)).all()
        for i in (0, 41, 359):
            assert (np.asarray(PILImage.open(split.images[i].path)) == draw(part["objects_img"][i : i + 1], PIXELS)[0]).all()
    assert not datasets.check("css", made, progress=False).problems


def test_the_sidecar_names_every_object(made, tiny_scenes):
    table = load_sidecar(made, "test")
    expected = [(i, j) for i, objects in enumerate(tiny_scenes["test"]["objects_img"]) for j in range(len(objects))]
    assert list(zip(table["image"].tolist(), table["object"].tolist())) == expected
    drawing = render.draw(tiny_scenes["test"]["objects_img"][:50], PIXELS)
    n = len(drawing.box)
    assert (table["box"][:n] == drawing.box).all() and (table["share"][:n] == drawing.share).all()
    assert table["share"].min() > 0.8 and (table["visible"] > 5).all()  # nothing hides behind anything
    with pytest.raises(DataError, match="train or test"):
        load_sidecar(made, "val")
    with pytest.raises(DataError, match="maaf-lab make css"):
        load_sidecar(made.parent, "test")
