"""The shapes of what flows through a MAAF, measured by running it (the paper's Figure 2)."""

from __future__ import annotations

from typing import Any

import torch

from maaf_lab.errors import ConfigError
from maaf_lab.models.systems.maaf import MAAF


@torch.inference_mode()
def model_shapes(model: MAAF, pixels: int, text: str) -> dict[str, Any]:
    """What flows through a MAAF for one picture of `pixels` and one text, measured by running it.

    stages: resolution -> (channels, rows, columns) of the image model's map; tokens: resolution -> (N, D); words, word_tokens
    (T, D), row (N + T, D), attention (blocks, heads, N + T, N + T), vector (D,). Raises ConfigError for another system.
    """
    if not isinstance(model, MAAF):
        raise ConfigError(f"the drawing is of MAAF, found {model.config.name}")
    model.eval()
    image = torch.zeros(1, 3, pixels, pixels, device=model.device)
    maps, features, batch = model.backbone(image), model.encode(image), model.read([text])
    vector, record = model.fuse(features, batch, return_attention=True)
    return {
        "pixels": pixels,
        "words": list(record.tokens[0][record.spans["text"][0] :]),
        "stages": {r: tuple(maps[r].shape[1:]) for r in sorted(features, reverse=True)},
        "tokens": {r: tuple(features[r].shape[1:]) for r in sorted(features, reverse=True)},
        "word_tokens": tuple(model.text(batch).shape[1:]),
        "row": (record.weights.shape[-1], model.config.width),
        "attention": (record.weights.shape[0], *record.weights.shape[2:]),
        "vector": tuple(vector.shape[1:]),
    }
