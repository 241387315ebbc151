"""What is computed in full precision, whatever autocast says."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

__all__ = ["at_least_float32", "full_precision"]


def full_precision(device: torch.device) -> AbstractContextManager[None]:
    """A region without autocast; on a device that knows none, such as "meta", no region at all."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """The type itself, or float32 in the place of a narrower one.

    Example:
        >>> at_least_float32(torch.float16), at_least_float32(torch.float64)
        (torch.float32, torch.float64)
    """
    return torch.promote_types(dtype, torch.float32)
