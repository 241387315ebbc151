"""Predictions of a file that need not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from everyclass.artifacts._prediction_sources import RepeatedIds, open_source
from everyclass.artifacts.predictions import Predictions, Scores
from everyclass.errors import naming

__all__ = ["PredictionStream"]


class PredictionStream:
    """A file of predictions in pieces, each a :class:`Predictions`.

    Pieces know where they begin, so that a message names the file's row. Ids are compared, up to
    four million, and not handed on.

    Args:
        path: the file, in any format that :meth:`Predictions.load` reads.
        values: how many scores to read at once, about.
        scores, labels, labels_column, predicted_column, class_names: as in
            :meth:`Predictions.load`.
        ids: takes the ids, for the caller to compare with those of other files; without it they
            are compared here, within this file.

    Attributes:
        path: the file.
        unit, total: what progress counts, and how much there is.
        done: how much has been read.

    Raises:
        MissingFileError: nothing is there.
        FileFormatError: not such a file, or without what is needed.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        scores: Scores | None = None,
        labels: str | Path | None = None,
        labels_column: str = "labels",
        predicted_column: str = "predicted",
        class_names: Sequence[str] | None = None,
        values: int = 1 << 20,
        ids: RepeatedIds | None = None,
    ) -> None:
        self.path, self._ids = Path(path), ids
        self._values = values
        self._source = open_source(
            path,
            scores=scores,
            labels=labels,
            labels_column=labels_column,
            predicted_column=predicted_column,
            class_names=class_names,
        )
        self.unit, self.total = self._source.unit, self._source.total

    @property
    def done(self) -> int:
        """How much has been read."""
        return self._source.done

    def __iter__(self) -> Iterator[Predictions]:
        """Read from the beginning.

        Raises:
            InputError, InputTypeError: what the file holds does not fit together.
            FileFormatError: it is damaged.
        """
        first = 0
        repeated = RepeatedIds() if self._ids is None else self._ids
        for piece in self._source.pieces(self._values):
            with naming(self.path):
                repeated.see(self.path, piece.pop("ids", None))
                part = Predictions(
                    **piece,
                    class_names=self._source.class_names,
                    class_counts=self._source.class_counts,
                    first_row=first,
                )
            yield part
            first += len(part)
        if self._ids is None:
            repeated.check()
