"""A 3 × 3 convolution that multiplies a quarter as often where images are small and channels few.

Convolutions are nearly all of the time that a ResNet-32 takes on a CPU. torch runs them near the
processor's peak, but directly: 144 products per pair of channels for 4 × 4 outputs. Winograd's
F(4 × 4, 3 × 3) needs 36 (Lavin and Gray 2016), and pays where its sums cost less than what it
saves. In float32 its error is a few times that of the direct sum, far below bfloat16's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from everyclass.nn._kernels import (
    CHANNELS,
    call_kernel,
    channels_last,
    compiled_kernel,
    kernels_apply,
    new_float32,
)

__all__ = ["Convolution"]

_SOURCE = Path(__file__).with_suffix(".c")
_TILE = 4


class Convolution(nn.Conv2d):
    """A 3 × 3 convolution without bias, padded by one pixel.

    Parameters and their names are those of ``torch.nn.Conv2d``. Where a C compiler is found,
    training in float32 on a CPU runs a compiled kernel at stride 1 where both sides of the image
    divide by 4; everywhere else, under torch.func and in evaluation, the layer is exactly torch's.
    The kernel can be differentiated once.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        stride: 1 or more.

    Shape:
        (n, in_channels, h, w) → (n, out_channels, h / stride, w / stride), rounded up.

    Example:
        >>> Convolution(16, 32)(torch.zeros(2, 16, 8, 8)).shape
        torch.Size([2, 32, 8, 8])
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, 3, stride, padding=1, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        if self.training and self.stride == (1, 1) and _has_kernel(input, self.weight):
            return _convolved(input, self.weight)
        return super().forward(input)


def _has_kernel(x: Tensor, weight: Tensor) -> bool:
    return (
        kernels_apply(x, weight)
        and weight.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and x.shape[1] == weight.shape[1]  # the kernel trusts it; torch refuses anything else
        and all(channels in CHANNELS for channels in weight.shape[:2])
        and all(side and side % _TILE == 0 for side in x.shape[2:])
        and compiled_kernel(_SOURCE) is not None
    )


def _convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """(n, in, h, w) and (3, 3, in, out) → (n, out, h, w)."""
    n, channels, height, width = x.shape
    out = kernel.shape[3]
    y = new_float32(n, height, width, out).permute(0, 3, 1, 2)
    shape = (n, height, width, channels, out, torch.get_num_threads())
    call_kernel(_SOURCE, "convolution_forward", x, kernel.contiguous(), y, *shape)
    return y


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x = channels_last(x)
        ctx.save_for_backward(x, weight)
        return _convolve(x, weight.permute(2, 3, 1, 0))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        dy = channels_last(dy)
        dx = dweight = None
        if ctx.needs_input_grad[0]:
            dx = _convolve(dy, weight.permute(2, 3, 0, 1).flip(0, 1))
        if ctx.needs_input_grad[1]:
            n, channels, height, width = x.shape
            out = dy.shape[1]
            dkernel = new_float32(3, 3, channels, out)
            shape = (n, height, width, channels, out, torch.get_num_threads())
            call_kernel(_SOURCE, "convolution_backward_kernel", x, dy, dkernel, *shape)
            dweight = dkernel.permute(3, 2, 0, 1)
        return dx, dweight


_convolved: Callable[..., Tensor] = _Convolution.apply
