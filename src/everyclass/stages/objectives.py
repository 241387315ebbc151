"""Losses of a head on cached features, with their gradients in closed form.

On cached features a training step is one matrix product, so automatic differentiation and its
bookkeeping would be most of the cost. Each objective turns a buffer of logits into its own gradient
with respect to those logits. The values are those of :mod:`everyclass.losses`; a test holds them
together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from everyclass.losses import smoothing_by_class

__all__ = ["Objective", "ObjectiveName", "RunningMeans"]

ObjectiveName = Literal[
    "gml",
    "cross_entropy",
    "class_weighted",
    "balanced_softmax",
    "smoothing",
    "gml_and_smoothing",
]


@dataclass(frozen=True)
class Objective:
    """A loss on logits of cached features.

    Attributes:
        name: "gml" (eqs. 1-3), "cross_entropy", "class_weighted" (cross entropy with weights
            1 / N_c, which over all images at once is what class-balanced sampling gives),
            "balanced_softmax", "smoothing" (label-aware, as in MiSLAS, every class weighing alike
            as in its class-aware batches), or "gml_and_smoothing", the sum that goes on top of
            MiSLAS (table 6).
        counts: (C,) training images per class, for the re-weighting of eq. 3 and the smoothing.
        reweight: whether "gml" uses eq. 3; without it the plain softmax (table 8, row 2).
        gml_weight: of GML in the sum.
    """

    name: ObjectiveName
    counts: Tensor
    reweight: bool = True
    gml_weight: float = 1.0

    @property
    def log_prior(self) -> Tensor | None:
        """log N_c where the objective adds it to the logits."""
        if self.name == "balanced_softmax" or (self.name == "gml" and self.reweight):
            return self.counts.log()
        return None

    def value_and_gradient(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and ``logits`` overwritten by its gradient.

        Args:
            logits: (n, C), consumed; the log-prior must not yet be in them.
            labels: (n,) int64.

        Returns:
            A scalar, and (n, C) in the memory of ``logits``.
        """
        if self.name == "gml_and_smoothing":
            smooth = replace(self, name="smoothing").value_and_gradient(logits.clone(), labels)
            gml = replace(self, name="gml").value_and_gradient(logits, labels)
            total = gml[1].mul_(self.gml_weight).add_(smooth[1])
            return smooth[0] + self.gml_weight * gml[0], total
        if self.name == "smoothing":
            epsilon = smoothing_by_class(self.counts.long(), dtype=logits.dtype)
            return _smoothed(logits, labels, epsilon[labels])
        log_p = _softmax_in_place(logits, self.log_prior, labels)
        if self.name == "gml":
            value, weights = _gml_weights(log_p, labels, logits.shape[1])
        elif self.name == "class_weighted":
            weights = _class_weights(labels, logits.shape[1], logits.dtype)
            value = -(weights * log_p).sum()
        else:
            value, weights = -log_p.mean(), torch.full_like(log_p, 1 / len(log_p))
        return value, _weighted_residual(logits, labels, weights)


class RunningMeans:
    """GML over mini-batches with a running estimate of each class's mean probability.

    A batch that holds one image of a class, or none, says little about p̄_c. Here p̄_c is tracked
    across batches (m_c ← (1−β) m_c + β · batch mean, over the classes in the batch), and the
    gradient of a batch is an unbiased estimate of Σ_c ∇p̄_c / (C m_c).

    Args:
        objective: with name "gml".
        rows_per_class: (C,) rows of each class that one pass over the features draws.
        rate: β.
    """

    def __init__(self, objective: Objective, rows_per_class: Tensor, rate: float = 0.1) -> None:
        self._prior = objective.log_prior
        self._rows_per_class = rows_per_class.to(objective.counts.dtype)
        self._total = float(rows_per_class.sum())
        self._rate = rate
        self._means = torch.full_like(objective.counts, 1 / len(objective.counts))

    def value_and_gradient(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`Objective.value_and_gradient`; the value is that of the running estimates."""
        classes = logits.shape[1]
        p = _softmax_in_place(logits, self._prior, labels).exp()
        sums = torch.zeros_like(self._means).index_add_(0, labels, p)
        present = torch.bincount(labels, minlength=classes).to(sums.dtype)
        here = present > 0
        batch_means = sums[here] / present[here]
        self._means[here] += self._rate * (batch_means - self._means[here])
        scale = self._total / (len(labels) * classes)
        weights = scale * p / (self._rows_per_class[labels] * self._means[labels])
        return -self._means.log().mean(), _weighted_residual(logits, labels, weights)


def _softmax_in_place(logits: Tensor, log_prior: Tensor | None, labels: Tensor) -> Tensor:
    """Overwrite logits by their softmax under the prior; return log p of the labels."""
    if log_prior is not None:
        logits += log_prior
    logits -= logits.amax(dim=1, keepdim=True)
    of_label = logits.gather(1, labels[:, None]).squeeze(1)
    sums = logits.exp_().sum(dim=1)
    logits /= sums[:, None]
    return of_label - sums.log()


def _gml_weights(log_p: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Eq. 1 over the classes present, and each image's share of the gradient."""
    # Within a class the weights are p_i / Σ p_j: a softmax of log p, shifted by its maximum.
    top = log_p.new_full((classes,), -torch.inf).scatter_reduce_(0, labels, log_p, "amax")
    shifted = (log_p - top[labels]).exp_()
    sums = torch.zeros_like(top).index_add_(0, labels, shifted)
    sizes = torch.bincount(labels, minlength=classes).to(log_p.dtype)
    present = sizes > 0
    count = present.sum()
    log_means = (top + sums.log() - sizes.log())[present]
    return -log_means.mean(), shifted / (sums[labels] * count)


def _smoothed(logits: Tensor, labels: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
    """Label-aware smoothing averaged class by class, and its gradient in place."""
    others = logits.mean(dim=1) - logits.gather(1, labels[:, None]).squeeze(1)
    log_p = _softmax_in_place(logits, None, labels)
    weights = _class_weights(labels, logits.shape[1], logits.dtype)
    value = -(weights * (log_p + epsilon * others)).sum()
    logits -= (epsilon / logits.shape[1])[:, None]
    logits *= weights[:, None]
    logits.scatter_add_(1, labels[:, None], (weights * (epsilon - 1))[:, None])
    return value, logits


def _class_weights(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """(n,) weights that sum to one, and to the same over every class that is there."""
    sizes = torch.bincount(labels, minlength=classes).to(dtype)
    return 1 / (sizes[labels] * (sizes > 0).sum())


def _weighted_residual(softmax: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """(softmax − onehot) · weights, in place."""
    softmax *= weights[:, None]
    softmax.scatter_add_(1, labels[:, None], -weights[:, None])
    return softmax
