"""The paper's two transforms, from pixels to the model's input: batched, on the batch's device.

Shapes: B images of a batch, S side of the square in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from maaf_lab.errors import ConfigError
from maaf_lab.utils.wording import did_you_mean

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
GRAY = (0.299, 0.587, 0.114)  # weights of red, green and blue in brightness (ITU-R BT.601)


def normalize_pixels(batch: Tensor, device: torch.device | str | None = None) -> Tensor:
    """uint8 (B, 3, S, S) -> float32 (B, 3, S, S), minus ImageNet's mean, over its standard deviation; on `device`."""
    batch = batch if device is None else batch.to(device)
    return standardize(batch.to(torch.float32) / 255)


def standardize(batch: Tensor) -> Tensor:
    """Values in [0, 1] (B, 3, H, W), minus ImageNet's mean, over its standard deviation."""
    mean, std = (torch.tensor(v, dtype=batch.dtype, device=batch.device).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (batch - mean) / std


def _check_batch(batch: Tensor) -> None:
    if batch.dtype != torch.uint8 or batch.ndim != 4 or batch.shape[1] != 3:
        raise ConfigError(f"transform: expected a uint8 batch (B, 3, height, width), found {batch.dtype} {tuple(batch.shape)}")


def some_in_gray(batch: Tensor, source: Tensor, target: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A training batch in which a random `share` of the references are gray, and so are the targets of their queries.

    A query and its target lose their colors together, which leaves shape, size and position to compare. batch: uint8
    (B, 3, H, W), not changed in place; source, target: (Q,) rows of each query's two images; generator: a CPU one.
    """
    gray = (torch.rand(len(batch), generator=generator) < share).to(batch.device)
    gray[target] = gray[source]
    luma = torch.tensor(GRAY, device=batch.device)
    batch = batch.clone()
    batch[gray] = torch.einsum("bchw,c->bhw", batch[gray].to(torch.float32), luma).round().to(torch.uint8)[:, None]
    return batch


@dataclass(frozen=True)
class Plain:
    """Resize (shorter side), center crop, ImageNet normalization; training and evaluation alike (CSS, MIT-States, Fashion200k).

    Batches from a `PixelCache` of the same size are squares already and are only normalized.
    """

    pixels: int

    def train(self, batch: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """As `eval`; `generator` is not used."""
        return self.eval(batch)

    def eval(self, batch: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) -> float32 (B, 3, pixels, pixels)."""
        _check_batch(batch)
        height, width = batch.shape[-2:]
        if (height, width) == (self.pixels, self.pixels):
            return normalize_pixels(batch)
        image = batch.to(torch.float32) / 255
        if min(height, width) != self.pixels:
            long = int(self.pixels * max(height, width) / min(height, width))
            new = (self.pixels, long) if height <= width else (long, self.pixels)
            image = F.interpolate(image, new, mode="bilinear", antialias=True, align_corners=False)
            height, width = new
        top, left = round((height - self.pixels) / 2), round((width - self.pixels) / 2)
        return standardize(image[..., top : top + self.pixels, left : left + self.pixels])


@dataclass(frozen=True)
class Crops:
    """Random resized crop, flip, noise, ImageNet normalization for training; `Plain` for evaluation (Fashion IQ, Birds, Spot).

    As in the authors' code: crops of 0.8 to 1 of the area with an aspect ratio of 0.75 to 1.3, flipped half of the time; noise
    of std 0.01 is added to values in [0, 1], before normalization. They crop the whole image; here a crop comes from the cached
    square, the part that evaluation sees. A crop of a square of `pixels` is only enlarged, so bilinear sampling needs no
    antialiasing (larger squares would alias: cache at `pixels`). All randomness comes from one CPU generator, so its state is
    enough for an exact resume; crops and flips are the same on every device (noise is drawn on the batch's device).
    """

    pixels: int
    scale: tuple[float, float] = (0.8, 1.0)
    ratio: tuple[float, float] = (0.75, 1.3)
    noise: float = 0.01

    def train(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """uint8 (B, 3, S, S) -> float32 (B, 3, pixels, pixels); `generator` must be a CPU one."""
        _check_batch(batch)
        theta = self.boxes(len(batch), batch.shape[-2], batch.shape[-1], generator)  # (B, 2, 3)
        noise_seed = int(torch.randint(2**62, (), generator=generator))
        grid = self._grid(theta.to(batch.device))
        image = F.grid_sample(batch.to(torch.float32) / 255, grid, mode="bilinear", padding_mode="border", align_corners=False)
        noise = torch.Generator(batch.device).manual_seed(noise_seed)
        image = image + self.noise * torch.randn(image.shape, generator=noise, device=image.device)
        return standardize(image).contiguous(memory_format=torch.channels_last)

    def eval(self, batch: Tensor) -> Tensor:
        return Plain(self.pixels).eval(batch)

    def _grid(self, theta: Tensor) -> Tensor:
        """Where each output pixel is sampled, (B, pixels, pixels, 2): `affine_grid` without shear, one axis at a time."""
        middle = (2 * torch.arange(self.pixels, device=theta.device) + 1) / self.pixels - 1
        x, y = (theta[:, i, i, None] * middle + theta[:, i, 2, None] for i in (0, 1))  # (B, pixels) each
        square = (len(theta), self.pixels, self.pixels)
        return torch.stack((x[:, None, :].expand(square), y[:, :, None].expand(square)), -1)

    def boxes(self, n: int, height: int, width: int, generator: torch.Generator, tries: int = 10) -> Tensor:
        """Each image's crop as an affine map from output to input, both in [-1, 1]: (B, 2, 3)."""
        u = torch.rand(n, tries, 4, generator=generator, dtype=torch.float64)
        flip = torch.rand(n, generator=generator, dtype=torch.float64) < 0.5
        area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * u[..., 0])
        low, high = np.log(self.ratio[0]), np.log(self.ratio[1])
        ratio = torch.exp(low + (high - low) * u[..., 1])
        w, h = torch.sqrt(area * ratio).round(), torch.sqrt(area / ratio).round()  # (B, tries)
        fits = (w >= 1) & (w <= width) & (h >= 1) & (h <= height)
        first = fits.to(torch.int8).argmax(1, keepdim=True)
        w, h, x, y, ok = (t.gather(1, first)[:, 0] for t in (w, h, u[..., 2], u[..., 3], fits))
        w, h = torch.where(ok, w, min(height, width)), torch.where(ok, h, min(height, width))  # nothing fitted: the middle square
        left = torch.where(ok, torch.floor(x * (width - w + 1)), (width - w) / 2)
        top = torch.where(ok, torch.floor(y * (height - h + 1)), (height - h) / 2)
        theta = torch.zeros(n, 2, 3, dtype=torch.float64)
        theta[:, 0, 0] = w / width * torch.where(flip, -1.0, 1.0)
        theta[:, 1, 1] = h / height
        theta[:, 0, 2] = (2 * left + w) / width - 1
        theta[:, 1, 2] = (2 * top + h) / height - 1
        return theta.to(torch.float32)


def build_transform(name: str, pixels: int) -> Plain | Crops:
    """The transform that `DataConfig.transform` names: "plain" or "crops". Raises ConfigError for another name."""
    known = {"plain": Plain, "crops": Crops}
    if name not in known:
        raise ConfigError(f"unknown transform {name!r}; known: {', '.join(known)}{did_you_mean(name, known)}")
    return known[name](pixels)
