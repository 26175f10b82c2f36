"""Runs' folders: weights, checkpoints and results that are damaged, cut, of another run or of other data; devices; records."""

import io
import json
import shutil

import pandas as pd
import pytest
import torch
from faults.battery import ERROR, WORKS, faults
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import maaf_lab
from maaf_lab.experiments.runs import Run
from maaf_lab.models.checkpoints import load_state
from maaf_lab.models.weights import fingerprint
from maaf_lab.synthetic.css.dataset import make_css


def harmed(name, harm):
    """Evaluate a copy of a run whose file is harm(its bytes)."""

    def how(lab):
        run = lab.run_copy()
        (run / name).write_bytes(harm((run / name).read_bytes()))
        return lab("evaluate", run, "--data-root", lab.css)

    return how


def flipped(at, count=1):
    """Bytes with a bit turned in `count` of them, `at` from 0 (the beginning) to 1."""

    def flip(content):
        n = int(at * (len(content) - 1))
        return content[:n] + bytes(byte ^ 1 for byte in content[n : n + count]) + content[n + count :]

    return flip


def saved_again(change, keep=False):
    """Evaluate a copy of a run whose weights somebody loaded, changed and saved, with their metadata or without."""

    def how(lab):
        run = lab.run_copy()
        path = run / "model.safetensors"
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            metadata = file.metadata() if keep else None
        change(tensors)
        save_file(tensors, path, metadata)
        return lab("evaluate", run, "--data-root", lab.css)

    return how


def edited(part, key, value):
    """Evaluate a copy of a run whose config.json was edited by hand."""

    def how(lab):
        run = lab.run_copy()
        config = json.loads((run / "config.json").read_text())
        config[part][key] = value
        (run / "config.json").write_text(json.dumps(config))
        return lab("evaluate", run, "--data-root", lab.css)

    return how


def head(text):
    return len(text).to_bytes(8, "little") + text


def first(tensors, value):
    next(tensor for tensor in tensors.values() if tensor.is_floating_point()).fill_(value)


WEIGHTS = ERROR(r"model\.safetensors: expected")
NOT_THOSE = r"model\.safetensors: expected the weights that the run saved \(\w+\), found others"


