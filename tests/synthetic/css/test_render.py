"""Pictures of CSS scenes: the same in any batch, legible at 56 pixels, boxes where objects show."""

import numpy as np
import pytest
import torch
from css_texts import obj

from maaf_lab.data.datasets.css_scenes import COLORS, SHAPES, SIZES
from maaf_lab.errors import DataError
from maaf_lab.synthetic.css import render
from maaf_lab.synthetic.css.dataset import draw


def test_a_picture_does_not_depend_on_its_batch(tiny_scenes):
    objects = tiny_scenes["test"]["objects_img"][:70]
    together = draw(objects, 40)
    assert together.shape == (70, 40, 40, 3) and together.dtype == np.uint8
    assert all((draw([objects[i]], 40)[0] == together[i]).all() for i in (0, 1, 31, 32, 33, 69))
    backwards = draw(objects[::-1], 40)[::-1]
    assert (backwards == together).all()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert (draw(objects, 40) == together).all()
    torch.set_num_threads(threads)


def test_the_order_of_objects_does_not_show(tiny_scenes):
    objects = max(tiny_scenes["train"]["objects_img"], key=len)
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


def test_boxes_and_visible_areas_agree_with_the_pixels(tiny_scenes):
    for objects in tiny_scenes["train"]["objects_img"][:12]:
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
    "change, named",
    [({"color": "pink"}, "pink"), ({"size": "huge"}, "huge"), ({"pos": (1.2, 0.5)}, "pos"), ({"shape": "cone"}, "cone")],
)
def test_objects_that_cannot_be_drawn(change, named):
    with pytest.raises(DataError, match=named):
        draw([[{**obj(), **change}]], 32)


@pytest.mark.parametrize("color", ["redd", None, ["red"], ("a", "b", "c"), (1, 2), (300, 0, 0)], ids=str)
def test_a_color_is_a_known_word_or_red_green_and_blue(color):
    scene = [{"shape": "cube", "size": "large", "color": color, "pos": (0.5, 0.5)}]
    with pytest.raises(DataError, match="expected a color of gray"):
        draw([scene], 56)
    assert draw([[{**scene[0], "color": (10, 20, 30)}]], 56).shape == (1, 56, 56, 3)
