"""Every system: it learns, in bf16 too, comes back from its files, and each parameter that learns gets a gradient."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from maaf_lab.data.text import Vocabulary
from maaf_lab.data.transforms import normalize_pixels
from maaf_lab.experiments.train import train_and_evaluate
from maaf_lab.models.registry import build_model
from maaf_lab.paper.tables import TABLE_4
from maaf_lab.synthetic.css.dataset import draw
from maaf_lab.synthetic.css.scenes import css_annotations
from maaf_lab.training.fit import batch_softmax_loss, parameter_groups
from maaf_lab.utils.registry import MODELS

# Table 4's six, beside the registry's own
SYSTEMS = [(name, {}) for name in MODELS if name != "two_stream"]
SYSTEMS += [("two_stream", {"model.two_stream": block}) for block in TABLE_4.values()]
IDS = [f"{name}-{changes['model.two_stream']}" if changes else name for name, changes in SYSTEMS]


@pytest.fixture(scope="module")
def sixty_four():
    """64 synthetic queries, no two with the same text, reference or target: (images uint8, source, target, texts)."""
    part = css_annotations("full", 0)["train"]
    scenes, numbers, source, target, texts = [], {}, [], [], []

    def number(i):
        if i not in numbers:
            numbers[i] = len(scenes)
            scenes.append(part["objects_img"][i])
        return numbers[i]

    used = set()
    for mod in part["mods"]:
        pair = next(((a, b) for a, b in zip(mod["from"], mod["to"], strict=True) if not {a, b} & used), None)
        if pair is None or mod["to_str"] in texts:
            continue
        used |= set(pair)
        source.append(number(pair[0]))
        target.append(number(pair[1]))
        texts.append(mod["to_str"])
        if len(texts) == 64:
            break
    images = torch.from_numpy(draw(scenes, 56)).permute(0, 3, 1, 2)
    return normalize_pixels(images), torch.tensor(source), torch.tensor(target), texts


def recall_at_1(model, images, source, target, texts):
    model.eval()
    with torch.no_grad():
        cosine = model.embed_query(images[source], texts) @ model.embed_images(images).T
    cosine[torch.arange(len(source)), source] = -2
    return 100 * float((cosine.argmax(1) == target).float().mean())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "changes"), SYSTEMS, ids=IDS)
def test_it_overfits_64_queries(sixty_four, smoke, name, changes):
    images, source, target, texts = sixty_four
    if name == "relationship":  # pairs of regions: a quarter of the regions, a sixteenth of the time
        images = images[..., ::2, ::2]
    assert len(set(texts)) == len(set(target.tolist())) == len(set(source.tolist())) == 64
    config = smoke(name, {"model.dropout": 0.0, "model.text_dropout": 0.0}, **changes)
    torch.manual_seed(0)
    model = build_model(config.model, Vocabulary.build(texts))
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 0.5  # the statistics of these very images, after a few steps
    optimizer = torch.optim.AdamW(parameter_groups(model, config.train), lr=3e-3)
    text, best = model.read(texts), 0.0
    for step in range(1, 241):
        model.train()
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = 3e-3
        queries, targets = model(images, source, target, text)
        loss = batch_softmax_loss(queries, targets, model.scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 5 == 0 and loss < 0.5 and (best := recall_at_1(model, images, source, target, texts)) >= 95:
            return
    pytest.fail(f"{name}: R1 {best:.1f} after {step} steps, loss {float(loss):.3f}")


@pytest.mark.parametrize(("name", "changes"), SYSTEMS, ids=IDS)
def test_it_trains_in_smoke_and_comes_back_from_its_files(tmp_path, tiny_css, smoke, css_test, name, changes):
    config = smoke(name, **{"train.steps": 3, "train.warmup_steps": 1, "train.precision": "bf16", **changes})
    run = train_and_evaluate(config, tiny_css, tmp_path, device="cpu", progress=False)
    assert run.log["loss"].notna().all() and set(run.metrics["metrics"]) == {"R1", "R5", "R10", "R50"}
    model, saved = run.load_model(), load_file(run.folder / "model.safetensors")
    assert set(saved) == set(model.state_dict()) and all(torch.equal(saved[k], v) for k, v in model.state_dict().items())
    moved = tmp_path / "elsewhere"
    shutil.copytree(run.folder, moved)
    images = torch.randn(2, 3, 56, 56)
    assert torch.equal(
        model.embed_query(images, ["make red cube blue", ""]),
        type(run)(moved).load_model().embed_query(images, ["make red cube blue", ""]),
    )


IDLE = [
    {"model.two_stream": block, "model.include_text": False, "model.image_through_attention": ita, "model.blocks": 2}
    for block in (*TABLE_4.values(), "xmm_mff_xff")
    for ita in (True, False)
]


@pytest.mark.parametrize(("name", "changes"), SYSTEMS + [("two_stream", changes) for changes in IDLE])
def test_every_parameter_that_learns_gets_a_gradient(made_model, name, changes):
    """Several processes wait for the gradient of each; one that never comes would stop the run."""
    model = made_model(name, **changes).train()
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    text, pairs = model.read(["make red cube blue", "add cube", "remove sphere", "add red sphere"]), torch.arange(4)
    queries, targets = model(torch.randn(8, 3, 56, 56), pairs, pairs + 4, text)
    batch_softmax_loss(queries, targets, model.scale).backward()
    assert {n for n, p in model.named_parameters() if p.grad is None} == frozen, "frozen is what has no part in the outcome"


def test_the_shells_help_names_every_system(shell, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    assert "a system: " + ", ".join(MODELS) in shell("train", "--help")[1]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler, and there is no g++")
def test_a_compiled_step_is_the_same_step(tmp_path, tiny_css, smoke, monkeypatch):
    """Same batches, weights and dropout (on attention's weights too): a compiled run has a plain one's losses, but for rounding.

    The compiler is told to draw torch's own random numbers; those of dropout after an LSTM it still draws in another order.
    """
    import torch._inductor.config

    monkeypatch.setattr(torch._inductor.config, "fallback_random", True)
    changes = {"train.steps": 3, "train.warmup_steps": 1, "train.log_every": 1, "model.text_dropout": 0.0}
    small = {"model.blocks": 1, "model.resolutions": (7,)}  # a minute less in the compiler
    runs = [
        train_and_evaluate(smoke(**changes, **small, **{"train.compile": on}), tiny_css, tmp_path, device="cpu", progress=False)
        for on in (False, True)
    ]
    assert runs[0].name != runs[1].name
    assert runs[1].log["loss"].tolist() == pytest.approx(runs[0].log["loss"].tolist(), rel=1e-3)
