"""Embed a split, rank it: Rankings, a value object.

Shapes: Q queries, G gallery images, D width, K results kept a query.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import normalize
from tqdm.auto import tqdm

from maaf_lab.data.cache import PixelCache
from maaf_lab.data.split import Split
from maaf_lab.data.text import join
from maaf_lab.data.transforms import build_transform
from maaf_lab.errors import RunError
from maaf_lab.models.attention import AttentionRecord  # noqa: F401  (re-exported: what embed_* may return)
from maaf_lab.models.base import ComposedModel
from maaf_lab.models.checkpoints import write_atomically

COLUMNS = ("query", "source", "text", "target_label", "category", "rank", "top", "scores")


@dataclass(frozen=True)
class Rankings:
    """Where each query's answer came, and what came first. One row a query, in the split's order.

    frame columns: query (its number), source (image id), text, target_label, category, rank (place of the first right image,
    from 1; 0 when the gallery has none), top (ids of the first K images) and scores (their cosines). protocol: how it was ranked.
    """

    frame: pd.DataFrame
    protocol: str

    def __post_init__(self) -> None:
        missing = [name for name in COLUMNS if name not in self.frame.columns]
        if missing:
            raise RunError(f"Rankings: expected columns {', '.join(COLUMNS)}; missing {', '.join(missing)}")
        if (self.frame["rank"] < 0).any():
            raise RunError("Rankings: a rank counts from 1, or is 0 when the gallery has no answer; found a negative one")

    def __len__(self) -> int:
        return len(self.frame)

    def hits(self, k: int) -> np.ndarray:
        """(Q,) float: 1 where a right image is among the first k, else 0. Their mean is recall at k."""
        rank = self.frame["rank"].to_numpy()
        return ((rank >= 1) & (rank <= k)).astype(np.float64)

    def without_lists(self) -> Rankings:
        """The same ranks without what came first: a tenth of the size, enough for every recall."""
        empty = [[] for _ in range(len(self))]
        return Rankings(self.frame.assign(top=empty, scores=empty), self.protocol)

    def save(self, path: Path) -> None:
        """Parquet, a line a query."""
        frame = self.frame.copy()
        frame.attrs = {"protocol": self.protocol}
        write_atomically(Path(path), lambda beside: frame.to_parquet(beside, index=False, compression="zstd"))

    @classmethod
    def load(cls, path: Path) -> Rankings:
        """What `save` wrote; RunError where there is no such file."""
        if not Path(path).is_file():
            raise RunError(f"{path}: expected the rankings of an evaluated run, found no file. Run `maaf-lab evaluate` on it.")
        try:
            frame = pd.read_parquet(path)
        except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
            raise RunError(f"{path}: expected rankings, found damage ({error}). Run `maaf-lab evaluate` again.") from error
        return cls(frame, frame.attrs.get("protocol", ""))


@torch.inference_mode()
def embed_split(
    model: ComposedModel, split: Split, cache: PixelCache, *, transform: str = "plain", chunk: int = 256, progress: bool = True
) -> tuple[Tensor, Tensor]:
    """Every distinct image once through the backbone -> query vectors (Q, D) and gallery vectors (G, D), on the CPU.

    A query is fused from the features of its source while they are at hand, so memory does not grow with the split.
    """
    was_training = model.training
    model.eval()
    prepare = build_transform(transform, cache.size)
    texts = [join(q.texts) for q in split.queries]
    by_source: dict[int, list[int]] = {}
    for i, q in enumerate(split.queries):
        by_source.setdefault(q.source, []).append(i)
    gallery = torch.empty(len(split.images), model.config.width)
    queries = torch.empty(len(split.queries), model.config.width)
    bar = tqdm(total=len(split.images), desc=f"embed {split.title}", unit="image", disable=not progress, mininterval=0.5)
    for start in range(0, len(split.images), chunk):
        stop = min(start + chunk, len(split.images))
        features = model.encode(prepare.eval(cache.batch(np.arange(start, stop)).to(model.device)))
        gallery[start:stop] = normalize(model.project(features)[0].float(), dim=-1).cpu()
        rows = [(i, image - start) for image in range(start, stop) for i in by_source.get(image, ())]
        for low in range(0, len(rows), 2 * chunk):
            part = rows[low : low + 2 * chunk]
            places = torch.tensor([place for _, place in part], device=model.device)
            text = model.read([texts[i] for i, _ in part])
            vectors, _ = model.fuse({r: tokens[places] for r, tokens in features.items()}, text)
            queries[[i for i, _ in part]] = normalize(vectors.float(), dim=-1).cpu()
        bar.update(stop - start)
    bar.close()
    model.train(was_training)
    return queries, gallery


def ordered_keys(scores: Tensor) -> Tensor:
    """Float scores (..., G) -> int64 keys, all different: larger score first, and of equal scores the earlier image first."""
    bits = (scores.float() + 0.0).contiguous().view(torch.int32).long()
    ordered = torch.where(bits < 0, bits ^ 0x7FFF_FFFF, bits)
    place = torch.arange(scores.shape[-1], device=scores.device)
    return (ordered << 32) + (0xFFFF_FFFF - place)


@torch.inference_mode()
def rank(
    queries: Tensor, gallery: Tensor, split: Split, *, keep: int = 10, chunk: int = 256, progress: bool = True
) -> Rankings:
    """Rank the gallery for every query under the split's protocol; ties go to the image that stands earlier.

    queries (Q, D) and gallery (G, D) are unit vectors. Cosines are computed in double precision and rounded to single, so
    that equal images tie exactly and the size of a chunk changes nothing.
    """
    labels = {label: n for n, label in enumerate(dict.fromkeys(image.label for image in split.images))}
    label_G = torch.tensor([labels[image.label] for image in split.images])
    wanted_Q = torch.tensor([labels.get(q.target_label, -1) for q in split.queries], dtype=torch.long)
    source_Q = torch.tensor([q.source for q in split.queries], dtype=torch.long)
    inside = _galleries(split)
    queries, gallery = queries.double(), gallery.double()
    keep = min(keep, len(split.images))
    ranks, tops, scores = [], [], []
    for low in tqdm(range(0, len(queries), chunk), desc="rank", unit="chunk", disable=not progress, mininterval=0.5):
        rows = slice(low, low + chunk)
        cosine = (queries[rows] @ gallery.T).float()
        if split.protocol.exclude_source:
            cosine.scatter_(1, source_Q[rows, None], -torch.inf)
            for row, query in enumerate(split.queries[low : low + chunk]):
                if query.exclude:
                    cosine[row, list(query.exclude)] = -torch.inf
        if inside is not None:
            outside = ~torch.stack([inside[q.category] for q in split.queries[low : low + chunk]])
            cosine.masked_fill_(outside, -torch.inf)
        keys = ordered_keys(cosine)
        right = (label_G == wanted_Q[rows, None]) & cosine.isfinite()
        lowest = torch.iinfo(torch.int64).min
        best = keys.masked_fill(~right, lowest).amax(1)
        place = (keys > best[:, None]).sum(1) + 1
        ranks.append(place.masked_fill(best == lowest, 0))
        top = keys.topk(keep, 1).values
        index = 0xFFFF_FFFF - (top & 0xFFFF_FFFF)
        tops.append(index)
        scores.append(cosine.gather(1, index))
    ids = np.array([image.id for image in split.images], dtype=object)
    index, score = torch.cat(tops).numpy(), torch.cat(scores).numpy()
    frame = pd.DataFrame({
        "query": np.arange(len(queries)),
        "source": ids[source_Q.numpy()],
        "text": [join(q.texts) for q in split.queries],
        "target_label": [q.target_label for q in split.queries],
        "category": [q.category for q in split.queries],
        "rank": torch.cat(ranks).numpy(),
        "top": [ids[row[np.isfinite(s)]].tolist() for row, s in zip(index, score, strict=True)],
        "scores": [row[np.isfinite(row)].tolist() for row in score],
    })
    return Rankings(frame, split.protocol.describe())


def _galleries(split: Split) -> dict[str | None, Tensor] | None:
    """Category -> (G,) true at its images, where the protocol has a gallery a category."""
    if split.protocol.gallery == "split":
        return None
    names = {q.category for q in split.queries}
    return {name: torch.tensor([name in image.categories for image in split.images]) for name in names}
