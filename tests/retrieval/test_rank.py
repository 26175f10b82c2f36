"""Ranks against a naive full-matrix oracle with many ties, embedding once an image, Rankings, intervals."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import normalize

from maaf_lab.data.split import Image, Protocol, Query, Split
from maaf_lab.data.text import join
from maaf_lab.data.transforms import build_transform
from maaf_lab.errors import RunError
from maaf_lab.retrieval.embed import embed_split
from maaf_lab.retrieval.gallery import rank
from maaf_lab.retrieval.metrics import bootstrap, paired_difference, recall, recalls
from maaf_lab.retrieval.rankings import Rankings

CATEGORIES = ("dress", "shirt", "toptee")


def toy(exclude_source=True, gallery="split", images=60, queries=90, seed=0):
    """A split with shared labels, several categories an image, equal embeddings; (split, query vectors, gallery vectors)."""
    random = np.random.default_rng(seed)
    made = []
    for i in range(images):
        wears = tuple(c for c in CATEGORIES if random.random() < 0.5) or ("dress",)
        made.append(Image(f"im{i:03d}", None, f"label {random.integers(images // 2)}", wears))
    asked = []
    for i in range(queries):
        target = int(random.integers(images))
        label = None if i % 17 == 3 else made[target].label
        asked.append(
            Query(
                int(random.integers(images)),
                (f"text {i}", "more"),
                label,
                None if label is None else target,
                CATEGORIES[i % 3] if gallery == "category" else None,
            )
        )
    split = Split("toy", made, asked, Protocol(gallery, exclude_source, (1, 5), "the label"), "toy", "a test")
    directions = normalize(torch.from_numpy(random.standard_normal((7, 5))).float(), dim=-1)  # 60 images, 7 directions: ties
    return split, directions[random.integers(7, size=queries)], directions[random.integers(7, size=images)]


def slow_rank(queries, gallery, split):
    """For each query: the place of the first right image, and the ids in order; one comparison after another."""
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
        place = next((n + 1 for n, i in enumerate(order) if split.images[i].label == q.target_label), 0)
        out.append((place, [split.images[i].id for i in order], [row[i] for i in order]))
    return out


@pytest.mark.parametrize("exclude_source", [True, False])
@pytest.mark.parametrize("gallery", ["split", "category"])
@pytest.mark.parametrize("seed", [0, 1])
def test_rank_equals_the_oracle_query_by_query(exclude_source, gallery, seed):
    split, queries, vectors = toy(exclude_source, gallery, seed=seed)
    found = rank(queries, vectors, split, keep=8, chunk=16, progress=False)
    slow = slow_rank(queries, vectors, split)
    assert found.frame["rank"].tolist() == [place for place, *_ in slow]
    assert [list(row) for row in found.frame["top"]] == [ids[:8] for _, ids, _ in slow]
    assert [list(row) for row in found.frame["scores"]] == [scores[:8] for *_, scores in slow]
    assert found.protocol == split.protocol.describe()
    for k in (1, 3, 10):
        assert found.hits(k).tolist() == [float(1 <= place <= k) for place, *_ in slow]
    assert (found.frame["rank"] == 0).any()  # queries without an answer, and answers outside the gallery
    assert found.frame["source"].tolist() == [split.images[q.source].id for q in split.queries]
    assert found.frame["text"].tolist() == [join(q.texts) for q in split.queries]


def test_the_toy_split_is_hard_enough():
    """Protocols differ on it, ties decide ranks, labels are shared."""
    places = set()
    for exclude_source in (True, False):
        for gallery in ("split", "category"):
            split, queries, vectors = toy(exclude_source, gallery)
            places.add(tuple(place for place, *_ in slow_rank(queries, vectors, split)))
    assert len(places) == 4
    split, queries, vectors = toy()
    cosine = (queries.double() @ vectors.double().T).float()
    assert all(len(set(row.tolist())) <= 7 for row in cosine)
    assert len({image.label for image in split.images}) < len(split.images)


def test_random_vectors_without_ties_too():
    split, _, _ = toy()
    random = torch.Generator().manual_seed(0)
    queries = normalize(torch.randn(90, 16, generator=random), dim=-1)
    vectors = normalize(torch.randn(60, 16, generator=random), dim=-1)
    found = rank(queries, vectors, split, progress=False)
    assert found.frame["rank"].tolist() == [place for place, *_ in slow_rank(queries, vectors, split)]


@pytest.mark.parametrize("gallery", ["split", "category"])
def test_chunks_and_repetition_change_nothing(gallery):
    split, queries, vectors = toy(gallery=gallery)
    first = rank(queries, vectors, split, chunk=1000, progress=False)
    for chunk in (1, 7, 89, 90, 1000):
        pd.testing.assert_frame_equal(rank(queries, vectors, split, chunk=chunk, progress=False).frame, first.frame)


@pytest.mark.parametrize("many", [1, 3, 10_000])
def test_a_gallery_that_is_all_the_same(monkeypatch, many):
    """A model that has collapsed: every cosine is a close call, and order in the split decides."""
    monkeypatch.setattr("maaf_lab.retrieval.gallery.PAIRS", many)
    monkeypatch.setattr("maaf_lab.retrieval.gallery.PART", many)
    split, queries, vectors = toy(images=200, queries=40)
    same = vectors[:1] + 1e-9 * torch.randn(200, 5)
    for gallery in (same, torch.cat([same[:150], vectors[150:]])):
        found, slow = rank(queries, gallery, split, chunk=7, progress=False), slow_rank(queries, gallery, split)
        assert found.frame["rank"].tolist() == [place for place, *_ in slow]
        assert [list(row) for row in found.frame["top"]] == [ids[:10] for _, ids, _ in slow]


def test_more_kept_than_there_are_images():
    split, queries, vectors = toy(images=6, queries=9)
    found = rank(queries, vectors, split, keep=50, progress=False)
    assert [list(row) for row in found.frame["top"]] == [ids for _, ids, _ in slow_rank(queries, vectors, split)]
    assert all(len(row) == 5 for row in found.frame["top"])  # its own reference is never listed


def test_an_answer_outside_the_gallery_is_rank_zero():
    images = [Image("a", None, "x", ("dress",)), Image("b", None, "y", ("shirt",)), Image("c", None, "z", ("dress",))]
    queries = [Query(0, ("t",), "y", 1, "dress"), Query(0, ("t",), "z", 2, "dress"), Query(0, ("t",), "x", 0, "dress")]
    split = Split("toy", images, queries, Protocol("category", True))
    found = rank(torch.eye(3), torch.eye(3), split, progress=False)
    assert found.frame["rank"].tolist() == [0, 1, 0]  # in no dress gallery; right; only the excluded reference itself
    assert found.hits(50).tolist() == [0, 1, 0]


@pytest.mark.parametrize("seed", range(4))
def test_near_ties_are_decided_as_in_double_precision(seed):
    """Gallery vectors that differ in the last bits: single precision alone would order them by chance."""
    random = np.random.default_rng(seed)
    base = random.standard_normal((4, 64))
    vectors = base[random.integers(4, size=80)] + 3e-8 * random.standard_normal((80, 64))
    split, _, _ = toy(images=80, queries=60, seed=seed)
    asked = base[random.integers(4, size=60)] + 0.1 * random.standard_normal((60, 64))
    queries, gallery = (normalize(torch.from_numpy(v).float(), dim=1) for v in (asked, vectors))
    found = rank(queries, gallery, split, keep=30, chunk=13, progress=False)
    slow = slow_rank(queries, gallery, split)
    assert found.frame["rank"].tolist() == [place for place, *_ in slow]
    assert [list(row) for row in found.frame["top"]] == [ids[:30] for _, ids, _ in slow]
    assert len({row[0] for row in found.frame["scores"]}) > 10


# --- embedding a split ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def part(css_test):
    """The first 50 images of the test split, and queries from them, a few of them on one reference."""
    queries = [q for q in css_test.queries if q.source < 50][:40]
    free = [Query(q.source, q.texts, css_test.images[q.source].label) for q in queries]  # targets may lie outside the 50
    return Split("part", css_test.images[:50], free, css_test.protocol, "css", "a test")


@pytest.mark.parametrize("name", ["maaf", "tirg", "image_only", "text_only"])
@pytest.mark.parametrize("chunk", [7, 256])
def test_embedding_a_split_equals_one_by_one(made_model, part, css_test_cache, name, chunk):
    model = made_model(name)
    queries, gallery = embed_split(model, part, css_test_cache, chunk=chunk, progress=False)
    prepare = build_transform("plain", 56)
    with torch.no_grad():
        for i in range(0, 50, 9):
            assert torch.allclose(gallery[i], model.embed_images(prepare.eval(css_test_cache.batch([i])))[0], atol=1e-5)
        for i in range(0, len(part.queries), 7):
            q = part.queries[i]
            one = model.embed_query(prepare.eval(css_test_cache.batch([q.source])), [join(q.texts)])[0]
            assert torch.allclose(queries[i], one, atol=1e-5)
    assert queries.shape == (len(part.queries), 32) and gallery.shape == (50, 32)


@pytest.mark.parametrize("chunk", [7, 50, 256])
def test_each_image_goes_through_the_backbone_once(made_model, part, css_test_cache, chunk):
    model, seen = made_model("maaf").train(), []
    model.backbone.register_forward_hook(lambda _m, inputs, _o: seen.extend(image.numpy().tobytes() for image in inputs[0]))
    embed_split(model, part, css_test_cache, chunk=chunk, progress=False)
    assert len(part.queries) > len({q.source for q in part.queries})
    assert len(seen) == 50 and len(set(seen)) == len({css_test_cache.image(i).tobytes() for i in range(50)})
    assert model.training  # as it was


# --- Rankings ---------------------------------------------------------------------------------------------------------


def rankings(ranks, sources=None, texts=None):
    n = len(ranks)
    return Rankings(
        pd.DataFrame(
            {
                "query": range(n),
                "source": sources or [f"s{i}" for i in range(n)],
                "text": texts or [f"t{i}" for i in range(n)],
                "target_label": ["x"] * n,
                "category": [None] * n,
                "rank": ranks,
                "top": [["a", "b"]] * n,
                "scores": [[0.5, 0.25]] * n,
            }
        ),
        "how it was ranked",
    )


def test_rankings_are_saved_and_loaded(tmp_path):
    split, queries, vectors = toy()
    before = rank(queries, vectors, split, progress=False)
    before.save(tmp_path / "rankings.parquet")
    after = Rankings.load(tmp_path / "rankings.parquet")
    assert after.protocol == before.protocol == split.protocol.describe()
    assert list(after.frame.columns) == list(before.frame.columns) and len(after) == len(before) == 90
    for name in ("query", "source", "text", "rank"):
        assert after.frame[name].tolist() == before.frame[name].tolist()
    assert [list(row) for row in after.frame["top"]] == [list(row) for row in before.frame["top"]]
    assert [list(row) for row in after.frame["scores"]] == [list(row) for row in before.frame["scores"]]
    assert after.frame["target_label"].isna().tolist() == [q.target_label is None for q in split.queries]
    assert [p.name for p in tmp_path.iterdir()] == ["rankings.parquet"]


def test_rankings_from_a_file_are_one_set_of_rankings(tmp_path):
    """Columns without pandas equal the frame's; a file that changes under them is told, not mixed in."""
    file = tmp_path / "rankings.parquet"
    before = rankings([1, 7, 0, 3])
    before.save(file)
    rankings([2, 2, 70_000, 2]).save_ranks(tmp_path, "css", "other")
    shared = tmp_path / before.save_ranks(tmp_path, "css", "one")
    assert len(list(tmp_path.glob("ranks-css-*.parquet"))) == 1
    assert Rankings.load_ranks(shared, "other", "").column("rank").tolist() == [2, 2, 70_000, 2]
    for path in (file, shared):
        after = Rankings.load(path) if path == file else Rankings.load_ranks(path, "one", before.protocol)
        if path == file:
            away = path.rename(tmp_path / "away.parquet")
            with pytest.raises(RunError, match="put it back"):
                _ = after.frame  # not made when it was loaded
            away.rename(path)
        assert len(after) == 4 and after.protocol == before.protocol and after.hits(3).tolist() == [1, 0, 0, 1]
        columns = {name: after.column(name).tolist() for name in ("query", "source", "text", "target_label", "category", "rank")}
        assert columns == {name: before.column(name).tolist() for name in columns}
        for name, values in columns.items():
            assert after.frame[name].isna().tolist() == [v is None for v in values]
            assert after.frame[name].dropna().tolist() == [v for v in values if v is not None]
        assert after.frame["top"].map(len).tolist() == ([0] * 4 if path == shared else before.frame["top"].map(len).tolist())
    old = Rankings.load(file)
    rankings([2, 7, 0, 3]).save(file)
    assert old.column("rank").tolist() == [1, 7, 0, 3] and old.column("text").tolist() == before.column("text").tolist()
    with pytest.raises(RunError, match=r"expected the rankings that it held when it was opened.*load it again"):
        _ = old.frame
    file.unlink()
    with pytest.raises(RunError, match="put it back"):
        _ = old.frame


