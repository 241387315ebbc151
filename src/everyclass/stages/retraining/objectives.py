"""Losses of a head on cached features, with their gradients in closed form.

On cached features a training step is one matrix product, so automatic differentiation and its
bookkeeping would be most of the cost. Each objective turns a buffer of logits into its own gradient
with respect to those logits. The values are those of :mod:`everyclass.losses`; a test holds them
together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from everyclass.losses import smoothing_by_class
from everyclass.processes import largest, summed_in_place

__all__ = ["Objective", "ObjectiveName", "RunningMeans", "Whole"]

ObjectiveName = Literal[
    "gml",
    "cross_entropy",
    "class_weighted",
    "balanced_softmax",
    "smoothing",
    "gml_and_smoothing",
]


@dataclass(frozen=True)
class Whole:
    """What has to be known of all rows to treat some of them as a part of these.

    Attributes:
        sizes: (C,) rows of each class.
        split: whether a class may have rows in several processes at once. If not, a part has all
            rows of a class or none, or knows ``log_sums``.
        log_sums: (C,) log Σ p of the rows of each class in the part, where GML has to know it and
            the part has not all of them.
        drawn: whether these are rows drawn at random from the training rows, as in a mini-batch. A
            class that is to weigh as much as any other then does so over all draws, not in each,
            where it may be missing.
    """

    sizes: Tensor
    split: bool = False
    log_sums: Tensor | None = None
    drawn: bool = False

    @classmethod
    def of(cls, labels: Tensor, classes: int, *, split: bool = False, drawn: bool = False) -> Whole:
        """All rows, by their (n,) labels."""
        return cls(torch.bincount(labels, minlength=classes), split, drawn=drawn)


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
        smoothing: ε of the largest and the smallest class.
        balanced: whether rows are drawn so that classes come alike; then nothing is left that the
            counts would have to balance, in the logits or in the weights of classes.
    """

    name: ObjectiveName
    counts: Tensor
    reweight: bool = True
    gml_weight: float = 10.0
    smoothing: tuple[float, float] = (0.4, 0.1)
    balanced: bool = False

    @cached_property
    def log_prior(self) -> Tensor | None:
        """log N_c where the objective adds it to the logits."""
        if self.balanced:
            return None
        if self.name == "balanced_softmax" or (self.name == "gml" and self.reweight):
            return self.counts.log()
        return None

    @property
    def knows_its_classes(self) -> bool:
        """Whether the gradient of a row needs log Σ p of its class."""
        return self.name in ("gml", "gml_and_smoothing")

    def log_probabilities(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(n,) log p of the labels, as GML takes them; ``logits`` are consumed."""
        return _softmax_in_place(logits, replace(self, name="gml").log_prior, labels)

    def value_and_gradient(
        self, logits: Tensor, labels: Tensor, whole: Whole | None = None
    ) -> tuple[Tensor, Tensor]:
        """The loss, and ``logits`` overwritten by its gradient.

        Args:
            logits: (n, C), consumed; the log-prior must not yet be in them.
            labels: (n,) int64.
            whole: what these rows are a part of; the values of all parts add up to the loss.
                Default: they are all.

        Returns:
            A scalar, and (n, C) in the memory of ``logits``.
        """
        whole = whole or Whole.of(labels, logits.shape[1])
        if self.name == "gml_and_smoothing":
            part = replace(self, name="smoothing")
            smooth = part.value_and_gradient(logits.clone(), labels, whole)
            gml = replace(self, name="gml").value_and_gradient(logits, labels, whole)
            total = gml[1].mul_(self.gml_weight).add_(smooth[1])
            return smooth[0] + self.gml_weight * gml[0], total
        if self.name == "smoothing":
            head, tail = self.smoothing
            epsilon = smoothing_by_class(
                self.counts.long(), smooth_head=head, smooth_tail=tail, dtype=logits.dtype
            )
            weights = self._class_weights(labels, whole)
            return _smoothed(logits, labels, epsilon[labels], weights)
        log_p = _softmax_in_place(logits, self.log_prior, labels)
        if self.name == "gml":
            value, weights = _gml_weights(log_p, labels, whole)
        elif self.name == "class_weighted":
            weights = self._class_weights(labels, whole)
            value = -(weights * log_p).sum()
        else:
            rows = int(whole.sizes.sum())
            value, weights = -log_p.sum() / rows, torch.full_like(log_p, 1 / rows)
        return value, _weighted_residual(logits, labels, weights)

    def _class_weights(self, labels: Tensor, whole: Whole) -> Tensor:
        """(n,) weights, over every class of the same sum.

        That of all classes is one: over the training rows, or, of drawn rows, in the mean of draws.
        """
        if not whole.drawn:
            sizes = whole.sizes.to(self.counts.dtype)
            return 1 / (sizes[labels] * (sizes > 0).sum())
        each = torch.full_like(self.counts[labels], 1 / float(whole.sizes.sum()))
        if self.balanced:
            return each
        share = self.counts / self.counts.sum()
        return each / (share[labels] * (share > 0).sum())


class RunningMeans:
    """GML over mini-batches with a running estimate of each class's mean probability.

    A batch that holds one image of a class, or none, says little about p̄_c. Here p̄_c is tracked
    across batches (m_c ← (1−β_c) m_c + β_c · batch mean, over the classes in the batch), and the
    gradient of a batch is an unbiased estimate of Σ_c ∇p̄_c / (C m_c). β_c is the share of the rows
    of its class that the batch holds, or ``rate`` if that is more: so that no mean is much older
    than a pass, that of a class with two images neither, which at a small fixed rate would be.

    Args:
        objective: with name "gml".
        rows_per_class: (C,) rows of each class that one pass over the features draws.
        rate: the least β_c; 0: the means stay as they are.
    """

    def __init__(self, objective: Objective, rows_per_class: Tensor, rate: float = 0.1) -> None:
        self._prior = objective.log_prior
        self._rows_per_class = rows_per_class.to(objective.counts.dtype)
        self._total = float(rows_per_class.sum())
        self._rate = rate
        self.means = torch.full_like(objective.counts, 1 / len(objective.counts))

    def value_and_gradient(
        self, logits: Tensor, labels: Tensor, whole: Whole | None = None
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`Objective.value_and_gradient`; the value is that of the running estimates."""
        classes = logits.shape[1]
        whole = whole or Whole.of(labels, classes)
        p = _softmax_in_place(logits, self._prior, labels).exp()
        sums = torch.zeros_like(self.means).index_add_(0, labels, p)
        if whole.split:
            summed_in_place(sums)
        present = whole.sizes.to(sums.dtype)
        here = present > 0
        batch_means = sums[here] / present[here]
        if self._rate:
            share = (present / self._rows_per_class).clamp(self._rate, 1)[here]
            self.means[here] += share * (batch_means - self.means[here])
        scale = self._total / (float(present.sum()) * classes)
        weights = scale * p / (self._rows_per_class[labels] * self.means[labels])
        return -self.means.log().mean(), _weighted_residual(logits, labels, weights)


def _softmax_in_place(logits: Tensor, log_prior: Tensor | None, labels: Tensor) -> Tensor:
    """Overwrite logits by their softmax under the prior; return log p of the labels."""
    if log_prior is not None:
        logits += log_prior
    logits -= logits.amax(dim=1, keepdim=True)
    of_label = logits.gather(1, labels[:, None]).squeeze(1)
    sums = logits.exp_().sum(dim=1)
    logits /= sums[:, None]
    return of_label - sums.log()


def _gml_weights(log_p: Tensor, labels: Tensor, whole: Whole) -> tuple[Tensor, Tensor]:
    """Eq. 1 over the classes present, as far as these rows go, and their shares of the gradient."""
    classes = len(whole.sizes)
    if whole.log_sums is not None:
        top, sums = whole.log_sums, log_p.new_ones(classes)
        shifted = (log_p - top[labels]).exp_()
    else:
        # Within a class the weights are p_i / Σ p_j: a softmax of log p, shifted by its maximum.
        top = log_p.new_full((classes,), -torch.inf).scatter_reduce_(0, labels, log_p, "amax")
        if whole.split:
            top = largest(top)
        shifted = (log_p - top[labels]).exp_()
        sums = torch.zeros_like(top).index_add_(0, labels, shifted)
        if whole.split:
            summed_in_place(sums)
    sizes = whole.sizes.to(log_p.dtype)
    count = (sizes > 0).sum()
    rows = torch.bincount(labels, minlength=classes)
    here = rows > 0
    log_means = (top + sums.log() - sizes.log())[here]
    value = -(log_means * (rows[here] / sizes[here])).sum() / count
    return value, shifted / (sums[labels] * count)


def _smoothed(
    logits: Tensor, labels: Tensor, epsilon: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Label-aware smoothing averaged class by class, and its gradient in place."""
    others = logits.mean(dim=1) - logits.gather(1, labels[:, None]).squeeze(1)
    log_p = _softmax_in_place(logits, None, labels)
    value = -(weights * (log_p + epsilon * others)).sum()
    logits -= (epsilon / logits.shape[1])[:, None]
    logits *= weights[:, None]
    logits.scatter_add_(1, labels[:, None], (weights * (epsilon - 1))[:, None])
    return value, logits


def _weighted_residual(softmax: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """(softmax − onehot) · weights, in place."""
    softmax *= weights[:, None]
    softmax.scatter_add_(1, labels[:, None], -weights[:, None])
    return softmax
