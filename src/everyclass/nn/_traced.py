"""What heads do otherwise while torch.fx traces them, with stand-ins in the place of tensors."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch.fx
from torch import Tensor

from everyclass.precision import full_precision

__all__ = ["full_precision_for", "is_traced"]


def is_traced(features: Tensor) -> bool:
    """Whether these are a stand-in of torch.fx, which has neither a device nor a size."""
    return isinstance(features, torch.fx.Proxy)


def full_precision_for(features: Tensor) -> AbstractContextManager[None]:
    """A region without autocast; in a graph of torch.fx, which keeps no regions, none."""
    return nullcontext() if is_traced(features) else full_precision(features.device)
