"""The one search and the one rank of the lab: everything that orders images by cosine uses it, and so gets the same order.

Cosines are computed in double precision and rounded to single; of equal ones the earlier image comes first. Only close calls
are computed that way: where two products in single precision differ by more than their largest possible error, they decide.
Vectors stay on their device, and every device, chunk and order of sums gives the same ranks and the same cosines.

Shapes: Q queries, G gallery images, D width, K results kept a query; n queries of a chunk, m candidates of a query, P pairs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from maaf_lab.data.split import Split
from maaf_lab.data.text import join
from maaf_lab.errors import ConfigError
from maaf_lab.retrieval.rankings import Rankings
from maaf_lab.retrieval.relevance import Pairs, Relevance

IMAGES_AT_ONCE = 2048  # gallery images multiplied at once: the product stays in the processor's cache
PAIRS_AT_ONCE = 256  # pairs whose cosines are computed at once in double precision
SPARE = 8  # candidates beyond the first k that are compared at first
MANY_CLOSE = 0.05  # share of close calls among all pairs from which on all pairs are multiplied
TOLERANCE = 0.01  # how far from 1 a unit vector's length may be, rounding included


class Hits(NamedTuple):
    """What a search found, best first: images (k,) int64, indices into the gallery; scores (k,) float32, cosines."""

    images: np.ndarray
    scores: np.ndarray


class Ranked(NamedTuple):
    """ranks (Q,): of the first relevant image, from 1; 0 where there is none. images, scores (Q, K): the first K images and
    their cosines; where there are fewer candidates than K, the cosine is -inf and the image means nothing."""

    ranks: np.ndarray
    images: np.ndarray
    scores: np.ndarray


class Index(Protocol):
    """Finds candidates; `Gallery` computes their cosines exactly and orders them."""

    def nearest(self, queries_nD: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """At least k candidates per query, in any order: their cosines in single precision, and images, both (n, m)."""


class Scan:
    """The exact index: every product of every query with every image."""

    def __init__(self, vectors_GD: Tensor) -> None:
        self.vectors = vectors_GD
        self.images = torch.arange(len(vectors_GD), device=vectors_GD.device)

    def nearest(self, queries_nD: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """All images, whatever k."""
        return self.cosines(queries_nD), self.all_images(len(queries_nD))

    def all_images(self, n: int) -> Tensor:
        """The numbers of all images, for each of n queries: (n, G)."""
        return self.images.expand(n, -1)

    def cosines(self, queries_nD: Tensor, out: Tensor | None = None, product: Tensor | None = None) -> Tensor:
        """(n, G). out, product: memory to reuse, for the result and for IMAGES_AT_ONCE * n numbers.

        The product is computed as (G, n) and transposed, a part of the gallery at a time: with the long side first, the kernels
        take two thirds of the time. For a single query, numpy's product takes half the time of torch's.
        """
        vectors, n = self.vectors, len(queries_nD)
        if n == 1 and vectors.device.type == "cpu":
            return torch.from_numpy(vectors.numpy() @ queries_nD[0].numpy())[None]
        out = vectors.new_empty(n, len(vectors)) if out is None else out
        product = vectors.new_empty(IMAGES_AT_ONCE * n) if product is None else product
        for low in range(0, len(vectors), IMAGES_AT_ONCE):
            part = vectors[low : low + IMAGES_AT_ONCE]
            room = product[: len(part) * n].view(len(part), n)
            out[:, low : low + IMAGES_AT_ONCE] = torch.mm(part, queries_nD.T, out=room).T
        return out


class Gallery:
    """Unit vectors of images (G, D), searched and ranked.

    vectors: a tensor on any device, or an array (a read-only memory map too); other types than float32 are copied.
    index: finds the candidates for `search`, by default every image. `rank` always counts every image.
    Raises ConfigError for vectors of another length than 1 (or 0: a text without a word may give it), or not finite.
    """

    def __init__(self, vectors: Tensor | np.ndarray, index: Index | None = None) -> None:
        self.vectors = _tensor(vectors)
        if self.vectors.ndim != 2:
            raise ConfigError(f"Gallery: expected vectors (G, D), found {tuple(self.vectors.shape)}")
        if self.vectors.device.type == "mps":  # which has no double precision
            self.vectors = self.vectors.cpu()
        _check_lengths(self.vectors, "Gallery")
        self.scan = Scan(self.vectors)
        self.index = index or self.scan
        # largest error of a product of length D in single precision, in any order of its sums, and of its rounding
        self.error = (self.vectors.shape[1] + 2) * 2.0**-23 * (1 + TOLERANCE) ** 2

    def __len__(self) -> int:
        return len(self.vectors)

    @torch.no_grad()
    def search(self, vector: np.ndarray | Tensor, k: int, without: Iterable[int] | np.ndarray = ()) -> Hits:
        """The k images nearest to a unit vector (D,); of equal ones the earlier first. Fewer than k where there are no more.

        without: indices of images to leave out, or a mask (G,) of them.
        Raises ConfigError for a k that is no whole number of at least 1 and for anything but a unit vector (D,), IndexError for
        an index outside the gallery.
        """
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise ConfigError(f"search: expected k to be a whole number of at least 1, found {k!r}")
        query, width = _tensor(vector).to(self.vectors.device), self.vectors.shape[1]
        if query.shape != (width,) or not query.isfinite().all():
            found = tuple(query.shape) if query.shape != (width,) else "numbers that are not finite"
            raise ConfigError(f"search: expected one vector {(width,)}, found {found}")
        left_out = self._left_out(without)
        queries = query[None]
        _check_lengths(queries, "search")
        k = min(k, len(self) - len(left_out))
        if k < 1:
            return Hits(np.empty(0, np.int64), np.empty(0, np.float32))
        candidate = torch.ones(len(self), dtype=torch.bool, device=self.vectors.device)
        candidate[torch.from_numpy(left_out).to(candidate.device)] = False
        many = k + len(left_out)
        with _in_single_precision(self.vectors.device):
            while True:  # until no image that the index did not return can be among the first k
                many = min(2 * many, len(self))
                rough, image = self.index.nearest(queries, many)
                least = rough.min()
                rough = rough.masked_fill(~candidate[image], -torch.inf) if len(left_out) else rough
                if rough.shape[1] == len(self) or least < rough.topk(k).values[0, -1] - 2 * self.error:
                    break
        _, image, cosine = self._first(queries, rough, image, k)
        return Hits(image.cpu().numpy(), cosine.cpu().numpy())

    @torch.no_grad()
    def rank(
        self,
        queries: Tensor | np.ndarray,
        relevant: Pairs,
        without: Pairs | None = None,
        *,
        keep: int = 10,
        chunk: int = 128,
        progress: Callable[[int], object] = lambda done: None,
    ) -> Ranked:
        """The rank of the first relevant image of each query (Q, D), and the first `keep` images; memory grows with `chunk` only.

        relevant, without: pairs of a query and an image, in any order: the relevant images, and those to leave out, relevant or
        not. progress: called after each chunk with its number of queries.
        """
        queries = _tensor(queries).to(self.vectors.device)
        _check_lengths(queries, "rank")
        keep, empty = min(keep, len(self)), (np.empty(0, np.int64), np.empty(0, np.int64))
        relevant, without = _by_query(relevant), _by_query(without or empty)
        candidate = ~np.isin(*(query * len(self) + image for query, image in (relevant, without)))
        relevant = relevant[0][candidate], relevant[1][candidate]
        found = Ranked(
            np.zeros(len(queries), np.int64),
            np.zeros((len(queries), keep), np.int64),
            np.full((len(queries), keep), -np.inf, np.float32),
        )
        n = min(chunk, len(queries))
        score, product, flag = (
            self.vectors.new_empty(size, dtype=dtype)
            for size, dtype in (
                ((n, len(self)), torch.float32),
                ((IMAGES_AT_ONCE * n,), torch.float32),
                ((n, len(self)), torch.bool),
            )
        )
        for low in range(0, len(queries), chunk):
            part = queries[low : low + chunk]
            n = len(part)
            with _in_single_precision(self.vectors.device):
                rough = self.scan.cosines(part, score[:n], product)
            rough[self._pairs_of(without, low, n)] = -torch.inf
            found.ranks[low : low + n] = self._ranks(part, rough, flag[:n], *self._pairs_of(relevant, low, n)).cpu().numpy()
            if keep:
                row, image, cosine = (t.cpu().numpy() for t in self._first(part, rough, self.scan.all_images(n), keep))
                column = np.arange(len(row)) - np.searchsorted(row, row)
                found.images[low + row, column], found.scores[low + row, column] = image, cosine
            progress(n)
        return found

    def _ranks(self, queries: Tensor, rough: Tensor, flag: Tensor, row: Tensor, image: Tensor) -> Tensor:
        """Ranks (n,) of queries (n, D) from rough cosines (n, G) and pairs (P,) of a query and a relevant image.

        Say the best relevant image has the cosine 0.8 and the error is 0.001. Images above 0.801 are ahead of it, those below
        0.799 behind; only the close calls between are computed exactly, to be counted if they are ahead.
        flag (n, G): memory to reuse.
        """
        cosine, nowhere = self._cosines(queries, row, image), len(self)
        best = torch.full_like(queries[:, 0], -torch.inf).scatter_reduce(0, row, cosine, "amax")
        first = cosine == best[row]
        best_image = torch.full_like(best, nowhere, dtype=torch.int64).scatter_reduce(0, row[first], image[first], "amin")
        none_relevant = best_image == nowhere
        bound = best.masked_fill(none_relevant, torch.inf)[:, None]
        ahead = torch.count_nonzero(torch.gt(rough, bound + self.error, out=flag), 1)
        close = torch.count_nonzero(torch.ge(rough, bound - self.error, out=flag), 1) - ahead
        with_close = (close > 1).nonzero()[:, 0]  # 1 is the relevant image itself
        if len(with_close):
            part, bound = rough[with_close], bound[with_close]
            row, image = ((part >= bound - self.error) & (part <= bound + self.error)).nonzero(as_tuple=True)
            row = with_close[row]
            cosine = self._cosines(queries, row, image)
            before = (cosine > best[row]) | ((cosine == best[row]) & (image < best_image[row]))
            ahead = ahead.index_add(0, row, before.long())
        return (1 + ahead).masked_fill(none_relevant, 0)

    def _first(self, queries: Tensor, rough: Tensor, images: Tensor, keep: int) -> tuple[Tensor, Tensor, Tensor]:
        """The first `keep` of the candidates (n, m) of each query, best first: rows (P,), images (P,), cosines (P,).

        Say the tenth rough cosine is 0.7 and the error is 0.001. Ten images have cosines of at least 0.699, so an image of the
        first ten has a rough cosine of at least 0.698: those are computed exactly and sorted, and ten are kept.
        """
        found, column = rough.topk(min(keep + SPARE, rough.shape[1]), 1)
        least = (found[:, keep - 1 : keep] - 2 * self.error).clamp(min=-2.0)  # above the -inf of what is left out
        if column.shape[1] < rough.shape[1] and (found[:, -1:] >= least).any():  # more close calls than SPARE
            row, column = (rough >= least).nonzero(as_tuple=True)
        else:
            row, position = (found >= least).nonzero(as_tuple=True)
            column = column[row, position]
        image = images[row, column]
        cosine = self._cosines(queries, row, image)
        order = image.argsort(stable=True)
        order = order[cosine[order].argsort(stable=True, descending=True)]
        order = order[row[order].argsort(stable=True)]
        row = row[order]
        first = torch.arange(len(row), device=row.device) - torch.searchsorted(row, row) < keep
        return row[first], image[order][first], cosine[order][first]

    def _cosines(self, queries: Tensor, row: Tensor, image: Tensor) -> Tensor:
        """Of pairs (P,), in double precision, rounded to single: the values of `_one_by_one`, however they are computed."""
        if len(row) < MANY_CLOSE * len(self) * len(queries):
            return self._one_by_one(queries, row, image)
        found, queries_64 = queries.new_empty(len(row), dtype=torch.float64), queries.double()
        for low in range(
            0, len(self), IMAGES_AT_ONCE
        ):  # where a model hardly tells images apart, all products cost less than many pairs
            part = ((image >= low) & (image < low + IMAGES_AT_ONCE)).nonzero()[:, 0]
            found[part] = (queries_64 @ self.vectors[low : low + IMAGES_AT_ONCE].double().T)[row[part], image[part] - low]
        error = (queries.shape[1] + 2) * 2.0**-51  # of both ways together
        cosine = found.float().add_(0.0)
        close = ((found - error).float() != (found + error).float()).nonzero()[:, 0]  # to where single precision rounds
        cosine[close] = self._one_by_one(queries, row[close], image[close])
        return cosine

    def _one_by_one(self, queries: Tensor, row: Tensor, image: Tensor) -> Tensor:
        """Cosines of pairs (P,), the same in every order of sums.

        Adding and subtracting 3 rounds a product to a multiple of 2**-52. Sums of such numbers below 2 are exact, so the order
        in which a device adds them changes nothing.
        """
        found = queries.new_empty(len(row))
        for low in range(0, len(row), PAIRS_AT_ONCE):
            some = slice(low, low + PAIRS_AT_ONCE)
            product = self.vectors.index_select(0, image[some]).double().mul_(queries.index_select(0, row[some]))
            found[some] = product.add_(3.0).sub_(3.0).sum(1).add_(0.0)  # no -0, which some devices sort before 0
        return found

    def _pairs_of(self, pairs: Pairs, low: int, n: int) -> tuple[Tensor, Tensor]:
        """The pairs of the n queries from `low` on, numbered from 0, on the device of the vectors."""
        first, stop = np.searchsorted(pairs[0], [low, low + n])
        return tuple(torch.from_numpy(side[first:stop]).to(self.vectors.device) for side in (pairs[0] - low, pairs[1]))

    def _left_out(self, without: Iterable[int] | np.ndarray) -> np.ndarray:
        """The indices that `without` names, each once."""
        if isinstance(without, np.ndarray) and without.dtype == bool:
            return np.flatnonzero(without)
        indices = np.unique(np.fromiter(without, np.int64))
        if len(indices) and not 0 <= indices[0] <= indices[-1] < len(self):
            raise IndexError(f"search: without: expected indices from 0 to {len(self) - 1:,}, found {indices.tolist()[:5]}")
        return indices


def _tensor(vectors: Tensor | np.ndarray) -> Tensor:
    if isinstance(vectors, Tensor):
        return vectors.detach().float()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable")  # nothing here writes to it
        return torch.from_numpy(np.asarray(vectors, np.float32))


def _check_lengths(vectors_nD: Tensor, what: str) -> None:
    lengths = vectors_nD.norm(dim=1)
    wrong = lengths[~(((lengths - 1).abs() <= TOLERANCE) | (lengths == 0))]  # NaN is wrong too
    if len(wrong):
        raise ConfigError(
            f"{what}: expected vectors of length 1, found one of length {float(wrong[0]):.3g}; "
            "divide by their length, or look for the step of training at which the model broke"
        )


def _by_query(pairs: Pairs) -> Pairs:
    query, image = (np.asarray(side, np.int64) for side in pairs)
    order = np.argsort(query, kind="stable")
    return query[order], image[order]


@contextmanager
def _in_single_precision(device: torch.device) -> Iterator[None]:
    """Inside, products have the error that `Gallery` allows for, whatever precision a training around it has set."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


