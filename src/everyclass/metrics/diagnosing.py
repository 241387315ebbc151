"""Why the worst classes fail, from predictions and what else is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from everyclass.artifacts import (
    Calibration,
    ClassDiagnosis,
    Diagnosis,
    ErrorExample,
    Predictions,
    Reachable,
    Suspect,
    as_array,
    quoted,
)
from everyclass.errors import InputError, InputTypeError
from everyclass.metrics.causes import THRESHOLDS, Case, cause_of, is_few, pair_of
from everyclass.metrics.evidence import Evidence, HeldOutAnswers
from everyclass.metrics.intervals import checked_tail, recall_intervals
from everyclass.metrics.mcnemar import adjust_p_values, mid_p_mcnemar
from everyclass.metrics.recall import count_outcomes, divide
from everyclass.metrics.suspects import Certainty, certainty_of, judged_classes, suspect_images

__all__ = ["diagnose_predictions", "worst_classes"]

MOST_EXAMPLES = 8
# Held-out images are unlike test images if the old head does this much better on them, at this
# level: a network that knows its training images by heart, or another source of images.
UNLIKE, UNLIKE_LEVEL = 0.1, 0.01

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def worst_classes(predictions: Predictions, worst: int = 10) -> tuple[int, ...]:
    """The classes of lowest recall, worst first; of equal ones that with most images first.

    Args:
        predictions: of one classifier.
        worst: how many; classes without images are never among them.

    Raises:
        InputError: worst is below 1.
    """
    if worst < 1:
        raise InputError(f"worst must be 1 class at least; got {worst}.")
    support, _, right = count_outcomes(predictions.labels, predictions.top, predictions.num_classes)
    order = np.lexsort((-support, divide(right, support)))  # NaN comes last
    return tuple(order[: min(worst, int((support > 0).sum()))].tolist())


def diagnose_predictions(
    predictions: Predictions,
    evidence: Evidence | None = None,
    *,
    worst: int = 10,
    classes: Sequence[int] | None = None,
    confidence: float = 0.95,
) -> Diagnosis:
    """Say why the worst classes fail, as far as predictions and given evidence tell.

    :func:`everyclass.diagnose` gathers the evidence from features and calls this.

    Args:
        predictions: of test images; with scores and training counts they say more.
        evidence: what features say.
        worst: how many classes to look at.
        classes: which to look at instead, by number; each has images.
        confidence: of intervals; one minus the level of tests.

    Raises:
        InputError: worst is below 1, a class without images, or a confidence outside 0..1.
        InputTypeError: not predictions, or classes that are no numbers.

    Example:
        >>> said = Predictions([0] * 50 + [1] * 50, predicted=[0] * 98 + [1] * 2)
        >>> found = diagnose_predictions(said, worst=1).classes[0]
        >>> found.index, found.taken_by, found.cause
        (1, ((0, 48),), 'undecided')
    """
    if not isinstance(predictions, Predictions):
        raise InputTypeError(
            f"diagnose takes the Predictions of a classifier; got a {type(predictions).__name__}."
        )
    checked_tail(confidence)
    looked_at = worst_classes(predictions, worst) if classes is None else _numbers_of(classes)
    worst = worst if classes is None else len(looked_at)
    file = _CaseFile(predictions, evidence or Evidence(), confidence)
    support, recall = file.support, file.recall
    for c in looked_at:
        if not 0 <= c < len(support) or not support[c]:
            raise InputError(f"classes names class {c}, which has no test images; leave it out.")
    return Diagnosis(
        classes=tuple(file.diagnosis(c) for c in looked_at),
        num_samples=len(predictions),
        num_classes=predictions.num_classes,
        num_scored=int((support > 0).sum()),
        mean_recall=float(np.nanmean(recall)),
        untestable=tuple(np.flatnonzero(support == 0).tolist()),
        unknown=_unknown(predictions, file.evidence),
        held_out=None if file.evidence.held_out is None else file.evidence.held_out.what,
        settings={"confidence": confidence, "worst": worst, **THRESHOLDS},
        class_names=predictions.class_names,
    )


def _numbers_of(classes: Sequence[int]) -> tuple[int, ...]:
    """Classes as plain integers, whatever kind of whole numbers they came as."""
    numbers = as_array(classes)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise InputTypeError(
            f"classes must be numbers of classes, such as [0, 3]; got {classes!r}."
        )
    return tuple(numbers.tolist())


class _CaseFile:
    """What all classes' diagnoses share."""

    def __init__(self, predictions: Predictions, evidence: Evidence, confidence: float) -> None:
        self.predictions, self.evidence = predictions, evidence
        self.labels, self.top = predictions.labels, predictions.top
        self.classes, self.level = predictions.num_classes, 1 - confidence
        self.confidence = confidence
        self.support, _, self.right = count_outcomes(self.labels, self.top, self.classes)
        self.recall = divide(self.right, self.support)
        self.interval = recall_intervals(self.right, self.support, confidence=confidence)
        self.others = _means_of_others(self.recall)
        self.worse = _worse(self.right, self.support, self.others, self.level)
        self.said = certainty_of(predictions)
        self.checks = {
            part: (said, _suspect_rows(said, self.classes))
            for part, said in (("test", self.said), ("train", evidence.training))
            if said is not None
        }
        counts = predictions.class_counts
        self.counts: Ints | None = None if counts is None else counts.counts
        held_out = evidence.held_out
        if held_out is not None:
            _, _, right = count_outcomes(held_out.labels, held_out.new, self.classes)
            images = np.bincount(held_out.labels, minlength=self.classes)
            self.others_held_out = _means_of_others(divide(right, images))

    def diagnosis(self, c: int) -> ClassDiagnosis:
        """Facts, cause and reason of one class."""
        rows = np.flatnonzero(self.labels == c)
        wrong = rows[self.top[rows] != c]
        takes = np.flatnonzero((self.top == c) & (self.labels != c))
        known = ClassDiagnosis(
            index=c,
            support=int(self.support[c]),
            right=int(self.right[c]),
            recall=float(self.recall[c]),
            interval=(float(self.interval[c, 0]), float(self.interval[c, 1])),
            cause="undecided",
            reason="",
            training_count=None if self.counts is None else int(self.counts[c]),
            taken_by=_counted(self.top[wrong]),
            takes_from=_counted(self.labels[takes]),
            nearest=self.evidence.nearest.get(c),
            calibration=self._calibration(rows),
            reachable=self._reachable(c),
            suspect=self._suspect(c),
            examples=self._examples(wrong),
        )
        cause, reason = cause_of(self._case(known))
        return replace(known, cause=cause, reason=reason)

    def _case(self, known: ClassDiagnosis) -> Case:
        c, held_out, reach = known.index, self.evidence.held_out, known.reachable
        typical = None if self.counts is None else float(np.median(np.delete(self.counts, c)))
        parts = [suspect.part for suspect in known.suspect or ()]
        case = Case(
            known=known,
            worse=bool(self.worse[c]),
            others=float(self.others[c]),
            level=self.level,
            name=self._name,
            typical_count=typical,
            suspect_test=parts.count("test"),
            suspect_train=parts.count("train"),
            looked_at_train=self._looked_at(c),
        )
        if held_out is not None and reach is not None:
            case = replace(
                case,
                others_held_out=float(self.others_held_out[c]),
                trusted=not self._is_unlike(c, reach),
                what=held_out.what,
            )
        if not known.taken_by:
            return case
        other = known.taken_by[0][0]
        return replace(
            case,
            pair=pair_of(self.labels, self.top, c, other),
            pair_held_out=None
            if held_out is None
            else pair_of(held_out.labels, held_out.new, c, other),
            partner_few=self.counts is not None and is_few(int(self.counts[other]), typical),
        )

    def _name(self, c: int) -> str:
        names = self.predictions.class_names
        return quoted(names[c], 40) if names else f"class {c}"

    def _calibration(self, rows: npt.NDArray[np.intp]) -> Calibration | None:
        if self.said is None:
            return None
        return Calibration(
            float(self.said.p_label[rows].mean()), float(self.said.p_top[rows].mean())
        )

    def _reachable(self, c: int) -> Reachable | None:
        held_out = self.evidence.held_out
        if held_out is None:
            return None
        rows = held_out.labels == c
        images = int(rows.sum())
        if not images:
            return None
        new = held_out.new[rows] == c
        old = _lower(held_out, rows, c)
        limits = recall_intervals([int(new.sum())], [images], confidence=self.confidence)[0]
        p = mid_p_mcnemar([int((old & ~new).sum())], [int((new & ~old).sum())])[0]
        shown = int(held_out.shown_images[c])
        return Reachable(
            images=images,
            old=float(old.mean()),
            recall=float(new.mean()),
            interval=(float(limits[0]), float(limits[1])),
            p_value=float(p),
            shown=int(held_out.shown_right[c]) / shown if shown else None,
            shown_images=shown or None,
        )

    def _is_unlike(self, c: int, reach: Reachable) -> bool:
        """Whether the old head does much better on held-out images of a class than on test ones."""
        if reach.old - self.recall[c] < UNLIKE:
            return False
        right = round(reach.old * reach.images)
        table = [
            [right, reach.images - right],
            [int(self.right[c]), int(self.support[c] - self.right[c])],
        ]
        return float(stats.fisher_exact(table, alternative="greater").pvalue) <= UNLIKE_LEVEL

    def _suspect(self, c: int) -> tuple[Suspect, ...] | None:
        if not self.checks:
            return None
        found = []
        for part, (said, suspect) in self.checks.items():
            rows = np.flatnonzero(suspect & (said.labels == c))
            for i in rows[np.argsort(-said.p_top[rows], kind="stable")].tolist():
                top, p = int(said.top[i]), float(said.p_top[i])
                found.append(Suspect(part, int(said.rows[i]), c, top, p))  # type: ignore[arg-type]
        return tuple(found)

    def _looked_at(self, c: int) -> int:
        """Training images of a class whose labels were judged."""
        training = self.evidence.training
        return 0 if training is None else int((training.labels == c).sum())

    def _examples(self, wrong: npt.NDArray[np.intp]) -> tuple[ErrorExample, ...]:
        p = None if self.said is None else self.said.p_top
        if p is not None:
            wrong = wrong[np.argsort(-p[wrong], kind="stable")]
        return tuple(
            ErrorExample(row, int(self.top[row]), None if p is None else float(p[row]))
            for row in wrong[:MOST_EXAMPLES].tolist()
        )


