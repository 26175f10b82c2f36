"""The best recall that any system can reach on synthetic CSS."""

import numpy as np
import pytest
from css_texts import grid, holds, obj

from maaf_lab.analysis.css_ceiling import best_recall, ceiling_of_annotation, fitting_scenes
from maaf_lab.data.datasets.css_scenes import scene_label


def test_ceiling_equals_brute_force(tiny_scenes):
    for part in tiny_scenes.values():
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


def test_ceiling_of_the_full_set(full_scenes):
    k = ceiling_of_annotation(full_scenes["test"])
    assert k.min() == 1 and 0.97 < best_recall(k) < 1
    kinds = np.array([m["to_str"].split()[0] for m in full_scenes["test"]["mods"] for _ in m["from"]])
    assert (k[kinds != "add"] == 1).all()  # only what an add leaves out is open