def test_wrong_rankings_are_refused(tmp_path):
    good = rankings([1, 2])
    with pytest.raises(RunError, match="missing rank, scores"):
        Rankings(good.frame.drop(columns=["rank", "scores"]), "")
    with pytest.raises(RunError, match="negative"):
        rankings([1, -1])
    with pytest.raises(RunError, match="maaf-lab evaluate"):
        Rankings.load(tmp_path / "none.parquet")
    good.frame.rename(columns={"rank": "place"}).to_parquet(tmp_path / "whole.parquet")
    with pytest.raises(RunError, match="missing rank"):
        Rankings.load(tmp_path / "whole.parquet")
    with pytest.raises(RunError, match="missing scores"):
        good.frame.drop(columns="scores").to_parquet(tmp_path / "short.parquet")
        Rankings.load(tmp_path / "short.parquet")
    ranks = tmp_path / good.save_ranks(tmp_path, "css", "one")
    with pytest.raises(RunError, match=rf"{ranks.name}: expected the ranks of two and their queries, found no two\."):
        Rankings.load_ranks(ranks, "two", "")
    pd.read_parquet(ranks).drop(columns="text").to_parquet(ranks)
    with pytest.raises(RunError, match=rf"{ranks.name}: expected the ranks of one and their queries, found no text\."):
        Rankings.load_ranks(ranks, "one", "")
    ranks.write_bytes(ranks.read_bytes()[:-30])
    with pytest.raises(RunError, match=rf"{ranks.name}: expected rankings, found damage .*`maaf-lab record`"):
        Rankings.load_ranks(ranks, "one", "")
    ranks.unlink()
    with pytest.raises(RunError, match=rf"{ranks.name}: expected the ranks of one, found no file.*`maaf-lab record`"):
        Rankings.load_ranks(ranks, "one", "")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(RunError, match=r"broken\.parquet: expected rankings, found damage"):
        Rankings.load(tmp_path / "broken.parquet")