def _lower(held_out: HeldOutAnswers, rows: npt.NDArray[np.bool_], c: int) -> npt.NDArray[np.bool_]:
    """Which images of a class the old head has right, by the lower of what is known about that.

    Where it is worse on images that it was fitted to than its stand-in on those held out, it is no
    better on new ones.
    """
    own, old = held_out.own[rows] == c, held_out.old[rows] == c
    return own if own.mean() < old.mean() else old


def _suspect_rows(said: Certainty, classes: int) -> npt.NDArray[np.bool_]:
    """Images whose label is suspect, of classes in which that is no effect of overlap."""
    suspect = suspect_images(said, classes)
    return np.asarray(suspect & judged_classes(said, suspect, classes)[said.labels])


def _means_of_others(recall: Floats) -> Floats:
    """For each class the mean recall of the others; its own where there are none."""
    scored = ~np.isnan(recall)
    total, number = float(recall[scored].sum()), int(scored.sum())
    if number < 2:
        return np.asarray(np.where(scored, recall, total / max(number, 1)))
    return np.asarray(
        np.where(scored, (total - np.where(scored, recall, 0)) / (number - 1), total / number)
    )


def _worse(right: Ints, support: Ints, others: Floats, level: float) -> npt.NDArray[np.bool_]:
    """Classes shown to be materially worse than the others' mean.

    An exact binomial test of each; of the classes named, a share of ``level`` at most is wrong on
    average (Benjamini and Hochberg).
    """
    bound = np.maximum(others - THRESHOLDS["material"], 0)
    p = np.where(support > 0, stats.binom.cdf(right, support, bound), np.nan)
    adjusted = adjust_p_values(p, "bh")
    return np.asarray(np.where(np.isnan(adjusted), False, adjusted <= level))


def _counted(classes: Ints) -> tuple[tuple[int, int], ...]:
    """(class, how often), most first; of equal ones the smaller class first."""
    values, counts = np.unique(classes, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return tuple(zip(values[order].tolist(), counts[order].tolist(), strict=True))


def _unknown(predictions: Predictions, evidence: Evidence) -> tuple[str, ...]:
    missing: dict[str, Any] = {
        "training images per class (give counts, or training features)": predictions.class_counts,
        "calibration and suspect labels (give logits or probabilities)": predictions.scores,
        "the nearest classes in feature space (give features)": evidence.nearest or None,
        "what a retrained head would reach (give training features)": evidence.held_out,
    }
    return tuple(sentence for sentence, value in missing.items() if value is None)
