"""Multi-head attention with f = softmax or identity, the fusion block, and AttentionRecord (paper 2.1).

Shapes: B batch, N tokens, D width, H heads, Q/K query and key tokens, S = D / H. Masks are (B, K) bool, true at real tokens.
Attention weights are always a return value; nothing is stored on a module.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from maaf_lab.config import Hidden, ModelConfig, Share, Width
from maaf_lab.data.text import UNKNOWN, TextBatch, Vocabulary
from maaf_lab.errors import ConfigError
from maaf_lab.models.layers.attention_dropout import attention_with_dropout, wide


class BlockConfig(ModelConfig):
    """What attention blocks read (paper 2.4)."""

    heads: Width = 8
    """Heads; they divide `width`."""
    feedforward: Hidden = 256
    """Width of the feed-forward layers."""
    layer_norm: Literal["code", "standard"] = "code"
    """"code": unbiased deviation + 1e-6, as in the authors' code; "standard"."""
    dropout: Share = 0.1
    """In attention and feed-forward."""
    attention_dropout: Share | None = None
    """On the attention's weights, where it differs from `dropout`; at 0 the weights are never computed, on a CPU too."""

    @model_validator(mode="after")
    def _whole_heads(self) -> Self:
        if self.width % self.heads:
            raise ConfigError(f"model.width {self.width} does not divide into {self.heads} heads: change one of them")
        return self


class FusionConfig(BlockConfig):
    """What a stack of attention blocks reads."""

    blocks: Annotated[int, Field(ge=0, le=100)] = 2
    """Attention blocks (the paper: 2; CSS: 1)."""
    attention: Literal["softmax", "identity"] = "softmax"
    """f of equation 1."""

    def read(self) -> frozenset[str]:
        return super().read() - (set() if self.blocks else {"heads", "feedforward", "attention_dropout"})


def attention_weights(q_BHQS: Tensor, k_BHKS: Tensor, mask_BK: Tensor | None, function: str) -> Tensor:
    """f(Q K^T / sqrt(S)) of equation 1 -> (B, H, Q, K). function: f.

    "softmax": rows sum to 1 over the real keys; a row with no real key is all zero, never NaN. In float32 at least.
    "identity": the scaled scores themselves, signed and not normalized; padding is 0.
    """
    scores_BHQK = q_BHQS @ k_BHKS.transpose(-2, -1)
    scores_BHQK = (wide(scores_BHQK) if function == "softmax" else scores_BHQK) / math.sqrt(q_BHQS.shape[-1])
    if mask_BK is None:
        return scores_BHQK.softmax(-1) if function == "softmax" else scores_BHQK
    hidden = ~mask_BK[:, None, None, :]
    if function == "identity":
        return scores_BHQK.masked_fill(hidden, 0.0)
    lowest = torch.finfo(scores_BHQK.dtype).min  # finite, so that a row of padding alone stays finite
    return scores_BHQK.masked_fill(hidden, lowest).softmax(-1).masked_fill(hidden, 0.0)


@dataclass(frozen=True)
class AttentionRecord:
    """The attention of one forward pass, either of queries or of gallery images.

    weights: (blocks, B, heads, Q, K). tokens: per example, the names of its tokens in order ("7x7:2,3", a word, "" for padding).
    spans: name -> (start, stop) of the tokens of "7x7", "14x14", "text". normalized: true where rows sum to 1 (softmax), false
    for signed scores (identity), which belong on a diverging scale. operations: the name of each of `blocks` where they are not
    self-attention of all tokens ("1 xmm"); the weights of tokens without a part in an operation are 0.
    """

    weights: Tensor
    tokens: tuple[tuple[str, ...], ...]
    spans: dict[str, tuple[int, int]]
    normalized: bool
    operations: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """The name of each of `blocks`."""
        return self.operations or tuple(f"block {n + 1}" for n in range(len(self.weights)))

    def words_to_image(self, grid: str = "7x7") -> Tensor:
        """Attention of each word to the image tokens of a grid -> (blocks, B, heads, words, rows, columns)."""
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
        width = x.shape[-1]
        normed, _, inverse = torch.native_layer_norm(x, (width,), None, None, 1e-24)  # a constant token must not make NaN
        deviation = inverse.detach().reciprocal()
        # from the biased deviation to the unbiased one plus 1e-6; the factor is almost constant, so it gets no gradient
        factor = deviation / (deviation * math.sqrt(width / max(width - 1, 1)) + 1e-6)
        return torch.addcmul(self.bias, normed * factor.to(normed.dtype), self.gain)


