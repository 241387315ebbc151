"""The whole rescue: retrain, calibrate, ensemble, decide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from everyclass.adjustment import fit_temperature, match_confidence, mean_confidence
from everyclass.artifacts import Features, Head
from everyclass.errors import InputError
from everyclass.metrics import harmonic_mean, per_class_recall
from everyclass.progress import silent
from everyclass.stages.crossfitting import CrossFit
from everyclass.stages.deciding import Verdict, decide
from everyclass.stages.ensembling import Ensemble, ensemble_log_probabilities
from everyclass.stages.result import RescueResult
from everyclass.stages.retraining import Retraining, cross_fit_objective, retrain
from everyclass.stages.validating import Validated, validate

__all__ = ["MissingClasses", "rescue"]

MissingClasses = Literal["error", "keep-old"]
CROSS_ENTROPY = Retraining(objective="cross_entropy")
KNOWN = 0.9  # harmonic mean of the old head's recall on its own training images
BY_HEART = "; the network knows these images by heart, so expect lower numbers on new ones"
BALANCED_SOFTMAX = Retraining(objective="balanced_softmax")


@dataclass(frozen=True, eq=False)
class _Evidence:
    """Logits of images that neither classifier was fitted to, and the temperatures for them."""

    labels: npt.NDArray[np.int64]
    old: npt.NDArray[Any]
    new: npt.NDArray[Any]
    t_old: float
    t_new: float
    source: str
    caution: str = ""

    def verdict(self, num_classes: int, seed: int) -> Verdict:
        both = ensemble_log_probabilities(self.old, self.new, self.t_old, self.t_new)
        verdict = decide(
            self.labels,
            {
                "old": self.old.argmax(axis=1),
                "retrained": self.new.argmax(axis=1),
                "ensemble": both.argmax(axis=1),
            },
            num_classes,
            decided_on=self.source,
            seed=seed,
        )
        return replace(verdict, reason=verdict.reason + self.caution)


def rescue(
    train: Features,
    *,
    val: Features | None = None,
    retraining: Retraining | None = None,
    missing_classes: MissingClasses = "error",
    seed: int = 0,
    show: Any = silent,
) -> RescueResult:
    """Retrain the last layer with GML, calibrate and ensemble it with the old one, and decide.

    With validation features penalty, temperatures and verdict are chosen on those. Without,
    everything is decided by cross-fitting on the training features.
    The old head has seen those, so it is represented there by a stand-in: a head of its own kind
    that is refitted to the other folds, unless its own answers are worse than those.

    Args:
        train: training features with the old head; without one, a plain softmax classifier is
            fitted first and plays the old one.
        val: features of images that neither the network nor its head was trained on; used for
            penalty, temperatures and verdict, the verdict on halves that did not choose.
        retraining: default: the exact GML objective, its penalty chosen.
        missing_classes: "error" refuses a class without training images; "keep-old" keeps its
            row of the old head.
        seed: of folds, mini-batches and of the draws behind the verdict.
        show: how progress is shown.

    Returns:
        Both heads, the ensemble and the verdict.

    Raises:
        InputError: one class only, a class without images, features of different widths.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> labels = np.repeat([0, 1, 2], [200, 20, 5])
        >>> features = generator.normal(size=(225, 4)) + np.eye(3, 4)[labels] * 1.5
        >>> result = rescue(Features(features, labels))
        >>> result.verdict.use in ("old", "retrained", "ensemble")
        True
    """
    settings = retraining or Retraining()
    if missing_classes not in get_args(MissingClasses):
        raise InputError(f"missing_classes must be 'error' or 'keep-old'; got {missing_classes!r}.")
    if val is not None:
        val = val.checked_against(train, "The validation set")
    whole = train
    present = np.flatnonzero(train.class_counts.counts > 0)
    if len(present) < train.num_classes:
        _check_missing(train, missing_classes)
        train = _restricted(train, present)
        val = None if val is None else _restricted(val, present)
    if len(present) < 2:
        raise InputError("The training features hold one class only; nothing can be told apart.")

    if train.head is None:
        train = train.with_head(retrain(train, CROSS_ENTROPY, seed=seed, show=show))
    assert train.head is not None
    chosen: CrossFit | Validated
    if val is not None:
        chosen = validate(train, val, settings, seed=seed, show=show)
        new = chosen.head
        evidence = _from_validation(val, train.head, chosen)
    else:
        chosen = cross_fit_objective(train, settings, seed=seed, show=show)
        new = retrain(train, replace(settings, penalty=chosen.penalty), seed=seed, show=show)
        evidence = _from_cross_fitting(train, chosen, seed, show)
    settings = replace(settings, penalty=chosen.penalty)

    old = train.head
    if len(present) < whole.num_classes:
        assert whole.head is not None
        old, new = whole.head, _with_old_rows(new, whole.head, present)
    return RescueResult(
        verdict=evidence.verdict(train.num_classes, seed),
        old=old,
        retrained=new,
        ensemble=Ensemble(old, new, evidence.t_old, evidence.t_new),
        class_counts=whole.class_counts,
        settings={
            "retraining": settings.to_dict(),
            "penalties_tried": {f"{p:.3g}": score for p, score in chosen.scores.items()},
            "temperatures": {"old": evidence.t_old, "retrained": evidence.t_new},
            "decided_on": evidence.source,
            "images": len(train),
            "views": train.num_views,
            "missing_classes": missing_classes,
            "seed": seed,
        },
    )


def _from_validation(val: Features, old: Head, chosen: Validated) -> _Evidence:
    old_logits, new_logits = old.logits(val.views[0]), chosen.logits
    return _Evidence(
        labels=val.labels,
        old=old_logits,
        new=new_logits,
        t_old=fit_temperature(old_logits, val.labels),
        t_new=fit_temperature(new_logits, val.labels),
        source="validation data",
    )


def _from_cross_fitting(train: Features, fitted: CrossFit, seed: int, show: Any) -> _Evidence:
    """Let a refitted head of the old one's kind stand in for it on the held-out folds.

    The old head saw every training image, so its own confidence there means nothing. Its
    temperature is the one that makes it as sure as the stand-in rightly is. An old head that is
    worse on the images that it saw than its stand-in on held-out ones is no better on new images,
    and speaks for itself.
    """
    assert train.head is not None
    own = train.head.logits(train.views[0][fitted.rows])
    candidates = [
        cross_fit_objective(train, kind, seed=seed, show=show)
        for kind in (CROSS_ENTROPY, BALANCED_SOFTMAX)
    ]
    stand_in = max(candidates, key=lambda fit: _likeness(own, fit.logits))
    if _mean_recall(own, fitted.labels) < _mean_recall(stand_in.logits, fitted.labels):
        old, t_old = own, fit_temperature(own, fitted.labels)
    else:
        t_stand_in = fit_temperature(stand_in.logits, fitted.labels)
        t_old = match_confidence(own, mean_confidence(stand_in.logits, t_stand_in))
        old = stand_in.logits * np.float32(t_old / t_stand_in)
    return _Evidence(
        labels=fitted.labels,
        old=old,
        new=fitted.logits,
        t_old=t_old,
        t_new=fit_temperature(fitted.logits, fitted.labels),
        source="cross-fitting on the training features",
        caution=BY_HEART if _mean_recall(own, fitted.labels) > KNOWN else "",
    )


def _mean_recall(logits: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> float:
    return harmonic_mean(per_class_recall(labels, logits.argmax(axis=1), logits.shape[1]))


def _likeness(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Correlation of two sets of logits, each image's mean taken out."""
    a = a - a.mean(axis=1, keepdims=True)
    b = b - b.mean(axis=1, keepdims=True)
    size = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / size) if size > 0 else 0.0


