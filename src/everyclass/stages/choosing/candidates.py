"""What can be done for the worst classes, and what each gives on images it was not fitted to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.adjustment import (
    HARMONIC_MEAN,
    METHODS,
    CrossFitted,
    HeldOut,
    cross_fit_methods,
    fit_temperature,
    methods_for,
    pick_by_fold,
    score,
)
from everyclass.artifacts import Features, Head
from everyclass.progress import Progress, silent
from everyclass.stages.choosing.ensembling import Ensemble, ensemble_log_probabilities
from everyclass.stages.choosing.old_answers import OldAnswers
from everyclass.stages.retraining.crossfitting import CrossFit
from everyclass.stages.retraining.objectives import ObjectiveName
from everyclass.stages.retraining.retraining import (
    Retraining,
    cross_fit_objective,
    penalties_to_try,
    retrain,
)

__all__ = [
    "RETRAINED",
    "SCALING",
    "TITLES",
    "Candidate",
    "Trial",
    "on_training_folds",
    "on_validation",
]

PATIENCE = 2
RETRAINED: tuple[ObjectiveName, ...] = ("class_weighted", "balanced_softmax", "gml")
SCALING = ("multiplicative", "tau_norm")  # a cosine head has no length to take a scale
TITLES = {
    "none": "the old head as it is",
    "additive": "the old head with logit adjustment",
    "multiplicative": "the old head with multiplicative logit adjustment",
    "tau_norm": "the old head τ-normalised",
    "bias": "the old head with a bias per class",
    "drops": "the old head reweighted for the worst prior (DROPS)",
    "linear_ascent": "the old head with the prior moved to the worst classes",
    "class_weighted": "a head retrained with class weights",
    "balanced_softmax": "a head retrained with balanced softmax",
    "gml": "a head retrained with GML",
    "ensemble": "the mean of the old head and one retrained with GML",
}
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to deal with the worst classes.

    Attributes:
        name: such as "bias" or "gml"; "none" leaves everything as it is.
        predicted: (m,) its answers on the images that decide, to none of which its weights were
            fitted; an ensemble's two temperatures were.
        held_out_logits: makes the (m, C) logits that these come from.
        build: makes the classifier, fitted to everything.
        setting: what was chosen for it, on all images that decide.
        fitted: whether it is fitted to the images that decide, fold by fold.
    """

    name: str
    predicted: Integers
    held_out_logits: Callable[[], Floats]
    build: Callable[[], Head | Ensemble]
    setting: Mapping[str, Any] = field(default_factory=dict)
    fitted: bool = False


@dataclass(frozen=True, eq=False)
class Trial:
    """What candidates are made from and judged on.

    Attributes:
        train: training features with the old head.
        names: of the candidates to make; "none" always comes first.
        settings: how heads are retrained, apart from the objective.
        labels: (m,) classes of the images that decide.
        fold_of: (m,) their folds: what is chosen for a fold is chosen on the others.
        seed: of folds and mini-batches.
        show: how progress is shown.
    """

    train: Features
    names: Sequence[str]
    settings: Retraining
    labels: Integers
    fold_of: Integers
    seed: int = 0
    show: Progress = silent

    @property
    def old(self) -> Head:
        """The old head."""
        assert self.train.head is not None
        return self.train.head

    def wanted(self, objective: str) -> bool:
        """Whether a head has to be retrained with this objective."""
        return objective in self.names or (objective == "gml" and "ensemble" in self.names)


def on_validation(trial: Trial, val: Features) -> list[Candidate]:
    """Candidates judged on validation data.

    Args:
        trial: with the labels of the validation images.
        val: features of images that no training saw.
    """
    logits = trial.old.logits(val.views[0])
    candidates = [_as_it_is(trial.old, logits), *_offsets(trial, logits, made_by=trial.old)]
    for objective in filter(trial.wanted, RETRAINED):
        kind = trial.settings.for_objective(objective)
        heads = _fit_until_worse(trial, kind, val)
        settings = [{"penalty": penalty} for penalty in heads]
        if objective in trial.names:
            candidates.append(_picked(objective, list(heads.values()), settings, val, trial))
        if objective == "gml" and "ensemble" in trial.names:
            t_old = fit_temperature(logits, val.labels)
            both = [
                Ensemble(
                    trial.old,
                    head,
                    t_old,
                    fit_temperature(head.logits(val.views[0]), val.labels),
                )
                for head in heads.values()
            ]
            candidates.append(_picked("ensemble", both, settings, val, trial))
    return candidates


