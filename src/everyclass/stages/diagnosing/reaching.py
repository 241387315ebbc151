"""What a retrained head reaches for each class, on images that it was not fitted to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from everyclass.adjustment import fit_temperature
from everyclass.artifacts import Features, Head, Predictions
from everyclass.errors import InputError
from everyclass.metrics import Certainty, HeldOutAnswers, certainty_of
from everyclass.progress import Progress
from everyclass.stages.choosing.ensembling import Ensemble
from everyclass.stages.choosing.strategies import CROSS_ENTROPY, Found, as_in_the_paper, with_a_head
from everyclass.stages.retraining.crossfitting import CrossFit, held_out_rows
from everyclass.stages.retraining.missing_classes import restricted
from everyclass.stages.retraining.retraining import Retraining, cross_fit_objective

__all__ = ["held_out_answers", "reach", "training_certainty"]

_CHUNK_VALUES = 1 << 22

Ints = npt.NDArray[np.int64]


def reach(
    train: Features, val: Features | None, *, seed: int, show: Progress
) -> tuple[HeldOutAnswers, Certainty]:
    """Retrain the head with GML, and say what it does on held-out images.

    Without validation features these are the folds of a cross-fitting on the training features.

    Args:
        train: training features, with the old head if there is one; else a plain softmax
            classifier plays it. Classes without images are left out.
        val: features of images that no training saw, or None.
        seed: of folds.
        show: how progress is shown.

    Returns:
        The answers of both heads, and cross-fitted probabilities of the training images.

    Raises:
        InputError: one class only; without validation features, if no class has two images.
    """
    present = np.flatnonzero(train.class_counts.counts > 0)
    whole = train.num_classes
    if len(present) < 2:
        raise InputError("The training features hold one class only; nothing can be told apart.")
    if len(present) < whole:
        train = restricted(train, present)
        val = None if val is None else restricted(val, present)
    train, plain = with_a_head(train, seed, show)
    found = as_in_the_paper(train, val, Retraining(), seed=seed, show=show, plain=plain)
    found = replace(found, best=found.candidates[1])
    answers = held_out_answers(found, train, val)
    plain = plain or found.plain
    if plain is None:
        plain = cross_fit_objective(train, CROSS_ENTROPY, seed=seed, show=show)
    certainty = training_certainty(plain)
    return answers.renumbered(present, whole), certainty.renumbered(present)


def held_out_answers(found: Found, train: Features, val: Features | None) -> HeldOutAnswers:
    """What a rescue saw of old head and best candidate on the images that decided.

    Args:
        found: what it found.
        train, val: what it was given.
    """
    assert train.head is not None
    made: Head | Ensemble = found.new
    if found.best.name == "ensemble":
        made = Ensemble(train.head, found.new, found.t_old, found.t_new)
    shown = _answers(made, train)
    right = np.bincount(train.labels[shown == train.labels], minlength=train.num_classes)
    return HeldOutAnswers(
        labels=found.labels,
        own=(
            _answers(train.head, train, held_out_rows(train))
            if val is None
            else _answers(train.head, val)
        ),
        old=found.candidates[0].predicted,
        new=found.best.predicted,
        what=found.verdict.decided_on,
        shown_right=right,
        shown_images=train.class_counts.counts,
    )


def training_certainty(plain: CrossFit) -> Certainty:
    """Cross-fitted probabilities of training images, to judge their labels by.

    Those of cross entropy: GML raises the mean of each class's probabilities, and is as sure of
    images that lie between two classes as of others.

    Args:
        plain: cross entropy, cross-fitted.
    """
    temperature = np.float32(fit_temperature(plain.logits, plain.labels))
    said = certainty_of(Predictions(plain.labels, logits=plain.logits / temperature))
    assert said is not None
    return replace(said, rows=plain.rows)


def _answers(
    classifier: Head | Ensemble, features: Features, rows: npt.NDArray[np.intp] | None = None
) -> Ints:
    """(n,) predicted classes of images, without all features or logits in memory at once."""
    rows = np.arange(len(features)) if rows is None else rows
    step = max(1, _CHUNK_VALUES // max(features.num_classes, features.num_features))
    pieces = (features.at(rows[start : start + step]) for start in range(0, len(rows), step))
    return np.concatenate([classifier.logits(piece).argmax(axis=1) for piece in pieces])
