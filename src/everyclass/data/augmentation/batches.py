"""Batches of random views, made on whatever device the images are."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from everyclass.data.augmentation.describing import described
from everyclass.data.augmentation.drawing import Transform
from everyclass.errors import InputError

__all__ = ["BatchAugmentation"]


class BatchAugmentation:
    """Images that stay on the device as uint8, and normalised batches of their views.

    Args:
        images: (n, h, w, 3) uint8.
        transforms: what makes a random view of an image, in order; none: the image itself.
        mean, std: per channel, of pixel values in 0..1.
        device: where images are kept and batches are made.

    Raises:
        InputError: the images have another shape or type.

    Example:
        >>> from everyclass.data.augmentation import CropAndFlip
        >>> images = BatchAugmentation(
        ...     torch.zeros(5, 32, 32, 3, dtype=torch.uint8),
        ...     transforms=[CropAndFlip(padding=4, flip=True)],
        ...     mean=(0.5, 0.5, 0.5),
        ...     std=(0.25, 0.25, 0.25),
        ...     device=torch.device("cpu"),
        ... )
        >>> images.augmented(torch.tensor([0, 3]), torch.Generator()).shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(
        self,
        images: Tensor,
        *,
        transforms: Sequence[Transform],
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
    ) -> None:
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != torch.uint8:
            raise InputError(
                f"The images must be uint8 of shape (n, h, w, 3); got {images.dtype} of shape "
                f"{tuple(images.shape)}."
            )
        self._pixels = images.to(device).contiguous()
        self._transforms = tuple(transforms)
        self._normal = {"mean": [float(m) for m in mean], "std": [float(s) for s in std]}
        self._device = device
        # Repeated over a line, so that one long vector operation does it instead of many short.
        width = images.shape[2]
        self._scale = (1 / (255 * torch.tensor(std))).repeat(width).to(device)
        self._shift = (-torch.tensor(mean) / torch.tensor(std)).repeat(width).to(device)

    def __len__(self) -> int:
        return len(self._pixels)

    def with_transforms(self, transforms: Sequence[Transform]) -> BatchAugmentation:
        """Other views of the same images, which are kept once for both.

        Two views of each image of a batch, such as query and key, come from two of these.
        """
        other = copy.copy(self)
        other._transforms = tuple(transforms)
        return other

    def identity(self) -> dict[str, Any]:
        """What the views follow from, as plain values, to tell other images from the same."""
        pixels = hashlib.sha256(self._pixels.cpu().numpy().tobytes()).hexdigest()
        transforms = [described(transform) for transform in self._transforms]
        return {"pixels": pixels[:16], "transforms": transforms, **self._normal}

    def plain(self, rows: Tensor) -> Tensor:
        """The images at ``rows``, normalised only: (b, 3, h, w) float32, channels last."""
        return self._normalised(self._at(rows))

    def augmented(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """One random view of each image at ``rows``: (b, 3, h, w) float32, channels last.

        Args:
            rows: (b,) int64.
            generator: a CPU generator, so that a seed gives the same views on every device.
        """
        pixels = self._at(rows)
        # Nothing here has a gradient, and not to prepare for one saves a tenth of the time.
        with torch.inference_mode():
            for transform in self._transforms if len(rows) else ():
                pixels = transform(pixels, generator)
        return self._normalised(pixels)

    def _at(self, rows: Tensor) -> Tensor:
        return self._pixels.index_select(0, rows.to(self._device, non_blocking=True))

    def _normalised(self, pixels: Tensor) -> Tensor:
        lines = torch.addcmul(self._shift, pixels.flatten(2).float(), self._scale)
        # (b, h, w, 3) in memory seen as (b, 3, h, w) is exactly the channels-last layout.
        return lines.view(pixels.shape).permute(0, 3, 1, 2)
