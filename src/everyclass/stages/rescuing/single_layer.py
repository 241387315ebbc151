"""One ordinary linear layer in the place of a classifier that is none, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.optimize
import torch

from everyclass.adjustment import balanced_weights
from everyclass.artifacts import Features, Head
from everyclass.metrics import harmonic_mean, log_probabilities, per_class_recall
from everyclass.stages.choosing.ensembling import Ensemble
from everyclass.stages.retraining.standardised import scale_of

__all__ = ["SingleLayer", "approximate_by_one_layer"]

PENALTY = 1e-8  # on standardised columns: only so that there is one solution
ITERATIONS = 500


@dataclass(frozen=True, eq=False)
class SingleLayer:
    """A linear head that answers nearly as a classifier does, and how nearly.

    Attributes:
        head: linear.
        kl: mean divergence of its probabilities from the classifier's, in nats per image.
        same_answers: share of the images that get the same class from both.
        harmonic_mean: of recall, of the classifier and of the layer.
        lowest_recall: of the classifier and of the layer.
        largest_recall_drop: of any class, as a fraction; 0 if none loses.
        judged_on: number of images behind these numbers.
    """

    head: Head
    kl: float
    same_answers: float
    harmonic_mean: tuple[float, float]
    lowest_recall: tuple[float, float]
    largest_recall_drop: float
    judged_on: int

    def __str__(self) -> str:
        means, lowest = self.harmonic_mean, self.lowest_recall
        return (
            f"One linear layer gives the same class on {self.same_answers:.1%} of {self.judged_on} "
            f"images (divergence {self.kl:.4f} nats); harmonic mean of recall {means[0]:.1%} → "
            f"{means[1]:.1%}, lowest {lowest[0]:.1%} → {lowest[1]:.1%}, largest drop of a class "
            f"{self.largest_recall_drop:.1%}."
        )


def approximate_by_one_layer(
    classifier: Head | Ensemble,
    train: Features,
    *,
    judged_on: Features | None = None,
    bias: bool = True,
) -> SingleLayer:
    """Fit one linear layer to the probabilities of a classifier, every class counting the same.

    The mean of two softmaxes is no softmax of a linear layer, so this loses something; how much is
    measured. It is for runtimes that allow nothing but one layer, and with ``bias=False`` for
    networks whose last layer has no bias.

    Args:
        classifier: a head or an ensemble.
        train: features to fit on, all views.
        judged_on: features to measure the loss on (first view), better ones that the layer was not
            fitted to; default ``train``.
        bias: whether the layer has one.

    Raises:
        InputError: features of another width, or ``judged_on`` of other classes than ``train``.

    Example:
        >>> labels = np.repeat([0, 1, 2], 30)
        >>> x = np.random.default_rng(0).normal(size=(90, 5)) + 2 * np.eye(3, 5)[labels]
        >>> old, new = Head(np.eye(3, 5), np.zeros(3)), Head(2 * np.eye(3, 5), np.ones(3))
        >>> found = approximate_by_one_layer(Ensemble(old, new, 1, 1), Features(x, labels))
        >>> found.kl < 0.01, found.same_answers > 0.95
        (True, True)
    """
    if judged_on is not None:
        old = classifier.old if isinstance(classifier, Ensemble) else classifier
        judged_on.check_goes_with(
            "The set to judge the layer on",
            num_features=train.num_features,
            num_classes=old.num_classes,
            class_names=train.class_names,
        )
    x = train.features.reshape(-1, train.num_features).astype(np.float64)
    wanted = np.exp(log_probabilities(classifier.logits(x), are_logits=True))
    labels = np.tile(train.labels, train.num_views)
    weights = balanced_weights(labels)
    centre = x.mean(axis=0) if bias else np.zeros(x.shape[1])
    x -= centre
    spread = np.sqrt((x**2).mean(axis=0))
    scale = scale_of(torch.from_numpy(spread), torch.from_numpy(centre)).numpy()
    x *= scale
    if bias:
        x = np.hstack([x, np.ones((len(x), 1))])
    found = _fit(x, wanted, weights)
    weight = found[:, : train.num_features] * scale
    offset = found[:, -1] - weight @ centre if bias else np.zeros(len(weight))
    head = Head(weight.astype(np.float32), offset.astype(np.float32))
    return _judged(head, classifier, train if judged_on is None else judged_on)


def _fit(
    x: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    shape = wanted.shape[1], x.shape[1]

    def value_and_gradient(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[Any]]:
        rows = flat.reshape(shape)
        log_p = log_probabilities(x @ rows.T, are_logits=True)
        value = -(weights * (wanted * log_p).sum(axis=1)).sum() + PENALTY / 2 * (rows**2).sum()
        residual = (np.exp(log_p) - wanted) * weights[:, None]
        return float(value), (residual.T @ x + PENALTY * rows).ravel()

    start = np.zeros(shape).ravel()
    found = scipy.optimize.minimize(
        value_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}
    )
    solution: npt.NDArray[np.float64] = found.x.reshape(shape)
    return solution


def _judged(head: Head, classifier: Head | Ensemble, images: Features) -> SingleLayer:
    wanted = log_probabilities(classifier.logits(images.views[0]), are_logits=True)
    given = log_probabilities(head.logits(images.views[0]), are_logits=True)
    answers = [each.argmax(axis=1) for each in (wanted, given)]
    before, after = (per_class_recall(images.labels, a, head.num_classes) for a in answers)
    return SingleLayer(
        head=head,
        kl=float((np.exp(wanted) * (wanted - given)).sum(axis=1).mean()),
        same_answers=float((answers[0] == answers[1]).mean()),
        harmonic_mean=(harmonic_mean(before), harmonic_mean(after)),
        lowest_recall=(float(np.nanmin(before)), float(np.nanmin(after))),
        largest_recall_drop=max(0.0, float(np.nanmax(before - after))),
        judged_on=len(images),
    )
