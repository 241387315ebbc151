"""The whole rescue: retrain, calibrate, ensemble, decide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from torch import nn

from everyclass.artifacts import Features, Head
from everyclass.errors import InputError, InputTypeError
from everyclass.progress import Progress, silent
from everyclass.stages.choosing.choice import numbers_of
from everyclass.stages.choosing.ensembling import Ensemble
from everyclass.stages.choosing.strategies import (
    Found,
    as_in_the_paper,
    best_of,
    check_head,
    check_strategy,
    usual_remedies,
    with_a_head,
)
from everyclass.stages.diagnosing.reaching import (
    held_out_answers,
    training_certainty,
)
from everyclass.stages.extraction.given_or_extracted import given_or_extracted
from everyclass.stages.rescuing.costs import Cost, cost_of
from everyclass.stages.rescuing.doubts import warn_of_known_rows, with_doubts
from everyclass.stages.rescuing.kept_rows import judged_as_delivered
from everyclass.stages.rescuing.result import RescueResult
from everyclass.stages.rescuing.validation_images import check_can_decide
from everyclass.stages.retraining.missing_classes import (
    MissingClasses,
    check_missing,
    restricted,
    with_old_rows,
)
from everyclass.stages.retraining.retraining import Retraining

__all__ = ["rescue"]


def rescue(
    train: Features | Iterable[Any],
    *,
    val: Features | Iterable[Any] | None = None,
    test: Features | Iterable[Any] | None = None,
    model: nn.Module | None = None,
    head: str | None = None,
    label_key: str | None = None,
    class_names: Sequence[str] | None = None,
    strategy: str = "gml",
    retraining: Retraining | None = None,
    missing_classes: MissingClasses = "error",
    old_saw_train: bool = True,
    seed: int = 0,
    show: Progress = silent,
) -> RescueResult:
    """Give the worst classes a better last layer, and decide whether to use it.

    With "gml" the last layer is retrained with GML, calibrated and ensembled with the old one; a
    plain logit offset and, unless GML's penalty is set or it takes mini-batches, class weights are
    shown beside it and never chosen. With "auto" that is compared with doing nothing, with offsets
    on the old head's logits (see :func:`everyclass.adjust`), and with class-weighted and
    balanced-softmax retraining; what is best on four fifths of the deciding images is judged on the
    fifth, in turn. Heads that are compared are fitted to the first two views.

    With validation features penalty, temperatures and verdict are chosen on those. Without,
    everything is decided by cross-fitting on the training features.
    The old head has seen those, so it is represented there by a stand-in: a head of its own kind
    that is refitted to the other folds, unless its own answers are worse than those.

    Args:
        train: training features with the old head; without one, a plain softmax classifier is
            fitted first and plays the old one. With ``model``, a loader of the training images.
        val: features of images that neither the network nor its head was trained on; used for
            penalty, temperatures and verdict. What a penalty gives is judged on parts that did not
            choose it; the temperatures are fitted to all of them.
        test: features of images that play no part in the rescue; all three classifiers are judged
            on them, which is found in ``result.evaluations``.
        model: the network, where the others are loaders instead of features; see :func:`extract`.
            It is not changed: ``result.to_module(model)`` makes a copy with the new last layer.
        head, label_key: the last layer's name and that of the labels in batches that are dicts,
            where they are not found; see :func:`extract`.
        class_names: C names in class order, where the others are loaders; features have their own.
        strategy: "gml", "auto", "offsets", "ensemble", or one of those that "auto" compares:
            "additive", "multiplicative", "tau_norm", "bias", "drops", "linear_ascent",
            "class_weighted", "balanced_softmax".
        retraining: default: the exact GML objective, its penalty chosen. Its objective goes with
            the strategy "gml".
        missing_classes: "error" refuses a class without training images; "keep-old" keeps its
            row of the old head, and the others' new rows are brought to the scale and the place of
            their old ones. Candidates and cost are then of the classes with training images, among
            themselves. With validation features the classifiers are judged once more as they are
            handed over, on all of them, and no change is recommended that does worse there.
        old_saw_train: False where what the old head says of the training features is said of images
            that were held out from it, such as a classifier's out-of-fold log-probabilities under
            an identity; it then speaks for itself.
        seed: of folds, mini-batches and of the draws behind the verdict.
        show: ``everyclass.progress.progress`` shows progress on stderr.

    Returns:
        Both heads, the ensemble and the verdict; what else was compared, and what the change costs
        the other classes. ``retrained`` is the new head, whichever way it was made. One that was
        retrained has its temperature in its weights, so that its softmax is calibrated.

    Raises:
        InputError: an unknown strategy, one class only, a class without images, features of
            different widths, validation images of less than half of the classes.
        InputTypeError: no training features.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> labels = np.repeat([0, 1, 2], [200, 20, 5])
        >>> features = generator.normal(size=(225, 4)) + np.eye(3, 4)[labels] * 1.5
        >>> result = rescue(Features(features, labels))
        >>> result.verdict.use in ("old", "retrained", "ensemble")
        True
    """
    settings = retraining or Retraining()
    check_strategy(strategy, settings)
    if missing_classes not in get_args(MissingClasses):
        raise InputError(f"missing_classes must be 'error' or 'keep-old'; got {missing_classes!r}.")
    extracted = partial(given_or_extracted, model=model, head=head, label_key=label_key, show=show)
    found_train = extracted(train, None, "The training images", class_names=class_names)
    if found_train is None:
        raise InputTypeError("rescue needs training features, or a loader and its model; got None.")
    train = whole = found_train
    val = whole_val = extracted(val, train, "The validation set")
    if isinstance(test, Features):
        test.checked_against(train, "The test set")
    judged = extracted(test, train, "The test set")
    check_head(strategy, train.head)
    present = np.flatnonzero(train.class_counts.counts > 0)
    if len(present) < train.num_classes:
        check_missing(train, missing_classes)
        train = restricted(train, present)
        val = None if val is None else restricted(val, present)
    if len(present) < 2:
        raise InputError("The training features hold one class only; nothing can be told apart.")
    if val is not None:
        check_can_decide(val, len(present))
    is_held_out = not old_saw_train and train.head is not None
    train, plain = with_a_head(train, seed, show)
    assert train.head is not None

    if strategy == "gml":
        found = as_in_the_paper(
            train, val, settings, seed=seed, show=show, plain=plain, is_held_out=is_held_out
        )
    else:
        found = best_of(
            train,
            val,
            settings,
            strategy,
            seed=seed,
            show=show,
            plain=plain,
            is_held_out=is_held_out,
        )
    compared = [
        *found.candidates,
        *usual_remedies(found, train, val, settings, seed=seed, show=show),
    ]
    training = None if found.plain is None else training_certainty(found.plain)
    cost = _cost_of_best(found).renumbered(present)
    old = whole.head or train.head
    new, t_new = _of_all_classes(found, old, present)
    in_head = _in_head(found, t_new)
    ensemble = Ensemble(old, new.at_temperature(in_head), found.t_old, t_new / in_head)
    counts, verdict = whole.class_counts, found.verdict
    if whole_val is not None and len(present) < whole.num_classes:
        verdict = judged_as_delivered(verdict, ensemble, whole_val, counts)
    deciding = present[found.labels] if whole_val is None else whole_val.labels
    unjudged = np.setdiff1d(np.arange(whole.num_classes), deciding).tolist()
    verdict = with_doubts(verdict, counts, unjudged, cost.accuracy, train=train, val=val)
    classes = train.num_classes
    result = RescueResult(
        verdict=verdict,
        old=old,
        retrained=ensemble.new,
        ensemble=ensemble,
        class_counts=counts,
        settings={
            "strategy": strategy,
            "retraining": found.retraining and found.retraining.to_dict(),
            "penalties_tried": {f"{p:.3g}": score for p, score in found.penalties.items()},
            "fitted_temperatures": {"old": found.t_old, "retrained": t_new},
            "decided_on": verdict.decided_on,
            "images": len(train),
            "views": found.num_views,
            "missing_classes": missing_classes,
            "seed": seed,
        },
        strategy=strategy,
        best=found.best.name,
        by_fold=found.by_fold,
        candidates=[numbers_of(each, found.labels, classes) for each in compared],
        cost=cost,
        held_out=held_out_answers(found, train, val).renumbered(present, whole.num_classes),
        training=training and training.renumbered(present),
    )
    if judged is not None:
        warn_of_known_rows(judged, training=whole, validation=whole_val)
        result.evaluate(judged)
    return result


def _in_head(found: Found, t_new: float) -> float:
    """The part of the new head's temperature that goes into its weights."""
    # The scale of a retrained head says nothing before that; an offset keeps the old one.
    return 1.0 if found.retraining is None else t_new


def _cost_of_best(found: Found) -> Cost:
    """What the best candidate costs the classes that have training images, among themselves."""
    after = found.best.held_out_logits()
    if found.best.name != "ensemble":  # which has its temperatures in it
        after = after / _in_head(found, found.t_new)
    return cost_of(found.labels, found.candidates[0].held_out_logits(), after)


def _of_all_classes(found: Found, old: Head, present: npt.NDArray[np.intp]) -> tuple[Head, float]:
    """The new head of all classes, and its temperature."""
    if len(present) == old.num_classes:
        return found.new, found.t_new
    return with_old_rows(found.new, old, present, scale=found.t_old / found.t_new), found.t_old
