"""LADER, the regulariser of LADE (Hong et al., CVPR 2021): logits that know no frequencies."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from everyclass.artifacts import check_choice, check_number
from everyclass.errors import InputError
from everyclass.losses._inputs import (
    EMPTY_BATCH,
    can_look,
    check_label_values,
    checked_labels,
    count_tensor,
    loss_dtype,
)
from everyclass.processes import Group, largest, summed

__all__ = ["Importance", "check_lader", "lade_inputs", "lade_regulariser", "regulariser"]

Importance = Literal["class", "sample"]


def lade_regulariser(
    logits: Tensor,
    labels: Tensor,
    class_counts: Any,
    *,
    penalty: float = 0.01,
    importance: Importance = "class",
) -> Tensor:
    """What LADE adds to balanced softmax: minus a bound on how well each logit tells its class.

    R = −Σ_c π_c D_c, π_c = N_c / Σ_j N_j
    D_c = mean of o^i_c over the images i of class c in the batch − S_c − λ S_c²
    S_c = log( (1/n) Σ_i r exp(o^i_c) ) over all n images of the batch

    The importance r turns the frequencies of training into equal ones, and the sources differ on
    whose frequency it is. "class", the authors' code and so their numbers: that of the class whose
    logit is estimated, r = 1 / (K π_c). "sample", their equation: that of the image's label,
    r = 1 / (K π_{y_i}). With equal counts both are 1. K is the number of classes with images.

    A class that is not in the batch has no first term in D_c, as if its mean were 0; its S_c is
    there all the same. A class with count 0 has weight π_c = 0 and its logit no gradient; a label
    of it is an error. It is no mean over images: the value for a batch is not the mean of those
    for its halves, and there is no ``reduction``, no ``weight`` and no ``ignore_index``.

    Args:
        logits: (n, C) floating point, n ≥ 1, of a linear layer rather than a cosine head.
        labels: (n,) integers in 0..C−1.
        class_counts: training images per class, in any form that ClassCounts.of takes.
        penalty: λ ≥ 0, which keeps S_c, and with it the level of the logits, near 0; in the paper
            0.01 (CIFAR), 0.1 (Places), 0.5 (ImageNet, iNaturalist).
        importance: "class" or "sample".

    Returns:
        Scalar, float32, or float64 for float64 logits; of either sign.

    Raises:
        InputError: as gml_loss; a negative ``penalty``, an unknown ``importance``.
        InputTypeError: as gml_loss.

    Example:
        >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
        >>> lade_regulariser(logits, labels, [90, 10])
        tensor(-0.9042)
        >>> lade_regulariser(logits, labels, [90, 10], importance="sample")
        tensor(-0.3157)

    References:
        Hong et al., Disentangling Label Distribution for Long-Tailed Visual Recognition, CVPR 2021.
    """
    check_lader(penalty, importance)
    return regulariser(*lade_inputs(logits, labels, class_counts), penalty, importance)


def check_lader(penalty: float, importance: str) -> None:
    """Refuse settings that are none.

    Raises:
        InputError, InputTypeError: as :func:`lade_regulariser`.
    """
    check_number("penalty", penalty)
    check_choice("importance", importance, get_args(Importance))


def lade_inputs(
    logits: Tensor, labels: Tensor, class_counts: Any, *, may_be_empty: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits in the type of the loss, labels as int64, and log π, after all checks.

    Args:
        logits, labels, class_counts: see :func:`lade_regulariser`.
        may_be_empty: this is a part of a batch, the rest of which other processes have.

    Raises:
        InputError, InputTypeError: as :func:`lade_regulariser`.
    """
    values, names = count_tensor(class_counts)
    labels = checked_labels(logits, labels, len(values), may_be_empty=may_be_empty)
    check_label_values(labels, values, names)
    z = logits.to(loss_dtype(logits))
    counts = values.to(z)
    return z, labels, (counts / counts.sum()).log()


def regulariser(
    z: Tensor,
    labels: Tensor,
    log_prior: Tensor,
    penalty: float,
    importance: Importance,
    *,
    group: Group = None,
) -> Tensor:
    """R of what :func:`lade_inputs` returns; with a group, of all its processes' batches."""
    prior = log_prior.exp()
    # Where π_c = 0 finite numbers stand for log π_c and z: weight 0 then makes 0 of them, not NaN.
    z = z.where(prior > 0, 0)
    log_classes = (prior > 0).sum().to(prior.dtype).log()
    log_ratio = -(log_prior + log_classes).where(prior > 0, 0)
    of_label = z.gather(1, labels[:, None]).squeeze(1)
    sums = torch.zeros_like(prior).index_add(0, labels, of_label)
    sizes = torch.zeros_like(prior).index_add(0, labels, torch.ones_like(of_label))
    if importance == "sample":
        z = z + log_ratio.index_select(0, labels)[:, None]
    if group is None:
        log_sums = z.logsumexp(0)
        s = log_sums - math.log(len(z))
    else:
        log_sums = _logsumexp(z, group)
        sums, sizes = summed(torch.stack([sums, sizes]), group)
        if can_look(sizes) and not sizes.any():
            raise InputError(EMPTY_BATCH)
        s = log_sums - sizes.sum().log()
    if importance == "class":
        s = s + log_ratio
    return -(prior * (sums / sizes.clamp(min=1) - s - penalty * s**2)).sum()


def _logsumexp(z: Tensor, group: Group) -> Tensor:
    """log Σ exp over the rows of all processes."""
    nothing = z.new_full((1, z.shape[1]), -torch.inf)
    top = largest(torch.cat([z.detach(), nothing]).amax(0), group)
    return summed((z - top).exp().sum(0), group).log() + top
