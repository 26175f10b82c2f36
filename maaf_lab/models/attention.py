"""Multi-head attention with f = softmax or identity, the fusion block, and AttentionRecord (paper 2.1).

Shapes: B batch, N tokens, D width, H heads, Q/K query and key tokens, S = D / H. Masks are (B, K) bool, true at real tokens.
Attention weights are a return value of every call that makes them; nothing is stored on a module.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maaf_lab.config import ModelConfig


def attention_weights(q_BHQS: Tensor, k_BHKS: Tensor, mask_BK: Tensor | None, kind: str) -> Tensor:
    """f(Q K^T / sqrt(S)) of equation 1 -> (B, H, Q, K).

    kind "softmax": rows sum to 1 over the real keys; a row with no real key is all zero, never NaN.
    kind "identity": the scaled scores themselves, signed and not normalised; padding is 0.
    """
    scores_BHQK = q_BHQS @ k_BHKS.transpose(-2, -1) / math.sqrt(q_BHQS.shape[-1])
    if mask_BK is None:
        return scores_BHQK.softmax(-1) if kind == "softmax" else scores_BHQK
    hidden = ~mask_BK[:, None, None, :]
    if kind == "identity":
        return scores_BHQK.masked_fill(hidden, 0.0)
    lowest = torch.finfo(scores_BHQK.dtype).min  # finite, so that a row of padding alone stays finite
    return scores_BHQK.masked_fill(hidden, lowest).softmax(-1).masked_fill(hidden, 0.0)


@dataclass(frozen=True)
class AttentionRecord:
    """The attention of one forward pass, of queries or of catalogue images, never of both.

    weights: (blocks, B, heads, Q, K). tokens: per example, the names of its tokens in order ("7x7:2,3", a word, "" for padding).
    spans: name -> (start, stop) of each kind of token ("7x7", "14x14", "text"). normalised: rows sum to 1 (softmax), or signed
    scores (identity), which belong on a diverging scale.
    """

    weights: Tensor
    tokens: tuple[tuple[str, ...], ...]
    spans: dict[str, tuple[int, int]]
    normalised: bool

    def words_to_image(self, grid: str = "7x7") -> Tensor:
        """Attention of each word to the image's tokens -> (blocks, B, heads, words, rows, columns), on a grid of tokens."""
        start, stop = self.spans[grid]
        first, last = self.spans["text"]
        side = math.isqrt(stop - start)
        picked = self.weights[..., first:last, start:stop]
        return picked.unflatten(-1, (side, side))


class LayerNorm(nn.Module):
    """Layer norm over D. "code": (x - mean) / (unbiased std + 1e-6), the authors'; "standard": sqrt(variance + eps)."""

    def __init__(self, width: int, style: str) -> None:
        super().__init__()
        self.gain, self.bias, self.style = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width)), style

    def forward(self, x: Tensor) -> Tensor:
        if self.style == "standard":
            return nn.functional.layer_norm(x, x.shape[-1:], self.gain, self.bias)
        centred = x - x.mean(-1, keepdim=True)
        variance = centred.square().sum(-1, keepdim=True) / max(x.shape[-1] - 1, 1)
        # the gradient of sqrt is infinite at 0: a constant token must not make NaN
        return self.gain * centred / (variance.clamp_min(1e-24).sqrt() + 1e-6) + self.bias


class MultiHeadAttention(nn.Module):
    """Attn(x W_Q, y W_K, y W_V) with H heads and an output map. Self-attention is `y is x`.

    Returns the attended tokens (B, Q, D) and the weights (B, H, Q, K), before dropout.
    """

    def __init__(self, width: int, heads: int, kind: str, dropout: float) -> None:
        super().__init__()
        self.heads, self.kind, self.dropout = heads, kind, nn.Dropout(dropout)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def _split(self, x_BND: Tensor) -> Tensor:
        return x_BND.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, N, S)

    def forward(self, x_BQD: Tensor, y_BKD: Tensor, mask_BK: Tensor | None = None) -> tuple[Tensor, Tensor]:
        q, k, v = self._split(self.query(x_BQD)), self._split(self.key(y_BKD)), self._split(self.value(y_BKD))
        weights_BHQK = attention_weights(q, k, mask_BK, self.kind)
        mixed = self.dropout(weights_BHQK).to(v.dtype) @ v
        return self.out(mixed.transpose(1, 2).flatten(-2)), weights_BHQK


class FusionBlock(nn.Module):
    """Pre-norm residual self-attention, then pre-norm residual feed-forward (D -> feedforward -> D, ReLU)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, rate = config.width, config.dropout
        self.attention_norm, self.feedforward_norm = LayerNorm(width, config.layer_norm), LayerNorm(width, config.layer_norm)
        self.attention = MultiHeadAttention(width, config.heads, config.attention, rate)
        self.feedforward = nn.Sequential(
            nn.Linear(width, config.feedforward), nn.ReLU(), nn.Dropout(rate), nn.Linear(config.feedforward, width)
        )
        self.dropout = nn.Dropout(rate)

    def forward(self, x_BND: Tensor, mask_BN: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = self.attention_norm(x_BND)
        attended, weights_BHNN = self.attention(y, y, mask_BN)
        x_BND = x_BND + self.dropout(attended)
        return x_BND + self.dropout(self.feedforward(self.feedforward_norm(x_BND))), weights_BHNN


class FusionStack(nn.Module):
    """`blocks` fusion blocks and a final layer norm, Xavier-uniform matrices. Returns tokens (B, N, D) and a list of weights."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(FusionBlock(config) for _ in range(config.blocks))
        self.norm = LayerNorm(config.width, config.layer_norm)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, x_BND: Tensor, mask_BN: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        weights = []
        for block in self.blocks:
            x_BND, one = block(x_BND, mask_BN)
            weights.append(one)
        return self.norm(x_BND), weights


def sinusoidal_positions(count: int, width: int, device: torch.device) -> Tensor:
    """The sine and cosine position encoding of Vaswani et al. -> (count, width)."""
    position = torch.arange(count, device=device, dtype=torch.float32)[:, None]
    pair = torch.arange(0, width, 2, device=device, dtype=torch.float32)
    angle = position * torch.exp(pair * (-math.log(10_000.0) / width))
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :width]
