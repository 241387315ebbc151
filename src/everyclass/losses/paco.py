"""PaCo (Cui et al., ICCV 2021): classes and images as contrasts in one softmax."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from everyclass.artifacts import check_number
from everyclass.errors import InputError, InputTypeError
from everyclass.losses._inputs import (
    Counts,
    check_label_range,
    check_label_values,
    checked_labels,
    count_tensor,
    has_integers,
    loss_dtype,
    said_shape,
)
from everyclass.losses._weighted import LossModule
from everyclass.precision import full_precision
from everyclass.processes import Group, gathered, group_of, rows_before, weighted_mean

__all__ = ["PaCoLoss", "paco_loss"]

_EMPTY = -1  # the label of an empty place


def paco_loss(
    logits: Tensor,
    labels: Tensor,
    class_counts: Any,
    *,
    anchors: Tensor,
    others: Tensor,
    other_labels: Tensor,
    alpha: float = 0.01,
    beta: float = 1.0,
    gamma: float = 1.0,
    temperature: float = 0.05,
) -> Tensor:
    """Parametric contrastive loss: each image against class centres and against other images.

    With a_c = o_c + log π_c for the classes and a_s = q · z_s / T for the images s in S,
    S = the other anchors and ``others``:

    log p(·) = a − log( Σ_c exp(a_c) + γ Σ_{s∈S} exp(a_s) )
    L = −mean of [ β log p(y) + α Σ_{s∈S: y_s=y} log p(s) ] / ( β + α · number of such s )

    β is the weight of the class centre and α of each image of the class, so α says how far a class
    with many images is spread from its centre to its images. At test time the plain logits are
    used.

    Args:
        logits: o, (n, C) floating point, n ≥ 1, of the anchors.
        labels: y, (n,) integers in 0..C−1.
        class_counts: training images per class, in any form that ClassCounts.of takes.
        anchors: q, (n, p) of length one; they are contrasts for each other.
        others: z, (m, p) of length one, such as momentum keys and a queue of earlier ones.
        other_labels: (m,) integers; −1 marks an empty place, which counts nowhere.
        alpha: α ≥ 0; 0.01 for CIFAR, 0.05 for ImageNet.
        beta: β > 0.
        gamma: γ > 0.
        temperature: T > 0; 0.05 for CIFAR, 0.2 for ImageNet.

    Returns:
        Scalar, float32, or float64 for float64 logits.

    Raises:
        InputError: shapes that do not fit; labels of contrasts that are none; as
            balanced_softmax_loss.
        InputTypeError: labels of contrasts that are no integers; as balanced_softmax_loss.

    Example:
        >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
        >>> anchors = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> others, other_labels = torch.tensor([[0.8, 0.6], [0.6, 0.8]]), torch.tensor([0, -1])
        >>> contrasts = {"anchors": anchors, "others": others, "other_labels": other_labels}
        >>> paco_loss(logits, labels, [90, 10], **contrasts)
        tensor(13.6342)
    """
    _check(alpha, beta, gamma, temperature)
    options: dict[str, Any] = {"anchors": anchors, "others": others, "other_labels": other_labels}
    options |= {"alpha": alpha, "beta": beta, "gamma": gamma, "temperature": temperature}
    return _losses(logits, labels, count_tensor(class_counts), **options).mean()


def _losses(
    logits: Tensor,
    labels: Tensor,
    counts: Counts,
    *,
    anchors: Tensor,
    others: Tensor,
    other_labels: Tensor,
    alpha: float,
    beta: float,
    gamma: float,
    temperature: float,
    group: Group = None,
) -> Tensor:
    """(n,) losses of the anchors; with a group, its processes' anchors are contrasts as well."""
    labels = checked_labels(logits, labels, len(counts.values), may_be_empty=group is not None)
    check_label_values(labels, *counts, has_no="probability 0")
    fitting = (
        all(isinstance(each, Tensor) for each in (anchors, others, other_labels))
        and anchors.ndim == others.ndim == 2
        and len(anchors) == len(labels)
        and anchors.shape[1] == others.shape[1]
        and other_labels.shape == others.shape[:1]
    )
    if not fitting:
        raise InputError(
            "anchors must be (n, p), others (m, p) and other_labels (m,), all of them tensors; got "
            f"{said_shape(anchors)}, {said_shape(others)} and {said_shape(other_labels)} for "
            f"{len(labels)} labels."
        )
    if not has_integers(other_labels):
        raise InputTypeError(f"other_labels must be integers; got {other_labels.dtype}.")
    check_label_range(other_labels, len(counts.values), _EMPTY, name="other_labels")
    dtype = loss_dtype(logits)
    prior = counts.values.to(logits.device, dtype)
    classes = logits.to(dtype) + (prior / prior.sum()).log()
    anchors, others = anchors.to(dtype), others.to(dtype)
    everyones, anchor_labels, first = anchors, labels, 0
    if group is not None:
        everyones, anchor_labels = gathered(anchors, group), gathered(labels, group)
        first = rows_before(labels, group)
    # Not in bfloat16 under autocast: over a temperature of 0.05 a cosine is then off by up to 0.04.
    with full_precision(logits.device):
        images = anchors @ torch.cat([everyones, others]).T / temperature
    all_labels = torch.cat([anchor_labels, other_labels])
    own = torch.arange(first, first + len(labels), device=labels.device)
    itself = own[:, None] == torch.arange(len(all_labels), device=labels.device)
    none = itself | (all_labels == _EMPTY)
    alike = (labels[:, None] == all_labels) & ~none
    contrasts = images.masked_fill(none, -torch.inf) + math.log(gamma)
    normaliser = torch.cat([classes, contrasts], dim=1).logsumexp(dim=1)
    own_class = classes.gather(1, labels[:, None])[:, 0]
    positives = alike.sum(dim=1, dtype=dtype)
    weight = beta + alpha * positives
    drawn = beta * own_class + alpha * images.where(alike, 0).sum(dim=1)
    return normaliser - drawn / weight


