"""Labelled pictures: their labels are what they show, and they are in no split."""

import numpy as np
import pytest
import torch

from maaf_lab.data.datasets.css_scenes import CELLS
from maaf_lab.synthetic import labelled


@pytest.mark.parametrize("kind", ["scenes", "garments", "birds", "objects", "streets"])
def test_a_picture_has_one_class_of_each_label(kind, cores):
    cores(1)
    images, labels = getattr(labelled, kind)(30, 48)
    again, _ = getattr(labelled, kind)(30, 48)
    assert images.shape == (30, 3, 48, 48) and images.dtype == torch.uint8 and torch.equal(images, again)
    assert len({image.numpy().tobytes() for image in images}) == 30
    assert all(classes.shape == (30,) and classes.dtype == torch.int64 for classes in labels.values())
    assert all(classes.min() >= labelled.NOTHING for classes in labels.values())
    assert sum(int(classes.max()) >= 1 for classes in labels.values()) > len(labels) / 2, "pictures differ in what they show"


def test_what_stands_in_a_cell_is_what_its_labels_say(cores):
    cores(1)
    images, labels = labelled.scenes(60, 56)
    middle = np.linspace(0, 56, 7)[1::2].astype(int)
    ground = images[:, :, :3, :3].float().mean((0, 2, 3))
    shown, told = [], []
    for c, cell in enumerate(CELLS):
        patch = images[:, :, middle[c // 3] - 2 : middle[c // 3] + 3, middle[c % 3] - 2 : middle[c % 3] + 3].float()
        shown.append((patch.mean((2, 3)) - ground).abs().amax(1) > 30)
        told.append(labels[f"{cell}: shape"] > 0)
        there = told[-1]
        assert ((labels[f"{cell}: color"] >= 0) == there).all() and ((labels[f"{cell}: size"] >= 0) == there).all()
    agree = (torch.stack(shown) == torch.stack(told)).float().mean()
    assert agree > 0.9, "an object's middle differs from the ground"


def test_streets_tell_where_a_car_stands(cores):
    cores(1)
    _, labels = labelled.streets(60, 48)
    cars = sum(classes.sum() for name, classes in labels.items() if name.endswith("car"))
    people = sum(classes.sum() for name, classes in labels.items() if name.endswith("person"))
    assert cars > 60 and people > 60
