"""Augmentation of a whole batch at once, on whatever device the images are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["BatchAugmentation"]


class BatchAugmentation:
    """Crop, flip and normalise images that stay on the device as uint8.

    Each image gets its own crop offset and its own coin for the mirror. One gather does both, so
    there is no Python per image. The padding is black before normalisation, as in the usual
    pipeline (crop with 4 pixels of zero padding, flip with probability ½, normalise).

    Args:
        images: (n, h, w, 3) uint8.
        mean, std: per channel, of pixel values in 0..1.
        crop_padding: pixels of black padding on each side for the random crop; 0: no crop.
        flip: whether to mirror every other image.
        device: where images are kept and batches are made.
    """

    def __init__(
        self,
        images: Tensor,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        crop_padding: int,
        flip: bool,
        device: torch.device,
    ) -> None:
        self._size = images.shape[1:3]
        self._pad = crop_padding
        self._flip = flip
        self._device = device
        p = crop_padding
        self._padded = torch.nn.functional.pad(images.to(device), (0, 0, p, p, p, p))
        self._scale = (1 / (255 * torch.tensor(std))).to(device)
        self._shift = (-torch.tensor(mean) / torch.tensor(std)).to(device)

    def _normalise(self, pixels: Tensor) -> Tensor:
        # (n, h, w, 3) in memory seen as (n, 3, h, w) is exactly the channels-last layout.
        return torch.addcmul(self._shift, pixels.float(), self._scale).permute(0, 3, 1, 2)

    def plain(self, rows: Tensor) -> Tensor:
        """The images at ``rows``, normalised only: (b, 3, h, w) float32, channels last."""
        height, width = self._size
        inner = self._padded[:, self._pad : self._pad + height, self._pad : self._pad + width]
        return self._normalise(inner[rows.to(self._device)])

    def augmented(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """One random view of each image at ``rows``: (b, 3, h, w) float32, channels last.

        Args:
            rows: (b,) int64.
            generator: a CPU generator, so that a seed gives the same views on every device.
        """
        height, width = self._size
        n = len(rows)
        offsets = torch.randint(0, 2 * self._pad + 1, (2, n), generator=generator)
        top, left = offsets.to(self._device)[:, :, None]
        across = torch.arange(width, device=self._device)
        columns = across.expand(n, width)
        if self._flip:
            mirrored = torch.rand(n, generator=generator) < 0.5
            columns = torch.where(mirrored.to(self._device)[:, None], across.flip(0), columns)
        columns = columns + left
        lines = torch.arange(height, device=self._device) + top
        batch = rows.to(self._device)[:, None, None]
        return self._normalise(self._padded[batch, lines[:, :, None], columns[:, None, :]])
