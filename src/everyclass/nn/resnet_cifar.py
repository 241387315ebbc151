"""The ResNet-32 for 32 × 32 images that the long-tailed literature uses.

Facts: He et al. 2016 §4.2 (option A shortcuts); initialisation and layout as in LDAM-DRW
(Cao et al. 2019), which BBN, MiSLAS, PaCo and others took over. 470,004 parameters with a biased
linear classifier of 100 classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everyclass.nn.batch_norm_relu import BatchNormReLU
from everyclass.nn.convolution import Convolution
from everyclass.nn.experts import ExpertBackbone
from everyclass.nn.fused_experts import FusedExpertBackbone

__all__ = [
    "ResNetCIFAR",
    "resnet32",
    "resnet32_experts",
    "resnet32_fused_experts",
    "resnet32_wide",
]


class _Block(nn.Module):
    """Two 3 × 3 convolutions and a parameter-free shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Convolution(in_channels, out_channels, stride)
        self.bn1 = BatchNormReLU(out_channels)
        self.conv2 = Convolution(out_channels, out_channels)
        self.bn2 = BatchNormReLU(out_channels)
        self.stride = stride
        self.padding = (out_channels - in_channels) // 2

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.stride == 1 and self.padding == 0:
            return x
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.padding, self.padding))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn1(self.conv1(x))
        return self.bn2(self.conv2(out), self._shortcut(x))


class _Branches(nn.Module):
    """Blocks side by side, their outputs one above the other."""

    def __init__(self, channels: int, branches: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(channels, channels, stride=1) for _ in range(branches))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([block(x) for block in self.blocks], dim=1)


def _stage(in_channels: int, out_channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = _Block(in_channels, out_channels, stride)
    return nn.Sequential(
        first, *(_Block(out_channels, out_channels, stride=1) for _ in range(blocks - 1))
    )


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)


class _Pooled(nn.Module):
    """The mean over the places of a feature map."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


class ResNetCIFAR(nn.Module):
    """A residual network for 32 × 32 images that ends in its pooled features.

    Args:
        blocks_per_stage: residual blocks in each of the three stages; depth is 6 × this + 2.
        width: channels of the first stage; the next two have twice and four times as many.
        branches: copies of the last block, side by side.

    Shape:
        input (n, 3, h, w) → output (n, 4 × width × branches).
    """

    def __init__(self, blocks_per_stage: int = 5, width: int = 16, branches: int = 1) -> None:
        super().__init__()
        self.num_features = 4 * width * branches
        self.conv = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn = BatchNormReLU(width)
        stages = [
            _stage(width, width, blocks_per_stage, stride=1),
            _stage(width, 2 * width, blocks_per_stage, stride=2),
            _stage(2 * width, 4 * width, blocks_per_stage, stride=2),
        ]
        if branches > 1:
            stages[-1][-1] = _Branches(4 * width, branches)
        self.stages = nn.Sequential(*stages)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return self.stages(x).mean(dim=(2, 3))


def resnet32() -> ResNetCIFAR:
    """ResNet-32: five blocks a stage, 16 / 32 / 64 channels, 64 features.

    Example:
        >>> sum(p.numel() for p in resnet32().parameters())
        463504
    """
    return ResNetCIFAR(blocks_per_stage=5, width=16)


def resnet32_wide() -> ResNetCIFAR:
    """BBN's ResNet-32, which LADE uses: the last block twice, side by side, 128 features.

    Example:
        >>> sum(p.numel() for p in resnet32_wide().parameters())
        537488
    """
    return ResNetCIFAR(blocks_per_stage=5, width=16, branches=2)


def resnet32_experts(num_experts: int) -> ExpertBackbone:
    """RIDE's ResNet-32: the first stage shared, the others of each expert with 24 / 48 channels.

    Args:
        num_experts: E.

    Example:
        >>> sum(p.numel() for p in resnet32_experts(3).parameters())
        769456
    """
    trunk = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), BatchNormReLU(16), _stage(16, 16, 5, stride=1)
    )
    backbone = ExpertBackbone(trunk, _expert, num_experts, width=48)
    _initialise(backbone)
    return backbone


def _expert() -> nn.Sequential:
    return nn.Sequential(_stage(16, 24, 5, stride=2), _stage(24, 48, 5, stride=2), _Pooled())


def resnet32_fused_experts() -> FusedExpertBackbone:
    """SHIKE's ResNet-32: the last stage of each of three experts, times a shallower map.

    The first and the third expert take the first stage's map, the second the second's.

    Example:
        >>> sum(p.numel() for p in resnet32_fused_experts().parameters())
        1231504
    """
    first = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), BatchNormReLU(16), _stage(16, 16, 5, stride=1)
    )
    backbone = FusedExpertBackbone(
        first,
        _stage(16, 32, 5, stride=2),
        branches=[_stage(32, 64, 5, stride=2) for _ in range(3)],
        shallow=[
            nn.Sequential(_halved(16, 32), _halved(32, 64, relu=False)),
            _halved(32, 64),
            nn.Sequential(_halved(16, 32), _halved(32, 64, relu=False)),
        ],
        depths=(1, 2, 1),
        pool=_Pooled(),
        width=64,
    )
    _initialise(backbone)
    return backbone


def _halved(in_channels: int, out_channels: int, *, relu: bool = True) -> nn.Sequential:
    """A map of half the height and width."""
    norm = BatchNormReLU(out_channels) if relu else nn.BatchNorm2d(out_channels)
    return nn.Sequential(Convolution(in_channels, out_channels, stride=2), norm)
