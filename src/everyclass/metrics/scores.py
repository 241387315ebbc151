"""Numbers that need scores: likelihood, calibration, rank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from everyclass.artifacts import Predictions

__all__ = ["BINS", "ScoreNumbers", "ScoreSums", "log_probabilities", "row_blocks"]

BINS = 15
_CHUNK_VALUES = 1 << 20

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ScoreNumbers:
    """What probabilities are judged by.

    Attributes:
        top5_accuracy: the true class is among the five highest scores, the first of equal ones
            taken first, as the predicted class is.
        negative_log_likelihood: mean of −log p_y.
        brier_score: mean of Σ_c (p_c − [c = y])².
        calibration_error: of the top class, 15 equal-width bins, weighted by images (ECE).
        classwise_calibration_error: the same for each class's probability, mean over the classes
            that have images.
        geometric_mean_loss: −mean_c log (mean of p_y over class c), eq. 1 on this set.
    """

    top5_accuracy: float
    negative_log_likelihood: float
    brier_score: float
    calibration_error: float
    classwise_calibration_error: float
    geometric_mean_loss: float


def log_probabilities(scores: Floats, *, are_logits: bool) -> npt.NDArray[np.float64]:
    """(n, C) float64 log-probabilities of logits or probabilities; −inf for a probability of 0."""
    scores = scores.astype(np.float64)
    if are_logits:
        with np.errstate(over="ignore"):  # logits further apart than a double reaches
            return np.asarray(special.log_softmax(scores, axis=1))
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(scores))


def row_blocks(scores: Floats) -> Iterator[slice]:
    """Slices of rows, few enough at a time that what is computed from them takes little memory."""
    step = max(1, _CHUNK_VALUES // scores.shape[1])
    return (slice(start, start + step) for start in range(0, len(scores), step))


@dataclass
class ScoreSums:
    """What has to be known of images to compute :class:`ScoreNumbers`: sums, in float64.

    The sums of two sets of images, added up, are those of both together.

    Attributes:
        top5: how many images have their class among the five highest scores.
        log_loss: Σ −log p_y.
        squares: Σ Σ_c (p_c − [c = y])².
        confidence: (15, 3); per bin of the top class's p: images, Σ p, and how many are right.
        gaps: (C, 15); per class and bin of its p_c: Σ (p_c − [c = y]).
        log_p: (C,) log Σ p_y over the images of each class; −inf for none.
    """

    top5: int
    log_loss: float
    squares: float
    confidence: npt.NDArray[np.float64]
    gaps: npt.NDArray[np.float64]
    log_p: npt.NDArray[np.float64]

    @classmethod
    def none(cls, num_classes: int) -> ScoreSums:
        """The sums over no image."""
        gaps = np.zeros((num_classes, BINS))
        return cls(0, 0.0, 0.0, np.zeros((BINS, 3)), gaps, np.full(num_classes, -np.inf))

    def add(self, predictions: Predictions) -> None:
        """Add images, a few rows at a time."""
        scores = predictions.scores
        assert scores is not None
        for rows in row_blocks(scores):
            self._add(
                scores[rows],
                predictions.labels[rows],
                predictions.top[rows],
                predictions.logits is not None,
            )

    def _add(
        self,
        scores: Floats,
        labels: npt.NDArray[np.int64],
        top: npt.NDArray[np.int64],
        are_logits: bool,
    ) -> None:
        here = np.arange(len(scores))
        self.top5 += _in_top5(scores, labels)
        p, log_p_label = probabilities(scores, labels, are_logits)
        p_label, p_top = p[here, labels], p[here, top]
        self.log_loss -= float(log_p_label.sum())
        self.squares += float(np.vdot(p, p) - 2 * p_label.sum() + len(p))
        bins = _bins(p_top)
        for column, weights in enumerate((None, p_top, top == labels)):
            self.confidence[:, column] += np.bincount(bins, weights, minlength=BINS)
        self._add_gaps(p, labels, p_label)
        classes, log_sums = _log_sums(log_p_label, labels)
        self.log_p[classes] = np.logaddexp(self.log_p[classes], log_sums)

    def _add_gaps(self, p: Floats, labels: npt.NDArray[np.int64], p_label: Floats) -> None:
        """Add to the bins of each class; overwrites ``p``."""
        flat, gaps = p.ravel(), self.gaps.ravel()
        # Fewer than 15 values of a row can lie above the first bin; the others are summed as such.
        above = np.flatnonzero(p * BINS >= 1)
        bins = above % p.shape[1] * BINS + _bins(flat[above])
        gaps += np.bincount(bins, flat[above], minlength=gaps.size)
        flat[above] = 0
        self.gaps[:, 0] += p.sum(axis=0)
        np.subtract.at(gaps, labels * BINS + _bins(p_label), 1.0)

    def merge(self, other: ScoreSums) -> None:
        """Add the sums over other images."""
        for field in fields(self):
            add = np.logaddexp if field.name == "log_p" else np.add
            mine = add(getattr(self, field.name), getattr(other, field.name))
            setattr(self, field.name, mine if mine.ndim else mine.item())

    def numbers(self, support: npt.NDArray[np.int64]) -> ScoreNumbers:
        """Compute the numbers.

        Args:
            support: (C,) images of each class.
        """
        n, scored = int(support.sum()), support > 0
        _, confidence, right = self.confidence.T
        log_means = self.log_p[scored] - np.log(support[scored])
        return ScoreNumbers(
            top5_accuracy=self.top5 / n,
            negative_log_likelihood=self.log_loss / n,
            brier_score=max(0.0, self.squares / n),  # below it by rounding only
            calibration_error=float(np.abs(confidence - right).sum() / n),
            classwise_calibration_error=float(np.abs(self.gaps[scored]).sum(axis=1).mean() / n),
            geometric_mean_loss=float(-log_means.mean()),
        )


def probabilities(
    scores: Floats, labels: npt.NDArray[np.int64], are_logits: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(n, C) probabilities, in an array of their own, and (n,) the logarithm of each label's."""
    p = scores.astype(np.float64, order="C")
    here = np.arange(len(p))
    if not are_logits:
        with np.errstate(divide="ignore"):
            return p, np.log(p[here, labels])
    with np.errstate(over="ignore"):  # logits further apart than a double reaches
        p -= p.max(axis=1, keepdims=True)
    of_label = p[here, labels]
    np.exp(p, out=p)
    total = p.sum(axis=1)
    p /= total[:, None]
    return p, of_label - np.log(total)


def _in_top5(scores: Floats, labels: npt.NDArray[np.int64]) -> int:
    of_label = np.take_along_axis(scores, labels[:, None], axis=1)
    sure = (scores >= of_label).sum(axis=1) <= 5
    scores, of_label, labels = scores[~sure], of_label[~sure], labels[~sure, None]
    first = (scores == of_label) & (np.arange(scores.shape[1]) < labels)
    before = (scores > of_label) | first
    return int(sure.sum() + (before.sum(axis=1) < 5).sum())


def _bins(p: Floats) -> npt.NDArray[np.int64]:
    return np.minimum((p * BINS).astype(np.int64), BINS - 1)


def _log_sums(
    log_p: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The classes among the labels, and of each the logarithm of its images' summed p."""
    order = np.argsort(labels, kind="stable")
    classes, starts = np.unique(labels[order], return_index=True)
    return classes, np.logaddexp.reduceat(log_p[order], starts)
