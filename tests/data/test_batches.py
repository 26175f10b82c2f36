"""The feed: every step's batch from the seed alone, in one process or several, with readers ahead or without."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maaf_lab.config import TrainConfig
from maaf_lab.data.batches import Collator, Feed, GroupSampler, batches
from maaf_lab.data.cache import PixelCache
from maaf_lab.data.split import Image, Query, Split
from maaf_lab.data.text import Vocabulary, join
from maaf_lab.errors import ConfigError


def split_of(sources=12, each=4, categories=("dress", "shirt", "toptee"), draw=None):
    """`each` queries of each source; source s is of category s mod 3; query n's text is "t{n}"."""
    images = [Image(f"i{n}", None, f"l{n}") for n in range(sources)]
    queries = [
        Query(
            s,
            (f"t{s * each + n}", f"u{s * each + n}"),
            f"l{(s + n + 1) % sources}",
            (s + n + 1) % sources,
            categories[s % len(categories)],
        )
        for s in range(sources)
        for n in range(each)
    ]
    return Split("train", images, queries, draw=draw)


def plan(**changes):
    return TrainConfig(**{"batch_size": 8, "group_size": 2, "seed": 5, **changes})


def words(batch, vocabulary):
    """The captions of a batch as words, a tuple a query."""
    return [tuple(vocabulary.words[i - 1] for i in row[mask].tolist()) for row, mask in zip(batch.text.ids, batch.text.mask)]


def same(a, b):
    return (a.images == b.images).all() and all((x == y).all() for x, y in zip((*a[1:3], *a.text), (*b[1:3], *b.text)))


SPLIT = split_of()
VOCABULARY = Vocabulary.build(SPLIT.texts)


def test_any_step_first():
    feed = Feed(SPLIT, VOCABULARY, plan())
    forward = [feed(step) for step in range(15)]
    for step in (14, 0, 7, 6, 13):
        assert same(Feed(SPLIT, VOCABULARY, plan())(step), forward[step])
    assert not same(Feed(SPLIT, VOCABULARY, plan(seed=6))(3), forward[3])
    orders = Counter(row[0][0] for batch in forward for row in words(batch, VOCABULARY))
    assert orders["t"] and orders["u"]  # captions in both orders


def test_an_epoch_holds_every_query_once():
    feed = Feed(SPLIT, VOCABULARY, plan())
    assert feed.batches_per_epoch == 6
    for epoch in (0, 2):
        seen = Counter(
            min(row, key=lambda w: w[0])[1:]
            for step in range(6)
            for row in words(feed(6 * epoch + step), VOCABULARY)
            for row in [[w for w in row if w[0] == "t"]]
        )
        assert sorted(map(int, seen)) == list(range(48)) and set(seen.values()) == {1}


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**31))
def test_batches_of_one_category(group, per, seed):
    categories = np.random.default_rng(seed).choice(["dress", "shirt", "toptee"], 90, p=[0.5, 0.3, 0.2]).tolist()
    sources = np.random.default_rng(seed + 1).integers(0, 20, 90)
    size = group * per
    if min(Counter(categories).values()) < size or len(set(categories)) < 3:
        return
    sampler = GroupSampler(sources, size, group, 0, categories)
    dealt = [sampler.batch(step) for step in range(sampler.batches_per_epoch)]
    assert all(len({categories[i] for i in batch}) == 1 for batch in dealt)
    kinds = [categories[batch[0]] for batch in dealt]
    assert set(kinds) == {"dress", "shirt", "toptee"}


