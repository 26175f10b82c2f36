"""Embed a split, rank it.

Shapes: Q queries, G gallery images, D width, K results kept a query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize
from tqdm.auto import tqdm

from maaf_lab.data.cache import PixelCache
from maaf_lab.data.split import Split
from maaf_lab.data.text import join
from maaf_lab.data.transforms import build_transform
from maaf_lab.models.attention import AttentionRecord  # noqa: F401  (re-exported: what embed_* may return)
from maaf_lab.models.base import ComposedModel
from maaf_lab.rankings import Rankings

if TYPE_CHECKING:
    pass

PART = 2048  # gallery images multiplied at once: the product stays in the processor's cache
MANY = 64  # close calls of one query that are still decided one by one


@torch.inference_mode()
def embed_split(
    model: ComposedModel, split: Split, cache: PixelCache, *, transform: str = "plain", chunk: int = 256,
    progress: bool | Callable[[int, int], object] = True,
) -> tuple[Tensor, Tensor]:
    """Every distinct image once through the backbone -> query vectors (Q, D) and gallery vectors (G, D), on the CPU.

    A query is fused from the features of its source while they are at hand, so memory does not grow with the split.
    progress: True for a bar, or a function that is told how many images of how many are done.
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
    shown = progress is True
    bar = tqdm(total=len(split.images), desc=f"embed {split.title}", unit="image", disable=not shown, mininterval=0.5)
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
        if callable(progress):
            progress(stop, len(split.images))
    bar.close()
    model.train(was_training)
    return queries, gallery


@torch.inference_mode()
def rank(
    queries: Tensor, gallery: Tensor, split: Split, *, keep: int = 10, chunk: int = 128, progress: bool = True
) -> Rankings:
    """Rank the gallery for every query under the split's protocol; ties go to the image that stands earlier.

    queries (Q, D) and gallery (G, D) are unit vectors. What is compared are cosines in double precision, rounded to single, so
    that equal images tie exactly and the size of a chunk changes nothing. Only close calls are computed that way: cosines in
    single precision decide the rest, with their largest possible error in mind. Memory is a chunk's, whatever the split's size.
    """
    import pandas as pd

    queries, gallery = queries.float().cpu(), gallery.float().cpu()
    ranks = np.zeros(len(queries), np.int64)
    tops, scores = np.empty(len(queries), object), np.empty(len(queries), object)  # an array a query, as in a file read back
    ids = np.array([image.id for image in split.images], object)
    bar = tqdm(total=len(queries), desc="rank", unit="query", disable=not progress, mininterval=0.5)
    for rows, images in _galleries(split):
        in_one_run = len(images) and images[-1] - images[0] + 1 == len(images)  # then a view will do
        vectors = gallery[images[0]:images[-1] + 1] if in_one_run else gallery[torch.from_numpy(images)]
        part = _Gallery(split, rows, images, queries, vectors)
        for low in range(0, len(rows), chunk):
            some = slice(low, low + chunk)
            ranks[rows[some]], places, cosines = part.rank(some, keep)
            names, counts = ids[images[places]], np.isfinite(cosines).sum(1).tolist()
            for n, (row, count) in enumerate(zip(rows[some].tolist(), counts, strict=True)):
                tops[row], scores[row] = names[n, :count], cosines[n, :count]
            bar.update(len(rows[some]))
    bar.close()
    frame = pd.DataFrame({
        "query": np.arange(len(queries)),
        "source": [ids[q.source] for q in split.queries],
        "text": [join(q.texts) for q in split.queries],
        "target_label": [q.target_label for q in split.queries],
        "category": [q.category for q in split.queries],
        "rank": ranks,
        "top": tops,
        "scores": scores,
    })
    return Rankings(frame, split.protocol.describe())


def _galleries(split: Split) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The queries that share a gallery, and its images: row numbers of both, in the split's order."""
    if split.protocol.gallery == "split":
        yield np.arange(len(split.queries)), np.arange(len(split.images))
        return
    kinds = [q.category for q in split.queries]
    for name in dict.fromkeys(kinds):
        images = np.array([i for i, image in enumerate(split.images) if name in image.categories], np.int64)
        yield np.array([i for i, kind in enumerate(kinds) if kind == name], np.int64), images


