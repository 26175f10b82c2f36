"""Attention with dropout on its weights, a few examples at a time, for CPUs.

PyTorch's fused attention has no dropout on a CPU: it computes all weights, a copy after dropout and the mask (some gigabytes at
the paper's configuration) and keeps them for the backward pass. Here the weights of a few examples exist only while they are
used (they fit the processor's cache) and are computed again in the backward pass. Only the mask of kept weights is stored, in a
little more than a tenth of the memory.
Shapes: B batch, H heads, Q/K query and key tokens, S width of a head. Masks are (B, K) bool, true at real tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

CHUNK = 2_000_000  # weights that are computed at once


def attention_with_dropout(
    q_BHQS: Tensor, k_BHKS: Tensor, v_BHKS: Tensor, mask_BK: Tensor | None, function: str, rate: float
) -> Tensor:
    """dropout(f(Q K^T / sqrt(S))) V -> (B, H, Q, S). function: f, "softmax" or "identity". Uses torch's random state.

    An example with no real key attends to nothing: zeros, never NaN.
    """
    return _call(q_BHQS, k_BHKS, v_BHKS, mask_BK, function, rate)


def _plain(*of: Any) -> Tensor:
    return _AttentionWithDropout.apply(*of)


_call = _plain


def keep_out_of_graphs() -> None:
    """To be called before `torch.compile`, so that a compiled step calls this attention without tracing it.

    Traced, its chunks would be unrolled and save no memory. Not a decorator, because torch's would import the whole compiler,
    which takes two seconds, whenever the lab is imported.
    """
    global _call
    _call = torch.compiler.disable(_plain)


def keep_mask(shape: tuple[int, ...], rate: float) -> tuple[Tensor, float]:
    """A random mask, true with probability 1 - rate, and the factor that keeps the mean; from 16 random bits per element.

    It takes a quarter of the time of a Bernoulli draw. `rate` is rounded to a 65,536th, and the factor fits the rounded rate.
    """
    count, threshold = math.prod(shape), round(rate * 65_536)
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    return bits.view(torch.int16)[:count].view(shape) >= threshold - 32_768, 65_536 / (65_536 - threshold)


def chunks(q: Tensor, k: Tensor) -> Iterator[slice]:
    """Slices of examples whose weights are computed at once: at most CHUNK weights, or one example."""
    step = max(1, CHUNK // (q.shape[1] * q.shape[2] * k.shape[2]))
    return (slice(start, start + step) for start in range(0, len(q), step))


def wide(scores: Tensor) -> Tensor:
    """Scores in float32 at least: softmax needs its range and precision."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def _weights(q: Tensor, k: Tensor, mask_BK: Tensor | None, function: str) -> Tensor:
    """The weights f(Q K^T / sqrt(S)) of one chunk, before dropout, in float32 at least."""
    scores = wide(q @ k.transpose(-2, -1)).mul_(q.shape[-1] ** -0.5)
    if mask_BK is None:
        return torch.softmax(scores, -1) if function == "softmax" else scores
    hidden = ~mask_BK[:, None, None, :]
    if function == "identity":
        return scores.masked_fill_(hidden, 0.0)
    return torch.softmax(scores.masked_fill_(hidden, torch.finfo(scores.dtype).min), -1).masked_fill_(hidden, 0.0)


class _AttentionWithDropout(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, function: str, rate: float) -> Tensor:
        out, kept, factor = torch.empty_like(q), [], 1.0
        with torch.autocast("cpu", enabled=False):
            for part in chunks(q, k):
                weights = _weights(q[part], k[part], None if mask is None else mask[part], function)
                keep, factor = keep_mask(tuple(weights.shape), rate)
                out[part] = weights.mul_(keep).mul_(factor).to(v.dtype) @ v[part]
                kept.append(keep)
        context.save_for_backward(q, k, v, mask, *kept)
        context.function, context.factor = function, factor
        return out

    @staticmethod
    def backward(context: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, mask, *kept = context.saved_tensors
        function, factor, scale = context.function, context.factor, q.shape[-1] ** -0.5
        d_q, d_k, d_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        with torch.autocast("cpu", enabled=False):
            for part, keep in zip(chunks(q, k), kept, strict=True):
                hidden = None if mask is None else ~mask[part][:, None, None, :]
                weights = _weights(q[part], k[part], None if mask is None else mask[part], function)
                d_weights = wide(d_out[part] @ v[part].transpose(-2, -1)).mul_(keep).mul_(factor)
                d_v[part] = (weights * keep).mul_(factor).to(v.dtype).transpose(-2, -1) @ d_out[part]
                if function == "softmax":
                    d_scores = d_weights.sub_((d_weights * weights).sum(-1, keepdim=True)).mul_(weights)
                else:
                    d_scores = d_weights if hidden is None else d_weights.masked_fill_(hidden, 0.0)
                d_scores = d_scores.mul_(scale).to(q.dtype)
                d_q[part], d_k[part] = d_scores @ k[part], d_scores.transpose(-2, -1) @ q[part]
        return d_q, d_k, d_v, None, None, None
