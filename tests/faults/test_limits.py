"""Settings and options that would take the machine's memory or years, and machines on which worker processes cannot work."""

import shutil

import pytest
from faults.battery import ERROR, faults

from maaf_lab.data import batches as loading
from maaf_lab.errors import TrainingError
from maaf_lab.models.systems.two_stream import steps_of

HUGE = 10**8


@faults(
    *(
        (
            f"{name} {value:.0e}",
            ERROR(rf"{name}: expected .*at most [\d,]+; found"),
            lambda lab, name=name, value=value, model=model: lab.train("--set", f"{name}={value}", model=model),
        )
        for value in (HUGE, 10**30)
        for name, model in (
            ("model.blocks", "maaf"),
            ("model.text_layers", "maaf"),
            ("model.width", "maaf"),
            ("model.heads", "maaf"),
            ("model.feedforward", "maaf"),
            ("model.feedforward", "relationship"),
            ("model.text_width", "maaf"),
            ("model.word_width", "maaf"),
            ("train.batch_size", "text_only"),
            ("data.pixels", "text_only"),
        )
    ),
    *(
        (
            f"train.{name} 10^30",
            ERROR(rf"train\.{name}: expected"),
            lambda lab, name=name: lab.train("--set", f"train.{name}={10**30}"),
        )
        for name in ("checkpoint_every", "log_every", "group_size")
    ),
    ("train.warmup_steps 10^30", ERROR(r"train\.warmup_steps: expected"), lambda lab: lab.train(warmup=10**30)),
    ("--steps 10^30", ERROR(r"train\.steps: expected"), lambda lab: lab.train(steps=10**30)),
    (
        "image channels",
        ERROR(r"model\.image_channels: expected"),
        lambda lab: lab.train("--set", f"model.image_channels=[8,8,8,{HUGE}]"),
    ),
    ("a two-stream block of 10^5 steps", ERROR("at most 100 steps"), lambda lab: steps_of("_".join(["xxx"] * 100_000))),
    ("--workers 100000", ERROR("--workers: expected 0 to"), lambda lab: lab.train("--workers", 100_000)),
    ("--workers -1", ERROR("--workers: expected 0 to"), lambda lab: lab.train("--workers", -1)),
    ("--seeds 10^9", ERROR("seeds"), lambda lab: lab("table", 1, "--profile", "smoke", "--seeds", 10**9)),
    (
        "workers and a long TMPDIR",
        ERROR("TMPDIR: expected a path of at most 70 bytes"),
        lambda lab: lab.child(
            *("train", "--model", "text_only", "--dataset", "css", "--data-root", lab.css, "--runs-root", lab.folder / "runs"),
            *("--profile", "smoke", "--steps", 2, "--set", "train.warmup_steps=1", "--workers", 2),
            gigabytes=16,
            TMPDIR=str(lab.file(f"{'x' * 60}/{'y' * 60}/file").parent),
        ),
    ),
)
def test_limits(fault, lab):
    fault(lab)


@pytest.mark.parametrize(("free", "ahead"), [(10**9, 4), (3_000_000, 2), (1_000_000, 0), (0, 0)])
def test_shared_memory_for_batches(monkeypatch, lab, free, ahead):
    """Batches of 301 kB for two workers: four ahead, as many as have room, or an error that says what to set."""
    monkeypatch.setattr(loading, "SHARED_MEMORY", lab.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 0, free))
    if ahead:
        assert loading._ahead(2, 301_000) == ahead
    else:
        answer = lab.train("--workers", 2)
        assert answer.code == 2 and "MB of shared memory in" in answer.said and "--shm-size" in answer.said


def test_workers_that_bring_no_batch_are_told(monkeypatch):
    class Silent:
        def __init__(self, *_, **__):
            pass

        def __iter__(self):
            raise RuntimeError("DataLoader timed out after 300 seconds")
            yield

    class Feed:
        images_at_most = 2

    class Cache:
        size = 8

    monkeypatch.setattr(loading, "DataLoader", Silent)
    with pytest.raises(TrainingError, match=r"--workers 1: expected a batch, .*timed out.*leave --workers out"):
        list(loading.batches(Feed(), Cache(), range(3), 1))
