"""The strategies of a rescue: the paper's, and the best of several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.adjustment import METHODS, deal, fit_temperature
from everyclass.artifacts import Features, Head, did_you_mean
from everyclass.errors import InputError
from everyclass.progress import Progress
from everyclass.stages.choosing.candidates import (
    RETRAINED,
    SCALING,
    Candidate,
    Trial,
    on_training_folds,
    on_validation,
)
from everyclass.stages.choosing.choice import choose
from everyclass.stages.choosing.deciding import ClassifierName, Verdict, decide
from everyclass.stages.choosing.ensembling import Ensemble, ensemble_log_probabilities
from everyclass.stages.choosing.old_answers import BY_HEART, OldAnswers, old_answers_on_folds
from everyclass.stages.retraining.crossfitting import MOST_VIEWS, CrossFit
from everyclass.stages.retraining.retraining import Retraining, cross_fit_objective, retrain
from everyclass.stages.retraining.validating import validate

__all__ = [
    "CROSS_ENTROPY",
    "STRATEGIES",
    "Found",
    "as_in_the_paper",
    "best_of",
    "check_head",
    "check_strategy",
    "retrains",
    "usual_remedies",
    "with_a_head",
]

CROSS_ENTROPY = Retraining(objective="cross_entropy")
BALANCED_SOFTMAX = Retraining(objective="balanced_softmax")
ON_VALIDATION = "validation data"
ON_FOLDS = "cross-fitting on the training features"
FOLDS = 5
OFFSETS = tuple(METHODS)
EVERYTHING = (*OFFSETS, *RETRAINED, "ensemble")
# Folds of images that the network knows by heart flatter whatever leans on the old head; on
# held-out images the head retrained with GML was ahead (docs/strategies.md).
NO_ENSEMBLE = "; the ensemble, which leans on the old head, cannot be judged so"
REMEDY = "; validation images (val, --val) would tell"
# What each strategy tries besides leaving everything as it is.
STRATEGIES: dict[str, tuple[str, ...]] = {
    "gml": ("gml", "ensemble"),
    "auto": EVERYTHING,
    "offsets": OFFSETS,
    **{name: (name,) for name in EVERYTHING if name != "gml"},
}


@dataclass(frozen=True, eq=False)
class Found:
    """What a strategy found.

    Attributes:
        verdict: whether to use it.
        new: the new head; half of the ensemble, if that was chosen.
        t_old, t_new: temperatures.
        candidates: those that were compared, "none" first.
        best: the one that the verdict is about, whether or not it is recommended.
        labels: (m,) of the images that decided.
        retraining: of the best candidate, with the penalty that was chosen; None of an offset.
        penalties: their scores, where one was chosen for GML.
        num_views: of the training images that new heads were fitted to.
        by_fold: what the other folds chose, where several could be chosen.
        plain: cross entropy cross-fitted on the training features, without validation data.
        old: what was said for the old head, where the paper's strategy was followed.
    """

    verdict: Verdict
    new: Head
    t_old: float
    t_new: float
    candidates: list[Candidate]
    best: Candidate
    labels: npt.NDArray[np.int64]
    retraining: Retraining | None
    penalties: dict[float, float]
    num_views: int
    by_fold: tuple[str, ...] = ()
    plain: CrossFit | None = None
    old: OldAnswers | None = None


def with_a_head(train: Features, seed: int, show: Progress) -> tuple[Features, CrossFit | None]:
    """Training features with an old head: their own, else a plain softmax classifier.

    Args:
        train: training features, with or without a head.
        seed: of the folds that choose its penalty.
        show: how progress is shown.

    Returns:
        The features, and the cross-fitting of the plain classifier if there was one: it takes long,
        and what comes after can use it.
    """
    if train.head is not None:
        return train, None
    plain = cross_fit_objective(train, CROSS_ENTROPY, seed=seed, show=show)
    settings = replace(CROSS_ENTROPY, penalty=plain.penalty)
    return train.with_head(retrain(train, settings, seed=seed, show=show)), plain


def as_in_the_paper(
    train: Features,
    val: Features | None,
    settings: Retraining,
    *,
    seed: int,
    show: Progress,
    plain: CrossFit | None = None,
    stand_ins: Mapping[str, CrossFit] | None = None,
    is_held_out: bool = False,
) -> Found:
    """Retrain, calibrate, ensemble: old, new and both are compared.

    Args:
        train: training features with the old head.
        val: features of images that no training saw, or None.
        settings: how the head is retrained.
        seed: of folds, mini-batches and draws.
        show: how progress is shown.
        plain: cross entropy cross-fitted on the training features, if it is there already.
        stand_ins: all heads that may stand in for the old one, likewise.
        is_held_out: whether the old head was not fitted to the training features.
    """
    assert train.head is not None
    head = train.head
    kinds: Mapping[str, CrossFit] = {}
    if val is not None:
        chosen = validate(train, val, settings, seed=seed, show=show)
        new, logits, labels = chosen.head, chosen.logits, val.labels
        own = head.logits(val.views[0])
        old = OldAnswers(own, fit_temperature(own, labels))
        penalty, scores = chosen.penalty, chosen.scores
    else:
        fitted = cross_fit_objective(train, settings, seed=seed, show=show)
        penalty, scores = fitted.penalty, fitted.scores
        new = retrain(train, replace(settings, penalty=penalty), seed=seed, show=show)
        logits, labels = fitted.logits, fitted.labels
        kinds = stand_ins or _stand_ins(train, plain, seed, show, is_held_out=is_held_out)
        old = old_answers_on_folds(train, list(kinds.values()), is_held_out=is_held_out)
    t_new = fit_temperature(logits, labels)
    both = ensemble_log_probabilities(old.logits, logits, old.temperature, t_new)
    ensemble = Ensemble(head, new, old.temperature, t_new)
    candidates = [
        Candidate("none", old.logits.argmax(axis=1), lambda: old.logits, lambda: head),
        Candidate(settings.objective, logits.argmax(axis=1), lambda: logits, lambda: new),
        Candidate("ensemble", both.argmax(axis=1), lambda: both, lambda: ensemble),
    ]
    said: dict[ClassifierName, npt.NDArray[np.int64]] = {
        "old": candidates[0].predicted,
        "retrained": candidates[1].predicted,
    }
    if not old.by_heart:
        said["ensemble"] = candidates[2].predicted
    verdict = decide(
        labels,
        said,
        train.num_classes,
        decided_on=ON_FOLDS if val is None else ON_VALIDATION,
        seed=seed,
    )
    return Found(
        verdict=_cautioned(verdict, old, NO_ENSEMBLE),
        new=new,
        t_old=old.temperature,
        t_new=t_new,
        candidates=candidates,
        best=candidates[2 if verdict.compared == "ensemble" else 1],
        labels=labels,
        retraining=replace(settings, penalty=penalty),
        penalties=scores,
        plain=kinds.get("cross_entropy"),
        num_views=train.num_views,
        old=old,
    )


def usual_remedies(
    found: Found,
    train: Features,
    val: Features | None,
    settings: Retraining,
    *,
    seed: int,
    show: Progress,
) -> list[Candidate]:
    """What people try first, on the same images: a plain logit offset, and class weights.

    They are shown beside what the paper's strategy compared, and are not chosen. Class weights need
    several fits, and are left out where GML takes one only or takes mini-batches.

    Args:
        found: what the paper's strategy found.
        train: training features with the old head.
        val: features of images that no training saw, or None.
        settings: how heads are retrained, apart from the objective.
        seed: of folds.
        show: how progress is shown.
    """
    if found.old is None:  # they were among those to choose from, or others were named
        return []
    quick = settings.penalty is None and settings.solver == "exact"
    names = ("additive", "class_weighted") if quick else ("additive",)
    trial = Trial(
        train.first_views(MOST_VIEWS),
        [name for name in names if name != settings.objective],
        settings,
        found.labels,
        deal(found.labels, FOLDS, seed),
        seed,
        show,
    )
    made = on_training_folds(trial, found.old, {}) if val is None else on_validation(trial, val)
    return made[1:]


def best_of(
    train: Features,
    val: Features | None,
    settings: Retraining,
    strategy: str,
    *,
    seed: int,
    show: Progress,
    plain: CrossFit | None = None,
    is_held_out: bool = False,
) -> Found:
    """Compare doing nothing with what the strategy names, and test the best of it.

    Heads are fitted to at most two views of each image. Without validation data, and with a network
    that knows its training images by heart, "auto" is what :func:`as_in_the_paper` does.

    Args:
        train: training features with the old head.
        val: features of images that no training saw, or None.
        settings: how heads are retrained, apart from the objective.
        strategy: one of ``STRATEGIES``.
        seed: of folds, mini-batches and draws.
        show: how progress is shown.
        plain: cross entropy cross-fitted on the training features, if it is there already.
        is_held_out: whether the old head was not fitted to the training features.
    """
    names = STRATEGIES[strategy]
    # A comparison fits dozens of heads.
    whole, train = train, train.first_views(MOST_VIEWS)
    kinds: dict[str, CrossFit] = {}
    if val is not None:
        labels = val.labels
        fold_of = deal(labels, FOLDS, seed)
        trial = Trial(train, names, settings, labels, fold_of, seed, show)
        candidates = on_validation(trial, val)
        own = candidates[0].held_out_logits()
        old = OldAnswers(own, fit_temperature(own, labels))
    else:
        kinds = _stand_ins(train, plain, seed, show, is_held_out=is_held_out)
        labels = kinds["cross_entropy"].labels
        fold_of = deal(labels, FOLDS, seed)
        old = old_answers_on_folds(train, list(kinds.values()), is_held_out=is_held_out)
        if strategy == "auto" and old.by_heart:
            return as_in_the_paper(
                whole,
                None,
                settings.for_objective("gml"),
                seed=seed,
                show=show,
                stand_ins=kinds,
            )
        trial = Trial(train, names, settings, labels, fold_of, seed, show)
        # The stand-ins are exact fits, which say nothing of another solver's heads.
        usable = settings.penalty is None and settings.solver == "exact"
        candidates = on_training_folds(trial, old, kinds if usable else {})
        if len(candidates) == 1:
            raise InputError(
                f"The strategy {strategy} needs the weights behind the answers, and on training "
                "images a stand-in answers for the old head; give held-out features, val (--val)."
            )
    choice = choose(
        candidates,
        labels,
        fold_of,
        train.num_classes,
        decided_on=ON_FOLDS if val is None else ON_VALIDATION,
        seed=seed,
    )
    best = choice.candidate
    made = best.build()
    new = made.new if isinstance(made, Ensemble) else made
    t_new = (
        made.t_new
        if isinstance(made, Ensemble)
        else fit_temperature(best.held_out_logits(), labels)
    )
    used = None  # an offset retrains nothing
    if best.name == "ensemble" or best.name in RETRAINED:
        objective: Any = "gml" if best.name == "ensemble" else best.name
        used = replace(settings.for_objective(objective), penalty=best.setting["penalty"])
    return Found(
        verdict=_cautioned(choice.verdict, old),
        new=new,
        t_old=old.temperature,
        t_new=t_new,
        candidates=candidates,
        best=best,
        labels=labels,
        retraining=used,
        penalties={},
        by_fold=choice.by_fold,
        plain=kinds.get("cross_entropy"),
        num_views=train.num_views,
    )


def _stand_ins(
    train: Features, plain: CrossFit | None, seed: int, show: Progress, *, is_held_out: bool
) -> dict[str, CrossFit]:
    """Heads of the kinds that an old head may be of, cross-fitted.

    One that speaks for itself needs none; of a plain one all the same, for training certainties.
    """
    kinds = {
        "cross_entropy": plain or cross_fit_objective(train, CROSS_ENTROPY, seed=seed, show=show)
    }
    if not is_held_out:
        balanced = cross_fit_objective(train, BALANCED_SOFTMAX, seed=seed, show=show)
        kinds["balanced_softmax"] = balanced
    return kinds


def _cautioned(verdict: Verdict, old: OldAnswers, more: str = "") -> Verdict:
    if not old.by_heart:
        return verdict
    return replace(verdict, reason=verdict.reason + BY_HEART + more + REMEDY)


def check_strategy(strategy: str, settings: Retraining) -> None:
    """Refuse a strategy that is not there, or that the objective does not go with.

    Raises:
        InputError: one of the two.
    """
    if strategy not in STRATEGIES:
        raise InputError(
            f"The strategy must be one of {', '.join(STRATEGIES)}; got {strategy!r}"
            f"{did_you_mean(strategy, STRATEGIES)}"
        )
    if strategy != "gml" and settings.objective != "gml":
        raise InputError(
            f"The objective {settings.objective} goes with the strategy gml, which retrains with "
            f"one objective; the strategy {strategy} says itself what is tried: leave one out."
        )


def retrains(strategy: str) -> bool:
    """Whether a strategy fits new heads, so that settings of retraining have something to set."""
    return not set(STRATEGIES[strategy]) <= set(OFFSETS)


def check_head(strategy: str, old: Head | None) -> None:
    """Refuse a strategy that the old head has no room for.

    Raises:
        InputError: both.
    """
    if strategy in SCALING and old is not None and old.kind != "linear":
        raise InputError(
            f"The strategy {strategy} needs scales, which a {old.kind} head has no room for; "
            "use bias, or offsets."
        )
