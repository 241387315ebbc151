"""From validation predictions to the adjustment that serves an objective best."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from everyclass.adjustment import (
    additive,
    drops,
    linear_ascent,
    multiplicative,
    per_class_bias,
    tau_norm,
)
from everyclass.adjustment.cross_fitting import cross_fit_methods, deal, pick_by_fold, score
from everyclass.adjustment.held_out import HeldOut
from everyclass.adjustment.methods import Method
from everyclass.adjustment.objectives import ClassObjective, ObjectiveName
from everyclass.adjustment.pooling import drawn_objectives, needed_certainty
from everyclass.adjustment.prior_shift import estimate_prior, fit_balanced, with_prior
from everyclass.artifacts import (
    Adjustment,
    ClassCounts,
    Head,
    Predictions,
    as_floats,
    check_whole_number,
    did_you_mean,
)
from everyclass.errors import InputError, InputTypeError
from everyclass.progress import Progress, silent

__all__ = ["METHODS", "adjust", "methods_for"]

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD
    for module in (
        additive,
        multiplicative,
        tau_norm,
        per_class_bias,
        drops,
        linear_ascent,
    )
}
CHOICES = ("auto", *METHODS, "prior")


def adjust(
    predictions: Predictions | None = None,
    /,
    *,
    labels: Any = None,
    logits: Any = None,
    class_counts: Any = None,
    head: Head | None = None,
    method: str = "auto",
    objective: ObjectiveName | None = None,
    worst_percent: float = 10.0,
    class_weights: Any = None,
    prior: Any = None,
    unlabelled: Any = None,
    min_samples: int = 3,
    folds: int = 5,
    seed: int = 0,
    show: Progress = silent,
) -> Adjustment:
    """Find one scale and one bias per class that raise the worst classes, on validation samples.

    Every method is fitted to all folds but one and judged on that one; with "auto" the one whose
    held-out predictions serve the objective best is taken, and none where no gain is certain. All
    of them maximise soft recalls, see :meth:`~everyclass.adjustment.HeldOut.soft_recall`.

    Args:
        predictions: with logits of samples that the classifier was not trained on; or by name:
        labels: (n,) true classes and
        logits: (n, C).
        class_counts: training samples per class; without them the methods that need the training
            prior are left out, and the others begin at zero.
        head: the linear last layer that made the logits, for "tau_norm".
        method: "auto", "additive", "multiplicative", "tau_norm", "bias", "drops" or
            "linear_ascent"; or "prior" for calibrated probabilities under a prior that is said.
        objective: "harmonic_mean" (default), "geometric_mean", "lowest_recall", "worst_mean" or
            "weighted_mean" (default where ``class_weights`` are given).
        worst_percent: how many classes "worst_mean" and "linear_ascent" are about.
        class_weights: (C,) ≥ 0, what recall of each class is worth.
        prior: for "prior": counts or shares per class where it is used, or "estimated"; default
            uniform.
        unlabelled: (m, C) logits of samples from there, for the prior that is estimated.
        min_samples: classes with fewer validation samples get no bias of their own: they stay at
            zero, or at what the training shares say.
        folds: of the cross-validation.
        seed: of the folds.
        show: how progress is shown.

    Returns:
        The adjustment. Its ``notes`` say what it gave on samples that it was not fitted to, what
        else was tried, and which classes were left alone.

    Raises:
        InputError: no logits, one class only, an unknown method or objective, something that a
            method needs and was not given, or something that goes with other methods.
        InputTypeError: not predictions, or a number that is none.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> labels = np.repeat([0, 1, 2], 40)
        >>> logits = generator.normal(size=(120, 3)) + 2 * np.eye(3)[labels] + [2, 0, 0]
        >>> found = adjust(labels=labels, logits=logits, method="bias")
        >>> bool(found.bias[0] < min(found.bias[1:]) - 1)
        True
    """
    predictions = _as_predictions(predictions, labels, logits, class_counts)
    assert predictions.logits is not None
    goal = ClassObjective(
        objective or ("harmonic_mean" if class_weights is None else "weighted_mean"),
        worst_percent,
        class_weights,
    )
    check_whole_number("seed", seed)
    samples = _as_samples(predictions, head, min_samples)
    goal.for_classes(samples.num_classes, samples.there)
    names = predictions.class_names
    if method == "prior":
        _check_no_goal(objective, class_weights, worst_percent, folds, head)
        balanced = replace(fit_balanced(samples), class_names=names)
        return _for_prior(balanced, prior, unlabelled)
    if prior is not None or unlabelled is not None:
        raise InputError("prior goes with the method 'prior'; leave it out, or ask for that one.")
    check_whole_number("folds", folds, 2)
    methods = methods_for(samples, method)
    fold_of = deal(samples.labels, folds, seed)
    found = cross_fit_methods(samples, goal, methods, fold_of, show=show)
    before = samples.logits.argmax(axis=1)
    said = [before, *(each.predicted for each in found)]
    by = goal.for_choosing(samples.labels)
    pick = pick_by_fold(samples.labels, said, fold_of, samples.num_classes, by)
    best = pick.best if method == "auto" else 1
    judged = pick.predicted if method == "auto" else found[0].predicted
    old, new = drawn_objectives(
        samples.labels, (before, judged), samples.num_classes, goal, seed=seed
    )
    certain = float((new > old).mean())
    if best == 0 or (method == "auto" and certain < needed_certainty(folds, fitted=1.0)):
        chosen = Adjustment.nothing(samples.num_classes)
    else:
        chosen = found[best - 1].fit(samples, goal)
    notes = {
        **chosen.notes,
        "objective": goal.name,
        "chosen_by": by.name,
        "before": score(samples.labels, before, samples.num_classes, goal),
        "after": score(samples.labels, judged, samples.num_classes, goal),
        "certain": certain,
        "tried": {
            "none": pick.scores[0],
            **{each.method.name: value for each, value in zip(found, pick.scores[1:], strict=True)},
        },
        "left_alone": np.flatnonzero(~samples.enough).tolist(),
        "samples": len(samples.labels),
        "folds": folds,
        "seed": seed,
    }
    return replace(chosen, notes=notes, class_names=names)


def _check_no_goal(
    objective: Any, class_weights: Any, worst_percent: float, folds: int, head: Head | None
) -> None:
    """Refuse what would be dropped by the method that serves no objective."""
    for name, option, given in (
        ("objective", "objective", objective is not None),
        ("class_weights", "weight", class_weights is not None),
        ("worst_percent", "worst-percent", worst_percent != 10.0),  # the defaults
        ("folds", "folds", folds != 5),
        ("head", "head", head is not None),
    ):
        if given:
            raise InputError(
                f"{name} (--{option}) goes with the methods that serve an objective; 'prior' gives "
                "calibrated probabilities and serves none. Leave it out, or name another method."
            )


def _for_prior(balanced: Adjustment, prior: Any, unlabelled: Any) -> Adjustment:
    estimated = isinstance(prior, str)
    if estimated and prior != "estimated":
        raise InputError(
            f"prior must be counts or shares per class, or 'estimated'; got {prior!r}."
        )
    if estimated != (unlabelled is not None):
        raise InputError("prior='estimated' and unlabelled= go together; give both or neither.")
    if prior is None:
        return balanced
    if not estimated:
        return with_prior(balanced, prior)
    scores = as_floats(unlabelled, name="unlabelled", ndim=(2,))
    found = with_prior(balanced, estimate_prior(balanced.apply(scores)))
    return replace(found, notes={**found.notes, "estimated": True})


def methods_for(samples: HeldOut, method: str = "auto") -> list[Method]:
    """The methods that can be fitted to these samples; or the one that is named.

    Raises:
        InputError: an unknown name, "prior", which serves no objective, or something that the named
            one needs is not there.
    """
    if method not in CHOICES:
        hint = did_you_mean(method, CHOICES)
        raise InputError(f"The method must be one of {', '.join(CHOICES)}; got {method!r}{hint}")
    if method == "prior":
        raise InputError(
            "The method prior gives probabilities and serves no objective, so it is none of those "
            "that are compared; call adjust(…, method='prior')."
        )
    if method != "auto":
        _check_needs(METHODS[method], samples)
        return [METHODS[method]]
    return [each for each in METHODS.values() if not _missing(each, samples)]


def _missing(method: Method, samples: HeldOut) -> str:
    if "class_counts" in method.needs and samples.log_prior is None:
        return "the training samples per class; give class_counts (--counts)."
    if "head" in method.needs and samples.head is None:
        return "the last layer that made the logits; give head (--head)."
    if "head" in method.needs and samples.head is not None and samples.head.kind != "linear":
        return f"a linear last layer; this is a {samples.head.kind} one, of equally long weights."
    return ""


def _check_needs(method: Method, samples: HeldOut) -> None:
    missing = _missing(method, samples)
    if missing:
        raise InputError(f"The method {method.name} needs {missing}")


def _as_predictions(
    predictions: Predictions | None, labels: Any, logits: Any, class_counts: Any
) -> Predictions:
    if predictions is None:
        if labels is None or logits is None:
            raise InputError("adjust needs a Predictions, or labels= and logits=.")
        predictions = Predictions(labels, logits)
    elif not isinstance(predictions, Predictions):
        raise InputTypeError(
            f"adjust takes a Predictions, or labels= and logits=; got a "
            f"{type(predictions).__name__}."
        )
    elif labels is not None or logits is not None:
        raise InputError("Give adjust either a Predictions or labels= and logits=, not both.")
    if predictions.logits is None:
        given = "probabilities" if predictions.probs is not None else "predicted classes"
        raise InputError(
            f"adjust works on logits and these are {given}; give the classifier's logits, or the "
            "logarithms of its probabilities as logits."
        )
    if class_counts is not None:
        counts = ClassCounts.of(
            class_counts, num_classes=predictions.num_classes, names=predictions.class_names
        )
        predictions = predictions.with_counts(counts)
    return predictions


def _as_samples(predictions: Predictions, head: Head | None, min_samples: int) -> HeldOut:
    assert predictions.logits is not None
    if len(np.unique(predictions.labels)) < 2:
        raise InputError(
            f"All {len(predictions)} validation samples are of class {predictions.labels[0]}; "
            "samples of at least two classes are needed."
        )
    check_whole_number("min_samples", min_samples, 1)
    counts = predictions.class_counts
    log_prior = None
    if counts is not None:
        if len(counts.missing):
            raise InputError(
                f"{counts.describe(int(counts.missing[0]))} has no training sample, so its share "
                "is zero and has no logarithm; leave class_counts out, or the class."
            )
        log_prior = np.log(counts.counts / counts.total)
    if head is not None and head.num_classes != predictions.num_classes:
        raise InputError(
            f"The head has {head.num_classes} classes and the logits have "
            f"{predictions.num_classes}: it did not make them."
        )
    return HeldOut(predictions.logits, predictions.labels, log_prior, head, min_samples)
