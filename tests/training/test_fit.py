"""Loss, schedule, batches, exact resume (also after SIGKILL), and what happens when the loss or the disk gives up."""

import csv
import errno
import math
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from filelock import FileLock
from torch.nn.functional import normalize

from maaf_lab.config import TrainConfig
from maaf_lab.data.batches import Collator, GroupSampler
from maaf_lab.data.split import Image, Query, Split
from maaf_lab.data.text import Vocabulary, join
from maaf_lab.errors import ConfigError, RunError, SaveError, TrainingError
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.models.checkpoints import load_model, load_state, save_state
from maaf_lab.training import fit as training
from maaf_lab.training.fit import batch_softmax_loss, learning_rate_factor, parameter_groups

# --- loss, schedule, groups -------------------------------------------------------------------------------------------


def test_loss_equals_a_loop():
    torch.manual_seed(0)
    q, t = normalize(torch.randn(5, 7), dim=-1), normalize(torch.randn(5, 7), dim=-1)
    scale = torch.tensor(3.0)
    total = 0.0
    for i in range(5):
        logits = [9.0 * sum(float(a) * float(b) for a, b in zip(q[i], t[j], strict=True)) for j in range(5)]
        total -= logits[i] - math.log(sum(math.exp(value) for value in logits))
    assert batch_softmax_loss(q, t, scale).item() == pytest.approx(total / 5, rel=1e-5)
    assert batch_softmax_loss(q, t, scale).item() != pytest.approx(batch_softmax_loss(t, q, scale).item(), rel=1e-3)


def test_loss_in_half_precision_is_computed_in_single():
    q = normalize(torch.randn(4, 8), dim=-1)
    loss = batch_softmax_loss(q.bfloat16(), q.bfloat16(), torch.tensor(4.0).bfloat16())
    assert loss.dtype == torch.float32 and loss.isfinite()


def factors(config, *steps):
    return [learning_rate_factor(step, config) for step in steps]


def test_the_papers_schedule():
    paper = TrainConfig()
    assert factors(paper, 0, 49_999, 50_000, 99_999, 100_000, 149_999) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_warm_up_then_steps():
    config = TrainConfig(warmup_steps=4, decay_every=6, decay_factor=2)
    assert factors(config, 0, 1, 2, 3, 4, 5, 6, 11, 12) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 0.5, 0.5, 0.25])


def test_cosine():
    config = TrainConfig(steps=110, warmup_steps=10, schedule="cosine")
    assert factors(config, 0, 9, 10, 60, 110) == pytest.approx([0.1, 1, 1, 0.5, 0])
    falling = factors(config, *range(10, 110))
    assert all(a > b > 0 for a, b in pairwise(falling))
    assert factors(TrainConfig(steps=10, schedule="cosine"), 5) == pytest.approx([0.5])


@pytest.mark.parametrize("name", ["maaf", "tirg", "image_only", "text_only"])
def test_each_parameter_is_in_one_group(made_model, name):
    model = made_model(name)
    rest, backbone = parameter_groups(model, TrainConfig(learning_rate=0.02, image_learning_rate=0.003))
    names = {id(p): n for n, p in model.named_parameters()}
    assert Counter(id(p) for group in (rest, backbone) for p in group["params"]) == Counter(list(names))
    assert {names[id(p)].split(".")[0] for p in backbone["params"]} == {"backbone"}
    assert not any(names[id(p)].startswith("backbone.") for p in rest["params"])
    assert rest["lr"] == rest["base"] == 0.02 and backbone["lr"] == backbone["base"] == 0.003


# --- batches ----------------------------------------------------------------------------------------------------------

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


# --- runs that stop and go on -----------------------------------------------------------------------------------------


class Stopped(BaseException):
    """As a KeyboardInterrupt: nothing catches it."""


def loss_that(monkeypatch, at, act):
    """From the call with number `at` (from 0) on, the loss is act(true loss)."""
    calls = iter(range(10**9))

    def loss(*args):
        value = batch_softmax_loss(*args)
        return act(value) if next(calls) >= at else value

    monkeypatch.setattr(training, "batch_softmax_loss", loss)


def stop(_value):
    raise Stopped


def curve(folder):
    """log.csv without the column of seconds."""
    with open(folder / "log.csv") as file:
        return [(row["step"], row["loss"], row["learning_rate"]) for row in csv.DictReader(file)]


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


SHORT = {"train.steps": 12, "train.checkpoint_every": 5, "train.log_every": 3, "train.warmup_steps": 3}


