"""Dropout on attention's weights: the gradient of autograd, and the share that is kept."""

import pytest
import torch

from maaf_lab.models.layers import attention_dropout as dropped
from maaf_lab.models.layers.attention import attention_weights


@pytest.mark.parametrize("kind", ["softmax", "identity"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("chunk", [1, 120, 10**6])
def test_dropped_attention_equals_autograd(monkeypatch, kind, masked, chunk):
    monkeypatch.setattr(dropped, "CHUNK", chunk)
    torch.manual_seed(1)
    q, k, v = (torch.randn(5, 2, n, 6, dtype=torch.float64, requires_grad=True) for n in (4, 7, 7))
    mask = torch.rand(5, 7) > 0.4 if masked else None
    if masked:
        mask[2] = False  # an example with nothing to attend to
    torch.manual_seed(3)
    found = dropped.attention_with_dropout(q, k, v, mask, kind, 0.3)
    torch.manual_seed(3)
    drawn = [dropped.keep_mask((len(q[part]), 2, 4, 7), 0.3) for part in dropped.chunks(q, k)]
    keep, factor = torch.cat([mask for mask, _ in drawn]), drawn[0][1]
    expected = (attention_weights(q, k, mask, kind) * keep * factor) @ v
    assert torch.allclose(found, expected, atol=1e-12) and 0 < keep.double().mean() < 1
    for a, b in zip(*(torch.autograd.grad(x.square().sum(), (q, k, v)) for x in (found, expected)), strict=True):
        assert torch.allclose(a, b, atol=1e-11) and a.isfinite().all()


def test_what_is_kept_has_the_right_share_and_mean():
    torch.manual_seed(0)
    for rate in (0.1, 0.5):
        keep, factor = dropped.keep_mask((999, 1001), rate)
        assert keep.shape == (999, 1001) and abs(float(keep.double().mean()) - (1 - rate)) < 2e-3
        assert factor * (1 - rate) == pytest.approx(1, abs=1e-4)
        assert abs(float(keep[:, :-1].logical_xor(keep[:, 1:]).double().mean()) - 2 * rate * (1 - rate)) < 3e-3, "independent"
