"""Features with zero mean and unit variance per column: in memory, or made as they are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from everyclass.artifacts import Features, Head
from everyclass.errors import InputError
from everyclass.processes import my_share, rank, summed_in_place, world_size

__all__ = [
    "LARGE",
    "Rows",
    "Standardised",
    "Streamed",
    "scale_of",
    "shuffled",
    "standardise",
    "standardised",
]

LARGE = 1 << 30  # bytes of features as float32 from which on they are converted as they are used
BLOCK = 1 << 12  # rows
RUN = 16  # neighbouring rows that are read together
WINDOW = 1 << 16  # rows among which a stream is shuffled, and which are read at a time


class Rows(ABC):
    """Rows of features, all views below each other, standardised column by column.

    Attributes:
        labels: (rows,) int64.
        mean, scale: (d,) float32; standardised = (original − mean) · scale.
    """

    labels: Tensor
    mean: Tensor
    scale: Tensor

    @property
    def width(self) -> int:
        """d."""
        return len(self.mean)

    @abstractmethod
    def at(self, rows: Tensor) -> Tensor:
        """(k, d) float32, of the rows at (k,) int64."""

    @abstractmethod
    def ordered(self, order: Tensor) -> Rows:
        """The same rows in another order."""

    @abstractmethod
    def block(self, start: int, stop: int) -> Tensor:
        """(stop − start, d) float32, of rows that follow each other."""

    @abstractmethod
    def order(self, generator: torch.Generator) -> Tensor:
        """The rows of an epoch, shuffled."""

    def batches(self, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The full batches of an epoch, of each the rows that this process computes.

        Yields:
            Features (k, d) and labels (k,) of this process's rows, and the whole batch's labels.
        """
        for start in range(0, len(order) - size + 1, size):
            rows = order[start : start + size]
            mine = my_share(rows)
            yield self.at(mine), self.labels[mine], self.labels[rows]

    def head(self, weight: Tensor, bias: Tensor) -> Head:
        """The head on original features that equals (weight, bias) on standardised ones."""
        folded = weight * self.scale
        return Head(folded.numpy(), (bias - folded @ self.mean).numpy())


class Standardised(Rows):
    """Rows in memory.

    Args:
        features: (rows, d) float32, standardised already.
        labels, mean, scale: see :class:`Rows`.
    """

    def __init__(self, features: Tensor, labels: Tensor, mean: Tensor, scale: Tensor) -> None:
        self.features, self.labels = features, labels
        self.mean, self.scale = mean, scale

    def at(self, rows: Tensor) -> Tensor:
        """See :class:`Rows`."""
        return self.features[rows]

    def ordered(self, order: Tensor) -> Rows:
        """A copy."""
        return Standardised(self.at(order), self.labels[order], self.mean, self.scale)

    def block(self, start: int, stop: int) -> Tensor:
        """No copy."""
        return self.features[start:stop]

    def order(self, generator: torch.Generator) -> Tensor:
        """Any order is as likely as any other."""
        return torch.randperm(len(self.labels), generator=generator)


