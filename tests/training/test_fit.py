"""Loss, schedule and parameter groups."""

import math
from collections import Counter
from itertools import pairwise

import pytest
import torch
from torch.nn.functional import normalize

from maaf_lab.config import TrainConfig
from maaf_lab.training.fit import batch_softmax_loss, learning_rate_factor, parameter_groups


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
