"""Pretrains the small image encoder on drawn pictures, as ImageNet pretrains ResNet: what a picture shows, told from its maps.

The mean over space of each map goes through one linear layer a label. So the encoder learns to keep in that mean, which is what
every system pools in the end, what is where: shape, color, sleeve, plumage. The layers are thrown away.
"cells" are the same scenes, and each of nine cells is told from its own part of the map, by layers that all cells share: so the
features of a place say what stands there, and their mean says little of where.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from maaf_lab.data.images import to_square
from maaf_lab.data.transforms import build_transform
from maaf_lab.errors import ConfigError
from maaf_lab.models.checkpoints import OWN
from maaf_lab.models.encoders.image import TinyNet
from maaf_lab.synthetic import labelled
from maaf_lab.utils.files import write_atomically
from maaf_lab.utils.wording import did_you_mean


class Kind(NamedTuple):
    """What draws the pictures, their side as they are drawn (`Dataset.drawn_pixels`) and read, widths of the encoder, the maps
    from which labels are told, with the weight of each, and the parts of a map a side, each with its own labels."""

    draw: Callable[[int, int], labelled.Labelled]
    drawn: int
    pixels: int
    channels: tuple[int, ...]
    maps: Mapping[int, float]
    parts: int = 1


KINDS = {  # CSS's systems read the last map alone (section 3.1)
    "scenes": Kind(labelled.scenes, 56, 56, (16, 32, 64, 128), {7: 1.0}),
    "cells": Kind(labelled.scenes, 56, 56, (16, 32, 64, 128), {7: 1.0}, parts=3),
    **{
        draw.__name__: Kind(draw, 74, 64, (16, 16, 32, 64, 128), {7: 1.0, 14: 0.5})
        for draw in (labelled.garments, labelled.birds, labelled.objects, labelled.streets)
    },
}
_HELD_OUT, _BATCH, _RATE, _WARMUP, _LOSS = 1_000, 64, 0.1, 100, 5.0


def pretrain(kind: str, out: str | Path, *, pictures: int = 16_000, steps: int = 2_500, progress: bool = True) -> dict[str, Any]:
    """Draw `pictures` of a kind, learn to tell what all but the last 1,000 show, and write the encoder to the file `out`.

    kind: "scenes" or "cells" (CSS), "garments" (Fashion IQ, Fashion200k), "birds", "objects" (MIT-States) or "streets". steps:
    of 64 pictures. The weights are stored in half precision, with these settings beside them.
    Returns the settings, the minutes, and the accuracy in percent on the pictures held out, a number a label and map. Raises
    ConfigError for an unknown kind or too few pictures.
    """
    if kind not in KINDS:
        raise ConfigError(f"pretrain: expected {', '.join(KINDS)}; found {kind!r}{did_you_mean(kind, KINDS)}")
    if pictures < 2 * _HELD_OUT:
        raise ConfigError(
            f"pretrain: expected at least {2 * _HELD_OUT:,} pictures, {_HELD_OUT:,} are held out; found {pictures:,}"
        )
    chosen, start = KINDS[kind], time.monotonic()
    images, labels = chosen.draw(pictures, chosen.drawn)
    if chosen.drawn != chosen.pixels:
        squares = [to_square(one.permute(1, 2, 0).numpy(), chosen.pixels) for one in images]
        images = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)
    drawn, transform = time.monotonic(), build_transform("plain", chosen.pixels)
    torch.manual_seed(0)
    encoder, heads = TinyNet(chosen.channels), nn.ModuleDict()
    sizes = [int(classes.max()) + 1 for classes in labels.values()][:: chosen.parts**2]  # one for all parts
    for r in chosen.maps:
        heads[str(r)] = nn.Linear(encoder.channels[r], sum(sizes))
    classes_NL = torch.stack(list(labels.values()), 1)
    parameters = [*encoder.parameters(), *heads.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=_RATE, momentum=0.9, weight_decay=1e-5, nesterov=True)
    random, last = torch.Generator().manual_seed(1), pictures - _HELD_OUT

    def told(rows: Tensor) -> dict[int, list[Tensor]]:
        """Map -> the logits of each label; where a map has several parts, their labels follow one another."""
        maps, found = encoder(transform.eval(images[rows])), {}
        for r in chosen.maps:
            parts = nn.functional.adaptive_avg_pool2d(maps[r], chosen.parts).flatten(2).transpose(1, 2)
            found[r] = [one for label in heads[str(r)](parts).split(sizes, 2) for one in label.unbind(1)]
        return found

    for step in tqdm(range(steps), desc=f"pretrain {kind}", unit="step", disable=not progress, mininterval=0.5):
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1, (step + 1) / _WARMUP) * 0.5 * (1 + math.cos(math.pi * step / steps))
        rows = torch.randint(0, last, (_BATCH,), generator=random)
        loss = torch.zeros(())
        for r, logits in told(rows).items():
            each = [
                nn.functional.cross_entropy(of, classes, ignore_index=labelled.NOTHING)
                for of, classes in zip(logits, classes_NL[rows].T, strict=True)
                if (classes != labelled.NOTHING).any()
            ]
            loss = loss + chosen.maps[r] * _LOSS * torch.stack(each).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    encoder.half().float().eval()  # as it will be read
    with torch.no_grad():
        held_out = torch.arange(last, pictures)
        parts = [told(rows) for rows in held_out.split(250)]
    accuracy = {
        str(r): {
            name: _percent(torch.cat([part[r][k] for part in parts]).argmax(1), classes_NL[held_out, k])
            for k, name in enumerate(labels)
        }
        for r in chosen.maps
    }
    settings = {"kind": kind, "pictures": pictures, "steps": steps, "pixels": chosen.pixels, "channels": list(chosen.channels)}
    state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in encoder.state_dict().items()}
    write_atomically(Path(out), lambda beside: save_file(state, beside, {OWN: json.dumps(settings, sort_keys=True)}))
    minutes = {"drawing": round((drawn - start) / 60, 1), "training": round((time.monotonic() - drawn) / 60, 1)}
    return {**settings, "minutes": minutes, "accuracy": accuracy}


def _percent(guessed: Tensor, classes: Tensor) -> float:
    shown = classes != labelled.NOTHING
    return round(100 * (guessed[shown] == classes[shown]).float().mean().item(), 1)
