"""Average attention of words over all queries that hold them: a single word, position words, colors, modification types.

The same averages as the paper's Figures 3, 5 and 6, head by head. Shapes: rows x columns the coarsest grid, S side in pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from maaf_lab.analysis.colors import unattended
from maaf_lab.analysis.modification_types import taxonomy
from maaf_lab.analysis.positions import POSITIONS, PositionMaps
from maaf_lab.analysis.word_attention import word_attention
from maaf_lab.data.cache import PixelCache
from maaf_lab.data.split import Split
from maaf_lab.data.text import join, tokenize
from maaf_lab.errors import ConfigError
from maaf_lab.models.base import ComposedModel
from maaf_lab.utils.registry import DATASETS

GROUPS = ("position", "color", "modification type")
_POSITION = {tokenize(word)[0]: word for word in POSITIONS}
MOST = 12  # groups shown


@dataclass(frozen=True)
class WordGroups:
    """maps: group -> (operations, H, rows, columns), mean attention over its words; counts: group -> words; signed: not softmax.

    pictures: group -> uint8 (S, S, 3), the mean reference. ignored (colors): group -> (S, S, 3), the mean of (1 - attention) *
    image less its mean over all groups, for the mean of heads of the first operation (Figure 5). contrast (positions): group ->
    attention inside the named cell over the mean of the other eight, per operation and head 0 (mean), 1, ...
    """

    kind: str
    maps: Mapping[str, np.ndarray]
    counts: Mapping[str, int]
    pictures: Mapping[str, np.ndarray]
    operations: tuple[str, ...]
    signed: bool
    ignored: Mapping[str, np.ndarray] = field(default_factory=dict)
    contrast: Mapping[str, np.ndarray] = field(default_factory=dict)


def word_groups(
    model: ComposedModel,
    split: Split,
    cache: PixelCache,
    kind: str,
    word: str = "",
    *,
    progress: Callable[[int, int], None] | None = None,
) -> WordGroups:
    """Average attention by group. kind: "a word" (then `word`), or one of `GROUPS`. progress(done, total) counts words.

    Raises ConfigError for an unknown kind, for words that no query holds, and for a system without attention.
    """
    picks = _picks(split, kind, word)
    total = sum(len(groups) for groups in picks.values())
    if not total:
        what = f"the word {word!r}" if kind == "a word" else f"words of {kind}"
        raise ConfigError(f"no query of {split.title} holds {what}; try one of its words: {', '.join(_commonest(split))}")
    signed = getattr(model.config, "attention", "softmax") != "softmax"  # val has no choice
    positions = {tuple(tokenize(text)): [p for p, _ in groups] for text, groups in picks.items()}
    named = {tuple(tokenize(text)): dict(groups) for text, groups in picks.items()}
    sums: dict[str, np.ndarray] = {}
    images: dict[str, Counter[int]] = {}
    weighted: dict[str, np.ndarray] = {}
    counts: Counter[str] = Counter()
    found = word_attention(model, split, cache, lambda tokens: positions.get(tuple(tokens), ()), progress=False, by_source=True)
    todo = sum(len(picks.get(join(q.texts), ())) for q in split.queries)
    for done, one in enumerate(found, 1):
        query = split.queries[one.query]
        group = named[tuple(tokenize(join(query.texts)))][one.position]
        sums[group] = sums.get(group, 0) + one.weights
        counts[group] += 1
        images.setdefault(group, Counter())[query.source] += 1
        if kind == "color" and not signed:
            weighted[group] = weighted.get(group, 0) + unattended(one.weights[0].mean(0), cache.image(query.source))
        if progress is not None and (done % 256 == 0 or done == todo):
            progress(done, todo)
    order = _order(kind, counts)
    maps = {name: sums[name] / counts[name] for name in order}
    pictures = {name: _mean(cache, images[name]) for name in order}
    ignored = {}
    if weighted:
        mean = sum(weighted.values()) / sum(counts[name] for name in weighted)
        ignored = {name: weighted[name] / counts[name] - mean for name in order}
    contrast = _contrast(maps, counts) if kind == "position" and not signed else {}
    return WordGroups(
        kind if kind != "a word" else f"the word “{word.strip().lower()}”",
        maps,
        {name: counts[name] for name in order},
        pictures,
        one.operations,
        signed,
        ignored,
        contrast,
    )


def _picks(split: Split, kind: str, word: str) -> dict[str, list[tuple[int, str]]]:
    """Text -> (position, group) of its words that count."""
    texts = {join(q.texts) for q in split.queries}
    if kind == "a word":
        wanted = tokenize(word)
        if len(wanted) != 1:
            raise ConfigError(f"expected one word to average over, found {word!r}")
        return {t: [(p, wanted[0]) for p, token in enumerate(tokenize(t)) if token == wanted[0]][:1] for t in texts}
    if kind == "position":
        return {t: [(p, _POSITION[token]) for p, token in enumerate(tokenize(t)) if token in _POSITION][:1] for t in texts}
    types = taxonomy(split.dataset)
    if kind == "color":
        if described := DATASETS[split.dataset].described_color:
            color_of = {t: described(t) for t in texts}
            return {t: [(tokenize(t).index(c), c)] if c else [] for t, c in color_of.items()}
        return {t: [(p, token) for p, token in enumerate(tokenize(t)) if token in types.get("color", ())] for t in texts}
    if kind == "modification type":
        return {
            t: [(p, name) for p, token in enumerate(tokenize(t)) for name, words in types.items() if token in words]
            for t in texts
        }
    raise ConfigError(f"expected a word, {', '.join(GROUPS)}; found {kind!r}")


def _order(kind: str, counts: Counter[str]) -> list[str]:
    if kind == "position":
        return [name for name in POSITIONS if counts[name]]
    return [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST]]


def _commonest(split: Split, count: int = 8) -> list[str]:
    seen = Counter(token for q in split.queries for text in q.texts for token in tokenize(text))
    return [token for token, _ in seen.most_common(count)]


def _mean(cache: PixelCache, images: Counter[int]) -> np.ndarray:
    rows, times = np.array(list(images)), np.array(list(images.values()), np.float64)
    total = np.zeros((cache.size, cache.size, 3))
    for low in range(0, len(rows), 256):
        batch = cache.batch(rows[low : low + 256]).permute(0, 2, 3, 1).numpy()
        total += np.einsum("b,bhwc->hwc", times[low : low + 256], batch)
    return (total / times.sum()).round().astype(np.uint8)


def _contrast(maps: Mapping[str, np.ndarray], counts: Mapping[str, int]) -> dict[str, np.ndarray]:
    blocks, heads = next(iter(maps.values())).shape[:2]
    made = {name: np.zeros((blocks, heads + 1)) for name in maps}
    for b in range(blocks):
        for h in range(heads + 1):
            one = {name: values[b].mean(0) if h == 0 else values[b, h - 1] for name, values in maps.items()}
            table = PositionMaps(one, dict(counts)).contrast()
            for name, ratio in zip(table["word"], table["ratio"], strict=True):
                made[name][b, h] = ratio
    return made
