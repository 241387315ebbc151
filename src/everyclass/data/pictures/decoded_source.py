"""Batches of pictures that are decoded in worker processes while the network computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from everyclass.data.augmentation import BatchAugmentation, RandomResizedCrop, Transform
from everyclass.data.augmentation.describing import described
from everyclass.data.pictures.bad_pictures import MISSING, BadPictures
from everyclass.data.pictures.decoding import SHAPES, BadPictureError, Cut, decode
from everyclass.data.pictures.encoded import EncodedSet
from everyclass.data.workers import as_many_workers, default_workers
from everyclass.errors import InputError, RunFailedError

__all__ = ["DecodedSource"]


class DecodedSource:
    """Pictures read and decoded by torch's ``DataLoader``, augmented and normalised on the device.

    Workers hand over small squares of uint8. A random resized crop that stands first in an
    augmentation is done by them, out of the whole picture; the other transforms get whole batches
    on the device. A picture is read once for all of its views. What a picture's crop is follows
    from the generator and the picture's place in the epoch, whatever the number of workers.

    Args:
        pictures: the encoded pictures.
        cut: the squares to make of them.
        augmentations: transforms of each view.
        mean, std: per channel, of pixel values in 0..1.
        device: where batches are made.
        bad: what to do with pictures that cannot be read, and the list of them.
        workers: processes; 0: this one. Default one per core.
    """

    def __init__(
        self,
        pictures: EncodedSet,
        *,
        cut: Cut,
        augmentations: Sequence[Sequence[Transform]],
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
        bad: BadPictures,
        workers: int | None = None,
    ) -> None:
        self._pictures, self._cut = pictures, cut
        self._crops: list[tuple[float, float] | None] = []
        self._rest: list[tuple[Transform, ...]] = []
        for transforms in augmentations:
            first = transforms[0] if transforms else None
            whole = isinstance(first, RandomResizedCrop) and first.ratio == SHAPES
            self._crops.append(first.scale if whole else None)  # type: ignore[union-attr]
            self._rest.append(tuple(transforms[1:] if whole else transforms))
        self._normal: dict[str, Any] = {"mean": mean, "std": std, "device": device}
        self._workers = default_workers() if workers is None else workers
        self.bad = bad
        self.batch_size = 64

    def __len__(self) -> int:
        return len(self._pictures)

    def identity(self) -> dict[str, Any]:
        """See :meth:`everyclass.data.BatchSource.identity`; of the pictures it takes the sizes."""
        return {
            "pictures": self._pictures.sizes_digest[:16],
            "cut": asdict(self._cut),
            "crops": [None if crop is None else list(crop) for crop in self._crops],
            "transforms": [[described(transform) for transform in view] for view in self._rest],
            "mean": [float(m) for m in self._normal["mean"]],
            "std": [float(s) for s in self._normal["std"]],
            "bad_images": self.bad.policy,
        }

    def pixels(self, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """The plain views, not normalised: rows (b,) and (b, h, w, 3) uint8 on the CPU.

        It also ends without an error where nothing could be read.
        """
        for rows, views in self._decoded(batches, [None], 0):
            if len(rows):
                yield rows, views[0]

    def plain(
        self, batches: Sequence[Tensor], *, none_is_fine: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See :meth:`everyclass.data.BatchSource.plain`."""
        for rows, pixels in self._some(self.pixels(batches), none_is_fine):
            images = BatchAugmentation(pixels, transforms=(), **self._normal)
            yield rows, images.plain(torch.arange(len(rows)))

    def augmented(
        self,
        batches: Sequence[Tensor],
        generator: torch.Generator,
        *,
        none_is_fine: bool = False,
    ) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """See :meth:`everyclass.data.BatchSource.augmented`."""
        seed = int(torch.randint(1 << 62, (1,), generator=generator))
        for rows, views in self._some(self._decoded(batches, self._crops, seed), none_is_fine):
            every = torch.arange(len(rows))
            yield (
                rows,
                [
                    BatchAugmentation(pixels, transforms=rest, **self._normal).augmented(
                        every, generator
                    )
                    for pixels, rest in zip(views, self._rest, strict=True)
                ],
            )

    def _decoded(
        self, batches: Sequence[Tensor], crops: Sequence[tuple[float, float] | None], seed: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each batch the rows (b,) that could be read, and their views (v, b, h, w, 3) uint8."""
        starts = np.cumsum([0, *(len(rows) for rows in batches)]).tolist()
        with as_many_workers(self._workers):
            loader = DataLoader(
                _Reader(self._pictures, self._cut, tuple(crops), seed),
                batch_size=None,
                sampler=list(zip(starts, (rows.tolist() for rows in batches), strict=False)),
                num_workers=min(self._workers, len(batches)),
                collate_fn=_as_it_is,
                pin_memory=self._normal["device"].type == "cuda",
            )
        for rows, views, failures in _alive(loader):
            for row, reason in failures:
                self.bad.add(self._pictures.place(row), reason)
            yield rows, views

    def _some(
        self, batches: Iterator[tuple[Tensor, Tensor]], none_is_fine: bool
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The same batches; an error at the end if pictures were asked for and none came."""
        some = False
        for rows, images in batches:
            some = some or len(rows) > 0
            yield rows, images
        if not (some or none_is_fine) and len(self.bad):
            raise InputError(f"None of the pictures can be read: {self.bad.sentence()}.")


def _alive(loader: DataLoader[Any]) -> Iterator[Any]:
    """What the workers hand over; a word about one that was killed."""
    try:
        with as_many_workers(loader.num_workers):
            decoded = iter(loader)
        yield from decoded
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise RunFailedError(
            "A process that decodes pictures was killed, perhaps for lack of memory; run the same "
            "again with fewer workers (--workers)."
        ) from error


class _Reader(Dataset[Any]):
    """Decodes a batch; runs in the workers."""

    def __init__(
        self,
        pictures: EncodedSet,
        cut: Cut,
        crops: tuple[tuple[float, float] | None, ...],
        seed: int,
    ) -> None:
        self._pictures, self._cut, self._crops, self._seed = pictures, cut, crops, seed

    def __getitem__(
        self, item: tuple[int, list[int]]
    ) -> tuple[Tensor, Tensor, list[tuple[int, str]]]:
        start, rows = item
        side = self._cut.size
        views = torch.empty(len(self._crops), len(rows), side, side, 3, dtype=torch.uint8)
        pixels = views.numpy()
        kept: list[int] = []
        failures: list[tuple[int, str]] = []
        for place, row in enumerate(rows, start):
            crops = [
                None if scale is None else (np.random.default_rng([self._seed, view, place]), scale)
                for view, scale in enumerate(self._crops)
            ]
            try:
                pixels[:, len(kept)] = decode(self._pictures.read(row), self._cut, crops)
            except FileNotFoundError:
                failures.append((row, MISSING))
            except OSError as error:
                failures.append((row, error.strerror or str(error)))
            except BadPictureError as error:
                failures.append((row, str(error)))
            else:
                kept.append(row)
        return torch.tensor(kept, dtype=torch.int64), views[:, : len(kept)].contiguous(), failures


def _as_it_is(batch: Any) -> Any:
    return batch