class Streamed(Rows):
    """Rows that stay where they are, as they are, and are standardised when they are used.

    Args:
        source: the features.
        mean, scale: see :class:`Rows`.
        places: (rows,) where each row is among the source's; default: where it stands.
    """

    def __init__(
        self, source: Features, mean: Tensor, scale: Tensor, places: Tensor | None = None
    ) -> None:
        self._source, self._places = source, places
        labels = torch.from_numpy(np.tile(source.labels, source.num_views))
        self.labels = labels if places is None else labels[places]
        self.mean, self.scale = mean, scale

    def at(self, rows: Tensor) -> Tensor:
        """See :class:`Rows`."""
        return self._made(self._read(rows))

    def _read(self, rows: Tensor) -> Tensor:
        places = rows if self._places is None else self._places[rows]
        return torch.from_numpy(self._source.at(places.numpy()))

    def _made(self, raw: Tensor) -> Tensor:
        return raw.float().sub_(self.mean).mul_(self.scale)

    def ordered(self, order: Tensor) -> Rows:
        """No copy."""
        places = order if self._places is None else self._places[order]
        return Streamed(self._source, self.mean, self.scale, places)

    def block(self, start: int, stop: int) -> Tensor:
        """See :class:`Rows`."""
        return self.at(torch.arange(start, stop))

    def order(self, generator: torch.Generator) -> Tensor:
        """Neighbours stay near each other: see :func:`shuffled`."""
        return shuffled(len(self.labels), generator)

    def batches(self, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """As those of :class:`Rows`; a window is read at a time."""
        steps = max(1, WINDOW // size)
        whole = order[: len(order) // size * size].view(-1, size)
        for window in whole.split(steps):
            mine = window[:, rank() :: world_size()]
            raw = self._read(mine.reshape(-1)).view(*mine.shape, -1)
            for rows, part, own in zip(window, raw, mine, strict=True):
                yield self._made(part), self.labels[own], self.labels[rows]


def shuffled(
    rows: int, generator: torch.Generator, *, run: int = RUN, window: int = WINDOW
) -> Tensor:
    """An order for rows on disk: runs of neighbours are shuffled, then all rows within a window.

    Reading it takes a few kilobytes here and there instead of single rows everywhere, and a window
    holds runs from all over the file, so that rows that lie sorted by class are mixed as well.

    Args:
        rows: how many.
        generator: on the CPU.
        run: neighbours that stay in the same window.
        window: rows that are held at a time.
    """
    starts = torch.randperm(-(-rows // run), generator=generator) * run
    order = (starts[:, None] + torch.arange(run)).reshape(-1)
    order = order[order < rows]
    return torch.cat([w[torch.randperm(len(w), generator=generator)] for w in order.split(window)])


def standardised(train: Features) -> Rows:
    """All views of training features, in memory where they are small, else as they are read.

    Small ones are in every process's memory; of the others each process reads what it uses.

    Raises:
        InputError: features on disk that are not finite.
    """
    rows = train.num_views * len(train)
    if 4 * rows * train.num_features < LARGE:
        data = standardise(train.views, train.labels)
        _check_finite(data.mean)
        return data
    # Sums of float64 are exact enough that no second pass is needed.
    sums = torch.zeros(2, train.num_features, dtype=torch.float64)
    for index, start in enumerate(range(0, rows, BLOCK)):
        if index % world_size() == rank():
            x = torch.from_numpy(train.at(np.arange(start, min(start + BLOCK, rows)))).double()
            sums[0] += x.sum(dim=0)
            sums[1] += x.square_().sum(dim=0)
    mean, squares = summed_in_place(sums) / rows
    _check_finite(squares)
    std = (squares - mean.square()).clamp_min(0).sqrt()
    return Streamed(train, mean.float(), scale_of(std.float(), mean.float()))


def _check_finite(of_columns: Tensor) -> None:
    """Features on disk are not looked through when they are opened."""
    if not torch.isfinite(of_columns).all():
        raise InputError("The training features hold values that are not finite.")


def standardise(
    views: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.int64]
) -> Standardised:
    """Standardise features column by column; a constant column stays at zero.

    Args:
        views: (v, n, d).
        labels: (n,).
    """
    stacked = torch.from_numpy(views.reshape(-1, views.shape[-1])).float()
    std, mean = torch.std_mean(stacked, dim=0, correction=0)
    scale = scale_of(std, mean)
    return Standardised(
        features=(stacked - mean) * scale,
        labels=torch.from_numpy(np.tile(labels, len(views))),
        mean=mean,
        scale=scale,
    )


def scale_of(std: Tensor, mean: Tensor) -> Tensor:
    """What each column is multiplied by, to have unit variance; 0 for one that is constant.

    Args:
        std: (d,) of the columns.
        mean: (d,) what is taken from the columns first.
    """
    # A column that varies by rounding only would otherwise be blown up into noise.
    constant = std <= 1e-6 * mean.abs() + torch.finfo(torch.float32).tiny
    return torch.where(constant, torch.zeros_like(std), 1 / std)
