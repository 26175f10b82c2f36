"""Two-stream variants of MAAF: image tokens x and word tokens m attend to themselves and to each other (paper 2.2, Table 4).

A block is a line of steps, such as "xxx_mmm_xmm.mxx_xff" (names from the authors' code): "_" separates steps that follow one
another, "." joins operations of one step, which do not see each other's results. The first letter of an operation is the stream
that it changes, the others are the stream that it attends to:

    xxx Self(x)    xmm Cross(x, m)    mmm Self(m)    mxx Cross(m, x)    xff, mff feed-forward on x, on m

Each step is a pre-norm residual. Operations of one name share their weights within a block; each step has a norm of its own.
Shapes: B batch, N image tokens, T words, D width.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import AfterValidator
from torch import Tensor, nn

from maaf_lab.data.text import TextBatch, Vocabulary
from maaf_lab.errors import ConfigError
from maaf_lab.models.base import Features, FusedTokens
from maaf_lab.models.layers.attention import AttentionRecord, LayerNorm, MultiHeadAttention, Positions, feed_forward, xavier
from maaf_lab.models.systems.maaf import PoolingConfig
from maaf_lab.utils.wording import did_you_mean

ATTENTION, FEED_FORWARD = ("xxx", "xmm", "mmm", "mxx"), ("xff", "mff")


def steps_of(block: str) -> list[tuple[str, ...]]:
    """ "xxx_xmm.mxx_xff" -> [("xxx",), ("xmm", "mxx"), ("xff",)].

    Raises ConfigError for an operation that is not known, and for a step that changes one stream twice.
    """
    known = (*ATTENTION, *FEED_FORWARD)
    steps = [tuple(step.split(".")) for step in block.split("_")]
    if len(steps) > 100:
        raise ConfigError(f"expected at most 100 steps, found {len(steps):,}: {block[:40]}...")
    for step in steps:
        for operation in step:
            if operation not in known:
                raise ConfigError(
                    f"{block!r}: unknown operation {operation!r}; known: {', '.join(known)}{did_you_mean(operation, known)}"
                )
        if len({operation[0] for operation in step}) < len(step):
            raise ConfigError(
                f'{block!r}: {".".join(step)} changes one stream twice at once; put one operation after the other, with "_"'
            )
    return steps


def _readable(block: str) -> str:
    steps_of(block)
    return block


class StreamBlock(nn.Module):
    """One block of the steps that `config.two_stream` names."""

    def __init__(self, config: FusedTokens.Config) -> None:
        super().__init__()
        self.steps = steps_of(config.two_stream)
        used = {operation for step in self.steps for operation in step}
        rate = config.dropout
        on_weights = rate if config.attention_dropout is None else config.attention_dropout
        self.attention = nn.ModuleDict(
            {
                name: MultiHeadAttention(config.width, config.heads, config.attention, on_weights)
                for name in ATTENTION
                if name in used
            }
        )
        self.feedforward = nn.ModuleDict(
            {name: feed_forward(config.width, config.feedforward, rate) for name in FEED_FORWARD if name in used}
        )
        self.norms = nn.ModuleList(LayerNorm(config.width, config.layer_norm) for _ in self.steps)
        self.dropout = nn.Dropout(rate)

    def forward(
        self, x_BND: Tensor, m_BTD: Tensor, mask_BT: Tensor | None, return_weights: bool = False
    ) -> tuple[Tensor, Tensor, list[tuple[str, Tensor]]]:
        """-> both streams, and on request (operation, weights (B, H, Q, K)) for each attention."""
        streams, weights = {"x": x_BND, "m": m_BTD}, []
        for norm, step in zip(self.norms, self.steps, strict=True):
            changed = dict(streams)
            for operation in step:
                old = streams[operation[0]]
                y = norm(old)
                if operation in FEED_FORWARD:
                    new = self.feedforward[operation](y)
                else:
                    keys = y if operation[0] == operation[1] else streams[operation[1]]  # code: no norm on the other stream
                    mask = mask_BT if operation[1] == "m" else None
                    new, found = self.attention[operation](y, keys, mask, return_weights)
                    if found is not None:
                        weights.append((operation, found))
                changed[operation[0]] = old + self.dropout(new)
            streams = changed
        return streams["x"], streams["m"], weights


class TwoStream(FusedTokens):
    """Separate streams of image and word tokens in blocks of `config.two_stream`, then a norm for each, pooled as MAAF is.

    Under ITA, gallery images pass through the same blocks with one dummy word of zeros, as in the authors' code. There, softmax
    over that word alone gives it all the attention although it is masked; and it is pooled too: without RP as one more token,
    with RP instead of the first token of the 7x7. `pooling_weights` "code" keeps that, "paper" pools the image's own tokens.
    Position encodings are for image tokens only.
    """

    class Config(PoolingConfig, FusedTokens.Config):
        name: str = "two_stream"
        """The system."""
        two_stream: Annotated[str, AfterValidator(_readable)] = "xxx_xmm_xff"
        """The operations of a block, in order (Table 4; see the top of this file)."""
        positions: Literal["none", "sinusoidal"] = "none"
        """Position encoding of image tokens ("mixed" needs words in the same row, as in maaf)."""

        def read(self) -> frozenset[str]:
            used = {operation for step in steps_of(self.two_stream) for operation in step}
            idle = set() if used & {*FEED_FORWARD} else {"feedforward"}
            idle |= set() if used & {*ATTENTION} else {"heads"}
            idle |= set() if self.include_text or self.image_through_attention else {"pooling_weights"}
            return super().read() - idle

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.blocks = nn.ModuleList(StreamBlock(config) for _ in range(config.blocks))
        self.norm_x, self.norm_m = LayerNorm(config.width, config.layer_norm), LayerNorm(config.width, config.layer_norm)
        self.positions = Positions(config.positions, 0, config.width, config.dropout)
        xavier(self.blocks)
        dummy_counts = (
            config.image_through_attention
            and config.pooling_weights == "code"
            and (7 in config.resolutions or not config.resolutionwise_pooling)
        )
        if not (config.include_text or dummy_counts):
            self._freeze_idle()

    def _freeze_idle(self) -> None:
        """Freeze what changes words only after the image last attended to them: without pooled words, it changes no result.

        It gets no gradient, and several processes would wait for that gradient for ever.
        """
        needed = {"x"}
        self.norm_m.requires_grad_(False)
        for block in reversed(self.blocks):
            live: set[str] = set()
            for norm, step in zip(reversed(block.norms), reversed(block.steps), strict=True):
                at_work = [operation for operation in step if operation[0] in needed]
                norm.requires_grad_(bool(at_work))
                live.update(at_work)
                needed.update(operation[1] for operation in at_work if operation in ATTENTION)
            for name, part in (*block.attention.items(), *block.feedforward.items()):
                part.requires_grad_(name in live)

    def _run(
        self, x: Tensor, m: Tensor, mask: Tensor | None, return_attention: bool
    ) -> tuple[Tensor, Tensor, list[tuple[str, Tensor]]]:
        x, found = self.positions(x), []
        for number, block in enumerate(self.blocks, 1):
            x, m, weights = block(x, m, mask, return_attention)
            found += [(f"{number} {operation}", one) for operation, one in weights]
        return self.norm_x(x), self.norm_m(m), found

    def fuse(self, features: Features, text: TextBatch, return_attention: bool = False) -> tuple[Tensor, AttentionRecord | None]:
        image_BND = torch.cat(list(features.values()), 1)
        words_BTD = self.text(text).to(image_BND.dtype)
        x, m, found = self._run(image_BND, words_BTD, text.mask, return_attention)
        pooled = self._pool(features, x, m, text.mask)
        return pooled, self._record_of(features, found, x.shape[1], text) if return_attention else None

    def project(self, features: Features, return_attention: bool = False) -> tuple[Tensor, AttentionRecord | None]:
        image_BND = torch.cat(list(features.values()), 1)
        if not self.config.image_through_attention:
            return self._pool(features, image_BND, None, None), None
        dummy = image_BND.new_zeros(len(image_BND), 1, image_BND.shape[2])
        # softmax of one masked score is 1, as without a mask; identity makes a masked score 0
        mask = None if self.config.attention == "softmax" else torch.zeros(dummy.shape[:2], dtype=torch.bool, device=dummy.device)
        x, m, found = self._run(image_BND, dummy, mask, return_attention)
        as_paper = self.config.pooling_weights == "paper"
        pooled = self._pool(features, x, None, None) if as_paper else self._pool_with(features, x, m)
        if not return_attention:
            return pooled, None
        text = TextBatch(
            torch.zeros(dummy.shape[:2], dtype=torch.int64, device=dummy.device),
            torch.zeros(dummy.shape[:2], dtype=torch.bool, device=dummy.device),
        )
        return pooled, self._record_of(features, found, x.shape[1], text)

    def _pool_with(self, features: Features, x_BND: Tensor, dummy_B1D: Tensor) -> Tensor:
        """Pool gallery images as the authors' code does: the last token of the row is the dummy word, and it counts."""
        parts = dict(zip(features, self._parts(features, x_BND), strict=True))
        if not self.config.resolutionwise_pooling:
            return torch.cat([x_BND, dummy_B1D], 1).mean(1)
        if 7 in parts:
            parts[7] = torch.cat([parts[7][:, 1:], dummy_B1D], 1)
        return torch.stack([part.mean(1) for part in parts.values()]).mean(0)

    def _record_of(self, features: Features, found: list[tuple[str, Tensor]], count: int, text: TextBatch) -> AttentionRecord:
        """Each operation's weights over all tokens, x then m; zeros for tokens without a part in it."""
        size = count + text.ids.shape[1]
        tokens_of = {"x": slice(0, count), "m": slice(count, size)}
        of_all = []
        for name, weights_BHQK in found:
            whole = weights_BHQK.new_zeros(*weights_BHQK.shape[:2], size, size)
            whole[:, :, tokens_of[name[-3]], tokens_of[name[-2]]] = weights_BHQK
            of_all.append(whole)
        return self._record(features, of_all, text, tuple(name for name, _ in found))
