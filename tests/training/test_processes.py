"""Several processes train one run: the gradient of one, and an exact resume."""

import math
import os
import socket
import subprocess
import sys

import pytest

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
distributed.destroy_process_group()
"""


def launch(script, *arguments, processes=2):
    """Run a script in several processes, as `torchrun` and `accelerate launch` do."""
    with socket.socket() as free:  # a port that nobody has
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
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
root, runs, steps, model, *frozen = sys.argv[1:]
config = profile_config("smoke", "css", **{"model.name": model, "data.origin": datasets.origin("css", root),
                                           "train.checkpoint_every": 2, "train.steps": 6, "train.warmup_steps": 1,
                                           **({"train.image_learning_rate": 0} if frozen else {})})
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


def test_two_processes_train_on_a_frozen_image_model(tmp_path, tiny_css):
    name = launch(TRAIN, tiny_css, tmp_path, 6, "maaf", "frozen")[0].strip()
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
