"""What all samplers share: one epoch as a function of a generator, split over ranks, resumable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Sampler

from everyclass.artifacts import as_labels, check_whole_number
from everyclass.errors import InputError, InputTypeError
from everyclass.processes import generator_of

__all__ = ["RowSampler"]

_BLOCK = 1 << 16  # rows that become Python numbers at a time
# What is in every state; one that was written earlier says nothing of other settings.
_ALWAYS = ("epoch", "position", "seed", "num_samples", "world_size")


class RowSampler(Sampler[int], ABC):
    """Rows of a data set, epoch after epoch, for any ``DataLoader(dataset, sampler=…)``.

    What an epoch holds follows from seed and epoch alone. Every iteration is an epoch of its own,
    from its first row, whether the one before was finished or not; the first is epoch 1, and no
    call is needed to have each drawn anew. :meth:`set_epoch` says which epoch comes next; loops
    that count from 0 may do so. In the middle of an epoch begins only what follows
    :meth:`load_state_dict`.

    Each rank iterates over every ``world_size``-th of the rows drawn, so that the ranks' batches
    together are what one process would see. All ranks have equally many rows: where the rows do
    not divide, the first of them are repeated at the end, as torch's DistributedSampler does.

    :meth:`state_dict` counts the rows handed out. A loader asks for them before they are trained
    on, with workers long before; where that matters, load the state with the numbers of the
    training instead: ``{**state, "epoch": epoch, "position": rows_trained_on}``.

    Args:
        labels: (n,) integers ≥ 0, the class of each row, as list, array or tensor.
        num_samples: rows per epoch of all ranks together; default n.
        seed: of the order, ≥ 0.
        rank: of this process, in 0..world_size−1.
        world_size: number of processes.
        epochs: in the whole training; only :class:`ProgressivelyBalanced` has to know.

    Raises:
        InputError: no labels, a negative one, a number outside its range.
        InputTypeError: labels or numbers that are not whole.
    """

    # What the rows of an epoch follow from, beside the class; a subclass adds to it.
    _settings: ClassVar[tuple[str, ...]] = ("seed", "num_samples", "world_size", "num_rows")

    def __init__(
        self,
        labels: Any,
        *,
        num_samples: int | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        epochs: int | None = None,
    ) -> None:
        self._keep(as_labels(labels))
        if num_samples is not None:
            self.num_samples = check_whole_number("num_samples", num_samples, 1)
        self.seed = check_whole_number("seed", seed, 0)
        self.world_size = check_whole_number("world_size", world_size, 1)
        self.rank = check_whole_number("rank", rank, 0, self.world_size - 1)
        self.epochs = None if epochs is None else check_whole_number("epochs", epochs, 1)
        self._stand(1, 0)

    def _keep(self, labels: npt.NDArray[np.int64]) -> None:
        """Keep what :meth:`draw` needs of the labels; a subclass adds to it."""
        self.num_samples = self.num_rows = len(labels)

    @abstractmethod
    def draw(self, generator: torch.Generator, epoch: int, epochs: int) -> Tensor:
        """Draw one epoch: all its rows, of all ranks.

        Args:
            generator: on the CPU; the result is a function of its state, which moves on.
            epoch: 1 for the first.
            epochs: in the whole training.

        Returns:
            (num_samples,) int64 rows in 0..n−1.
        """

    def rows(self) -> Tensor:
        """This rank's rows of the whole current epoch: (len(self),) int64."""
        generator = generator_of(self.seed, self._epoch)
        drawn = self.draw(generator, self._epoch, self.epochs or self._epoch)
        places = torch.arange(self.rank, len(self) * self.world_size, self.world_size)
        return drawn[places % len(drawn)]

    def _stand(self, epoch: int, position: int) -> None:
        """Let the next iteration begin here."""
        self._epoch, self._position = epoch, position
        self._begun = False

    def __iter__(self) -> Iterator[int]:
        if self._begun:  # and left at some row, perhaps the last one
            self._stand(self._epoch + 1, 0)
        rest = self._rest(self.rows(), self._epoch, self._position)
        self._begun = True
        return rest

    def _rest(self, rows: Tensor, epoch: int, position: int) -> Iterator[int]:
        """The rows of an epoch from a position on."""
        for block in rows[position:].split(_BLOCK):
            for row in block.tolist():
                position += 1
                self._epoch, self._position = epoch, position
                yield row
        self._stand(epoch + 1, 0)

    def __len__(self) -> int:
        """Rows per epoch of one rank."""
        return (self.num_samples + self.world_size - 1) // self.world_size

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be of this epoch, from its first row.

        Only where a state of this very epoch was loaded does it go on from there, so that a resumed
        loop may call this before each epoch as ever.

        Args:
            epoch: 1 for the first; 0 is an epoch of its own for loops that count from there.

        Raises:
            InputError, InputTypeError: no whole number ≥ 0.
        """
        epoch = check_whole_number("epoch", epoch, 0)
        if self._begun or epoch != self._epoch:
            self._stand(epoch, 0)

    def state_dict(self) -> dict[str, Any]:
        """Where the sampler stands, and what that is measured in: plain values."""
        return {"epoch": self._epoch, "position": self._position, **self._described()}

    def _described(self) -> dict[str, Any]:
        """The class's name, and what else the rows follow from."""
        settings = {name: getattr(self, name) for name in self._settings}
        return {"sampler": type(self).__name__, **settings}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Stand where another sampler of the same settings stood; any rank's state will do.

        The next iteration gives what was left of that epoch, nothing where all was handed out.

        Raises:
            InputError: numbers that are missing, out of range, or of other settings.
            InputTypeError: no mapping, or numbers that are not whole.
        """
        if not isinstance(state, Mapping):
            raise InputTypeError(
                "The state of a sampler is a mapping, as state_dict returns it; got "
                f"{type(state).__name__}."
            )
        missing = [name for name in _ALWAYS if name not in state]
        if missing:
            raise InputError(
                f"The state of a sampler has the entry {missing[0]!r}; got {list(state)}."
            )
        for name, own in self._described().items():
            if state.get(name, own) != own:
                raise InputError(
                    f"This state is of a sampler with {name}={state[name]}, and this one has "
                    f"{name}={own}; make it with the same settings."
                )
        epoch = check_whole_number("epoch", state["epoch"], 0)
        self._stand(epoch, check_whole_number("position", state["position"], 0, len(self)))
