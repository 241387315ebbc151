"""Class-balanced weights (Cui et al., CVPR 2019): by the effective number of images."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from everyclass.artifacts import check_number
from everyclass.losses._inputs import count_tensor, widest_dtype

__all__ = ["class_balanced_weights"]


def class_balanced_weights(
    class_counts: Any, *, beta: float = 0.9999, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Weights that fall with the effective number of images of a class.

    w_c = k (1 − β) / (1 − β^{N_c}), with k such that Σ_c w_c = C

    The effective number (1 − β^N) / (1 − β) grows with N as far as 1 / (1 − β). β = 0 weighs all
    classes alike; β = 1 stands for the limit, weights ∝ 1 / N_c. Counts are those of the whole
    training set, not of a batch. A class without images gets weight 0 and is not among the C,
    so that the others' weights are as if it were not there.

    Args:
        class_counts: training images per class, in any form that ClassCounts.of takes.
        beta: β in 0..1; 0.9999 for CIFAR and 0.999 for ImageNet in the authors' scripts.
        dtype: of the weights; they are computed in float64, and rounded to it at the end.

    Returns:
        (C,) weights, for any loss that takes ``weight``, on the device of the counts.

    Raises:
        InputError: counts that cannot be used, ``beta`` outside 0..1.
        InputTypeError: counts that are not whole numbers.

    Example:
        >>> class_balanced_weights([500, 50, 5])
        tensor([0.0277, 0.2708, 2.7015])
        >>> class_balanced_weights([500, 50, 5], beta=0.9)
        tensor([0.6746, 0.6781, 1.6473])

    References:
        Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019.
    """
    check_number("beta", beta, 0.0, 1.0)
    counts = count_tensor(class_counts).values
    counts = counts.to(widest_dtype(counts))
    if beta == 1:
        numbers = counts
    else:  # expm1 keeps the digits of 1 − β^N where β^N is next to 1; 1 − β cancels in k
        numbers = -torch.expm1(counts * (math.log(beta) if beta else -math.inf))
    present = counts > 0
    weights = present / numbers.where(present, 1)
    of_all = weights.sum().clamp(min=torch.finfo(counts.dtype).tiny)
    return (weights * (present.sum() / of_all)).to(dtype)
