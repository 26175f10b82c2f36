"""What tests of models share: pictures, weights away from their start, and slow oracles written as loops."""

import numpy as np
import torch

ATTENTIONS = ("softmax", "identity")
CAPTIONS = ["make red cube blue", "add large green sphere to top-left", "remove cube"]


def pictures(count, size=56, seed=0):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def shaken(model, seed=0):
    """Every parameter and statistic moved away from its start, so that none of them can be forgotten unnoticed."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if not value.is_floating_point():
                continue
            if name.endswith("running_var"):
                value.mul_(0.5 + torch.rand(value.shape, generator=random))
            else:
                value.add_(0.1 * torch.randn(value.shape, generator=random))
    return model


def close(a, b, tolerance=1e-5):
    return torch.allclose(torch.as_tensor(a).float(), torch.as_tensor(b).float(), rtol=1e-4, atol=tolerance)


def as_numpy(model):
    return {name: value.detach().numpy().astype(np.float64) for name, value in model.state_dict().items()}


def linear(x, p, name):
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def slow_words(ids, p):
    """An LSTM and the linear map after it, word by word."""

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    h = c = np.zeros(p["text.lstm.weight_hh_l0"].shape[1])
    out = []
    for i in ids:
        gates = p["text.lstm.weight_ih_l0"] @ p["text.embedding.weight"][i] + p["text.lstm.bias_ih_l0"]
        gates = gates + p["text.lstm.weight_hh_l0"] @ h + p["text.lstm.bias_hh_l0"]
        into, forget, new, out_gate = np.split(gates, 4)
        c = sigmoid(forget) * c + sigmoid(into) * np.tanh(new)
        h = sigmoid(out_gate) * np.tanh(c)
        out.append(p["text.project.1.weight"] @ h + p["text.project.1.bias"])
    return np.array(out)