# --- metrics ----------------------------------------------------------------------------------------------------------


def test_recall_values():
    found = rankings([1, 2, 0, 5, 10, 11, 50, 51])
    assert [recall(found, k).value for k in (1, 5, 10, 50)] == pytest.approx([12.5, 37.5, 50, 75])
    one = recall(found, 5)
    assert one.low < one.value < one.high and str(one) == f"37.5 [{one.low:.1f}, {one.high:.1f}]"


@pytest.mark.parametrize(
    "values",
    [
        (np.arange(400) % 3 == 0).astype(float),
        np.random.default_rng(1).integers(-1, 2, 300).astype(float),
        np.random.default_rng(2).standard_normal(200),
    ],
    ids=["hits", "differences", "numbers"],
)
def test_bootstrap_agrees_with_plain_resampling(values):
    random = np.random.default_rng(5)
    means = [np.mean(random.choice(values, len(values))) for _ in range(4000)]
    low, high = 100 * np.quantile(means, 0.025), 100 * np.quantile(means, 0.975)
    found = bootstrap(values, resamples=4000)
    assert found.value == pytest.approx(100 * values.mean())
    width = high - low
    assert abs(found.low - low) < 0.08 * width and abs(found.high - high) < 0.08 * width
    assert bootstrap(values, resamples=4000) == found  # the same seed, the same interval
    assert bootstrap(values, seed=1) != bootstrap(values, seed=2)


