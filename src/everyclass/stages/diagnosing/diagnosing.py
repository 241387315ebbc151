"""Why the worst classes fail, from predictions and cached features."""

from __future__ import annotations

import numpy as np

from everyclass.artifacts import Diagnosis, Features, Head, Predictions, quoted
from everyclass.errors import InputError, InputTypeError
from everyclass.metrics import (
    Certainty,
    Evidence,
    HeldOutAnswers,
    diagnose_predictions,
    pair_outcomes,
    worst_classes,
)
from everyclass.progress import Progress, silent
from everyclass.stages.diagnosing.neighbours import nearest_classes
from everyclass.stages.diagnosing.reaching import reach

__all__ = ["diagnose"]

# Predictions in half precision, or of other views, differ from a head's own answers here and there;
# beyond this share of outcomes another classifier made them.
DIFFERENT = 0.05


def diagnose(
    predictions: Predictions | None = None,
    /,
    *,
    train: Features | None = None,
    test: Features | None = None,
    val: Features | None = None,
    worst: int = 10,
    confidence: float = 0.95,
    seed: int = 0,
    show: Progress = silent,
) -> Diagnosis:
    """Say why the worst classes fail: labels, pairs, too few images, the head, or the features.

    Predictions alone tell which classes take a class's images, and with scores whether labels are
    suspect. Features tell the nearest classes. Training features tell what a retrained head
    reaches, which is shown on held-out images and never on the test images: on validation features
    where they are given, else on the folds of a cross-fitting. What is not known is listed.

    Args:
        predictions: of test images; default those of the old head on ``test``.
        train: training features, with the old head if that made the predictions.
        test: features of the images of the predictions, matched by ids where both have some.
        val: features of other images that no training saw; goes with ``train``.
        worst: how many classes to look at, the lowest recall first.
        confidence: of intervals; one minus the level of tests.
        seed: of the folds.
        show: how progress is shown.

    Raises:
        InputError: neither predictions nor test features with a head; features of other images,
            classes or width than the predictions or each other; predictions of another head.
        InputTypeError: something else than Predictions and Features.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> labels = np.repeat([0, 1, 2], 100)
        >>> points = 6 * np.eye(3)[labels] + generator.normal(size=(300, 3))
        >>> ruined = Head(np.diag([6.0, 6.0, -6.0]), np.zeros(3))
        >>> train, test = (Features(points[i::2], labels[i::2], ruined) for i in (0, 1))
        >>> found = diagnose(train=train, test=test, worst=1)
        >>> found.classes[0].index, found.classes[0].cause
        (2, 'fixable_by_the_head')
    """
    for value, kind, name in (
        (predictions, Predictions, "predictions"),
        (train, Features, "train"),
        (test, Features, "test"),
        (val, Features, "val"),
    ):
        if value is not None and not isinstance(value, kind):
            raise InputTypeError(f"{name} must be {kind.__name__}; got a {type(value).__name__}.")
    if val is not None and train is None:
        raise InputError("Validation features judge a head that training features make; give both.")
    if train is not None:
        val = val and val.checked_against(train, "The validation set")
        test = test and test.checked_against(train, "The test set")
    head = test.head if test is not None else None if train is None else train.head
    if predictions is None:
        predictions = _of_head(test, head)
    for features, name in ((train, "The training features"), (test, "The test features")):
        if features is not None:
            predictions = _with_classes(predictions, features, name)
    if test is not None:
        _check_same_images(predictions, test, head)
    looked_at = worst_classes(predictions, worst)
    held_out: HeldOutAnswers | None = None
    training: Certainty | None = None
    if train is not None:
        held_out, training = reach(train, val, seed=seed, show=show)
    unseen = next((part for part in (test, val, train) if part is not None), None)
    nearest = {} if unseen is None else nearest_classes(unseen, looked_at)
    evidence = Evidence(held_out, training, nearest)
    return diagnose_predictions(predictions, evidence, worst=worst, confidence=confidence)


def _of_head(test: Features | None, head: Head | None) -> Predictions:
    if test is None or head is None:
        raise InputError(
            "diagnose needs predictions, or test features together with the head that makes them."
        )
    return Predictions(
        test.labels, logits=head.logits(test.views[0]), class_names=test.class_names, ids=test.ids
    )


def _with_classes(said: Predictions, features: Features, name: str) -> Predictions:
    """The predictions with the classes, and the training counts, of features that go with them."""
    names, classes = features.class_names, features.num_classes
    if said.class_names is not None and names is not None and said.class_names != names:
        for c, (one, other) in enumerate(zip(said.class_names, names, strict=False)):
            if one != other:
                raise InputError(
                    f"The predictions call class {c} {quoted(one)} and {name.lower()} call it "
                    f"{quoted(other)}: the labels are numbered differently."
                )
    fixed = said.scores is not None or said.class_names is not None
    if said.num_classes > classes and (features.head is not None or names is not None):
        raise InputError(
            f"The predictions know {said.num_classes} classes and {name.lower()} {classes}; give "
            "those of the same classifier."
        )
    if said.num_classes < classes and fixed:
        raise InputError(
            f"{name} hold class {int(features.labels.max())} or a head of {classes} classes, and "
            f"the predictions know only classes 0..{said.num_classes - 1}."
        )
    classes = max(classes, said.num_classes)
    counts = said.class_counts
    if counts is None and name == "The training features":
        counts = np.bincount(features.labels, minlength=classes)  # type: ignore[assignment]
    return Predictions(
        said.labels,
        said.logits,
        said.probs,
        said.predicted,
        said.class_names or (names if names and len(names) == classes else None),
        counts,
        said.ids,
    )


def _check_same_images(said: Predictions, test: Features, head: Head | None) -> None:
    """Refuse test features of other images than those of the predictions, or of another head."""
    answers = test.labels if head is None else head.logits(test.views[0]).argmax(axis=1)
    of_head = Predictions(
        test.labels, predicted=answers, class_names=said.class_names, ids=test.ids
    )
    outcomes = pair_outcomes(said, of_head, ("the predictions", "the test features"))
    if head is None:
        return
    _, only_b, only_a, _ = outcomes.table.sum(axis=0)
    if only_a + only_b > DIFFERENT * len(said):
        raise InputError(
            f"The head is right or wrong where the predictions are not in {only_a + only_b:,} of "
            f"{len(said):,} test images: another classifier made them. Give the head that did, or "
            "leave out the predictions."
        )