# --- a split ----------------------------------------------------------------------------------------------------------


def rank(queries: Tensor, gallery: Tensor, split: Split, *, keep: int = 10, chunk: int = 128, progress: bool = True) -> Rankings:
    """Rank the gallery for every query under the split's protocol, on the gallery's device.

    queries (Q, D) and gallery (G, D) are unit vectors, a row per query and per image of the split. Order and ties: see `Gallery`.
    """
    import pandas as pd

    ranks, relevance = np.zeros(len(queries), np.int64), Relevance(split)
    tops, scores = np.empty(len(queries), object), np.empty(len(queries), object)  # of arrays, as from a file
    ids = np.array([image.id for image in split.images], object)
    bar = tqdm(total=len(queries), desc="rank", unit="query", disable=not progress, mininterval=0.5)
    for rows, images in relevance.galleries():
        index = np.full(len(split.images), -1, np.int64)
        index[images] = np.arange(len(images))
        pairs = [_inside(index, kind(rows)) for kind in (relevance.relevant, relevance.excluded)]
        found = Gallery(_rows(gallery, images)).rank(_rows(queries, rows), *pairs, keep=keep, chunk=chunk, progress=bar.update)
        ranks[rows] = found.ranks
        names, counts = ids[images[found.images]], np.isfinite(found.scores).sum(1).tolist()
        for n, (row, count) in enumerate(zip(rows.tolist(), counts, strict=True)):
            tops[row], scores[row] = names[n, :count], found.scores[n, :count]
    bar.close()
    frame = pd.DataFrame(
        {
            "query": np.arange(len(queries)),
            "source": [ids[q.source] for q in split.queries],
            "text": [join(q.texts) for q in split.queries],
            "target_label": [q.target_label for q in split.queries],
            "category": [q.category for q in split.queries],
            "rank": ranks,
            "top": tops,
            "scores": scores,
        }
    )
    return Rankings(frame, split.protocol.describe())


def _rows(vectors: Tensor, rows: np.ndarray) -> Tensor:
    """Some rows, in rising order; a view where they follow one another."""
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return vectors[int(rows[0]) : int(rows[-1]) + 1]
    return vectors[torch.from_numpy(rows).to(vectors.device)]


def _inside(index: np.ndarray, pairs: Pairs) -> Pairs:
    """The pairs whose image is in the gallery, with its index there. index: of each image of the split, -1 outside."""
    query, image = pairs[0], index[pairs[1]]
    return query[image >= 0], image[image >= 0]
