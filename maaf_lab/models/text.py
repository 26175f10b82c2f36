"""Text encoders: word ids to one token a word (paper section 2).

Shapes: B batch, T words, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maaf_lab.config import ModelConfig
from maaf_lab.data.text import TextBatch


class LstmText(nn.Module):
    """Embedding, one-layer LSTM, then (authors' code) dropout and a linear map on each output: one token a word.

    Padding stands on the right and the LSTM reads left to right, so it cannot reach a real word.
    """

    def __init__(self, config: ModelConfig, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, config.text_width)
        self.lstm = nn.LSTM(config.text_width, config.text_width, batch_first=True)
        self.project: nn.Module
        if config.text_projection:
            self.project = nn.Sequential(nn.Dropout(config.text_dropout), nn.Linear(config.text_width, config.width))
        elif config.text_width == config.width:
            self.project = nn.Identity()
        else:
            self.project = nn.Linear(config.text_width, config.width)

    def forward(self, text: TextBatch) -> Tensor:
        """-> tokens (B, T, D); what stands at padding is to be masked."""
        words = self.embedding(text.ids)
        if words.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):  # PyTorch has no bf16 LSTM for training on a CPU
                states, _ = self.lstm(words)
        else:
            states, _ = self.lstm(words)
        return self.project(states)


def last_token(tokens_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """The token of each caption's last word -> (B, D); zeros for an empty caption."""
    last = (mask_BT.sum(1) - 1).clamp_min(0)
    picked = tokens_BTD.gather(1, last[:, None, None].expand(-1, 1, tokens_BTD.shape[-1])).squeeze(1)
    return picked * mask_BT.any(1, keepdim=True)


TEXT_ENCODERS = {"lstm": LstmText}
