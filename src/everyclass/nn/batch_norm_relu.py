"""Batch normalisation with the shortcut and the ReLU that follow it, as one layer.

On a CPU these are bound by memory, not by arithmetic: three layers read and write every activation
five times in training, one layer twice. Where a C compiler is found, bfloat16 training runs them as
one compiled kernel; everywhere else the layer is exactly torch's three.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from everyclass.nn._kernels import compiled_kernel

__all__ = ["BatchNormReLU"]

CHANNELS = (16, 32, 48, 64)
_SOURCE = Path(__file__).with_suffix(".c")


class BatchNormReLU(nn.BatchNorm2d):
    """relu(batch_norm(x) + shortcut).

    Parameters, buffers and their names are those of ``torch.nn.BatchNorm2d``.

    Shape:
        x and shortcut (n, C, h, w) → (n, C, h, w).
    """

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        if self.training and _has_kernel(x, shortcut):
            y, mean, variance = _fused(x, shortcut, self.weight, self.bias, self.eps)
            self._track(mean, variance, x.numel() // x.shape[1])
            return y
        y = super().forward(x)
        return F.relu(y if shortcut is None else y + shortcut)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)


def _has_kernel(x: Tensor, shortcut: Tensor | None) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.bfloat16
        and x.shape[1] in CHANNELS
        and (shortcut is None or shortcut.dtype == torch.bfloat16)
        and not torch.compiler.is_compiling()
        and compiled_kernel(_SOURCE) is not None
    )


def _pointer(tensor: Tensor | None) -> ctypes.c_void_p | None:
    return None if tensor is None else ctypes.c_void_p(tensor.data_ptr())


def _run(name: str, *arguments: Any) -> None:
    kernel = compiled_kernel(_SOURCE)
    assert kernel is not None
    if getattr(kernel, name)(*arguments) != 0:
        raise MemoryError(name)


def _shape(x: Tensor) -> tuple[ctypes.c_int64, int, int]:
    return ctypes.c_int64(x.numel() // x.shape[1]), x.shape[1], torch.get_num_threads()


class _BatchNormReLU(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - apply() takes no keywords
        ctx: Any, x: Tensor, shortcut: Tensor | None, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        x = x.contiguous(memory_format=torch.channels_last)
        if shortcut is not None:
            shortcut = shortcut.contiguous(memory_format=torch.channels_last)
        y = torch.empty_like(x)
        mean, variance, inverse_std = torch.empty(3, x.shape[1])
        _run(
            "batch_norm_relu_forward",
            _pointer(x),
            _pointer(shortcut),
            _pointer(weight),
            _pointer(bias),
            ctypes.c_double(eps),
            *map(_pointer, (y, mean, variance, inverse_std)),
            *_shape(x),
        )
        ctx.save_for_backward(x, y, weight, mean, inverse_std)
        ctx.has_shortcut = shortcut is not None
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, y, weight, mean, inverse_std = ctx.saved_tensors
        dy = dy.contiguous(memory_format=torch.channels_last)
        dx = torch.empty_like(x)
        dshortcut = torch.empty_like(x) if ctx.has_shortcut else None
        dweight, dbias = torch.empty(2, x.shape[1])
        _run(
            "batch_norm_relu_backward",
            *map(_pointer, (dy, y, x, weight, mean, inverse_std, dx, dshortcut, dweight, dbias)),
            *_shape(x),
        )
        return dx, dshortcut, dweight, dbias, None


_fused: Callable[..., tuple[Tensor, Tensor, Tensor]] = _BatchNormReLU.apply
