"""A split ranked under its protocol: against a naive oracle with many ties; tables, explorers and search agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from galleries import cases, split_of, tied_split, vectors_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from maaf_lab.analysis.overview import first_results
from maaf_lab.data.split import Image, Protocol, Query, Split
from maaf_lab.data.text import join
from maaf_lab.data.transforms import normalize_pixels
from maaf_lab.plots.overview import overview_figure
from maaf_lab.retrieval.folder_gallery import FolderGallery
from maaf_lab.retrieval.gallery import Gallery, rank
from maaf_lab.retrieval.relevance import Relevance


def slow_rank(queries, gallery, split):
    """For each query: the rank of the first relevant image, and the ids in order; one comparison after another."""
    cosines = (queries.double() @ gallery.double().T).float().tolist()
    out = []
    for q, row in zip(split.queries, cosines, strict=True):
        candidates = []
        for i, image in enumerate(split.images):
            if split.protocol.exclude_source and i == q.source:
                continue
            if split.protocol.gallery == "category" and q.category not in image.categories:
                continue
            candidates.append(i)
        order = sorted(candidates, key=lambda i: (-row[i], i))
        found = next((n + 1 for n, i in enumerate(order) if split.images[i].label == q.target_label), 0)
        out.append((found, [split.images[i].id for i in order], [row[i] for i in order]))
    return out


@pytest.mark.parametrize("exclude_source", [True, False])
@pytest.mark.parametrize("gallery", ["split", "category"])
@pytest.mark.parametrize("seed", [0, 1])
def test_rank_equals_the_oracle_query_by_query(exclude_source, gallery, seed):
    split, queries, vectors = tied_split(exclude_source, gallery, seed=seed)
    found = rank(queries, vectors, split, keep=8, chunk=16, progress=False)
    slow = slow_rank(queries, vectors, split)
    assert found.frame["rank"].tolist() == [one for one, *_ in slow]
    assert [list(row) for row in found.frame["top"]] == [ids[:8] for _, ids, _ in slow]
    assert [list(row) for row in found.frame["scores"]] == [scores[:8] for *_, scores in slow]
    assert found.protocol == split.protocol.describe()
    for k in (1, 3, 10):
        assert found.hits(k).tolist() == [float(1 <= one <= k) for one, *_ in slow]
    assert (found.frame["rank"] == 0).any()  # queries without a target, and targets outside the gallery
    assert found.frame["source"].tolist() == [split.images[q.source].id for q in split.queries]
    assert found.frame["text"].tolist() == [join(q.texts) for q in split.queries]


def test_the_toy_split_is_hard_enough():
    """Protocols differ on it, ties decide ranks, labels are shared."""
    ranks = set()
    for exclude_source in (True, False):
        for gallery in ("split", "category"):
            split, queries, vectors = tied_split(exclude_source, gallery)
            ranks.add(tuple(one for one, *_ in slow_rank(queries, vectors, split)))
    assert len(ranks) == 4
    split, queries, vectors = tied_split()
    cosine = (queries.double() @ vectors.double().T).float()
    assert all(len(set(row.tolist())) <= 7 for row in cosine)
    assert len({image.label for image in split.images}) < len(split.images)


def test_random_vectors_without_ties_too():
    split, _, _ = tied_split()
    random = torch.Generator().manual_seed(0)
    queries = normalize(torch.randn(90, 16, generator=random), dim=-1)
    vectors = normalize(torch.randn(60, 16, generator=random), dim=-1)
    found = rank(queries, vectors, split, progress=False)
    assert found.frame["rank"].tolist() == [one for one, *_ in slow_rank(queries, vectors, split)]


@pytest.mark.parametrize("gallery", ["split", "category"])
def test_chunks_and_repetition_change_nothing(gallery):
    split, queries, vectors = tied_split(gallery=gallery)
    first = rank(queries, vectors, split, chunk=1000, progress=False)
    for chunk in (1, 7, 89, 90, 1000):
        pd.testing.assert_frame_equal(rank(queries, vectors, split, chunk=chunk, progress=False).frame, first.frame)


@pytest.mark.parametrize("many", [1, 3, 10_000])
def test_a_gallery_that_is_all_the_same(monkeypatch, many):
    """A model that has collapsed: every cosine is a close call, and order in the split decides."""
    monkeypatch.setattr("maaf_lab.retrieval.gallery.PAIRS_AT_ONCE", many)
    monkeypatch.setattr("maaf_lab.retrieval.gallery.IMAGES_AT_ONCE", many)
    split, queries, vectors = tied_split(images=200, queries=40)
    same = vectors[:1] + 1e-9 * torch.randn(200, 5)
    for gallery in (same, torch.cat([same[:150], vectors[150:]])):
        found, slow = rank(queries, gallery, split, chunk=7, progress=False), slow_rank(queries, gallery, split)
        assert found.frame["rank"].tolist() == [one for one, *_ in slow]
        assert [list(row) for row in found.frame["top"]] == [ids[:10] for _, ids, _ in slow]


def test_more_kept_than_there_are_images():
    split, queries, vectors = tied_split(images=6, queries=9)
    found = rank(queries, vectors, split, keep=50, progress=False)
    assert [list(row) for row in found.frame["top"]] == [ids for _, ids, _ in slow_rank(queries, vectors, split)]
    assert all(len(row) == 5 for row in found.frame["top"])  # its own reference is never listed


def test_a_target_outside_the_gallery_is_rank_zero():
    images = [Image("a", None, "x", ("dress",)), Image("b", None, "y", ("shirt",)), Image("c", None, "z", ("dress",))]
    queries = [Query(0, ("t",), "y", 1, "dress"), Query(0, ("t",), "z", 2, "dress"), Query(0, ("t",), "x", 0, "dress")]
    split = Split("toy", images, queries, Protocol("category", True))
    found = rank(torch.eye(3), torch.eye(3), split, progress=False)
    assert found.frame["rank"].tolist() == [0, 1, 0]  # in no dress gallery; relevant; only the excluded reference itself
    assert found.hits(50).tolist() == [0, 1, 0]


@pytest.mark.parametrize("seed", range(4))
def test_near_ties_are_decided_as_in_double_precision(seed):
    """Gallery vectors that differ in the last bits: single precision alone would order them by chance."""
    random = np.random.default_rng(seed)
    base = random.standard_normal((4, 64))
    vectors = base[random.integers(4, size=80)] + 3e-8 * random.standard_normal((80, 64))
    split, _, _ = tied_split(images=80, queries=60, seed=seed)
    asked = base[random.integers(4, size=60)] + 0.1 * random.standard_normal((60, 64))
    queries, gallery = (normalize(torch.from_numpy(v).float(), dim=1) for v in (asked, vectors))
    found = rank(queries, gallery, split, keep=30, chunk=13, progress=False)
    slow = slow_rank(queries, gallery, split)
    assert found.frame["rank"].tolist() == [one for one, *_ in slow]
    assert [list(row) for row in found.frame["top"]] == [ids[:30] for _, ids, _ in slow]
    assert len({row[0] for row in found.frame["scores"]}) > 10


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases.filter(lambda case: case["images"] and case["queries"]), st.sampled_from(["split", "category"]), st.booleans())
def test_table_explorer_and_search_agree(case, gallery, exclude):
    """One query after another in the whole gallery, as explorers ask, and all at once in chunks, as tables do."""
    queries, vectors = vectors_of(**case)
    split = split_of(gallery, case["images"], case["queries"], case["seed"], exclude)
    table, relevance, whole = rank(queries, vectors, split, chunk=4, progress=False), Relevance(split), Gallery(vectors)
    ids = np.array([image.id for image in split.images], object)
    folder = FolderGallery("folder", tuple(ids), tuple(ids), vectors.numpy())
    for q, query in enumerate(split.queries):
        gone = np.flatnonzero(~relevance.candidates(q))
        expected = {query.source, *query.exclude} if exclude else set()
        if gallery == "category":
            expected |= {i for i, image in enumerate(split.images) if query.category not in image.categories}
        assert set(gone.tolist()) == expected
        expected_rank = table.column("rank")[q]
        found = whole.rank(queries[q][None], relevance.relevant(np.array([q])), (0 * gone, gone), keep=0)
        assert found.ranks.tolist() == [expected_rank]
        hits = whole.search(queries[q], len(ids), gone)
        relevant = relevance.is_relevant(hits.images, q)
        assert expected_rank == (1 + relevant.argmax() if relevant.any() else 0)
        assert ids[hits.images[:10]].tolist() == list(table.frame["top"][q])
        assert np.array_equal(hits.scores[:10], table.frame["scores"][q])
        assert folder.search(queries[q], len(ids), gone).images.tolist() == hits.images.tolist()


def test_the_overview_shows_what_a_table_ranks_first(made_model, css_test, css_test_cache):
    """On a gallery of few directions, where ties decide."""
    model, rows = made_model("maaf"), [0, 7, 30]
    _, gallery = vectors_of(9, len(css_test.images), 0, model.config.width, "tied")
    asked = [
        model.embed_query(normalize_pixels(css_test_cache.batch([css_test.queries[q].source])), list(css_test.queries[q].texts))
        for q in rows
    ]
    split = replace(css_test, queries=[css_test.queries[q] for q in rows])
    top = rank(torch.cat(asked).detach(), gallery, split, progress=False).frame["top"]
    figure = overview_figure(first_results(model, css_test, css_test_cache, gallery, rows))
    place = {image.id: i for i, image in enumerate(css_test.images)}
    for n in range(len(rows)):
        shown = [axis.images[0].get_array() for axis in figure.axes[8 * n + 2 : 8 * n + 7]]
        assert all(np.array_equal(a, css_test_cache.image(place[b])) for a, b in zip(shown, top[n][:5], strict=True))
