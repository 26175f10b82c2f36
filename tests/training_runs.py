"""What tests of training share: a short run, where it is stopped, and what is compared of it."""

import csv

from torch.nn import functional


class Stopped(BaseException):
    """As a KeyboardInterrupt: nothing catches it."""


def train_words(data_root, runs_root, *more, model="maaf"):
    """The words of `maaf-lab train` on tiny CSS."""
    where = ["--dataset", "css", "--data-root", str(data_root), "--runs-root", str(runs_root), "--profile", "smoke"]
    return ["train", "--model", model, *where, *more]


def loss_that(monkeypatch, at, act):
    """From the step with number `at` (from 0) on, the loss is act(true loss)."""
    steps, cross_entropy = iter(range(10**9)), functional.cross_entropy

    def loss(*args):
        value = cross_entropy(*args)
        return act(value) if next(steps) >= at else value

    monkeypatch.setattr(functional, "cross_entropy", loss)


def stop(_value):
    raise Stopped


def curve(folder):
    """log.csv without the column of seconds."""
    with open(folder / "log.csv") as file:
        return [(row["step"], row["loss"], row["learning_rate"]) for row in csv.DictReader(file)]


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


SHORT = {"train.steps": 12, "train.checkpoint_every": 5, "train.log_every": 3, "train.warmup_steps": 3}