class MultiHeadAttention(nn.Module):
    """Attn(x W_Q, y W_K, y W_V) with H heads and an output map. It is self-attention where `y is x`.

    Returns the attended tokens (B, Q, D) and the weights (B, H, Q, K), before dropout. Weights that are not requested are None
    and not computed as a whole where that can be avoided: softmax uses PyTorch's fused attention, and identity without dropout
    is (Q K^T) V = Q (K^T V). With dropout on a CPU, a few examples are computed at a time (see `attention_dropout`).
    """

    def __init__(self, width: int, heads: int, function: str, dropout: float) -> None:
        super().__init__()
        self.heads, self.function, self.dropout = heads, function, nn.Dropout(dropout)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(
        self, x_BQD: Tensor, y_BKD: Tensor, mask_BK: Tensor | None = None, return_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self._maps(x_BQD, y_BKD))  # (B, H, N, S)
        weights_BHQK = None
        rate = self.dropout.p if self.training else 0.0
        if rate > 0 and not return_weights and q.device.type == "cpu":
            mixed = attention_with_dropout(q, k, v, mask_BK, self.function, rate)
        elif return_weights or (self.function == "identity" and rate > 0):
            weights_BHQK = attention_weights(q, k, mask_BK, self.function)
            mixed = self.dropout(weights_BHQK).to(v.dtype) @ v
        elif self.function == "identity":
            k = k if mask_BK is None else k * mask_BK[:, None, :, None]
            mixed = q @ (k.transpose(-2, -1) @ v / math.sqrt(q.shape[-1]))
        else:
            mixed = _fused(q, k, v, mask_BK, rate)
        return self.out(mixed.transpose(1, 2).flatten(-2)), weights_BHQK if return_weights else None

    def _maps(self, x_BQD: Tensor, y_BKD: Tensor) -> tuple[Tensor, ...]:
        """x W_Q, y W_K and y W_V: one product where x is y, otherwise two."""
        three = (self.query, self.key, self.value) if x_BQD is y_BKD else (self.key, self.value)
        joined = nn.functional.linear(y_BKD, torch.cat([m.weight for m in three]), torch.cat([m.bias for m in three]))
        parts = joined.chunk(len(three), -1)
        return parts if x_BQD is y_BKD else (self.query(x_BQD), *parts)


def _fused(q_BHQS: Tensor, k_BHKS: Tensor, v_BHKS: Tensor, mask_BK: Tensor | None, rate: float) -> Tensor:
    """Softmax attention without its weights -> (B, H, Q, S). An example with no real key attends to nothing: zeros, never NaN."""
    if mask_BK is None:
        return nn.functional.scaled_dot_product_attention(q_BHQS, k_BHKS, v_BHKS, dropout_p=rate)
    some_B1 = mask_BK.any(1, keepdim=True)
    mixed = nn.functional.scaled_dot_product_attention(
        q_BHQS, k_BHKS, v_BHKS, attn_mask=(mask_BK | ~some_B1)[:, None, None, :], dropout_p=rate
    )
    return mixed * some_B1[:, :, None, None]


def feed_forward(width: int, inner: int, dropout: float) -> nn.Sequential:
    """On each token alone: D -> inner -> D with ReLU and dropout between."""
    return nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Dropout(dropout), nn.Linear(inner, width))


