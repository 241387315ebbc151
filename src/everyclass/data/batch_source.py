"""Where the training loop takes its batches from, be the images in memory or in files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from everyclass.data.augmentation import BatchAugmentation

__all__ = ["BatchSource", "MemorySource"]


class BatchSource(Protocol):
    """Images that come as normalised batches, in whatever order they are asked for.

    Both methods are told all batches at once, so that a source that reads files can read ahead.
    Rows that cannot be read are left out, where the source is told to: what comes with a batch
    are the rows that are in it. Where nothing at all could be read that is an error, unless the
    caller says that there may be none.
    """

    batch_size: int
    """How many images of this size a network is well asked about at once, without training."""

    def __len__(self) -> int:
        """How many images there are."""

    def identity(self) -> dict[str, Any]:
        """What the batches follow from, as plain values, to tell other images from the same."""

    def plain(
        self, batches: Sequence[Tensor], *, none_is_fine: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The images as they are: of each batch its rows (b,) and (b, 3, h, w) float32."""

    def augmented(
        self,
        batches: Sequence[Tensor],
        generator: torch.Generator,
        *,
        none_is_fine: bool = False,
    ) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Random views: of each batch its rows (b,) and (b, 3, h, w) for each augmentation.

        As many batches as were asked for; one of which nothing could be read has no rows.

        Args:
            batches: rows, int64 on the CPU.
            generator: on the CPU; what a batch draws is drawn when it is asked for, so that what
                the caller draws in between has its place in the same sequence.
            none_is_fine: no error where nothing could be read.
        """


class MemorySource:
    """Images that are kept on the device.

    Args:
        views: of the same images, one for each augmentation.
    """

    def __init__(self, views: Sequence[BatchAugmentation]) -> None:
        self._views = tuple(views)
        self.batch_size = 500

    def __len__(self) -> int:
        return len(self._views[0])

    def identity(self) -> dict[str, Any]:
        """See :meth:`BatchSource.identity`."""
        return {"views": [view.identity() for view in self._views]}

    def plain(
        self, batches: Sequence[Tensor], *, none_is_fine: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See :meth:`BatchSource.plain`; these are always read."""
        for rows in batches:
            yield rows, self._views[0].plain(rows)

    def augmented(
        self,
        batches: Sequence[Tensor],
        generator: torch.Generator,
        *,
        none_is_fine: bool = False,
    ) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """See :meth:`BatchSource.augmented`; these are always read."""
        for rows in batches:
            yield rows, [view.augmented(rows, generator) for view in self._views]
