"""Drawn pictures together with what they show: what the small image encoder is pretrained on (`training.pretrain`).

They are drawn for that alone, from a seed of their own, and are in no split of a synthetic dataset. The scenes have colors that
are not CSS's, on every shape; the objects are MIT-States' training nouns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from maaf_lab.data.datasets.css_scenes import CELLS, COLORS, SHAPES, SIZES
from maaf_lab.synthetic.birds.drawing import Bird, draw_bird, random_bird
from maaf_lab.synthetic.css import rays, render
from maaf_lab.synthetic.css.scenes import draw_scenes, shifted
from maaf_lab.synthetic.garments import drawing
from maaf_lab.synthetic.garments.attributes import ATTRIBUTES, KINDS, Garment, sample
from maaf_lab.synthetic.random_stream import RandomStream
from maaf_lab.synthetic.states.dataset import STATES, draw_state
from maaf_lab.synthetic.states.nouns import TRAIN_NOUNS
from maaf_lab.synthetic.streets.texts import random_scene
from maaf_lab.synthetic.streets.things import CAR_COLORS, SHIRTS, draw_scene
from maaf_lab.synthetic.streets.views import VIEWS, view
from maaf_lab.utils.parallel import in_processes

NOTHING = -1  # the label of what a picture does not show
_SEED = 2_000_003  # of no dataset that anybody draws
_DARKEST, _LEVELS, _NEAR = 24, 3, 45.0  # of red, green and blue in a scene: the least, its ranges, the distance from CSS's colors
_OF_A_VIEW = 100  # pictures of streets that share one view


class Labelled(NamedTuple):
    """images: uint8 (N, 3, S, S). labels: what is told apart -> (N,) int64 classes from 0, `NOTHING` where a picture has none."""

    images: Tensor
    labels: Mapping[str, Tensor]


def scenes(count: int, pixels: int) -> Labelled:
    """CSS scenes: in each of nine cells the shape or that there is none, its size, and its color as one of 27 ranges of RGB."""
    rng = RandomStream(_SEED, 1)
    drawn = draw_scenes(rng, count, np.ones((len(SHAPES), len(COLORS)), bool))
    places, there = shifted(drawn, rng), drawn.shape >= 0
    rgb = np.floor(_DARKEST + (256 - _DARKEST) * rng.uniform(4 * there.size, 3))
    apart = np.linalg.norm(rgb[:, None] - np.array([rays.RGB[color] for color in COLORS]), axis=2).min(1)
    rgb = rgb[apart > _NEAR][: there.size].reshape(count, 9, 3)

    def thing(s: int, c: int) -> dict[str, Any]:
        words = {"shape": SHAPES[drawn.shape[s, c]], "size": SIZES[drawn.size[s, c]]}
        return {**words, "color": tuple(rgb[s, c].tolist()), "pos": tuple(places[s, c].tolist())}

    images = render.render([[thing(s, c) for c in np.flatnonzero(there[s])] for s in range(count)], pixels, "cpu")
    ranges = ((rgb - _DARKEST) * _LEVELS / (256 - _DARKEST)).astype(np.int64) @ (_LEVELS ** np.arange(3))
    found = {"shape": drawn.shape + 1, "size": drawn.size, "color": np.where(there, ranges, NOTHING)}
    labels = {f"{cell}: {name}": torch.from_numpy(of[:, c].copy()) for name, of in found.items() for c, cell in enumerate(CELLS)}
    return Labelled(images.permute(0, 3, 1, 2).contiguous(), labels)


def garments(count: int, pixels: int) -> Labelled:
    """Garments of all kinds: the kind and every attribute."""
    shown = [sample(KINDS[i % len(KINDS)], RandomStream(_SEED, 2, i)) for i in range(count)]
    return _by_attribute(shown, ("kind", *ATTRIBUTES), _garment, pixels)


def birds(count: int, pixels: int) -> Labelled:
    """Birds: every attribute, the legs where they show."""
    shown = [random_bird(RandomStream(_SEED, 3, i)) for i in range(count)]
    images, labels = _by_attribute(shown, [field.name for field in fields(Bird)], _bird, pixels)
    there = torch.tensor([bird.legs_show for bird in shown])
    return Labelled(images, {**labels, "legs": labels["legs"].where(there, NOTHING)})


def objects(count: int, pixels: int) -> Labelled:
    """Things in a state: adjective and noun."""
    rng, shown = RandomStream(_SEED, 4), []
    for _ in range(count):
        noun = rng.pick(tuple(TRAIN_NOUNS))
        shown.append((rng.pick(STATES[TRAIN_NOUNS[noun].stuff]), noun))
    labels = {name: _classes([one[k] for one in shown]) for k, name in enumerate(("adjective", "noun"))}
    return Labelled(_drawn(_object, shown, pixels), labels)


def streets(count: int, pixels: int) -> Labelled:
    """Streets, lots and plazas: in each ninth of the ground, whether there is a car, and a person, of each color."""
    kinds = [("car", color) for color in CAR_COLORS] + [("person", color) for color in SHIRTS]
    shown, there = [], np.zeros((count, 9, len(kinds)), np.int64)
    for i in range(count):
        seed, number = _SEED + i // (_OF_A_VIEW * VIEWS), i // _OF_A_VIEW % VIEWS
        things, spots = random_scene(view(seed, number), RandomStream(_SEED, 5, i)), view(seed, number).spots
        shown.append((things, seed, number))
        for thing in things:
            x, y = spots[thing.spot].x, max(spots[thing.spot].y - 0.4, 0) / 0.6
            cell = min(int(3 * x), 2) + 3 * min(int(3 * y), 2)
            there[i, cell, kinds.index(("car" if thing.is_car else "person", thing.color))] = 1
    labels = {
        f"{cell}: {color} {kind}": torch.from_numpy(there[:, c, k].copy())
        for c, cell in enumerate(CELLS)
        for k, (kind, color) in enumerate(kinds)
    }
    return Labelled(_drawn(_street, shown, pixels), labels)


def _by_attribute(shown: Sequence[Any], names: Sequence[str], draw: Callable[..., np.ndarray], pixels: int) -> Labelled:
    labels = {name: _classes([str(getattr(one, name)) for one in shown]) for name in names}
    return Labelled(_drawn(draw, shown, pixels), labels)


def _classes(words: Sequence[str]) -> Tensor:
    numbers = {word: i for i, word in enumerate(sorted(set(words)))}
    return torch.tensor([numbers[word] for word in words])


def _drawn(draw: Callable[..., np.ndarray], shown: Sequence[Any], pixels: int) -> Tensor:
    images = np.stack(list(in_processes(partial(draw, pixels), list(enumerate(shown)), "pictures", progress=False)))
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def _garment(pixels: int, numbered: tuple[int, Garment]) -> np.ndarray:
    i, garment = numbered
    return drawing.draw(garment, drawing.draw_pose(RandomStream(_SEED, 12, i)), pixels)


def _bird(pixels: int, numbered: tuple[int, Bird]) -> np.ndarray:
    i, bird = numbered
    return draw_bird(bird, pixels, RandomStream(_SEED, 13, i))


def _object(pixels: int, numbered: tuple[int, tuple[str, str]]) -> np.ndarray:
    i, (adjective, noun) = numbered
    return draw_state(adjective, noun, pixels, RandomStream(_SEED, 14, i))[0]


def _street(pixels: int, numbered: tuple[int, tuple[Any, int, int]]) -> np.ndarray:
    i, (things, seed, number) = numbered
    return draw_scene(things, seed, number, pixels, RandomStream(_SEED, 15, i))