class FusionBlock(nn.Module):
    """Pre-norm residual self-attention, then pre-norm residual feed-forward (D -> feedforward -> D, ReLU).

    attention_dropout: on the attention's weights; None means `dropout`.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        feedforward: int,
        function: str,
        layer_norm: str,
        dropout: float,
        attention_dropout: float | None = None,
    ) -> None:
        super().__init__()
        self.attention_norm, self.feedforward_norm = LayerNorm(width, layer_norm), LayerNorm(width, layer_norm)
        self.attention = MultiHeadAttention(width, heads, function, dropout if attention_dropout is None else attention_dropout)
        self.feedforward = feed_forward(width, feedforward, dropout)
        self.dropout = nn.Dropout(dropout)

    @classmethod
    def of(cls, config: FusionConfig) -> FusionBlock:
        """The block of MAAF's fusion."""
        return cls(
            config.width,
            config.heads,
            config.feedforward,
            config.attention,
            config.layer_norm,
            config.dropout,
            config.attention_dropout,
        )

    def forward(self, x_BND: Tensor, mask_BN: Tensor | None = None, return_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        y = self.attention_norm(x_BND)
        attended, weights_BHNN = self.attention(y, y, mask_BN, return_weights)
        x_BND = x_BND + self.dropout(attended)
        return x_BND + self.dropout(self.feedforward(self.feedforward_norm(x_BND))), weights_BHNN


def xavier(module: nn.Module) -> None:
    """Every matrix of `module` Xavier-uniform (authors' code); vectors stay as they are."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)


class FusionStack(nn.Module):
    """`blocks` fusion blocks and a final layer norm, Xavier-uniform matrices.

    Returns tokens (B, N, D) and a list of the blocks' weights, empty unless requested.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(FusionBlock.of(config) for _ in range(config.blocks))
        self.norm = LayerNorm(config.width, config.layer_norm)
        xavier(self)

    def forward(self, x_BND: Tensor, mask_BN: Tensor | None = None, return_weights: bool = False) -> tuple[Tensor, list[Tensor]]:
        weights = []
        for block in self.blocks:
            x_BND, one = block(x_BND, mask_BN, return_weights)
            if one is not None:
                weights.append(one)
        return self.norm(x_BND), weights


class Positions(nn.Module):
    """Position encodings added to the stacked tokens, then dropout (authors' code; the paper uses none by default).

    encoding "sinusoidal": sine and cosine of the position among all tokens. "mixed": a learned vector for each of the
    `image_tokens` image tokens, and sine and cosine of the position among the words. In the authors' code the sum is computed
    once, so the learned part keeps its random start; here it is learned.
    """

    def __init__(self, encoding: str, image_tokens: int, width: int, dropout: float) -> None:
        super().__init__()
        self.encoding, self.dropout = encoding, nn.Dropout(dropout)
        if encoding == "mixed":
            self.learned = nn.Parameter(torch.empty(image_tokens, width))
            nn.init.xavier_uniform_(self.learned)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        if self.encoding == "none":
            return tokens_BND
        count, width = tokens_BND.shape[1:]
        if self.encoding == "sinusoidal":
            added = sinusoidal_positions(count, width, tokens_BND.device)
        elif count < len(self.learned):
            raise ConfigError(
                f'positions "mixed" were made for {len(self.learned)} image tokens, found {count}: '
                "use images of the side that the model was made for"
            )
        else:
            rest = sinusoidal_positions(count - len(self.learned), width, tokens_BND.device)
            added = torch.cat([self.learned, rest])
        return self.dropout(tokens_BND + added.to(tokens_BND.dtype))


def sinusoidal_positions(count: int, width: int, device: torch.device) -> Tensor:
    """The sine and cosine position encoding of Vaswani et al. -> (count, width)."""
    position = torch.arange(count, device=device, dtype=torch.float32)[:, None]
    pair = torch.arange(0, width, 2, device=device, dtype=torch.float32)
    angle = position * torch.exp(pair * (-math.log(10_000.0) / width))
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :width]


class TokenNames:
    """The names of an AttentionRecord's tokens, made only when they are read, which training never does.

    `names[b]` is a tuple: "7x7:2,3" for row 2, column 3; a word, "?" for an unknown one; "" for padding.
    """

    def __init__(self, vocabulary: Vocabulary, spans: dict[str, tuple[int, int]], text: TextBatch | None, count: int) -> None:
        self._words, self._spans, self._text, self._count = vocabulary.words, spans, text, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, b: int) -> tuple[str, ...]:
        if not -self._count <= b < self._count:
            raise IndexError(f"expected an example below {self._count}, found {b}")
        names = []
        for grid, (start, stop) in self._spans.items():
            if grid == "text":
                ids, mask = self._text.ids[b].tolist(), self._text.mask[b].tolist()
                words = ["?" if i == UNKNOWN else self._words[i - 1] for i in ids]
                names += [word if real else "" for word, real in zip(words, mask, strict=True)]
            else:
                side = math.isqrt(stop - start)
                names += [f"{grid}:{i // side},{i % side}" for i in range(side * side)]
        return tuple(names)
