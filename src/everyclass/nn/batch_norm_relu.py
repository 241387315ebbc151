"""Batch normalisation with the shortcut and the ReLU that follow it, as one layer.

On a CPU these are bound by memory, not by arithmetic: three layers read and write every activation
five times in training, one layer twice. Where a C compiler is found, training runs them as one
compiled kernel, which can be differentiated once, and so does evaluation in bfloat16; everywhere
else, and under torch.func, the layer is exactly torch's three.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
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

__all__ = ["BatchNormReLU"]

_SOURCE = Path(__file__).with_suffix(".c")


class BatchNormReLU(nn.BatchNorm2d):
    """relu(batch_norm(x) + shortcut).

    Parameters, buffers and their names are those of ``torch.nn.BatchNorm2d``.

    Shape:
        x and shortcut (n, C, h, w) → (n, C, h, w).
    """

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        if self.training and self._has_kernel(x, shortcut):
            y, mean, variance = _fused(x, shortcut, self.weight, self.bias, self.eps)
            self._track(mean, variance, x.numel() // x.shape[1])
            return y
        if self._only_infers_in_bfloat16(x) and self._has_kernel(x, shortcut):
            return self._applied(x, shortcut)
        y = super().forward(x)
        return F.relu(y if shortcut is None else y + shortcut)

    def _has_kernel(self, x: Tensor, shortcut: Tensor | None) -> bool:
        # The kernel trusts shapes and types; what torch broadcasts, converts or refuses is torch's.
        own = (self.weight, self.bias, self.running_mean, self.running_var)
        return (
            kernels_apply(x, shortcut, *own)
            and x.dtype in (torch.float32, torch.bfloat16)
            and x.shape[1] == self.num_features
            and x.shape[1] in CHANNELS
            and x.numel() > x.shape[1]
            and (shortcut is None or _are_alike(x, shortcut))
            and self.momentum is not None
            and all(
                values is not None
                and values.device.type == "cpu"
                and values.dtype == torch.float32
                and values.is_contiguous()
                for values in own
            )
            and compiled_kernel(_SOURCE) is not None
        )

    def _only_infers_in_bfloat16(self, x: Tensor) -> bool:
        # float32 stays torch's, bit for bit: its results are the same with and without a compiler.
        return not self.training and not torch.is_grad_enabled() and x.dtype == torch.bfloat16

    def _applied(self, x: Tensor, shortcut: Tensor | None) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        x = channels_last(x)
        y = torch.empty_like(x)
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        given = (x, None if shortcut is None else channels_last(shortcut), scale, shift)
        call_kernel(_SOURCE, "batch_norm_relu_apply", *given, y, *_shape(x))
        return y

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)


def _are_alike(x: Tensor, shortcut: Tensor) -> bool:
    return (x.device, x.dtype, x.shape) == (shortcut.device, shortcut.dtype, shortcut.shape)


def _shape(x: Tensor) -> tuple[int, int, int, int]:
    channels = x.shape[1]
    return x.numel() // channels, channels, x.element_size(), torch.get_num_threads()


class _BatchNormReLU(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - apply() takes no keywords
        ctx: Any, x: Tensor, shortcut: Tensor | None, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        x = channels_last(x)
        if shortcut is not None:
            shortcut = channels_last(shortcut)
        y = torch.empty_like(x)
        mean, variance, inverse_std = new_float32(3, x.shape[1])
        given = (x, shortcut, weight, bias, eps)
        made = (y, mean, variance, inverse_std)
        call_kernel(_SOURCE, "batch_norm_relu_forward", *given, *made, *_shape(x))
        ctx.save_for_backward(x, y, weight, mean, inverse_std)
        ctx.has_shortcut = shortcut is not None
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, y, weight, mean, inverse_std = ctx.saved_tensors
        dy = channels_last(dy)
        dx = torch.empty_like(x)
        dshortcut = torch.empty_like(x) if ctx.has_shortcut else None
        dweight, dbias = new_float32(2, x.shape[1])
        given = (dy, y, x, weight, mean, inverse_std)
        made = (dx, dshortcut, dweight, dbias)
        call_kernel(_SOURCE, "batch_norm_relu_backward", *given, *made, *_shape(x))
        return dx, dshortcut, dweight, dbias, None


_fused: Callable[..., tuple[Tensor, Tensor, Tensor]] = _BatchNormReLU.apply