@pytest.fixture(scope="module")
def straight(tmp_path_factory, smoke, tiny_css):
    """A run of 12 steps that nothing interrupted."""
    return train_and_evaluate(smoke(**SHORT), tiny_css, tmp_path_factory.mktemp("straight"), device="cpu", progress=False)


@pytest.mark.parametrize("stops", [[8], [2], [5, 1, 3], [11]], ids=str)
def test_a_stopped_run_ends_with_the_same_bytes(tmp_path, monkeypatch, smoke, tiny_css, straight, stops):
    """Stopped after 8 more steps, or 2 (no checkpoint yet), or several times, or in the last step; then started again."""
    config = smoke(**SHORT)
    for at in stops:
        with monkeypatch.context() as patch:
            loss_that(patch, at, stop)
            with pytest.raises(Stopped):
                train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)
        torch.rand(7)  # somebody else draws random numbers in between
    run = train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)
    assert run.name == straight.name
    assert weights(run.folder) == weights(straight.folder)
    assert curve(run.folder) == curve(straight.folder)
    assert [int(step) for step, *_ in curve(run.folder)] == [3, 6, 9, 12]
    assert run.metrics["metrics"] == straight.metrics["metrics"]


@pytest.mark.parametrize(
    "changes",
    [{"model.name": "tirg"}, {"data.transform": "crops"}, {"model.attention": "identity", "train.schedule": "step"}],
    ids=str,
)
def test_other_runs_resume_exactly_too(tmp_path, monkeypatch, smoke, tiny_css, changes):
    config = smoke(**{**SHORT, "train.steps": 7, "train.checkpoint_every": 3, **changes})
    one = train_and_evaluate(config, tiny_css, tmp_path / "one", device="cpu", progress=False)
    with monkeypatch.context() as patch:
        loss_that(patch, 5, stop)
        with pytest.raises(Stopped):
            train_and_evaluate(config, tiny_css, tmp_path / "two", device="cpu", progress=False)
    two = train_and_evaluate(config, tiny_css, tmp_path / "two", device="cpu", progress=False)
    assert weights(one.folder) == weights(two.folder) and curve(one.folder) == curve(two.folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"model.blocks": 2},
        {"model.blocks": 2, "model.attention": "identity", "train.precision": "bf16"},
        {"model.name": "two_stream", "model.two_stream": "xxx_mmm_xmm.mxx_xff"},
    ],
)
def test_recomputing_changes_no_byte(tmp_path, monkeypatch, smoke, tiny_css, changes):
    given_back = []
    monkeypatch.setattr(training, "give_back_memory", lambda: given_back.append(1))
    kept = {}
    for recompute in (False, True):
        config = smoke(**{"train.steps": 4, "model.dropout": 0.2, **changes})
        run = train_and_evaluate(config, tiny_css, tmp_path / str(recompute), device="cpu", recompute=recompute, progress=False)
        kept[recompute] = weights(run.folder)
    assert kept[True] == kept[False]
    assert len(given_back) == 8, "before and after each backward pass"


def test_what_cannot_be_recomputed_is_told(tmp_path, smoke, tiny_css):
    for changes, message in (({"model.name": "tirg"}, "fusion blocks.*'tirg'"), ({"train.compile": True}, "found both")):
        with pytest.raises(ConfigError, match=message):
            train_and_evaluate(smoke(**changes), tiny_css, tmp_path, device="cpu", recompute=True, progress=False)


def test_another_seed_gives_other_weights(tmp_path, smoke, tiny_css, straight):
    run = train_and_evaluate(smoke(**SHORT, **{"train.seed": 1}), tiny_css, tmp_path, device="cpu", progress=False)
    assert run.name != straight.name and weights(run.folder) != weights(straight.folder)


def test_killed_between_training_and_evaluation(tmp_path, monkeypatch, smoke, tiny_css, straight):
    with monkeypatch.context() as patch:
        patch.setattr("maaf_lab.experiments.train.save_model", lambda *_: stop(None))
        with pytest.raises(Stopped):
            train_and_evaluate(smoke(**SHORT), tiny_css, tmp_path, device="cpu", progress=False)
    with monkeypatch.context() as patch:
        loss_that(patch, 0, stop)  # all steps are done: not one more is computed
        run = train_and_evaluate(smoke(**SHORT), tiny_css, tmp_path, device="cpu", progress=False)
    assert weights(run.folder) == weights(straight.folder) and curve(run.folder) == curve(straight.folder)


