"""The highest recall possible on CSS: a text that leaves attributes out may fit several scenes of the gallery.

"add object to top-left" fits every scene that equals the reference plus one object there. A perfect reader of scenes and
texts finds the k scenes that fit and can only guess among them: it ranks the target first 1/k of the time. This needs labels and
texts alone, so it works for published files as well as synthetic ones.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from maaf_lab.data.datasets.css_scenes import parse_label, parse_modification, scene_label
from maaf_lab.data.split import Split


def ceiling(split: Split) -> np.ndarray:
    """Per query of a CSS split, k: (Q,) int64 distinct labels of the gallery that fit the text applied to the reference.

    The gallery is every image but the query's source; a scene that another image shows too stays. Raises DataError for
    texts and labels that are not CSS.
    """
    texts = [" ".join(query.texts) for query in split.queries]
    return fitting_scenes([image.label for image in split.images], [query.source for query in split.queries], texts)


def ceiling_of_annotation(part: Mapping[str, Any]) -> np.ndarray:
    """`ceiling` from one split of the annotation, with no files; queries in file order."""
    labels = [scene_label(objects) for objects in part["objects_img"]]
    pairs = [(source, mod["to_str"]) for mod in part["mods"] for source in mod["from"]]
    return fitting_scenes(labels, [source for source, _ in pairs], [text for _, text in pairs])


def best_recall(k: np.ndarray) -> float:
    """Highest R1 (a fraction) that can be expected: the mean of 1/k; a query that nothing fits (k = 0) counts 0."""
    return float(np.mean(np.where(k > 0, 1 / np.maximum(k, 1), 0)))


def fitting_scenes(labels: Sequence[str], sources: Sequence[int], texts: Sequence[str]) -> np.ndarray:
    """k for each query (source image, text) among images with these scene labels: (Q,) int64."""
    images = Counter(labels)
    scenes = {label: parse_label(label) for label in images}
    plain = {label: scene_label(objects) for label, objects in scenes.items()}
    showing = defaultdict(list)  # scene -> labels that show it (one, unless the file's own labels split a scene)
    one_more = defaultdict(list)  # scene -> (object, label of the scene with that object on top)
    for label, objects in scenes.items():
        showing[plain[label]].append(label)
        for i, obj in enumerate(objects):
            one_more[scene_label(objects[:i] + objects[i + 1 :])].append((obj, label))
    parse = lru_cache(maxsize=None)(parse_modification)

    def fits(own: str, text: str) -> set[str]:
        mod = parse(text)
        if mod.type == "add":
            return {label for obj, label in one_more[plain[own]] if mod.fits(obj)}
        return set(showing[scene_label(mod.apply(scenes[own]))])

    found = ((labels[source], fits(labels[source], text)) for source, text in zip(sources, texts))
    return np.array([len(fit) - (own in fit and images[own] == 1) for own, fit in found], dtype=np.int64)
