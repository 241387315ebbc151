"""Random numbers for the images of a batch, and applying an operation to those that drew it.

All numbers come from a CPU generator, so that a seed gives the same views on every device, and
nothing ever has to be read back from the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from everyclass.data.augmentation.operations.pixels import to_device

__all__ = ["Operation", "Transform", "apply_each", "apply_to", "to_device", "uniform"]

Transform = Callable[[Tensor, torch.Generator], Tensor]
"""(b, h, w, 3) uint8, b ≥ 1, and a CPU generator → the same shape; never changes its input.

Those of this room take an empty batch too.
"""

Operation = Callable[[Tensor, Tensor], Tensor]
"""(k, h, w, 3) uint8 and (k,) magnitudes on the CPU → (k, h, w, 3) uint8."""


def uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """(count,) float64 on the CPU, uniform in low..high."""
    unit = torch.rand(count, generator=generator, dtype=torch.float64)
    return low + (high - low) * unit


def apply_to(images: Tensor, chosen: Tensor, operation: Callable[[Tensor], Tensor]) -> Tensor:
    """Change the images that ``chosen`` names, and keep the others.

    Args:
        images: (b, h, w, 3) uint8.
        chosen: places in the batch, int64 on the CPU.
        operation: from (k, h, w, 3) to the same shape.
    """
    if len(chosen) == 0:
        return images
    changed = operation(images.index_select(0, to_device(chosen, images)))
    source = torch.arange(len(images))
    source[chosen] = torch.arange(len(images), len(images) + len(chosen))
    # Gathering from both is several times faster than copying into one.
    return torch.cat([images, changed]).index_select(0, to_device(source, images))


def apply_each(
    images: Tensor, kinds: Tensor, magnitudes: Tensor, operations: Sequence[Operation]
) -> Tensor:
    """To each image its own operation, each operation once on all images that drew it.

    Args:
        images: (b, h, w, 3) uint8.
        kinds: (b,) int64 on the CPU, numbers of operations.
        magnitudes: (b,) on the CPU.
        operations: from (k, h, w, 3) and (k,) magnitudes to the same shape.
    """
    if len(images) == 0:
        return images
    order = kinds.argsort(stable=True)
    counts = kinds.bincount(minlength=len(operations)).tolist()
    groups = zip(
        operations,
        images.index_select(0, to_device(order, images)).split(counts),
        magnitudes[order].split(counts),
        strict=True,
    )
    changed = [operation(group, sizes) for operation, group, sizes in groups if len(group)]
    return torch.cat(changed).index_select(0, to_device(order.argsort(), images))