def test_a_finished_run_is_left_alone(monkeypatch, smoke, tiny_css, straight):
    before = {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in straight.folder.rglob("*") if p.is_file()}
    monkeypatch.setattr("maaf_lab.experiments.train.fit", stop)
    monkeypatch.setattr("maaf_lab.experiments.train.evaluate", stop)
    again = train_and_evaluate(smoke(**SHORT), tiny_css, straight.folder.parent, progress=False)
    assert again == straight
    assert before == {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in straight.folder.rglob("*") if p.is_file()}


def test_a_trained_run_without_metrics_is_only_evaluated(tmp_path, monkeypatch, smoke, tiny_css, straight):
    folder = tmp_path / straight.name
    folder.mkdir()
    for name in ("config.json", "environment.json", "vocabulary.json", "model.safetensors", "log.csv"):
        (folder / name).write_bytes((straight.folder / name).read_bytes())
    monkeypatch.setattr("maaf_lab.experiments.train.fit", stop)
    run = train_and_evaluate(smoke(**SHORT), tiny_css, tmp_path, progress=False)
    assert run.metrics["metrics"] == straight.metrics["metrics"]


def test_two_processes_do_not_train_one_run(tmp_path, smoke, tiny_css):
    config = smoke(**SHORT)
    state = tmp_path / config.name / "state"
    state.mkdir(parents=True)
    with FileLock(state / "lock"), pytest.raises(RunError, match="another process is training"):
        train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)


def test_a_run_where_nothing_can_be_locked(tmp_path, smoke, tiny_css, monkeypatch):
    def none(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", none)
    with pytest.warns(UserWarning, match="cannot be locked here.*make sure that no other process trains this run"):
        run = train_and_evaluate(smoke(**SHORT), tiny_css, tmp_path, device="cpu", progress=False)
    assert run.metrics and not list(run.folder.rglob("lock"))


def command(data_root, runs_root):
    return [
        sys.executable,
        "-m",
        "maaf_lab",
        "train",
        "--model",
        "maaf",
        "--dataset",
        "css",
        "--data-root",
        str(data_root),
        "--runs-root",
        str(runs_root),
        "--profile",
        "smoke",
        "--steps",
        "40",
        "--device",
        "cpu",
        "--set",
        "train.checkpoint_every=5",
    ]


def test_kill_9(tmp_path, tiny_css, css_train_cache, css_test_cache):
    """A process killed with SIGKILL in the middle of training, started again, ends as one that was not."""
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    killed = subprocess.Popen(command(tiny_css, tmp_path / "killed"), **quiet)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("*/state/checkpoint.pt")):
        assert killed.poll() is None and time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    folder = next((tmp_path / "killed").iterdir())
    assert not (folder / "model.safetensors").exists()
    assert 5 <= load_state(folder / "state" / "checkpoint.pt")["step"] < 40

    whole = subprocess.Popen(command(tiny_css, tmp_path / "whole"), **quiet)
    again = subprocess.run(command(tiny_css, tmp_path / "killed"), **quiet, check=True)
    printed, _ = whole.communicate()
    assert whole.returncode == 0
    other = tmp_path / "whole" / folder.name
    assert again.stdout.split() == [str(folder)] and printed.split() == [str(other)]
    assert weights(folder) == weights(other) and curve(folder) == curve(other)


# --- when the loss or the disk gives up -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch, smoke, tiny_css, straight, value):
    config = smoke(**SHORT)
    checkpoint, kept = tmp_path / config.name / "state" / "checkpoint.pt", []

    def broken(loss):
        kept.append(checkpoint.read_bytes())
        return loss * value

    with monkeypatch.context() as patch:
        loss_that(patch, 7, broken)
        with pytest.raises(TrainingError, match=r"the loss is not finite at step 7 \(seed 0\).*checkpoint: step 5"):
            train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)
    assert len(kept) == 1 and checkpoint.read_bytes() == kept[0]
    assert load_state(checkpoint)["step"] == 5
    assert not (tmp_path / config.name / "model.safetensors").exists()
    run = train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)  # the cause is gone
    assert weights(run.folder) == weights(straight.folder)


def test_a_loss_that_is_not_finite_before_the_first_checkpoint(tmp_path, monkeypatch, smoke, tiny_css):
    loss_that(monkeypatch, 1, lambda loss: loss * math.nan)
    with pytest.raises(TrainingError, match=r"at step 1 .*no checkpoint yet"):
        train_and_evaluate(smoke(**SHORT), tiny_css, tmp_path, device="cpu", progress=False)


