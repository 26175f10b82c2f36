"""What the words of a text name in its reference image, where that is known: synthetic CSS."""

from __future__ import annotations

import numpy as np

from maaf_lab.analysis.avoidance import coverage, describing_words
from maaf_lab.data.datasets.css_scenes import parse_label, parse_modification
from maaf_lab.errors import DataError


def referents(text: str, label: str, boxes: np.ndarray, side: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """The objects that `text` picks out -> their boxes (n, 4), and what they cover, for each word that describes them.

    The latter: the word's position -> share of each token of a side x side grid, (side, side). Both are empty for an *add*,
    whose object is not there, and for texts that are not CSS's.
    label: the scene's (`css_scenes.scene_label`); boxes: (objects, 4) shares of the side, in the order of the scene's list.
    """
    nothing = np.zeros((0, 4)), {}
    try:
        objects, fits = parse_label(label), parse_modification(text).fits
        words = describing_words(text)
    except DataError:
        return nothing
    named = [i for i, obj in enumerate(objects) if fits(obj)]
    if not named or not words:
        return nothing
    pixels = 1000
    cover = coverage(np.round(boxes[named] * pixels), pixels, side)
    return boxes[named], {position: cover for position, _ in words}