class _Gallery:
    """One gallery and the queries that search it: q queries, g images. Numbers of images are places in this gallery."""

    def __init__(self, split: Split, rows: np.ndarray, images: np.ndarray, queries: Tensor, vectors_gD: Tensor) -> None:
        self.rows, self.queries, self.vectors = rows, queries, vectors_gD
        self.product, self.flags = vectors_gD.new_empty(PART, 0), torch.empty(0, len(vectors_gD), dtype=torch.bool)
        self.scores = self.flags.float()
        longest = [float(v.norm(dim=1).max()) if len(v) else 0.0 for v in (queries, vectors_gD)]
        # |error| of a product of length D in single precision, whatever the order of its sums, and of its rounding
        self.error = (queries.shape[1] + 2) * 2.0**-23 * longest[0] * longest[1]
        place = np.full(len(split.images), -1, np.int64)
        place[images] = np.arange(len(images))
        asked = [split.queries[row] for row in rows]
        gone = [(n, i) for n, q in enumerate(asked) for i in (q.source, *q.exclude)] if split.protocol.exclude_source else []
        query, image = np.array(gone, np.int64).reshape(-1, 2).T
        inside = place[image] >= 0
        self.barred = query[inside], place[image[inside]]  # pairs that are no candidates, query by query
        label = {text: n for n, text in enumerate(dict.fromkeys(image.label for image in split.images))}
        label_g = np.array([label[split.images[i].label] for i in images], np.int64)
        order = np.argsort(label_g, kind="stable")
        wanted = np.array([label.get(q.target_label, -1) for q in asked], np.int64)
        first, stop = (np.searchsorted(label_g[order], wanted, side) for side in ("left", "right"))
        query = np.repeat(np.arange(len(rows)), stop - first)
        image = order[np.arange(len(query)) - np.repeat(np.cumsum(stop - first) - stop, stop - first)]
        right = ~np.isin(query * len(images) + image, self.barred[0] * len(images) + self.barred[1])
        self.right = query[right], image[right]  # pairs that are hits, query by query

    def cosine(self, query: np.ndarray, image: np.ndarray) -> np.ndarray:
        """Of queries (n,) with one image each (n,) or several (n, k): in double precision, rounded to single."""
        found = np.empty(image.shape, np.float32)
        step = max(1, 1024 * len(image) // max(1, image.size))
        for low in range(0, len(image), step):
            some = slice(low, low + step)
            a = torch.from_numpy(self.vectors.numpy().take(image[some], 0)).double()
            b = torch.from_numpy(self.queries.numpy().take(self.rows[query[some]], 0)).double()
            found[some] = a.mul_(b if image.ndim == 1 else b[:, None]).sum(-1).float().numpy()
        return found

    def rank(self, some: slice, keep: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ranks (n,), and the first images and their cosines (n, keep), -inf where there are fewer, of a chunk of queries."""
        at = np.arange(len(self.rows))[some]
        score = self._scores(at)
        query, image = self._of(self.barred, at)
        score[torch.from_numpy(query - at[0]), torch.from_numpy(image)] = -torch.inf
        best, best_image = self._best(at)
        answered = np.isfinite(best)
        middle = torch.from_numpy(np.where(answered, best, np.inf).astype(np.float32))[:, None]
        flags = self.flags[: len(at)]
        surely = torch.count_nonzero(torch.gt(score, middle + self.error, out=flags), 1).numpy()
        close = torch.count_nonzero(torch.ge(score, middle - self.error, out=flags), 1).numpy() - surely
        ranks = np.where(answered, 1 + surely, 0)
        crowded = np.flatnonzero(answered & (close > MANY))
        if len(crowded):
            exact, cut = self._exact(at[crowded]), middle[crowded]
            earlier = torch.arange(exact.shape[1]) < torch.from_numpy(best_image[crowded])[:, None]
            ranks[crowded] = 1 + torch.count_nonzero((exact > cut) | ((exact == cut) & earlier), 1).numpy()
        unclear = np.flatnonzero(answered & (close > 1) & (close <= MANY))  # 1 is the answer itself
        if len(unclear):
            part, bounds = score[unclear], middle[unclear]
            row, image = ((part >= bounds - self.error) & (part <= bounds + self.error)).nonzero(as_tuple=True)
            row, image = unclear[row.numpy()], image.numpy()
            exact = self.cosine(at[row], image)
            ahead = (exact > best[row]) | ((exact == best[row]) & (image < best_image[row]))
            ranks += np.bincount(row[ahead], minlength=len(at))
        return ranks, *self._top(at, score, keep)

    def _scores(self, at: np.ndarray) -> Tensor:
        """Cosines in single precision (n, g), in memory that every chunk uses again.

        The product is formed as (g, n) and turned over, a part of the gallery at a time: with the long side first, the kernels
        take two thirds of the time.
        """
        if len(at) != self.product.shape[1]:
            self.product = self.vectors.new_empty(PART, len(at))
        if len(at) > len(self.scores):
            self.scores = self.vectors.new_empty(len(at), len(self.vectors))
            self.flags = torch.empty(len(at), len(self.vectors), dtype=torch.bool)
        score, asked = self.scores[: len(at)], self.queries[torch.from_numpy(self.rows[at])].T
        for low in range(0, len(self.vectors), PART):
            part = self.vectors[low:low + PART]
            score[:, low:low + PART] = torch.mm(part, asked, out=self.product[: len(part)]).T
        return score

    def _exact(self, at: np.ndarray) -> Tensor:
        """Every cosine of some queries (n, g), in double precision, rounded to single; what is no candidate is -inf."""
        exact = (self.queries[torch.from_numpy(self.rows[at])].double() @ self.vectors.double().T).float()
        for row, n in enumerate(at):
            exact[row, self._of(self.barred, at=np.array([n]))[1]] = -torch.inf
        return exact

    def _best(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each query's right image that comes first, and its cosine: -inf where the gallery has none."""
        query, right = self._of(self.right, at)
        exact = self.cosine(query, right)
        order = np.lexsort((right, -exact, query))  # within a query: larger first, of equal ones the earlier
        answered, firsts = np.unique(query[order], return_index=True)
        best, image = np.full(len(at), -np.inf, np.float32), np.zeros(len(at), np.int64)
        best[answered - at[0]], image[answered - at[0]] = exact[order[firsts]], right[order[firsts]]
        return best, image

    @staticmethod
    def _of(pairs: tuple[np.ndarray, np.ndarray], at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pairs of a run of queries."""
        low, high = np.searchsorted(pairs[0], [at[0], at[-1] + 1])
        return pairs[0][low:high], pairs[1][low:high]

    def _top(self, at: np.ndarray, score: Tensor, keep: int) -> tuple[np.ndarray, np.ndarray]:
        keep = min(keep, score.shape[1])
        found = score.topk(min(keep + 8, score.shape[1]), 1)
        image, rough = found.indices.numpy(), found.values.numpy()
        exact = np.full_like(rough, -np.inf)
        exact[:, :keep] = self.cosine(at, image[:, :keep])
        if keep:  # what comes after may still belong before
            row, column = np.nonzero(rough[:, keep:] >= rough[:, keep - 1:keep] - 2 * self.error)
            exact[row, keep + column] = self.cosine(at[row], image[row, keep + column])
        exact[rough == -np.inf] = -np.inf
        order = np.lexsort((image, -exact), axis=1)[:, :keep]  # larger first, of equal ones the earlier
        images, cosines = np.take_along_axis(image, order, 1), np.take_along_axis(exact, order, 1)
        if keep and found.values.shape[1] < score.shape[1]:  # rows with more near ties than were fetched
            crowded = np.flatnonzero((rough[:, -1] >= rough[:, keep - 1] - 2 * self.error) & (rough[:, -1] > -np.inf))
            for low in range(0, len(crowded), 16):  # sorting needs room
                some = crowded[low:low + 16]
                ordered = self._exact(at[some]).sort(dim=1, descending=True, stable=True)
                images[some], cosines[some] = ordered.indices[:, :keep].numpy(), ordered.values[:, :keep].numpy()
        return images, cosines
