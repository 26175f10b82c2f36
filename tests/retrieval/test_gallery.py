"""The one search and rank: against a naive oracle, through any index, on a device that is not the CPU."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from galleries import cases, split_of, vectors_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from maaf_lab.errors import ConfigError
from maaf_lab.retrieval.gallery import Gallery, Scan, rank


def order_of_all(queries, gallery, gone):
    """For each query: images in order and their cosines. The whole matrix in double precision, rounded; a stable sort."""
    cosines = (queries.double() @ gallery.double().T).float().numpy()
    orders = [[i for i in np.argsort(-row, kind="stable").tolist() if i not in out] for row, out in zip(cosines, gone)]
    return orders, [row[order] for row, order in zip(cosines, orders)]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(cases, st.integers(1, 50), st.integers(1, 7))
def test_search_and_rank_equal_a_full_sort(case, keep, chunk):
    queries, vectors = vectors_of(**case)
    random, gallery = np.random.default_rng(case["seed"]), Gallery(vectors)
    relevant, without = (
        [set(np.flatnonzero(random.random(len(vectors)) < share).tolist()) for _ in queries] for share in (0.1, 0.3)
    )
    orders, cosines = order_of_all(queries, vectors, without)
    pairs = [
        tuple(np.array([(q, i) for q, some in enumerate(sets) for i in sorted(some, reverse=True)], np.int64).reshape(-1, 2).T)
        for sets in (relevant, without)
    ]
    found = gallery.rank(queries, *pairs, keep=keep, chunk=chunk)
    assert found.images.shape == found.scores.shape == (len(queries), min(keep, len(vectors)))
    for q, (order, scores) in enumerate(zip(orders, cosines, strict=True)):
        assert found.ranks[q] == next((n for n, i in enumerate(order, 1) if i in relevant[q]), 0)
        some = np.isfinite(found.scores[q])
        assert some.sum() == min(keep, len(order)) and some[: some.sum()].all()
        assert found.images[q, some].tolist() == order[:keep] and np.array_equal(found.scores[q, some], scores[:keep])
        hits = gallery.search(queries[q], keep, without[q])
        assert hits.images.tolist() == order[:keep] and np.array_equal(hits.scores, scores[:keep])
        mask = np.isin(np.arange(len(vectors)), sorted(without[q]))
        assert gallery.search(queries[q], keep, mask).images.tolist() == order[:keep]


class Some:
    """An index that knows less than everything: the best k by rough cosines, shuffled."""

    def __init__(self, vectors):
        self.scan, self.asked = Scan(vectors), []

    def nearest(self, queries, k):
        self.asked.append(k)
        found = self.scan.cosines(queries).topk(k, 1)
        order = torch.randperm(k, generator=torch.Generator().manual_seed(k))
        return found.values[:, order], found.indices[:, order]


@pytest.mark.parametrize("kind", ["random", "tied", "near", "zero"])
def test_any_index_that_finds_the_nearest_gives_the_same_search(kind):
    queries, vectors = vectors_of(3, 300, 8, 16, kind)
    index = Some(vectors)
    exact, other = Gallery(vectors), Gallery(vectors, index)
    for asked in queries:
        for k, without in ((1, ()), (7, range(0, 300, 3)), (299, [5]), (400, ())):
            mine, theirs = exact.search(asked, k, without), other.search(asked, k, without)
            assert mine.images.tolist() == theirs.images.tolist() and np.array_equal(mine.scores, theirs.scores)
    if kind == "random":
        assert min(index.asked) == 2, "no more candidates than are needed"


def test_a_relevant_image_that_is_no_candidate_is_not_found():
    found = Gallery(np.eye(3)).rank(np.eye(3), ([0, 0, 1], [0, 2, 1]), ([0, 1], [0, 1]))
    assert found.ranks.tolist() == [2, 0, 0] and found.images[0, :2].tolist() == [1, 2]


@pytest.mark.parametrize("kind", ["random", "tied", "near", "zero", "sparse"])
def test_all_products_at_once_are_the_products_one_by_one(kind, monkeypatch):
    queries, vectors = (torch.eye(64)[:20], torch.eye(64)) if kind == "sparse" else vectors_of(4, 300, 20, 64, kind)
    pairs, found = (np.arange(20), np.arange(20)), []
    for share in (0, 2):
        monkeypatch.setattr("maaf_lab.retrieval.gallery.MANY_CLOSE", share)
        monkeypatch.setattr("maaf_lab.retrieval.gallery.IMAGES_AT_ONCE", 70)
        found.append(Gallery(vectors).rank(queries, pairs, keep=300))
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


def test_precision_that_a_training_has_set_changes_nothing():
    queries, vectors = vectors_of(1, 200, 20, 64, "near")
    pairs = np.arange(20), np.arange(20)
    plain = Gallery(vectors).rank(queries, pairs)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            other = Gallery(vectors).rank(queries, pairs)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert all(np.array_equal(a, b) for a, b in zip(plain, other, strict=True))


def test_sums_in_any_order_give_the_same_cosine():
    queries, vectors = vectors_of(2, 500, 2, 700, "random")
    order = torch.randperm(700, generator=torch.Generator().manual_seed(0))
    here = Gallery(vectors).search(queries[0], 500)
    there = Gallery(vectors[:, order]).search(queries[0, order], 500)
    assert np.array_equal(here.images, there.images) and np.array_equal(here.scores, there.scores)


def test_what_is_no_unit_vector_is_refused():
    broken = normalize(torch.randn(4, 8), dim=1)
    broken[2, 3] = torch.nan
    for vectors in (broken, 2 * np.eye(4, 8), 0.9 * np.eye(4, 8), np.diag([1, 1e-6, 1, 1])):
        with pytest.raises(ConfigError, match=r"expected vectors of length 1, found one of length (nan|2|0\.9|1e-06)"):
            Gallery(vectors)
        with pytest.raises(ConfigError, match="rank: expected vectors of length 1"):
            Gallery(np.eye(4, vectors.shape[1])).rank(vectors, ([0], [0]))
    with pytest.raises(ConfigError, match="search: expected vectors of length 1"):
        Gallery(np.eye(4, 8)).search(np.ones(8), 1)
    for k in (0, 1.5, 2.0, True, "3", None):
        with pytest.raises(ConfigError, match=r"search: expected k to be a whole number of at least 1, found "):
            Gallery(np.eye(4, 8)).search(np.eye(8)[0], k)
    assert Gallery(np.eye(4, 8)).search(np.eye(8)[0], np.int64(2)).images.tolist() == [0, 1]
    with pytest.raises(ConfigError, match=r"expected vectors \(G, D\), found \(8,\)"):
        Gallery(np.ones(8))


# --- a device ---------------------------------------------------------------------------------------------------------


class OnGpu(torch.Tensor):
    """For machines without a GPU: a tensor that is on another device (torch's `meta`), computes on the CPU all the same, and
    refuses to meet the CPU's tensors."""

    @staticmethod
    def __new__(cls, inside):
        return torch.Tensor._make_wrapper_subclass(cls, inside.shape, strides=inside.stride(), dtype=inside.dtype, device="meta")

    def __init__(self, inside):
        self.inside = inside

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs)


