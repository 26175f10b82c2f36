"""The paper's two transforms against torchvision's."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from maaf_lab.config import TrainConfig
from maaf_lab.data import transforms
from maaf_lab.data.transforms import build_transform, normalize_pixels, some_in_gray
from maaf_lab.errors import ConfigError

NOISE = np.random.default_rng(0)


def noise(height=16, width=16):
    return NOISE.integers(0, 256, (height, width, 3), dtype=np.uint8)


def batch(n=6, height=16, width=16):
    return torch.from_numpy(np.stack([noise(height, width) for _ in range(n)])).permute(0, 3, 1, 2)


def test_normalize_is_torchvisions():
    images = batch()
    want = v2.functional.normalize(images.float() / 255, list(transforms.IMAGENET_MEAN), list(transforms.IMAGENET_STD))
    torch.testing.assert_close(normalize_pixels(images), want)
    assert normalize_pixels(images).is_contiguous(memory_format=torch.channels_last)
    assert normalize_pixels(images, "meta").shape == images.shape


def test_plain():
    plain, images = build_transform("plain", 16), batch()
    torch.testing.assert_close(plain.train(images, torch.Generator()), normalize_pixels(images))
    torch.testing.assert_close(plain.eval(images), normalize_pixels(images))
    wide = batch(2, 40, 52)
    want = v2.Compose(
        [
            v2.Resize(16, antialias=True),
            v2.CenterCrop(16),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(transforms.IMAGENET_MEAN, transforms.IMAGENET_STD),
        ]
    )(wide)
    assert (plain.eval(wide) - want).abs().max() < 0.02  # torchvision rounds to bytes in between
    assert plain.eval(torch.empty(4, 3, 16, 16, dtype=torch.uint8, device="meta")).shape == (4, 3, 16, 16)


def test_crops_follow_the_generator():
    crops, images = build_transform("crops", 16), batch()
    generator = torch.Generator().manual_seed(3)
    first = crops.train(images, generator)
    state = generator.get_state()
    second = crops.train(images, generator)
    assert first.shape == (6, 3, 16, 16) and not torch.equal(first, second)
    torch.manual_seed(99)  # the global stream plays no part
    resumed = torch.Generator()
    resumed.set_state(state)
    assert torch.equal(crops.train(images, resumed), second)
    assert torch.equal(crops.train(images, torch.Generator().manual_seed(3)), first)
    torch.testing.assert_close(crops.eval(images), normalize_pixels(images))


def test_a_crop_is_torchvisions_resized_crop():
    crops = transforms.Crops(16, noise=0.0)
    coarse = torch.rand(40, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    smooth = v2.functional.resize(coarse, [32, 32]).mul(255).to(torch.uint8)
    theta = crops.boxes(40, 32, 32, torch.Generator().manual_seed(0))
    got = crops.train(smooth, torch.Generator().manual_seed(0))
    flips = 0
    for image, box, out in zip(smooth, theta, got):
        width, height = round(float(box[0, 0].abs() * 32)), round(float(box[1, 1] * 32))
        left, top = (float(box[0, 2]) * 32 + 32 - width) / 2, (float(box[1, 2]) * 32 + 32 - height) / 2
        assert abs(left - round(left)) < 1e-3 and abs(top - round(top)) < 1e-3  # whole pixels, inside the image
        assert 0 <= round(left) <= 32 - width and 0 <= round(top) <= 32 - height
        assert 0.75 <= width * height / 32**2 <= 1.0 and 0.7 <= width / height <= 1.38  # after rounding to pixels
        want = v2.functional.resized_crop(image.float() / 255, round(top), round(left), height, width, [16, 16], antialias=False)
        flips += box[0, 0] < 0
        want = transforms.standardize((want.flip(-1) if box[0, 0] < 0 else want)[None])[0]
        torch.testing.assert_close(out, want, atol=2e-3, rtol=0)
    assert 10 <= flips <= 30


def test_the_noise_is_added_in_image_units():
    images, generator = torch.full((64, 3, 16, 16), 128, dtype=torch.uint8), torch.Generator().manual_seed(0)
    out = transforms.Crops(16).train(images, generator) * torch.tensor(transforms.IMAGENET_STD).view(1, 3, 1, 1)
    torch.testing.assert_close(out.std((0, 2, 3)), torch.full((3,), 0.01), atol=3e-4, rtol=0)


def test_transforms_refuse_what_they_do_not_know():
    with pytest.raises(ConfigError, match="unknown transform 'crop'; known: plain, crops"):
        build_transform("crop", 16)
    for wrong in (torch.zeros(2, 3, 16, 16), batch()[0], batch().permute(0, 2, 3, 1)):
        with pytest.raises(ConfigError, match="expected a uint8 batch"):
            build_transform("plain", 16).eval(wrong)


def test_references_turn_gray_with_their_targets():
    batch = torch.randint(0, 256, (40, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    source, target = torch.arange(10).repeat_interleave(3), torch.arange(10, 40)  # ten references, three targets each
    changed = some_in_gray(batch, source, target, 0.5, torch.Generator().manual_seed(1))
    gray = (changed == changed[:, :1]).all(3).all(2).all(1)
    assert 0 < gray[:10].sum() < 10 and torch.equal(gray[target], gray[source])
    assert torch.equal(changed[~gray], batch[~gray])
    luma = (batch[gray].double() * torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(1, 3, 1, 1)).sum(1)
    assert (changed[gray][:, 0] - luma).abs().max() <= 0.501
    none, every = (some_in_gray(batch, source, target, share, torch.Generator().manual_seed(1)) for share in (0, 1))
    assert torch.equal(none, batch) and bool((every == every[:, :1]).all())


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_of_gray_is_between_0_and_1(share):
    with pytest.raises(ConfigError, match="grayscale"):
        TrainConfig(grayscale=share)