class PaCoLoss(LossModule):
    """PaCo as a module; see :func:`paco_loss` for the equations and errors.

    Args:
        class_counts: training images per class; kept as the int64 buffer ``class_counts``.
        alpha, beta, gamma, temperature: see :func:`paco_loss`.
        process_group, sync: as in :class:`GMLLoss`.

    Over several processes all their anchors are contrasts for each other; ``others`` are then what
    every process has alike, such as gathered keys and a queue of them.

    Shape:
        logits (n, C), labels (n,), anchors (n, p), others (m, p), other_labels (m,) → scalar.

    Example:
        >>> loss_fn = PaCoLoss([90, 10])
        >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
        >>> anchors = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> others, other_labels = torch.tensor([[0.8, 0.6], [0.6, 0.8]]), torch.tensor([0, -1])
        >>> loss_fn(logits, labels, anchors=anchors, others=others, other_labels=other_labels)
        tensor(13.6342)
    """

    _shown = ("alpha", "beta", "gamma", "temperature")

    def __init__(
        self,
        class_counts: Any,
        *,
        alpha: float = 0.01,
        beta: float = 1.0,
        gamma: float = 1.0,
        temperature: float = 0.05,
        process_group: Group = None,
        sync: bool = True,
    ) -> None:
        super().__init__(process_group=process_group, sync=sync)
        _check(alpha, beta, gamma, temperature)
        self.alpha, self.beta, self.gamma, self.temperature = alpha, beta, gamma, temperature
        self._keep_counts(class_counts)

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        anchors: Tensor,
        others: Tensor,
        other_labels: Tensor,
    ) -> Tensor:
        """Return the loss of a batch."""
        options = self._settings
        options |= {"anchors": anchors, "others": others, "other_labels": other_labels}
        group = group_of(self)
        if group is None:
            return paco_loss(logits, labels, self._counts, **options)
        total = _losses(logits, labels, self._counts, **options, group=group).sum()
        return weighted_mean(total, total.new_tensor(len(labels)), group)


def _check(alpha: float, beta: float, gamma: float, temperature: float) -> None:
    check_number("alpha", alpha)
    for name, value in (("beta", beta), ("gamma", gamma), ("temperature", temperature)):
        check_number(name, value, above=0)
