"""The feed: every step's batch from the seed alone, in one process or several, with readers ahead or without."""

import math
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maaf_lab.config import TrainConfig
from maaf_lab.data.batches import Feed, GroupSampler, batches
from maaf_lab.data.cache import PixelCache
from maaf_lab.data.split import Image, Query, Split
from maaf_lab.data.text import Vocabulary
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


TWO = """
import os, sys, torch
from torch import distributed, nn
from maaf_lab.training.fit import batch_softmax_loss, spread_softmax_loss
distributed.init_process_group("gloo")
rank = distributed.get_rank()
torch.manual_seed(0)
x, y = torch.randn(6, 5), torch.randn(6, 5)
net, scale = nn.Linear(5, 4), torch.tensor(2.0, requires_grad=True)
whole = batch_softmax_loss(nn.functional.normalize(net(x), dim=1), nn.functional.normalize(net(y), dim=1), scale)
wanted = torch.autograd.grad(whole, [net.weight, net.bias, scale])
mine = slice(3 * rank, 3 * rank + 3)
loss = spread_softmax_loss(nn.functional.normalize(net(x[mine]), dim=1), nn.functional.normalize(net(y[mine]), dim=1), scale)
found = torch.autograd.grad(loss, [net.weight, net.bias, scale])
for a, b in zip(wanted, found):
    distributed.all_reduce(b)
    torch.testing.assert_close(b / 2, a, rtol=1e-5, atol=1e-6)
distributed.all_reduce(loss.detach_())
torch.testing.assert_close(loss / 2, whole)
print("equal", rank)
"""


def launch(script, *arguments, processes=2):
    """Run a script in several processes, as `torchrun` and `accelerate launch` do."""
    port = str(29500 + os.getpid() % 2000)
    started = []
    for rank in range(processes):
        around = {
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "OMP_NUM_THREADS": "1",
        }
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", script, *map(str, arguments)],
                env=around,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
    ended = [process.communicate(timeout=300) for process in started]
    assert all(process.returncode == 0 for process in started), ended
    return [out for out, _ in ended]


def test_two_processes_have_the_gradient_of_one():
    assert [out.strip() for out in launch(TWO)] == ["equal 0", "equal 1"]


TRAIN = """
import sys
from maaf_lab.profiles import profile_config
from maaf_lab.data import registry as datasets
from maaf_lab.experiments.train import train_and_evaluate
root, runs, steps, model = sys.argv[1:]
config = profile_config("smoke", "css", **{"model.name": model, "data.origin": datasets.origin("css", root),
                                           "train.checkpoint_every": 2, "train.steps": 6, "train.warmup_steps": 1})
if int(steps) < 6:
    import maaf_lab.training.fit as training
    real, count = training.save_state, []
    def save_state(*args):
        real(*args)
        count.append(1)
        if len(count) == int(steps) // 2:
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)
    training.save_state = save_state
run = train_and_evaluate(config, root, runs, device="cpu", progress=False)
print(run.name)
"""


def test_two_processes_train_a_system_that_leaves_parameters_unused(tmp_path, tiny_css):
    name = launch(TRAIN, tiny_css, tmp_path, 6, "locally_bounded")[0].strip()  # its words are not pooled: their norm is idle
    assert (tmp_path / name / "metrics.json").is_file()


def test_a_run_of_two_processes_resumes_exactly(tmp_path, tiny_css):
    names = launch(TRAIN, tiny_css, tmp_path / "whole", 6, "maaf")
    assert names[0] == names[1]
    whole = tmp_path / "whole" / names[0].strip()
    assert (whole / "metrics.json").is_file() and math.isfinite(float((whole / "log.csv").read_text().split()[-1].split(",")[1]))
    with pytest.raises(AssertionError):  # the first process kills itself after the checkpoint of step 4
        launch(TRAIN, tiny_css, tmp_path / "cut", 4, "maaf")
    launch(TRAIN, tiny_css, tmp_path / "cut", 6, "maaf")
    cut = tmp_path / "cut" / names[0].strip()
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
