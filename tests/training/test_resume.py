"""Exact resume (also after SIGKILL), and what happens when the loss or the disk gives up."""

import errno
import math
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from training_runs import SHORT, Stopped, curve, loss_that, stop, train_words, weights

from maaf_lab.errors import TrainingError
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.models.checkpoints import load_state, save_state


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
    assert run.metrics["earlier"] == straight.metrics["earlier"], "the weights of three quarters of the steps"


@pytest.mark.parametrize(
    "changes",
    [
        {"model.name": "tirg"},
        {"train.image_learning_rate": 0},
        {"data.transform": "crops"},
        {"model.attention": "identity", "train.schedule": "step"},
    ],
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


def command(data_root, runs_root):
    more = ("--steps", "40", "--device", "cpu", "--set", "train.checkpoint_every=5")
    return [sys.executable, "-m", "maaf_lab", *train_words(data_root, runs_root, *more)]


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
    config = smoke(**SHORT, **{"train.learning_rate": 1e9, "train.image_learning_rate": 1e9})
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


def test_a_run_goes_on_with_the_threads_that_it_began_with(tmp_path, monkeypatch, smoke, tiny_css, straight):
    """Another number adds in another order: the weights would be those of neither."""
    config, before = smoke(**SHORT), torch.get_num_threads()
    with monkeypatch.context() as patch:
        loss_that(patch, 8, stop)
        with pytest.raises(Stopped):
            train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)
    left = tmp_path / config.name / "state" / "checkpoint.pt.4711.tmp"
    left.write_bytes(b"half of a checkpoint")
    try:
        torch.set_num_threads(before + 1)
        with pytest.warns(
            UserWarning, match=rf"goes on with {before} threads?, as it began, not with {before + 1}.*delete .*state"
        ):
            run = train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)
        assert torch.get_num_threads() == before + 1, "what comes after it has its own"
    finally:
        torch.set_num_threads(before)
    assert weights(run.folder) == weights(straight.folder) and run.environment["threads"] == before
    assert not left.exists()


def test_a_run_that_goes_on_elsewhere_says_so(tmp_path, monkeypatch, smoke, tiny_css):
    config = smoke(**SHORT)
    with monkeypatch.context() as patch:
        loss_that(patch, 8, stop)
        with pytest.raises(Stopped):
            train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)
    checkpoint = tmp_path / config.name / "state" / "checkpoint.pt"
    save_state(checkpoint, {**load_state(checkpoint), "device": "cuda", "processes": 2})
    with pytest.warns(UserWarning, match=r"goes on elsewhere than it began \(device cuda, now cpu; processes 2, now 1\)"):
        train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [7, 11])
def test_a_run_that_is_asked_to_stop_saves_its_step(tmp_path, monkeypatch, smoke, tiny_css, straight, number, at):
    """Between two steps, whatever `checkpoint_every` says; it ends with the same bytes."""
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        sent = []
        loss_that(patch, at, lambda value: (sent or (sent.append(1), os.kill(os.getpid(), number)), value)[1])
        with pytest.raises(KeyboardInterrupt, match=f"stopped at step {at + 1}, which is saved: the same command goes on") as end:
            train_and_evaluate(smoke(**SHORT), tiny_css, tmp_path, device="cpu", progress=False)
    assert end.value.code == 128 + number and signal.getsignal(number) == before
    assert load_state(tmp_path / straight.name / "state" / "checkpoint.pt")["step"] == at + 1
    run = train_and_evaluate(smoke(**SHORT), tiny_css, tmp_path, device="cpu", progress=False)
    assert weights(run.folder) == weights(straight.folder) and curve(run.folder) == curve(straight.folder)


def test_the_second_ctrl_c_stops_at_once(tmp_path, monkeypatch, smoke, tiny_css):
    with monkeypatch.context() as patch:
        loss_that(patch, 7, lambda value: (os.kill(os.getpid(), signal.SIGINT), os.kill(os.getpid(), signal.SIGINT), value)[2])
        with pytest.raises(KeyboardInterrupt) as end:
            train_and_evaluate(smoke(**SHORT), tiny_css, tmp_path, device="cpu", progress=False)
    assert not str(end.value)


def test_ctrl_c_is_one_line_and_exit_code_130(tmp_path, monkeypatch, tiny_css, shell):
    def asked(value):
        os.kill(os.getpid(), signal.SIGINT)
        return value

    with monkeypatch.context() as patch:
        loss_that(patch, 7, asked)
        code, out, err = shell(*train_words(tiny_css, tmp_path, "--device", "cpu"))
    assert (code, out) == (130, "") and "\nmaaf-lab: stopped at step 8, which is saved: the same command goes on\n" in err
    for command, where, said in (
        (("make", "css", "--out", tmp_path / "css"), "synthetic.registry.make", "the same command starts over"),
        (("search", "--image", "a", "--gallery", tmp_path), "experiments.runs.find_run", "the same command goes on"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"maaf_lab.{where}", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            code, _, err = shell(*command)
        assert code == 130 and said in err.splitlines()[-1]


def test_a_run_that_learns_nothing_says_so(tmp_path, tiny_css, shell):
    words = train_words(tiny_css, tmp_path, "--steps", "8", "--device", "cpu", model="text_only")
    told = "nothing was learned: the last loss, "
    assert told in shell(*words, "--set", "train.learning_rate=1000")[2]
    assert told not in shell(*train_words(tiny_css, tmp_path, "--steps", "30", "--device", "cpu", model="text_only"))[2]