def _fit_until_worse(trial: Trial, kind: Retraining, val: Features) -> dict[float, Head]:
    """Heads from the strongest penalty on; after some that do worse than the best, no weaker one.

    The weakest penalties take most of the time and are seldom the best.
    """
    penalties = penalties_to_try(kind, trial.train.num_classes, held_out=True)
    heads: dict[float, Head] = {}
    scores: list[float] = []
    title = f"retraining, {kind.objective.replace('_', ' ')}"
    with trial.show(title, len(penalties), "fits") as task:
        for penalty in penalties:
            head = retrain(trial.train, replace(kind, penalty=penalty), seed=trial.seed)
            said = head.logits(val.views[0]).argmax(axis=1)
            heads[penalty] = head
            scores.append(score(trial.labels, said, val.num_classes, HARMONIC_MEAN))
            task.advance(1)
            if len(scores) - 1 - int(np.argmax(scores)) >= PATIENCE:
                break
    return heads


def on_training_folds(
    trial: Trial, old: OldAnswers, fits: Mapping[str, CrossFit]
) -> list[Candidate]:
    """Candidates judged by cross-fitting on the training features.

    Args:
        trial: with the labels of the rows that were held out.
        old: the old head on those rows.
        fits: cross-fits that are there already, by objective; others are made.
    """
    made_by = trial.old if old.own else None
    candidates = [
        _as_it_is(trial.old, old.logits),
        *_offsets(trial, old.logits, made_by=made_by),
    ]
    for objective in filter(trial.wanted, RETRAINED):
        kind = trial.settings.for_objective(objective)
        fit = fits.get(objective) or cross_fit_objective(
            trial.train, kind, seed=trial.seed, show=trial.show
        )
        candidates += _cross_fitted(trial, old, replace(kind, penalty=fit.penalty), fit)
    return candidates


def _cross_fitted(
    trial: Trial, old: OldAnswers, kind: Retraining, fit: CrossFit
) -> list[Candidate]:
    """A retrained head and, of GML, the ensemble with it, as far as they are wanted."""
    setting = {"penalty": fit.penalty}
    candidates = []

    def build() -> Head:
        return retrain(trial.train, kind, seed=trial.seed, show=trial.show)

    if kind.objective in trial.names:
        candidates.append(_fixed(kind.objective, fit.logits, build, setting))
    if kind.objective == "gml" and "ensemble" in trial.names:
        t_new = fit_temperature(fit.logits, trial.labels)
        both = ensemble_log_probabilities(old.logits, fit.logits, old.temperature, t_new)

        def blend() -> Ensemble:
            return Ensemble(trial.old, build(), old.temperature, t_new)

        candidates.append(_fixed("ensemble", both, blend, setting))
    return candidates


def _as_it_is(old: Head, logits: Floats) -> Candidate:
    return _fixed("none", logits, lambda: old, {})


def _fixed(
    name: str,
    logits: Floats,
    build: Callable[[], Head | Ensemble],
    setting: Mapping[str, Any],
) -> Candidate:
    return Candidate(name, logits.argmax(axis=1), lambda: logits, build, setting)


def _offsets(trial: Trial, logits: Floats, *, made_by: Head | None) -> list[Candidate]:
    """The old head under each adjustment that can be fitted to these logits.

    A stand-in's were made by several heads: what needs the weights behind them is left out.
    """
    old, counts, fold_of = trial.old, trial.train.class_counts, trial.fold_of
    samples = HeldOut(logits, trial.labels, np.log(counts.counts / counts.total), made_by)
    fitting = {method.name for method in methods_for(samples)}
    if old.kind != "linear":
        fitting -= set(SCALING)
    methods = [METHODS[name] for name in METHODS if name in trial.names and name in fitting]

    def candidate(fitted: CrossFitted) -> Candidate:
        return Candidate(
            fitted.method.name,
            fitted.predicted,
            lambda: fitted.logits(samples, fold_of),
            lambda: fitted.fit(samples, HARMONIC_MEAN).fold(old),
            fitted.setting,
            fitted=True,
        )

    found = (
        cross_fit_methods(samples, HARMONIC_MEAN, methods, fold_of, show=trial.show)
        if methods
        else []
    )
    return [candidate(each) for each in found]


def _picked(
    name: str,
    classifiers: Sequence[Head | Ensemble],
    settings: Sequence[Mapping[str, Any]],
    val: Features,
    trial: Trial,
) -> Candidate:
    """The classifier that does best on validation data, judged on folds that did not choose."""
    fold_of = trial.fold_of
    said = [each.logits(val.views[0]).argmax(axis=1) for each in classifiers]
    pick = pick_by_fold(val.labels, said, fold_of, val.num_classes, HARMONIC_MEAN)

    def held_out_logits() -> Floats:
        rows = [np.flatnonzero(fold_of == fold) for fold in range(len(pick.by_fold))]
        parts = [
            classifiers[c].logits(val.views[0][r]) for c, r in zip(pick.by_fold, rows, strict=True)
        ]
        return np.asarray(np.concatenate(parts)[np.argsort(np.concatenate(rows))])

    return Candidate(
        name, pick.predicted, held_out_logits, lambda: classifiers[pick.best], settings[pick.best]
    )
