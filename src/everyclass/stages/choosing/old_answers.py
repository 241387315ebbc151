"""How the old head fares on images that it was not fitted to, where there are no such images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from everyclass.adjustment import fit_temperature, match_confidence, mean_confidence
from everyclass.artifacts import Features
from everyclass.metrics import harmonic_mean, per_class_recall
from everyclass.stages.retraining.crossfitting import CrossFit

__all__ = ["BY_HEART", "OldAnswers", "old_answers_on_folds"]

# On training images, of the old head and of a head fitted to the other folds. A network that knows
# its images by heart is nearly always right; but so is whoever names the frequent class of 99 : 1,
# and his mean recall is a half. On the memorised sets of docs/strategies.md it is 0.82 at least.
KNOWN_IMAGES = 0.9
KNOWN_CLASSES = 0.75
BY_HEART = "; the network knows these images by heart, so expect lower numbers on new ones"


@dataclass(frozen=True, eq=False)
class OldAnswers:
    """The old head on images that it was not fitted to.

    Attributes:
        logits: (m, C), its own or a stand-in's.
        temperature: calibrated for its own logits.
        by_heart: whether it knows its training images so well that these logits flatter.
        own: whether they are its own, made by its weights.
    """

    logits: npt.NDArray[Any]
    temperature: float
    by_heart: bool = False
    own: bool = True


def old_answers_on_folds(
    train: Features, kinds: Sequence[CrossFit], *, is_held_out: bool = False
) -> OldAnswers:
    """Let a refitted head of the old one's kind stand in for it on the held-out folds.

    The old head saw every training image, so its own confidence there means nothing. Its
    temperature is the one that makes it as sure as the stand-in rightly is. An old head that is
    worse on the images that it saw than its stand-in on held-out ones is no better on new images,
    and speaks for itself.

    Args:
        train: training features with the old head.
        kinds: heads of several kinds, cross-fitted on the same rows; the likest one stands in.
        is_held_out: whether the old head was not fitted to these images, and speaks for itself.
    """
    assert train.head is not None
    labels = kinds[0].labels
    own = train.head.logits(train.views[0][kinds[0].rows])
    if is_held_out:
        return OldAnswers(own, fit_temperature(own, labels))
    stand_in = _likest(own, kinds)
    by_heart = _knows(own, labels) and _knows(stand_in.logits, labels)
    if harmonic_mean(_recall(own, labels)) < harmonic_mean(_recall(stand_in.logits, labels)):
        return OldAnswers(own, fit_temperature(own, labels), by_heart)
    t_stand_in = fit_temperature(stand_in.logits, labels)
    t_old = match_confidence(own, mean_confidence(stand_in.logits, t_stand_in))
    represented = stand_in.logits * np.float32(t_old / t_stand_in)
    return OldAnswers(represented, t_old, by_heart, own=False)


def _likest(own: npt.NDArray[Any], kinds: Sequence[CrossFit]) -> CrossFit:
    """The kind that names each class about as often as the old head does."""
    shares = _shares(own)
    return min(kinds, key=lambda fit: float(np.abs(shares - _shares(fit.logits)).sum()))


def _shares(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.bincount(logits.argmax(axis=1), minlength=logits.shape[1]) / len(logits)


def _knows(logits: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> bool:
    accuracy = (logits.argmax(axis=1) == labels).mean()
    return bool(accuracy > KNOWN_IMAGES and np.nanmean(_recall(logits, labels)) > KNOWN_CLASSES)


def _recall(logits: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return per_class_recall(labels, logits.argmax(axis=1), logits.shape[1])
