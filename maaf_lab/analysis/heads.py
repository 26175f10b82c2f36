"""What a single attention head contributes: turn it off, and rank again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm.auto import tqdm

from maaf_lab.data.cache import PixelCache
from maaf_lab.data.split import Split
from maaf_lab.errors import ConfigError
from maaf_lab.models.base import ComposedModel
from maaf_lab.models.layers.attention import MultiHeadAttention
from maaf_lab.retrieval.embed import embed_split
from maaf_lab.retrieval.gallery import rank
from maaf_lab.retrieval.metrics import bootstrap
from maaf_lab.retrieval.rankings import Rankings

if TYPE_CHECKING:
    import pandas as pd


def attentions(model: ComposedModel) -> list[tuple[str, MultiHeadAttention]]:
    """A model's attention operations with their names, in the order of the module. Raises ConfigError where there is none."""
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, MultiHeadAttention)]
    if not found:
        raise ConfigError(f"expected a system that attends, such as maaf; {model.config.name} has no attention")
    return found


@contextmanager
def without_head(attention: MultiHeadAttention, head: int) -> Iterator[None]:
    """A context in which one head (from 0) adds nothing to any token: its columns of the output map are zero."""
    if not 0 <= head < attention.heads:
        raise ConfigError(f"expected a head from 0 to {attention.heads - 1}, found {head}")
    weight = attention.out.weight
    size = weight.shape[1] // attention.heads
    columns = slice(head * size, (head + 1) * size)
    kept = weight.detach()[:, columns].clone()
    try:
        with torch.no_grad():
            weight[:, columns] = 0
        yield
    finally:
        with torch.no_grad():
            weight[:, columns] = kept


def head_ablation(
    model: ComposedModel, split: Split, cache: PixelCache, *, k: int = 1, transform: str = "plain", progress: bool = True
) -> pd.DataFrame:
    """Each head turned off, for queries and gallery alike: what recall at k becomes, and what it loses, by modification type.

    Columns attention (name), head (from 1; 0 for the whole model), kind (the modification type: "all", and where every text's
    first word names it add, remove, change), recall, low, high (percent), lost (points against the whole model on the same
    queries), lost_low, lost_high, queries. Raises ConfigError for a system without attention.
    """
    import pandas as pd

    named = attentions(model)
    types = _types(split)
    whole = rank(*embed_split(model, split, cache, transform=transform, progress=False), split, keep=1, progress=False)
    jobs = [(name, attention, head) for name, attention in named for head in range(attention.heads)]
    lines = _lines("", 0, whole, whole, types, k)
    for name, attention, head in tqdm(jobs, desc="heads", unit="head", disable=not progress):
        with without_head(attention, head):
            found = rank(*embed_split(model, split, cache, transform=transform, progress=False), split, keep=1, progress=False)
        lines += _lines(name, head + 1, found, whole, types, k)
    return pd.DataFrame(lines)


def _types(split: Split) -> dict[str, np.ndarray]:
    words = [(q.texts[0].lower().split() or [""])[0] for q in split.queries]
    first = np.array([{"make": "change"}.get(word, word) for word in words])
    named = {name: first == name for name in ("add", "remove", "change") if (first == name).any()}
    every = {"all": np.ones(len(first), bool)}
    return every | named if sum(rows.sum() for rows in named.values()) == len(first) else every


def _lines(
    name: str, head: int, found: Rankings, whole: Rankings, types: dict[str, np.ndarray], k: int
) -> list[dict[str, object]]:
    lines, loss = [], whole.hits(k) - found.hits(k)
    for name_of_type, rows in types.items():
        e, lost = bootstrap(found.hits(k)[rows]), bootstrap(loss[rows])
        lines.append(
            {
                "attention": name,
                "head": head,
                "kind": name_of_type,
                "recall": e.value,
                "low": e.low,
                "high": e.high,
                "lost": lost.value,
                "lost_low": lost.low,
                "lost_high": lost.high,
                "queries": int(rows.sum()),
            }
        )
    return lines
