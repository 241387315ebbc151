"""ResNet-32 as the long-tailed literature has it, against a slow one from its description."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everyclass.errors import InputError, MissingLibraryError
from everyclass.nn import BACKBONES, Classifier, ResNetCIFAR, build_classifier, resnet32


def parameters_of(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("classes", "expected"), [(100, 470_004), (10, 464_154)])
def test_parameter_count_is_the_published_one(classes: int, expected: int) -> None:
    assert parameters_of(build_classifier("resnet32", classes, seed=0)) == expected


def test_depth_is_32() -> None:
    weights = [m for m in resnet32().modules() if isinstance(m, nn.Conv2d)]
    assert len(weights) + 1 == 32  # and the classifier


# --- a slow network from the words of the paper ---------------------------------------------------


def slow_shortcut(x: Tensor, channels: int) -> Tensor:
    """Option A, pixel by pixel: every other pixel, zero channels before and after."""
    n, before, height, width = x.shape
    if channels == before:
        return x
    out = torch.zeros(n, channels, (height + 1) // 2, (width + 1) // 2, dtype=x.dtype)
    first = (channels - before) // 2
    for row in range(out.shape[2]):
        for column in range(out.shape[3]):
            out[:, first : first + before, row, column] = x[:, :, 2 * row, 2 * column]
    return out


def slow_norm(x: Tensor, norm: nn.BatchNorm2d, training: bool) -> Tensor:
    if training:
        mean = x.mean(dim=(0, 2, 3))
        variance = ((x - mean[:, None, None]) ** 2).mean(dim=(0, 2, 3))
    else:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, variance = norm.running_mean, norm.running_var
    scale = norm.weight / torch.sqrt(variance + 1e-5)
    return (x - mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]


def slow_convolution(x: Tensor, layer: nn.Conv2d, stride: int) -> Tensor:
    """3 × 3, one pixel of zeros around, as nine shifted products."""
    height, width = x.shape[2:]
    padded = F.pad(x, (1, 1, 1, 1))
    total = torch.zeros(())
    for i in range(3):
        for j in range(3):
            shifted = padded[:, :, i : i + height : stride, j : j + width : stride]
            total = total + torch.einsum("nchw,oc->nohw", shifted, layer.weight[:, :, i, j])
    return total


def slow_features(model: ResNetCIFAR, x: Tensor, training: bool) -> Tensor:
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    layers = iter(zip(convolutions, norms, strict=True))

    def normalised(x: Tensor, stride: int = 1) -> Tensor:
        convolution, norm = next(layers)
        return slow_norm(slow_convolution(x, convolution, stride), norm, training)

    x = normalised(x).relu()
    for stage, channels in enumerate((16, 32, 64)):
        for block in range(5):
            stride = 2 if stage > 0 and block == 0 else 1
            out = normalised(normalised(x, stride).relu())
            x = (out + slow_shortcut(x, channels)).relu()
    return x.mean(dim=3).mean(dim=2)


@pytest.mark.parametrize("training", [True, False])
def test_features_equal_the_slow_network(training: bool) -> None:
    torch.manual_seed(1)
    model = resnet32().double()
    for norm in model.modules():  # otherwise a wrong order of norms would not show
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.3, 0.3)
            assert norm.running_mean is not None
            nn.init.uniform_(norm.running_mean, -0.3, 0.3)
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    model.train(training)
    with torch.no_grad():
        expected = slow_features(model, images, training)
        actual = model(images)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    assert actual.shape == (3, 64)


def test_channels_last_gives_the_same_features() -> None:
    model = resnet32().eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        plain = model(images)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        last = model(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, plain, rtol=1e-4, atol=1e-4)


def test_the_wide_one_has_its_last_block_twice() -> None:
    model = build_classifier("resnet32-wide", 100, seed=0).eval()
    assert sum(p.numel() for p in model.parameters()) == 550_388  # as in BBN and LADE
    features = model.backbone(torch.randn(2, 3, 32, 32))
    assert features.shape == (2, 128)
    last = model.backbone.stages[-1][-1].blocks  # type: ignore[union-attr,index]
    last[1].load_state_dict(last[0].state_dict())
    features = model.backbone(torch.randn(2, 3, 32, 32))
    assert torch.equal(features[:, :64], features[:, 64:])


# --- initialisation -------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_a_seed_names_an_initialisation(backbone: str) -> None:
    one, same, other = (build_classifier(backbone, 7, seed=seed) for seed in (3, 3, 4))
    for a, b in zip(one.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(one.head.weight, other.head.weight)  # type: ignore[arg-type]
    first = next(one.backbone.parameters())
    assert not torch.equal(first, next(other.backbone.parameters()))


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_building_leaves_the_global_generator_alone(backbone: str) -> None:
    torch.manual_seed(99)
    before = torch.get_rng_state()
    build_classifier(backbone, 3, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_convolutions_are_initialised_by_fan_in() -> None:
    for layer in resnet32().modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 5_000:
            fan_in = layer.weight[0].numel()
            assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)


def test_the_head_takes_the_features() -> None:
    for name, make in BACKBONES.items():
        model = build_classifier(name, 4, seed=0).eval()
        assert isinstance(model, Classifier)
        assert model.head.in_features == make().num_features
        size = 8 if name.startswith("mlp") else 32
        assert model(torch.zeros(2, 3, size, size)).shape == (2, 4)


def test_an_unknown_backbone_lists_those_there_are() -> None:
    said = r"no backbone 'resnett50'.*; there are resnet32, .*mlp"
    with pytest.raises((InputError, MissingLibraryError), match=said):  # with timm, without it
        build_classifier("resnett50", 10, seed=0)