def _check_missing(train: Features, policy: MissingClasses) -> None:
    counts = train.class_counts
    names = ", ".join(counts.describe(int(c)) for c in counts.missing[:5])
    more = f" and {len(counts.missing) - 5} more" if len(counts.missing) > 5 else ""
    if policy == "error":
        raise InputError(
            f"{len(counts.missing)} classes have no training image: {names}{more}. Add images, or "
            "pass --missing-classes keep-old to keep their rows of the old head."
        )
    if train.head is None:
        raise InputError(
            f"{len(counts.missing)} classes have no training image ({names}{more}) and there is no "
            "old head whose rows could be kept; give one."
        )
    if train.head.kind != "linear":
        raise InputError(
            f"{len(counts.missing)} classes have no training image ({names}{more}) and the old "
            f"head is a {train.head.kind} one, whose rows cannot stand beside linear ones; add "
            "images."
        )


def _restricted(features: Features, classes: npt.NDArray[np.intp]) -> Features:
    """The images of some classes, renumbered 0, 1, …, with these rows of the head."""
    index = np.full(features.num_classes, -1)
    index[classes] = np.arange(len(classes))
    rows = np.flatnonzero(index[features.labels] >= 0)
    head, names = features.head, features.class_names
    return Features(
        features.features[..., rows, :],
        index[features.labels[rows]],
        None
        if head is None
        else replace(head, weight=head.weight[classes], bias=head.bias[classes]),
        None if names is None else tuple(names[c] for c in classes),
        None if features.ids is None else features.ids[rows],
    )


def _with_old_rows(new: Head, old: Head, classes: npt.NDArray[np.intp]) -> Head:
    weight, bias = old.weight.copy(), old.bias.copy()
    weight[classes], bias[classes] = new.weight, new.bias
    return Head(weight, bias)
