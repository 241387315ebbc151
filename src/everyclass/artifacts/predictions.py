"""What a classifier said about labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from everyclass.artifacts._archives import write_npz
from everyclass.artifacts._checks import (
    are_other_numbers,
    as_array,
    as_floats,
    as_ids,
    as_labels,
    as_names,
    class_numbers,
    holds_names,
    names_in_order,
    of_class,
)
from everyclass.artifacts._prediction_sources import RepeatedIds, open_source
from everyclass.artifacts._text import some
from everyclass.artifacts.class_counts import ClassCounts
from everyclass.errors import InputError, InputTypeError, naming

__all__ = ["LOGITS_ARE_PROBS", "ONE_CLASS", "Predictions", "Scores", "look_like_probs"]

Scores = Literal["logits", "probs"]

LOGITS_ARE_PROBS = (
    "Every row of logits lies in 0..1 and sums to one: these are probabilities; pass them as probs."
)
ONE_CLASS = "There is one class only; nothing can be told apart."

# By so much a sum of probabilities may miss one and still be the sum of such, badly written.
_NEARLY_ONE = 0.05


@dataclass(frozen=True, eq=False)
class Predictions:
    """Labels, and logits or probabilities or predicted classes: exactly one of the three.

    Attributes:
        labels: (n,) int64, the true classes: positions in ``class_names``; may be given as names
            of it, as ``predicted`` may.
        logits: (n, C) finite scores whose softmax are probabilities.
        probs: (n, C) in 0..1, rows that sum to one.
        predicted: (n,) int64, where nothing else is known.
        class_names: C names, or None; may be given as a dict from class number to name.
        class_counts: training images per class, or None.
        ids: (n,) one id per image, or None.
        first_row: where the first of these images stands in the file or set that they are a part
            of; None if they are all of it. A part is allowed to show one class only.

    Which of the three it is, is said by the caller and never guessed; rows of "logits" that sum to
    one, and "probabilities" that do not, are refused.

    Example:
        >>> said = Predictions(labels=[0, 1], probs=[[0.9, 0.1], [0.8, 0.2]])
        >>> said.top.tolist()
        [0, 0]
    """

    labels: npt.NDArray[np.int64]
    logits: npt.NDArray[np.floating[Any]] | None = None
    probs: npt.NDArray[np.floating[Any]] | None = None
    predicted: npt.NDArray[np.int64] | None = None
    class_names: tuple[str, ...] | None = None
    class_counts: ClassCounts | None = None
    ids: npt.NDArray[Any] | None = None
    first_row: int | None = None

    def __post_init__(self) -> None:
        given = [n for n in ("logits", "probs", "predicted") if getattr(self, n) is not None]
        if len(given) != 1:
            raise InputError(
                "Give exactly one of logits, probs and predicted; "
                f"got {' and '.join(given) or 'none'}."
            )
        if self.class_names is not None:
            object.__setattr__(self, "class_names", names_in_order(self.class_names))
        scores, part = None, self.first_row
        if given[0] != "predicted":
            scores = as_floats(
                getattr(self, given[0]),
                name=given[0],
                ndim=(2,),
                first_row=part,
                columns=self.class_names,
            )
            if given[0] == "probs":
                _check_probs(scores, part, self.class_names)
            elif part is None and look_like_probs(scores):
                raise InputError(LOGITS_ARE_PROBS)
            object.__setattr__(self, given[0], scores)
        self._check_positions()
        classes = self._known_classes(scores)
        length = None if scores is None else len(scores)
        labels = self._numbers("labels", classes)
        labels = as_labels(labels, num_classes=classes, length=length, first_row=part)
        object.__setattr__(self, "labels", labels)
        if self.predicted is not None:
            predicted = as_labels(
                self._numbers("predicted", classes),
                num_classes=classes,
                length=len(labels),
                name="predicted",
                first_row=part,
            )
            object.__setattr__(self, "predicted", predicted)
            classes = classes or int(max(labels.max(), predicted.max())) + 1
        assert classes is not None
        if classes < 2 and part is None:
            raise InputError(ONE_CLASS)
        counts = self.class_counts
        if counts is not None:
            counts = ClassCounts.of(counts, num_classes=classes, names=self.class_names)
        names = self.class_names
        if names is None and counts is not None:
            names = counts.names
        object.__setattr__(self, "class_counts", counts)
        object.__setattr__(self, "class_names", as_names(names, classes))
        object.__setattr__(self, "ids", as_ids(self.ids, len(labels)))
        object.__setattr__(self, "_num_classes", classes)

    def _numbers(self, what: Literal["labels", "predicted"], classes: int | None) -> Any:
        """Labels or predicted classes; where they are names, their numbers."""
        value = getattr(self, what)
        if not holds_names(value):
            return value
        if self.class_names is None or classes is None:
            raise InputTypeError(
                f"{what} must be integers 0..C−1, or names of class_names; got "
                f"{as_array(value).dtype} and no class_names (--class-names): pass all classes, in "
                "the order of the columns of scores (clf.classes_ of a scikit-learn classifier). "
                "Integers are positions in it."
            )
        names = as_names(self.class_names, classes) or ()
        return class_numbers(value, names, name=what, first_row=self.first_row)

    def _check_positions(self) -> None:
        """Integers are positions among the names; where these are other numbers, somebody errs."""
        names = self.class_names
        if names is None or not are_other_numbers(names):
            return
        for name in ("labels", "predicted"):
            value = getattr(self, name)
            if value is not None and not holds_names(value):
                raise InputError(
                    f"class_names holds numbers, {some(list(names), most=4)}, and {name} does too, "
                    "which are taken for positions in it: pass names as strings "
                    "(clf.classes_.astype(str)), and for labels that are such numbers "
                    f"np.searchsorted(clf.classes_, {name})."
                )

    def _known_classes(self, scores: npt.NDArray[Any] | None) -> int | None:
        if scores is not None:
            return int(scores.shape[1])
        if self.class_names is not None:
            return len(self.class_names)
        if self.class_counts is not None:
            return ClassCounts.of(self.class_counts).num_classes
        return None

    def __repr__(self) -> str:
        known = [
            name for name in ("logits", "probs", "predicted") if getattr(self, name) is not None
        ]
        return f"Predictions({len(self):,} images, {self.num_classes:,} classes, {known[0]})"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        """C: columns of the scores, else names, else counts, else the largest class seen + 1."""
        return self._num_classes  # type: ignore[attr-defined]

    @property
    def scores(self) -> npt.NDArray[np.floating[Any]] | None:
        """Logits or probabilities, whichever there are."""
        return self.logits if self.logits is not None else self.probs

    @cached_property
    def top(self) -> npt.NDArray[np.int64]:
        """(n,) the predicted class of each image; the first of equal scores."""
        if self.predicted is not None:
            return self.predicted
        assert self.scores is not None
        return np.asarray(self.scores.argmax(axis=1), dtype=np.int64)

    def with_counts(self, class_counts: ClassCounts) -> Predictions:
        """The same predictions, with the training images per class.

        Raises:
            InputError: there are more or fewer counts than classes.
        """
        counts = ClassCounts.of(class_counts)
        if self.predicted is None or self.class_names is not None:
            counts = ClassCounts.of(counts, num_classes=self.num_classes)
        return replace(self, class_counts=counts)

    def save(self, path: str | Path) -> None:
        """Write an ``.npz`` with the arrays that there are.

        Raises:
            InputError: the name ends otherwise.
            OutputError: no permission, or no space.
        """
        if Path(path).suffix.lower() != ".npz":
            raise InputError(f"{path} has to end in .npz, which predictions are written as.")
        arrays: dict[str, npt.NDArray[Any]] = {"labels": self.labels}
        for name in ("logits", "probs", "predicted", "ids"):
            if getattr(self, name) is not None:
                arrays[name] = getattr(self, name)
        if self.class_names is not None:
            arrays["class_names"] = np.array(self.class_names)
        if self.class_counts is not None:
            arrays["class_counts"] = self.class_counts.counts
        write_npz(path, arrays)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        scores: Scores | None = None,
        labels: str | Path | None = None,
        labels_column: str = "labels",
        predicted_column: str = "predicted",
        class_names: Sequence[str] | None = None,
        class_counts: ClassCounts | None = None,
    ) -> Predictions:
        """Read ``.npz``, ``.npy``, ``.safetensors``, ``.csv`` or ``.parquet``, all of it.

        Array files hold ``labels`` and ``logits``, ``probs`` or ``predicted``; optionally ``ids``,
        ``class_names``, ``class_counts``. An ``.npy`` holds predicted classes (n), or with
        ``scores`` logits or probabilities (n × C), and goes with a file of ``labels``. Tables hold
        the column ``labels`` and either ``predicted``, or one column per class: ``logit_0, …``,
        ``prob_0, …``, or columns named as the classes together with ``scores``; or a column of
        lists, ``logits`` or ``probs``; ids in a column ``ids``, or ``id`` where there is none.
        Scores go before ``predicted`` in every file that says what its scores are, by the name of
        the array or column or by ``scores``.

        Args:
            path: the file.
            scores: what an ``.npy``, an array called ``scores``, or columns named as classes hold:
                "logits" or "probs". Chooses where a file has both.
            labels: an ``.npy`` of the true classes (n), for an array file without any.
            labels_column, predicted_column: other names for these columns.
            class_names: C names, if the file does not say.
            class_counts: training images per class, if the file does not say.

        Raises:
            MissingFileError: nothing is there.
            FileFormatError: not such a file, or without what is needed.
            InputError: what it holds does not fit together, or an id stands twice.
        """
        source = open_source(
            path,
            scores=scores,
            labels=labels,
            labels_column=labels_column,
            predicted_column=predicted_column,
            class_names=class_names,
        )
        values = source.whole()
        counts = source.class_counts if class_counts is None else class_counts
        with naming(path):
            said = cls(**values, class_names=source.class_names, class_counts=counts)
        repeated = RepeatedIds()
        repeated.see(path, said.ids)
        repeated.check()
        return said


def _check_probs(probs: npt.NDArray[Any], first_row: int | None, class_names: Any) -> None:
    first, part = first_row or 0, first_row is not None
    sums = probs.sum(axis=1, dtype=np.float64)
    if probs.min() < 0 or probs.max() > 1:
        row, column = (int(i) for i in np.argwhere((probs < 0) | (probs > 1))[0])
        raise InputError(
            f"probs[{first + row}, {column}]{of_class(class_names, column)} is "
            f"{probs[row, column]:g}, outside 0..1; {_instead(probs, sums)}."
        )
    off = np.abs(sums - 1) > _tolerance(probs)
    if off.any():
        row = int(np.flatnonzero(off)[0])
        such = f"{'at least ' if part else ''}{int(off.sum())} such rows"
        raise InputError(
            f"Row {first + row} of probs sums to {sums[row]:.4g} and must sum to 1 ({such}); "
            f"{_instead(probs, sums)}."
        )


def _instead(probs: npt.NDArray[Any], sums: npt.NDArray[np.float64]) -> str:
    """What to do with numbers that are no probabilities: it depends on what they look like."""
    if probs.min() >= 0:
        if np.abs(sums / 100 - 1).max() <= _NEARLY_ONE:
            return "these are percentages: divide them by 100"
        if np.abs(sums - 1).max() <= _NEARLY_ONE:
            rounded = " that were rounded: give more digits" if _decimals(probs) else ": give all"
            return f"these are probabilities{rounded}, or divide each row by its sum"
    return "if these are logits, pass them as logits"


def _decimals(probs: npt.NDArray[Any]) -> int | None:
    """How many decimals all numbers have, if they are so few that a sum shows it."""
    few = (d for d in range(1, 5) if np.abs(probs - probs.round(d)).max() < 1e-6)
    return next(few, None)


def _tolerance(probs: npt.NDArray[Any]) -> float:
    return 1e-2 if probs.dtype == np.float16 or _were_bfloat16(probs) else 1e-3


def _were_bfloat16(values: npt.NDArray[Any]) -> bool:
    """Whether float32 values have the precision of bfloat16, which NumPy lacks, by the first."""
    first = np.ascontiguousarray(values[:64])
    return first.dtype == np.float32 and not (first.view(np.uint32) & 0xFFFF).any()


def look_like_probs(logits: npt.NDArray[Any]) -> bool:
    """Whether every row lies in 0..1 and sums to one, or as nearly as its few decimals allow."""
    if logits.shape[1] < 2 or logits.min() < 0 or logits.max() > 1:
        return False
    off = np.abs(logits.sum(axis=1, dtype=np.float64) - 1).max()
    if off <= _tolerance(logits) or off > _NEARLY_ONE:
        return bool(off <= _tolerance(logits))
    decimals = _decimals(logits)
    return decimals is not None and bool(off <= logits.shape[1] * 0.5 * 10.0**-decimals)
