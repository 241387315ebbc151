"""Is B really better than A, for which classes, and at whose cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from everyclass.artifacts import Comparison, Predictions
from everyclass.errors import InputError
from everyclass.metrics.intervals import checked_tail
from everyclass.metrics.mcnemar import (
    Correction,
    adjust_p_values,
    mid_p_mcnemar,
    paired_difference_intervals,
)
from everyclass.metrics.mean_intervals import checked_draws
from everyclass.metrics.paired_lowest import worst_difference
from everyclass.metrics.paired_means import PairedDifference, linear_difference, mean_differences
from everyclass.metrics.pairing import Outcomes, pair_outcomes
from everyclass.metrics.power import checked_power, images_to_decide
from everyclass.metrics.recall import WORST_PERCENT, divide

__all__ = ["compare", "compare_all"]


def compare(
    a: Predictions, b: Predictions, /, *, names: tuple[str, str] = ("A", "B"), **options: Any
) -> Comparison:
    """Compare two classifiers on the same images.

    Args:
        a: what the one said, such as the classifier in use.
        b: what the other said; differences are B − A.
        names: what they are called.
        options: those of :func:`compare_all`.

    Returns:
        A :class:`Comparison`; ``print`` it for a table that begins with the classes that paid.

    Raises:
        InputError: not the same images, labels or classes, or an option out of range.
        InputTypeError: not predictions.

    Example:
        >>> labels = np.repeat([0, 1], 50)
        >>> old = Predictions(labels, predicted=np.zeros(100, dtype=int))
        >>> new = Predictions(labels, predicted=np.where(np.arange(100) % 10 < 2, 0, labels))
        >>> found = compare(old, new)
        >>> found.rose, found.paid, found.undecided
        ((1,), (), (0,))
    """
    if names[0] == names[1]:
        names = (f"{names[0]} (A)", f"{names[1]} (B)")
    (found,) = compare_all({names[0]: a, names[1]: b}, **options)
    return found


def compare_all(
    predictions: Mapping[str, Predictions],
    *,
    baseline: str | None = None,
    correction: Correction = "holm",
    confidence: float = 0.95,
    power: float = 0.8,
    zero_floor: float = 1e-3,
    replicates: int = 1000,
    seed: int = 0,
) -> tuple[Comparison, ...]:
    """Compare several classifiers with one of them, on the same images.

    The tests of all classes of all classifiers are corrected together.

    Args:
        predictions: by name, two at least.
        baseline: the name of A; default the first.
        correction: "holm" (default), "bh" or "none": :func:`adjust_p_values`.
        confidence: of the intervals; one minus it is the level of the tests.
        power: with which the "more images" would decide a class, all others staying as they are.
            Its p-value has to fall to the level over the number of tests then, Holm's first step;
            with "bh" times the number of classes named, its own among them; with "none" to the
            level itself.
        zero_floor: what no recall counts less than in geometric and harmonic mean.
        replicates: draws for these two.
        seed: of the draws.

    Returns:
        One comparison for each of the others, in their order.

    Raises:
        InputError: fewer than two classifiers, not the same images, labels or classes, or an
            option out of range.
        InputTypeError: not predictions, or a seed that is not whole.
    """
    if len(predictions) < 2:
        raise InputError("compare needs two classifiers at least.")
    checked_tail(confidence)
    checked_draws(replicates, seed)
    checked_power(power)
    base = next(iter(predictions)) if baseline is None else baseline
    if base not in predictions:
        raise InputError(f"The baseline {base!r} is none of {', '.join(predictions)}.")
    pairs = {
        name: pair_outcomes(predictions[base], other, (base, name))
        for name, other in predictions.items()
        if name != base
    }
    p_values = {name: _p_values(outcomes) for name, outcomes in pairs.items()}
    adjusted = adjust_p_values(np.concatenate([*p_values.values()]), correction)
    tests = int((~np.isnan(adjusted)).sum())
    named = int((adjusted <= 1 - confidence).sum())
    settings = {
        "confidence": confidence,
        "correction": correction,
        "tests": tests,
        "power": power,
        "zero_floor": zero_floor,
        "replicates": replicates,
        "seed": seed,
    }
    level = _level_of_next(1 - confidence, correction, tests, named)
    ends = np.cumsum([len(p) for p in p_values.values()])[:-1]
    return tuple(
        _comparison(
            (base, name), outcomes, p_values[name], part, level_of_next=level, settings=settings
        )
        for (name, outcomes), part in zip(pairs.items(), np.split(adjusted, ends), strict=True)
    )


def _p_values(outcomes: Outcomes) -> Any:
    p = mid_p_mcnemar(outcomes.table[:, 2], outcomes.table[:, 1])
    return np.where(outcomes.support > 0, p, np.nan)


def _level_of_next(level: float, correction: Correction, tests: int, named: int) -> float:
    """What the p-value of one class more has to come down to, all others staying as they are."""
    if correction == "none":
        return level
    return level / tests * (min(named + 1, tests) if correction == "bh" else 1)


def _comparison(
    names: tuple[str, str],
    outcomes: Outcomes,
    p: Any,
    adjusted: Any,
    *,
    level_of_next: float,
    settings: dict[str, Any],
) -> Comparison:
    support = outcomes.support
    _, only_b, only_a, both = outcomes.table.T
    difference = divide(only_b - only_a, support)
    sure = adjusted <= 1 - settings["confidence"]
    order = np.argsort(difference, kind="stable")
    paid = [c for c in order.tolist() if sure[c] and difference[c] < 0]
    rose = [c for c in order[::-1].tolist() if sure[c] and difference[c] > 0]
    shares = divide(only_b, support), divide(only_a, support)
    total = np.ceil(images_to_decide(*shares, level=level_of_next, power=settings["power"]))
    needed = np.where(sure | (support == 0), np.nan, np.maximum(total - support, 1))
    return Comparison(
        names=names,
        num_samples=int(support.sum()),
        num_classes=len(support),
        num_scored=int((support > 0).sum()),
        numbers={name: _as_plain(d) for name, d in _differences(outcomes, settings).items()},
        rose=tuple(rose),
        paid=tuple(paid),
        untestable=tuple(np.flatnonzero(support == 0).tolist()),
        support=support,
        both_right=both,
        only_a=only_a,
        only_b=only_b,
        difference=difference,
        interval=paired_difference_intervals(
            only_a, only_b, support, confidence=settings["confidence"]
        ),
        p_value=p,
        adjusted_p_value=adjusted,
        images_needed=needed,
        settings=settings,
        class_names=outcomes.class_names,
    )


def _differences(outcomes: Outcomes, settings: dict[str, Any]) -> dict[str, PairedDifference]:
    level = {"confidence": settings["confidence"]}
    drawn = mean_differences(
        outcomes,
        zero_floor=settings["zero_floor"],
        replicates=settings["replicates"],
        seed=settings["seed"],
        **level,
    )
    support = outcomes.support.astype(np.float64)
    return {
        "lowest_recall": worst_difference(outcomes, **level),
        **{f"worst_{p}": worst_difference(outcomes, p, **level) for p in WORST_PERCENT},
        "harmonic_mean": drawn["harmonic_mean"],
        "geometric_mean": drawn["geometric_mean"],
        "balanced_accuracy": linear_difference(outcomes, np.ones_like(support), **level),
        "accuracy": linear_difference(outcomes, support, **level),
    }


def _as_plain(d: PairedDifference) -> dict[str, Any]:
    return {
        "a": d.a,
        "b": d.b,
        "difference": d.b - d.a,
        "interval": [d.low, d.high],
        "p_value": d.p_value,
    }