@faults(
    ("weights: empty", WEIGHTS, harmed("model.safetensors", lambda b: b"")),
    ("weights: half", WEIGHTS, harmed("model.safetensors", lambda b: b[: len(b) // 2])),
    ("weights: a byte short", WEIGHTS, harmed("model.safetensors", lambda b: b[:-1])),
    ("weights: a byte more", WEIGHTS, harmed("model.safetensors", lambda b: b + b"x")),
    ("weights: text", WEIGHTS, harmed("model.safetensors", lambda b: b"weights of a run")),
    ("weights: a head of 2^60 bytes", WEIGHTS, harmed("model.safetensors", lambda b: (2**60).to_bytes(8, "little") + b[8:])),
    ("weights: a head that is no JSON", WEIGHTS, harmed("model.safetensors", lambda b: head(b"{" * 100))),
    ("weights: a head that is a list", WEIGHTS, harmed("model.safetensors", lambda b: head(b"[]"))),
    ("weights: no tensor", ERROR("model.safetensors"), harmed("model.safetensors", lambda b: head(b"{}"))),
    (
        "weights: a tensor outside the file",
        WEIGHTS,
        harmed("model.safetensors", lambda b: head(b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}')),
    ),
    (
        "weights: a type that torch does not know",
        WEIGHTS,
        harmed("model.safetensors", lambda b: head(b'{"a":{"dtype":"Q9","shape":[1],"data_offsets":[0,1]}}') + b"x"),
    ),
    ("weights: a bit in the middle", ERROR(NOT_THOSE), harmed("model.safetensors", flipped(0.7))),
    ("weights: a bit at the end", ERROR("model.safetensors"), harmed("model.safetensors", flipped(1))),
    ("weights: NaN", ERROR("finite weights, found NaN"), saved_again(lambda t: first(t, float("nan")))),
    ("weights: infinite", ERROR("finite weights, found NaN or infinity in"), saved_again(lambda t: first(t, float("inf")))),
    ("weights: another scale", ERROR(NOT_THOSE), saved_again(lambda t: t["log_scale"].add_(1), keep=True)),
    ("weights: another scale, saved without metadata", ERROR(NOT_THOSE), saved_again(lambda t: t["log_scale"].add_(1))),
    ("weights: a tensor lacks", ERROR("model.safetensors"), saved_again(lambda t: t.pop("log_scale"), keep=True)),
    ("weights: the same, saved again without metadata", WORKS, saved_again(lambda t: None)),
    ("vocabulary: of one word", ERROR(r"vocabulary\.json"), harmed("vocabulary.json", lambda b: b'{"words":["a"]}')),
    ("vocabulary: words exchanged", ERROR(r"vocabulary\.json"), harmed("vocabulary.json", lambda b: b.replace(b"red", b"der"))),
    ("vocabulary: empty", ERROR(r"vocabulary\.json"), harmed("vocabulary.json", lambda b: b"")),
    ("config: cut", ERROR(r"config\.json: expected JSON"), harmed("config.json", lambda b: b[:30])),
    ("config: a key twice", ERROR("'data' stands twice"), harmed("config.json", lambda b: b'{"data": {}, ' + b.lstrip()[1:])),
    ("config: a list", ERROR(r"config\.json: .*settings"), harmed("config.json", lambda b: b"[]")),
    ("config: bytes", ERROR(r"config\.json"), harmed("config.json", lambda b: b"\xff\xfe\x00")),
    ("config: deep", ERROR(r"config\.json"), harmed("config.json", lambda b: b'{"data":' * 100_000)),
    ("config: another scale", ERROR(r"expected the weights of css-\S+, .* found those of css-"), edited("model", "scale", 5.0)),
    ("config: another seed", ERROR(r"expected the weights of css-\S+, .* found those of css-"), edited("train", "seed", 7)),
    ("config: another origin", ERROR("expected the weights of"), edited("data", "origin", "published sha256:0")),
    ("config: a setting that is not read", ERROR(r"config\.json: "), edited("model", "colour", 1)),
)
def test_weights(fault, lab):
    fault(lab)


def test_weights_of_another_run(lab, trained):
    run, other = lab.run_copy(), trained("text_only", **{"train.seed": 3})
    shutil.copy(other.folder / "model.safetensors", run)
    for answer in (lab("evaluate", run, "--data-root", lab.css), lab("record", run, "--out", lab.folder / "records")):
        assert (
            answer.code == 2 and f"expected the weights of {run.name}" in answer.said and f"those of {other.name}" in answer.said
        )
    assert not (lab.folder / "records" / "runs.parquet").exists()


def stopped(lab, harm=lambda path: None):
    """Train again a copy of a run that stopped before its weights were written, with its checkpoint harmed."""
    run = lab.run_copy()
    for name in ("metrics.json", "model.safetensors", "rankings.parquet"):
        (run / name).unlink()
    harm(run / "state" / "checkpoint.pt")
    return lab.train()


def bytes_of(change):
    return lambda lab: stopped(lab, lambda path: path.write_bytes(change(path.read_bytes())))


def state_of(change, hashed=True):
    """A checkpoint with a changed state, whose hash is the state's own or none, as in earlier versions."""

    def harm(path):
        state = load_state(path)
        change(state)
        torch.save({**state, **({"hash": fingerprint(state)} if hashed else {})}, path)

    return lambda lab: stopped(lab, harm)


STATE = ERROR(r"checkpoint\.pt: expected .*delete it: the run then starts from its beginning")


@faults(
    ("checkpoint: as it was", WORKS, stopped),
    ("checkpoint: empty", STATE, bytes_of(lambda b: b"")),
    ("checkpoint: half", STATE, bytes_of(lambda b: b[: len(b) // 2])),
    ("checkpoint: a byte short", STATE, bytes_of(lambda b: b[:-1])),
    ("checkpoint: text", STATE, bytes_of(lambda b: b"hello")),
    # more bytes than stand between two tensors, which mean nothing
    ("checkpoint: bits in the middle", STATE, bytes_of(flipped(0.5, 128))),
    ("checkpoint: bits at a third", STATE, bytes_of(flipped(0.33, 128))),
    ("checkpoint: of another seed", STATE, state_of(lambda s: s.update(run="css-text_only-0123456789"))),
    ("checkpoint: of a later step", STATE, state_of(lambda s: s.update(step=3))),
    ("checkpoint: of step 10^9", STATE, state_of(lambda s: s.update(step=10**9))),
    ("checkpoint: of step -1", STATE, state_of(lambda s: s.update(step=-1))),
    ("checkpoint: of step 1.5", STATE, state_of(lambda s: s.update(step=1.5))),
    ("checkpoint: without its optimizer", STATE, state_of(lambda s: s.pop("optimizer"))),
    ("checkpoint: of an earlier version", WORKS, state_of(lambda s: [s.pop(k) for k in ("run", "threads")], hashed=False)),
    ("checkpoint: an earlier one of step 10^9", STATE, state_of(lambda s: s.update(step=10**9), hashed=False)),
    ("checkpoint: a list", STATE, lambda lab: stopped(lab, lambda path: torch.save([1], path))),
    ("checkpoint: an edited weight", STATE, state_of(lambda s: s.update(hash="0123456789abcdef"), hashed=False)),
    ("checkpoint: other tensors", STATE, state_of(lambda s: s.update(model={"a": torch.ones(1)}))),
)
def test_checkpoints(fault, lab):
    fault(lab)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@faults(
    *[
        (
            f"--device {name}",
            ERROR(r"device: expected one that is here \(cpu"),
            lambda lab, name=name: lab.train("--device", name),
        )
        for name in ("cuda", "cuda:7", "cdua", "CPU", "meta", "cpu:1", "gpu", "cuda:-1", "\x1b[31m", "x" * 5000)
    ],
    ("search on a device that is not there", ERROR("device: .*Did you mean 'cpu'"), lambda lab: lab.search("--device", "cpuu")),
    (
        "evaluate on a device that is not there",
        ERROR("device: expected"),
        lambda lab: lab("evaluate", lab.run_copy(), "--data-root", lab.css, "--device", "cuda"),
    ),
    ("an explorer's device", ERROR("device:"), lambda lab: maaf_lab.explore_attention("css-laptop", device="cuda:1")),
    ("a model's device", ERROR("device:"), lambda lab: maaf_lab.load_pretrained("css-laptop", device="cuda")),
)
def test_devices(fault, lab):
    fault(lab)


def shown(name, harm):
    """Show a finished run, as a table does, whose file is harm(its bytes)."""

    def how(lab):
        run = lab.run_copy()
        (run / name).write_bytes(harm((run / name).read_bytes()))
        if why := Run(run).damage(run.name):
            raise why
        return Run(run).log

    return how


def parquet(change):
    """Rankings of a changed frame."""

    def harm(content):
        frame = change(pd.read_parquet(io.BytesIO(content)))
        out = io.BytesIO()
        frame.to_parquet(out)
        return out.getvalue()

    return harm


METRICS, RANKS = (ERROR(rf"{name}.*: expected .*maaf-lab evaluate") for name in (r"metrics\.json", r"rankings\.parquet"))


@faults(
    ("nothing", WORKS, shown("metrics.json", lambda b: b)),
    ("metrics: empty", METRICS, shown("metrics.json", lambda b: b"")),
    ("metrics: bytes", METRICS, shown("metrics.json", lambda b: b"\xff\xff")),
    ("metrics: a list", METRICS, shown("metrics.json", lambda b: b"[]")),
    ("metrics: no keys", METRICS, shown("metrics.json", lambda b: b"{}")),
    (
        "metrics: numbers for texts",
        METRICS,
        shown("metrics.json", lambda b: b.replace(b'"protocol": "', b'"protocol": 1, "x": "')),
    ),
    ("metrics: no interval", METRICS, shown("metrics.json", lambda b: b.replace(b'"low"', b'"lower"'))),
    ("metrics: deep", METRICS, shown("metrics.json", lambda b: b"[" * 100_000)),
    ("metrics: of more queries", ERROR("expected 321 ranks"), shown("metrics.json", lambda b: b.replace(b": 320", b": 321"))),
    ("environment: a list", ERROR(r"environment\.json: expected a JSON"), shown("environment.json", lambda b: b"[]")),
    (
        "config: of another run",
        ERROR("expected the settings of"),
        shown("config.json", lambda b: b.replace(b'"seed": 0', b'"seed": 5')),
    ),
    ("rankings: empty", RANKS, shown("rankings.parquet", lambda b: b"")),
    ("rankings: half", RANKS, shown("rankings.parquet", lambda b: b[: len(b) // 2])),
    ("rankings: text", RANKS, shown("rankings.parquet", lambda b: b"PAR1 text PAR1")),
    ("rankings: no ranks", RANKS, shown("rankings.parquet", parquet(lambda f: f.drop(columns="rank")))),
    ("rankings: no texts", RANKS, shown("rankings.parquet", parquet(lambda f: f.drop(columns="text")))),
    ("rankings: words for ranks", RANKS, shown("rankings.parquet", parquet(lambda f: f.assign(rank="first")))),
    ("rankings: half ranks", RANKS, shown("rankings.parquet", parquet(lambda f: f.assign(rank=0.5)))),
    ("rankings: no rank here and there", RANKS, shown("rankings.parquet", parquet(lambda f: f.assign(rank=None)))),
    ("rankings: negative", RANKS, shown("rankings.parquet", parquet(lambda f: f.assign(rank=-1)))),
    ("rankings: of fewer queries", ERROR("expected 320 ranks"), shown("rankings.parquet", parquet(lambda f: f[:3]))),
    ("log: empty", ERROR(r"log\.csv: expected"), shown("log.csv", lambda b: b"")),
    ("log: other columns", ERROR(r"log\.csv: expected .*found no step, loss"), shown("log.csv", lambda b: b"a,b\n1,2\n")),
    ("log: bytes", ERROR(r"log\.csv: expected UTF-8"), shown("log.csv", lambda b: b"\xff\xff")),
)
def test_results(fault, lab):
    """Everything that a table reads of a finished run; each error names the file and what to do."""
    fault(lab)


def test_other_data_than_the_runs(lab):
    """Another copy of the data has results of its own."""
    other = make_css(lab.folder / "other", "tiny", 56, 1, progress=False)
    run, before = lab.run_copy(), (lab.run / "metrics.json").read_bytes()
    with pytest.warns(UserWarning, match=r"expected its data, .* seed=0', found .* seed=1'.*own numbers stay as they are"):
        answer = lab("evaluate", run, "--data-root", other)
    assert answer.code == 0 and "other data than the run's" in answer.said
    assert (run / "metrics.json").read_bytes() == before
    assert (run / "rankings.parquet").read_bytes() == (lab.run / "rankings.parquet").read_bytes()
    (found,) = run.glob("metrics-*.json")
    assert "seed=1" in json.loads(found.read_text())["data"] and len(list(run.glob("rankings-*.parquet"))) == 1


def test_weights_that_are_gone_are_made_again(lab):
    """`evaluate` names `train`, and `train` leads out: to the same bytes, also where the checkpoint is gone too."""
    run = lab.run_copy()
    for gone in (("model.safetensors",), ("model.safetensors", "state/checkpoint.pt")):
        for name in gone:
            (run / name).unlink()
        answer = lab("evaluate", run, "--data-root", lab.css)
        assert answer.code == 2 and "no model.safetensors. Call the `maaf-lab train` that made it again" in answer.said
        with pytest.warns(UserWarning, match="its metrics are there and its weights are gone: these are made again"):
            answer = lab.train()
        assert answer.code == 0 and "finished earlier" not in answer.said
        assert (run / "model.safetensors").read_bytes() == (lab.run / "model.safetensors").read_bytes()
        assert lab("evaluate", run, "--data-root", lab.css).code == 0


@pytest.mark.parametrize("name", ["rankings.parquet", "metrics.json"])
def test_train_tells_of_damaged_results(lab, name):
    run = lab.run_copy()
    (run / name).write_bytes(b"garbage")
    answer = lab.train()
    assert answer.code == 2 and name in answer.said and "Run `maaf-lab evaluate` on the run" in answer.said
    assert lab("evaluate", run, "--data-root", lab.css).code == 0 and lab.train().code == 0
    assert lab("record", run, "--out", lab.folder / "records").code == 0


RECORDS = {
    "into its own folder": lambda lab, run: run,
    "into a file": lambda lab, run: lab.file("records", "text"),
    "below a file": lambda lab, run: lab.file("records", "text") / "below",
    "into /proc": lambda lab, run: "/proc/records",
}


@faults(
    *(
        (
            f"record {what}",
            ERROR("expected a folder"),
            lambda lab, out=out: lab("record", run := lab.run_copy(), "--out", out(lab, run)),
        )
        for what, out in RECORDS.items()
    )
)
def test_records(fault, lab):
    fault(lab)
