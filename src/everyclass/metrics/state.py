"""An evaluation in the making: what is kept of predictions that have been looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import (
    LOGITS_ARE_PROBS,
    ONE_CLASS,
    ClassCounts,
    Evaluation,
    Predictions,
    are_other_numbers,
    as_labels,
    as_names,
    holds_names,
    look_like_probs,
    names_in_order,
)
from everyclass.errors import InputError, InputTypeError
from everyclass.metrics.classes import Classes
from everyclass.metrics.confusions import Confusions
from everyclass.metrics.recall import count_outcomes
from everyclass.metrics.scores import ScoreSums
from everyclass.metrics.state_files import StoredState, read_state, write_state
from everyclass.metrics.summary import summarise

__all__ = ["EvaluationState"]

# So many rows of "logits" that all sum to one are no accident; of fewer, the end decides.
_SUSPICIOUS = 1000


class EvaluationState:
    """Judges predictions that come in parts, in any order and from any number of processes.

    It keeps, per class, images, images given to it and images that are both; the pairs of classes
    that are confused, where they are; and with scores a few sums. Memory is O(C + confused pairs),
    whatever the number of images. Counts do not depend on the parts or their order at all; numbers
    of scores do in the last digits of a double.

    Args:
        class_names: C names.
        class_counts: training images per class: what :meth:`ClassCounts.of` takes.

    Without names and counts, C is the width of the scores; without scores, it is the largest class
    seen + 1.

    Example:
        >>> state, elsewhere = EvaluationState(), EvaluationState()
        >>> state.update(labels=[0, 0, 1], predicted=[0, 1, 1])
        >>> elsewhere.update(labels=[1, 2], predicted=[1, 1])
        >>> state.merge(elsewhere)
        >>> state.evaluation().per_class_recall
        array([0.5, 1. , 0. ])
        >>> state.confused_pairs()
        [(0, 1, 1), (2, 1, 1)]
    """

    def __init__(
        self, *, class_names: Sequence[str] | None = None, class_counts: Any = None
    ) -> None:
        self._classes = Classes()
        self._outcomes = np.zeros((3, 0), dtype=np.int64)  # support, given, right
        self._confusions = Confusions()
        self._scores: ScoreSums | None = None
        self._looks_like_probs: bool | None = None  # what is called logits; None: nothing is
        # Names that are numbers, which integer labels would not be positions in.
        self._other_numbers: Any = None
        if class_names is not None:
            given = names_in_order(class_names)
            self._other_numbers = given if are_other_numbers(given) else None
            self._use(Classes(len(given), True, as_names(given)))
        if class_counts is not None:
            self.class_counts = class_counts

    def __repr__(self) -> str:
        return f"EvaluationState({self.num_samples:,} images, {self.num_classes:,} classes)"

    @property
    def num_samples(self) -> int:
        """Images judged so far."""
        return int(self._outcomes[0].sum())

    @property
    def num_classes(self) -> int:
        """C, as far as it is known."""
        return self._classes.count

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """C names, or None."""
        return self._classes.names

    @property
    def class_counts(self) -> ClassCounts | None:
        """Training images per class, or None; assign what :meth:`ClassCounts.of` takes."""
        return self._classes.training

    @class_counts.setter
    def class_counts(self, value: Any) -> None:
        self._use(self._classes.with_training(value))

    def update(
        self,
        predictions: Predictions | None = None,
        /,
        *,
        labels: Any = None,
        logits: Any = None,
        probs: Any = None,
        predicted: Any = None,
    ) -> None:
        """Judge more images; if they cannot be used, nothing is changed.

        Args:
            predictions: everything at once; or the parts by name:
            labels: (n,) true classes, integers in 0..C−1 or names of :attr:`class_names`.
            logits: (n, C), or
            probs: (n, C), or
            predicted: (n,) predicted classes, numbers or names too.

        Raises:
            InputError: values that do not fit together, or not to those before.
            InputTypeError: labels that are neither integers nor names, or names of unknown classes.
        """
        said = self._predictions(predictions, labels, logits, probs, predicted)
        self._check_kind(said.scores is not None)
        suspicious = self._looks_like_probs
        if said.logits is not None and suspicious is not False:
            suspicious = look_like_probs(said.logits)
            if suspicious and self.num_samples + len(said) >= _SUSPICIOUS:
                raise InputError(LOGITS_ARE_PROBS)
        self._use(self._classes.joined(Classes.of(said)))
        self._looks_like_probs = suspicious
        self._outcomes += count_outcomes(said.labels, said.top, self.num_classes)
        self._confusions.add(said.labels, said.top)
        if said.scores is not None:
            self._scores = self._scores or ScoreSums.none(self.num_classes)
            self._scores.add(said)

    def _predictions(self, said: Predictions | None, labels: Any, *parts: Any) -> Predictions:
        if said is None:
            if labels is None:
                raise InputError("update needs labels=, the true classes.")
            logits, probs, predicted = parts
            named = any(v is not None and holds_names(v) for v in (labels, predicted))
            said = Predictions(
                labels,
                logits,
                probs,
                predicted,
                self.class_names if named else self._other_numbers,
                first_row=self.num_samples,
            )
        elif any(part is not None for part in (labels, *parts)):
            raise InputError("Give update either a Predictions or its parts by name, not both.")
        elif not isinstance(said, Predictions):
            raise InputTypeError(
                "update takes a Predictions, or labels= and one of logits=, probs=, predicted=; "
                f"got a {type(said).__name__}."
            )
        if said.scores is None and self._classes.is_known and said.num_classes > self.num_classes:
            for name, values in (("labels", said.labels), ("predicted", said.top)):
                as_labels(values, num_classes=self.num_classes, name=name, first_row=said.first_row)
        return said

    def merge(self, other: EvaluationState) -> None:
        """Add what another state has seen of other images; if it does not fit, nothing is changed.

        Raises:
            InputError: other classes, names or counts, or scores on one side only.
            InputTypeError: not a state.
        """
        if not isinstance(other, EvaluationState):
            raise InputTypeError(f"merge takes an EvaluationState; got a {type(other).__name__}.")
        if other.num_samples:
            self._check_kind(other._scores is not None)
        named = self.class_names is not None
        self._use(self._classes.joined(other._classes))
        if not named:
            self._other_numbers = other._other_numbers
        self._outcomes[:, : other.num_classes] += other._outcomes
        self._confusions.merge(other._confusions)
        if other._scores is not None:
            self._scores = self._scores or ScoreSums.none(self.num_classes)
            self._scores.merge(other._scores)
        seen = {self._looks_like_probs, other._looks_like_probs} - {None}
        self._looks_like_probs = seen == {True} if seen else None

    def _check_kind(self, with_scores: bool) -> None:
        if self.num_samples and with_scores != (self._scores is not None):
            now, before = ("scores", "predicted classes")[:: 1 if with_scores else -1]
            raise InputError(
                f"These images come with {now} and those before with {before}; judge them apart, "
                "or give predicted classes for all."
            )

    def _use(self, classes: Classes) -> None:
        self._classes = classes
        more = classes.count - self._outcomes.shape[1]
        self._outcomes = np.pad(self._outcomes, ((0, 0), (0, more)))

    def evaluation(
        self,
        *,
        zero_floor: float = 1e-3,
        confidence: float = 0.95,
        replicates: int = 1000,
        seed: int = 0,
    ) -> Evaluation:
        """Every number, of all images so far: what ``evaluate`` says of them at once.

        Args:
            zero_floor: what no recall counts less than in the geometric and harmonic mean.
            confidence, replicates, seed: of the intervals.

        Raises:
            InputError: no image, one class only, or "logits" that are probabilities.
        """
        self.check()
        support, given, right = self._outcomes.copy()
        return summarise(
            support,
            given,
            right,
            scores=None if self._scores is None else self._scores.numbers(support),
            class_names=self.class_names,
            class_counts=self.class_counts,
            zero_floor=zero_floor,
            confidence=confidence,
            replicates=replicates,
            seed=seed,
        )

    def check(self) -> None:
        """Refuse what only shows when all images are there.

        Raises:
            InputError: no image, one class only, or "logits" that are probabilities.
        """
        if not self.num_samples:
            raise InputError("No image has been judged yet; call update first.")
        if self.num_classes < 2:
            raise InputError(ONE_CLASS)
        if self._looks_like_probs:
            raise InputError(LOGITS_ARE_PROBS)

    def confused_pairs(self, most: int | None = 20) -> list[tuple[int, int, int]]:
        """(true class, predicted class, images), the most frequent first.

        Args:
            most: how many pairs; all of them if None.
        """
        pairs = self._confusions.pairs()
        order = np.lexsort((pairs[1], pairs[0], -pairs[2]))[:most]
        return [tuple(pair) for pair in pairs[:, order].T.tolist()]

    def reliability(self) -> npt.NDArray[np.float64] | None:
        """(15, 3) per bin of the top class's probability: images, summed probability, images right.

        None without scores.
        """
        return None if self._scores is None else self._scores.confidence.copy()

    def save(self, path: str | Path) -> None:
        """Write an ``.npz`` of a few numbers per class and confused pair; replaces only its like.

        Raises:
            OutputExistsError: something that is no state is there.
            OutputError: no permission, or no space.
        """
        write_state(
            path,
            StoredState(
                self._classes,
                self._outcomes,
                self._confusions.pairs(),
                self._scores,
                self._looks_like_probs,
                self._other_numbers,
            ),
        )

    @classmethod
    def load(cls, path: str | Path) -> EvaluationState:
        """Read what :meth:`save` wrote.

        Raises:
            MissingFileError: nothing is there.
            FileFormatError: not a saved state, or damaged.
        """
        stored = read_state(path)
        state = cls()
        state._classes, state._outcomes = stored.classes, stored.outcomes
        state._confusions = Confusions.of_pairs(stored.pairs)
        state._scores, state._looks_like_probs = stored.scores, stored.looks_like_probs
        state._other_numbers = stored.other_numbers
        return state