def test_bootstrap_at_the_ends():
    assert bootstrap(np.ones(10)) == pytest.approx(bootstrap(np.ones(10)))
    all_right = bootstrap(np.ones(10))
    assert (all_right.value, all_right.low, all_right.high) == (100, 100, 100)
    with pytest.raises(ValueError, match="at least one query"):
        bootstrap(np.array([]))


def test_recalls_of_categories_are_averaged_not_pooled():
    found = rankings([1, 20, 1, 60, 60, 60])
    assert set(recalls(found, (10, 50))) == {"R10", "R50"} and recalls(found, (10, 50))["R10"] == recall(found, 10)
    found = Rankings(found.frame.assign(category=["shirt", "shirt", "dress", "dress", "dress", "dress"]), "p")
    values = {name: e.value for name, e in recalls(found, (10, 50)).items()}
    assert values == pytest.approx(
        {"R10 shirt": 50, "R50 shirt": 100, "R10 dress": 25, "R50 dress": 25, "R10": 37.5, "R50": 62.5, "mean": 50}
    )
    many = Rankings(pd.concat([found.frame] * 200, ignore_index=True), "p")
    e = recalls(many, (10, 50))["mean"]
    random = np.random.default_rng(0)
    shirt, dress = np.array([1, 0.5] * 200), np.array([1, 0, 0, 0] * 200)
    plain = [100 * (random.choice(shirt, 400).mean() + random.choice(dress, 800).mean()) / 2 for _ in range(3000)]
    low, high = np.quantile(plain, [0.025, 0.975])
    assert e.low == pytest.approx(low, abs=0.3) and e.high == pytest.approx(high, abs=0.3)


def test_paired_difference():
    first, second = rankings([1, 1, 1, 2, 0] * 40), rankings([1, 2, 1, 1, 0] * 40)
    same = paired_difference(first, first, 1)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    better = paired_difference(first, rankings([1, 2, 1, 2, 0] * 40), 1)
    assert better.value == pytest.approx(20) and 0 < better.low < 20 < better.high
    even = paired_difference(first, second, 1)
    assert even.value == 0 and even.low < 0 < even.high
    unpaired = recall(first, 1)
    assert better.high - better.low < 2 * (unpaired.high - unpaired.low)


def test_only_the_same_queries_are_paired():
    with pytest.raises(ValueError, match="same queries"):
        paired_difference(rankings([1, 2]), rankings([1, 2, 3]), 1)
    with pytest.raises(ValueError, match="same queries"):
        paired_difference(rankings([1, 2]), rankings([1, 2], sources=["s0", "other"]), 1)
    with pytest.raises(ValueError, match="same queries"):
        paired_difference(rankings([1, 2]), rankings([1, 2], texts=["t0", "other"]), 1)