def test_categories_take_turns():
    sampler = GroupSampler(np.arange(300), 5, 1, 3, [("dress", "shirt", "toptee")[i // 100] for i in range(300)])
    kinds = [sampler.batch(step)[0] // 100 for step in range(sampler.batches_per_epoch)]
    assert Counter(kinds) == {0: 20, 1: 20, 2: 20} and sum(a != b for a, b in pairwise(kinds)) > 20
    with pytest.raises(ConfigError, match="32 queries in category 'toptee', found 5"):
        GroupSampler(np.arange(205), 32, 1, 0, [("dress", "shirt", "toptee")[i // 100] for i in range(205)])


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_a_step(processes):
    whole = Feed(SPLIT, VOCABULARY, plan())
    shares = [Feed(SPLIT, VOCABULARY, plan(), process=r, processes=processes) for r in range(processes)]
    for step in (0, 5, 6, 40):

        def queries(batch):
            return [frozenset(row) for row in words(batch, VOCABULARY)]

        parts = [queries(feed(step)) for feed in shares]
        assert all(len(part) == 8 // processes for part in parts)
        assert Counter(q for part in parts for q in part) == Counter(queries(whole(step)))
        for feed in shares:
            batch = feed(step)
            groups = batch.images[batch.source].reshape(-1, 2)
            assert (groups[:, 0] == groups[:, 1]).all()  # a group stays together


def test_a_batch_that_does_not_divide():
    with pytest.raises(ConfigError, match="batch_size 8 in groups of 2 does not divide over 3 processes"):
        Feed(SPLIT, VOCABULARY, plan(), process=0, processes=3)


def drawn(random):
    order = random.integers(0, 12, 24)
    return [Query(i // 2, (f"t{i}",), f"l{t}", int(t)) for i, t in enumerate(order)]


def test_drawn_queries_are_another_sample_each_epoch():
    split = split_of(draw=drawn)
    feed = Feed(split, VOCABULARY, plan())
    assert feed.batches_per_epoch == 3
    targets = [
        sorted(
            (row[0], int(batch.images[t]))
            for batch in [feed(step) for step in range(3 * e, 3 * e + 3)]
            for row, t in zip(words(batch, VOCABULARY), batch.target)
        )
        for e in (0, 1)
    ]
    assert targets[0] != targets[1] and [a for a, _ in targets[0]] == [a for a, _ in targets[1]]
    for step in (4, 1, 8):
        assert same(Feed(split, VOCABULARY, plan())(step), feed(step))


def test_a_draw_that_shrinks_is_refused():
    split = split_of(draw=lambda random: drawn(random)[: 24 if shrink.pop() else 8])
    shrink = [False, True]
    feed = Feed(split, VOCABULARY, plan(group_size=1))
    with pytest.raises(ConfigError, match="epoch 1 fills 1 batches, the first 3"):
        feed(3)


@pytest.mark.parametrize("draw", [None, drawn])
def test_readers_ahead_change_nothing(draw):
    split = split_of(draw=draw)
    cache = PixelCache("key", np.random.default_rng(0).integers(0, 255, (12, 4, 4, 3), dtype=np.uint8), None)
    feed = Feed(split, VOCABULARY, plan())
    state = torch.get_rng_state()
    plain = list(batches(feed, cache, range(4, 16)))
    assert (torch.get_rng_state() == state).all()  # dropout's random numbers are left alone
    assert len(plain) == 12 and all((pixels == cache.batch(batch.images)).all() for batch, pixels in plain)
    if draw is None:  # a test's own function cannot be sent to another process
        ahead = list(batches(feed, cache, range(4, 16), workers=2))
        assert all(same(a, b) and (x == y).all() for (a, x), (b, y) in zip(plain, ahead, strict=True))


EVEN = np.repeat(np.arange(10), 8)  # 10 references with 8 queries each
UNEVEN = np.repeat(np.arange(9), [1, 2, 3, 4, 5, 6, 7, 8, 9])


def epoch(sampler, number=0):
    first = number * sampler.batches_per_epoch
    return [sampler.batch(first + i) for i in range(sampler.batches_per_epoch)]


@pytest.mark.parametrize("number", [0, 3])
def test_an_epoch_deals_every_query_once(number):
    sampler = GroupSampler(EVEN, 16, 4, seed=0)
    batches = epoch(sampler, number)
    assert len(batches) == 5 and all(batch.shape == (16,) for batch in batches)
    assert sorted(np.concatenate(batches).tolist()) == list(range(80))


@pytest.mark.parametrize("sources", [EVEN, np.random.default_rng(0).permutation(EVEN)], ids=["sorted", "mixed"])
def test_groups_share_a_reference(sources):
    for batch in epoch(GroupSampler(sources, 16, 4, seed=1)):
        for group in sources[batch].reshape(-1, 4):
            assert len(set(group.tolist())) == 1


def test_references_that_do_not_divide():
    """1+2+3 queries make one joined group of 4 and leave 2; 5 to 9 queries fill up their last group with their own."""
    sampler = GroupSampler(UNEVEN, 4, 4, seed=0)
    seen = Counter(np.concatenate(epoch(sampler)).tolist())
    groups = sum(math.ceil(n / 4) for n in range(4, 10)) + (1 + 2 + 3) // 4
    assert sampler.batches_per_epoch == groups
    assert all(seen[i] >= 1 for i in range(len(UNEVEN)) if UNEVEN[i] >= 3)
    assert sum(seen[i] for i in range(6)) == 4
    for group in epoch(sampler):
        assert len(set(group.tolist())) == 4  # never one query twice in a group


def test_group_size_one_is_plain_shuffling():
    sampler = GroupSampler(UNEVEN, 5, 1, seed=0)
    assert sorted(np.concatenate(epoch(sampler)).tolist()) == list(range(45))


def test_a_batch_is_a_function_of_seed_and_step():
    sampler = GroupSampler(EVEN, 16, 4, seed=7)
    forward = [sampler.batch(step).tolist() for step in range(12)]
    fresh = GroupSampler(EVEN, 16, 4, seed=7)
    backward = [fresh.batch(step).tolist() for step in reversed(range(12))][::-1]
    assert forward == backward
    assert GroupSampler(EVEN, 16, 4, seed=7).batch(11).tolist() == forward[11]
    other = [GroupSampler(EVEN, 16, 4, seed=8).batch(step).tolist() for step in range(12)]
    assert all(a != b for a, b in zip(forward, other, strict=True))
    assert forward[:5] != forward[5:10]  # the next epoch is dealt anew


def test_a_batch_needs_enough_queries():
    with pytest.raises(ConfigError, match="batch of 32 queries, found 10"):
        GroupSampler(EVEN[:10], 32, 4, seed=0)
    assert GroupSampler(EVEN[:16], 16, 4, seed=0).batches_per_epoch == 1


def toy_split():
    images = [Image(f"i{n}", None, f"label {n}") for n in range(6)]
    pairs = [(0, 3), (0, 4), (1, 0), (1, 3), (5, 5)]
    return Split("train", images, [Query(a, (f"first{n}", f"second{n} word"), f"label {b}", b) for n, (a, b) in enumerate(pairs)])


def test_collator_names_each_image_once():
    split = toy_split()
    vocabulary = Vocabulary.build(split.texts)
    collate = Collator(split.queries, vocabulary)
    rows = np.array([3, 0, 2, 1, 4])
    batch = collate(rows)
    assert batch.images.tolist() == [0, 1, 3, 4, 5]
    for place, row in enumerate(rows):
        q = split.queries[row]
        assert batch.images[batch.source[place]] == q.source
        assert batch.images[batch.target[place]] == q.target
        assert batch.text.ids[place][batch.text.mask[place]].tolist() == vocabulary.ids(join(q.texts))
    assert collate.sources.tolist() == [0, 0, 1, 1, 5]


def test_captions_in_random_order_when_training():
    split = toy_split()
    vocabulary = Vocabulary.build(split.texts)
    collate, orders = Collator(split.queries, vocabulary), {join(q.texts[::way]): way for q in split.queries for way in (1, -1)}
    spelled = {tuple(vocabulary.ids(text)): way for text, way in orders.items()}
    found = set()
    for seed in range(5):
        batch = collate(np.arange(5), np.random.default_rng(seed))
        found |= {spelled[tuple(ids[mask].tolist())] for ids, mask in zip(batch.text.ids, batch.text.mask, strict=True)}
        again = collate(np.arange(5), np.random.default_rng(seed))
        assert torch.equal(batch.text.ids, again.text.ids)
    assert found == {1, -1}


def test_a_query_without_a_target_is_refused():
    split = toy_split()
    lacking = Split("train", split.images, [*split.queries, Query(0, ("x",), None)])
    with pytest.raises(ConfigError, match="found 1 without one"):
        Collator(lacking.queries, Vocabulary.build(lacking.texts))
