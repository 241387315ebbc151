"""Numbers that need scores: likelihood, calibration, rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.artifacts import Predictions

__all__ = ["ScoreNumbers", "log_probabilities", "score_numbers"]

BINS = 15
_CHUNK_VALUES = 1 << 24


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


def log_probabilities(
    scores: npt.NDArray[np.floating[Any]], *, are_logits: bool
) -> npt.NDArray[np.float64]:
    """(n, C) float64 log-probabilities of logits or probabilities; −inf for a probability of 0."""
    scores = scores.astype(np.float64)
    if are_logits:
        scores = scores - scores.max(axis=1, keepdims=True)
        return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(scores))


def score_numbers(predictions: Predictions) -> ScoreNumbers:
    """Compute every number that needs scores, in chunks of rows, in float64.

    Args:
        predictions: with logits or probabilities.
    """
    scores = predictions.scores
    assert scores is not None
    n, classes = scores.shape
    labels = predictions.labels
    top = predictions.top
    log_p_label = np.empty(n)
    confidence = np.empty(n)
    rank = np.empty(n, dtype=np.int64)
    brier = 0.0
    bins_mass = np.zeros(classes * BINS)
    step = max(1, _CHUNK_VALUES // classes)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        chunk = scores[rows]
        log_p = log_probabilities(chunk, are_logits=predictions.logits is not None)
        p = np.exp(log_p) if predictions.logits is not None else chunk.astype(np.float64)
        here = np.arange(len(p))
        label = labels[rows, None]
        of_label = np.take_along_axis(chunk, label, axis=1)
        before = (chunk > of_label) | ((chunk == of_label) & (np.arange(classes) < label))
        rank[rows] = before.sum(axis=1)
        log_p_label[rows] = log_p[here, labels[rows]]
        confidence[rows] = p[here, top[rows]]
        brier += (p * p).sum() - 2 * p[here, labels[rows]].sum() + len(p)
        where = np.minimum((p * BINS).astype(np.int64), BINS - 1) + np.arange(classes) * BINS
        bins_mass += np.bincount(where.ravel(), weights=p.ravel(), minlength=classes * BINS)
        # What is true of the label's bin is subtracted as an outcome of one.
        np.subtract.at(bins_mass, where[here, labels[rows]], 1.0)
    support = np.bincount(labels, minlength=classes)
    gaps = np.abs(bins_mass).reshape(classes, BINS).sum(axis=1) / n
    log_mean = _log_mean_per_class(log_p_label, labels, support)
    return ScoreNumbers(
        top5_accuracy=float((rank < 5).mean()),
        negative_log_likelihood=float(-log_p_label.mean()),
        brier_score=float(brier / n),
        calibration_error=_calibration_error(confidence, top == labels),
        classwise_calibration_error=float(gaps[support > 0].mean()),
        geometric_mean_loss=float(-log_mean.mean()),
    )


def _calibration_error(confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> float:
    where = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gap = np.bincount(where, weights=confidence - right, minlength=BINS)
    return float(np.abs(gap).sum() / len(confidence))


def _log_mean_per_class(
    log_p: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    support: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    order = np.argsort(labels, kind="stable")
    counts = support[support > 0]
    starts = np.cumsum(counts) - counts
    return np.logaddexp.reduceat(log_p[order], starts) - np.log(counts)