def test_rates_that_explode_are_told(tmp_path, smoke, tiny_css):
    config = smoke(**SHORT, **{"train.learning_rate": 1e12, "train.image_learning_rate": 1e12})
    with pytest.raises(TrainingError, match=r"not finite at step \d"):
        train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)


def test_weights_that_are_not_finite_are_never_saved(tmp_path, monkeypatch, smoke, tiny_css):
    """The gradient of the fifth step is NaN while its loss is fine: the checkpoint of step 5 is refused."""
    loss_that(monkeypatch, 4, lambda loss: loss + (0 * loss).sqrt() * 0 + 0 * (loss - loss.detach()).sqrt())
    with pytest.raises(TrainingError, match=r"a weight is not finite at step 5 .*no checkpoint yet"):
        train_and_evaluate(smoke(**SHORT), tiny_css, tmp_path, device="cpu", progress=False)


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch, smoke, tiny_css, straight):
    config = smoke(**SHORT)
    state, real, kept = tmp_path / config.name / "state", torch.save, []

    def save(value, path):
        if value["step"] == 5:
            return real(value, path)
        kept.append((state / "checkpoint.pt").read_bytes())
        path.write_bytes(b"half of a checkp")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", save)
        with pytest.raises(TrainingError, match=r"could not save checkpoint\.pt .*No space left.*the one before it is whole"):
            train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)
    assert (state / "checkpoint.pt").read_bytes() == kept[0] and load_state(state / "checkpoint.pt")["step"] == 5
    assert not list(state.glob("*.tmp"))
    run = train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)
    assert weights(run.folder) == weights(straight.folder)


FULL = """
import resource, signal, sys
from pathlib import Path
import torch
from maaf_lab.errors import SaveError
from maaf_lab.models.checkpoints import save_state
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
save_state(path, {"step": 1, "value": torch.ones(10)})
before = path.read_bytes()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    save_state(path, {"step": 2, "value": torch.ones(1_000_000)})
except SaveError as error:
    assert path.read_bytes() == before, "the old checkpoint changed"
    assert [p.name for p in path.parent.iterdir()] == [path.name], "a half file was left"
    print("told:", error)
"""


def test_a_file_that_the_system_cuts_short(tmp_path):
    """No patch: the operating system refuses to write more than 200 kB."""
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "state" / "checkpoint.pt")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "told: could not save checkpoint.pt" in done.stdout and "the one before it is whole" in done.stdout
    assert load_state(tmp_path / "state" / "checkpoint.pt")["step"] == 1


def test_a_write_that_fails_says_when_there_was_nothing_before(tmp_path):
    with pytest.raises(SaveError, match=r"could not save state\.pt .*there was none before it"):
        save_state(tmp_path / "state.pt", {"step": lambda: 0})
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_with_code_in_it_is_not_loaded(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    torch.save({"step": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        load_state(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "ran").exists()


def test_a_trained_model_is_loaded_as_it_was(straight, css_vocabulary):
    model = load_model(straight.folder)
    state = load_state(straight.folder / "state" / "checkpoint.pt")["model"]
    assert not model.training and model.config == straight.config.model and model.vocabulary == css_vocabulary
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    with pytest.raises(RunError, match=r"model\.safetensors"):
        load_model(straight.folder / "state")


def test_bf16_on_a_cpu_that_has_none_is_told_before_the_first_step(tmp_path, monkeypatch, smoke, tiny_css):
    """On a CPU that has it, in fp32, and where nobody knows: not a word."""

    def stop(*_args, **_kwargs):
        raise InterruptedError("the first step")

    monkeypatch.setattr(training, "batches", stop)

    def told(precision, has):
        monkeypatch.setattr(training, "cpu_has_bf16", lambda: has)
        config = smoke(**{"train.precision": precision})
        with warnings.catch_warnings(record=True) as found, pytest.raises(InterruptedError):
            warnings.simplefilter("always")
            train_and_evaluate(config, tiny_css, tmp_path / f"{precision}-{has}", device="cpu", progress=False)
        return [str(one.message) for one in found if "bf16" in str(one.message)]

    (message,) = told("bf16", False)
    assert re.search(r'bf16" expects a CPU .*AVX512-BF16, AMX.* found one without: .* slower than in fp32\. ', message)
    assert message.endswith("set train.precision=fp32, or use a GPU")
    assert told("bf16", True) == told("bf16", None) == told("fp32", False) == []