class PretendGpu(TorchFunctionMode):
    """Inside, tensors are moved to it and made on it."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.to and isinstance(args[1], torch.device):
            return OnGpu(bare(args[0])) if args[1].type == "meta" else bare(args[0])
        if func is torch.Tensor.__setitem__ and not isinstance(args[2], torch.Tensor):
            args = *args[:2], OnGpu(torch.tensor(args[2])) if isinstance(args[0], OnGpu) else args[2]
        if getattr(kwargs.get("device"), "type", "cpu") == "meta":
            return OnGpu(func(*args, **{**kwargs, "device": None}))
        return func(*args, **kwargs)


def computed(func, args, kwargs):
    name, kwargs = func.overloadpacket.__name__, dict(kwargs or {})
    given, device = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)], kwargs.get("device")
    on_gpu = any(isinstance(t, OnGpu) for t in given)
    if device is None and on_gpu and not all(isinstance(t, OnGpu) or (t.ndim == 0 and t.device.type == "cpu") for t in given):
        raise RuntimeError(f"{name}: expected all tensors on the same device")
    if device is not None:
        on_gpu, kwargs["device"] = torch.device(device).type == "meta", torch.device("cpu")
    out = func(*tree_map(bare, args), **tree_map(bare, kwargs))
    return tree_map(lambda t: OnGpu(t) if on_gpu and isinstance(t, torch.Tensor) else t, out)


def bare(value):
    return value.inside if isinstance(value, OnGpu) else value


@pytest.fixture
def gpu(monkeypatch):
    """gpu(tensor): the same one there."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which knows no such device
    with PretendGpu():
        yield OnGpu


@pytest.mark.parametrize("kind", ["random", "tied", "near", "zero"])
def test_vectors_stay_on_their_device_and_ranks_are_the_same(kind, gpu):
    queries, vectors = vectors_of(5, 90, 30, 16, kind)
    random = np.random.default_rng(0)
    pairs = (np.arange(30), random.integers(90, size=30)), (np.arange(30), random.integers(90, size=30))
    here, there = Gallery(vectors), Gallery(gpu(vectors))
    assert there.vectors.device.type == "meta"
    with pytest.raises(RuntimeError, match="same device"):
        there.vectors @ vectors.T
    for keep, chunk in ((5, 7), (90, 30)):
        expected = here.rank(queries, *pairs, keep=keep, chunk=chunk)
        for asked in (queries, gpu(queries)):
            found = there.rank(asked, *pairs, keep=keep, chunk=chunk)
            assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    for k, without in ((1, ()), (7, [3, 4])):
        for asked in (queries[0], queries[0].numpy()):
            assert all(map(np.array_equal, there.search(asked, k, without), here.search(asked, k, without)))


def test_a_split_is_ranked_where_its_vectors_are(gpu):
    queries, vectors = vectors_of(6, 60, 40, 8, "tied")
    split = split_of("category", 60, 40)
    here = rank(queries, vectors, split, progress=False)
    there = rank(gpu(queries), gpu(vectors), split, progress=False)
    assert here.frame.to_json() == there.frame.to_json()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", ["random", "tied", "near", "zero"])
def test_a_gpu_ranks_as_the_cpu_does(kind):
    queries, vectors = vectors_of(7, 5000, 500, 128, kind)
    pairs = (np.arange(500), np.arange(500)), (np.arange(500), np.arange(1, 501))
    here, there = Gallery(vectors).rank(queries, *pairs), Gallery(vectors.cuda()).rank(queries, *pairs)
    assert all(np.array_equal(a, b) for a, b in zip(here, there, strict=True))
