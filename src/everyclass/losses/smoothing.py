"""How much of its label each class gives away in label-aware smoothing (Zhong et al. 2021)."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from everyclass.artifacts import check_choice, check_number
from everyclass.losses._inputs import count_tensor, widest_dtype

__all__ = ["SmoothingProfile", "check_smoothing", "smoothing_by_class"]

SmoothingProfile = Literal["concave", "linear", "convex"]


def smoothing_by_class(
    class_counts: Any,
    *,
    smooth_head: float = 0.4,
    smooth_tail: float = 0.1,
    profile: SmoothingProfile = "concave",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """How much of the label each class gives away, between that of the smallest and the largest.

    ε_c = ε_tail + (ε_head − ε_tail) f(x_c), x_c = (N_c − N_min) / (N_max − N_min)
    concave: f = sin(π x / 2); linear: f = x; convex: f = 1 − cos(π x / 2)

    N_min is that of the smallest class with an image; classes without one get ε_tail. So do all
    classes where all counts are equal: nothing is a head there.

    Args:
        class_counts: training images per class, in any form that ClassCounts.of takes.
        smooth_head: ε of the largest class, in 0..1. With smooth_tail in the paper: 0.4 and 0.1
            (CIFAR100-LT of ratio 100, Places), 0.3 and 0 (ratio 50, CIFAR10-LT, ImageNet-LT,
            iNaturalist), 0.2 and 0 (ratio 10).
        smooth_tail: ε of the smallest class, in 0..1.
        profile: "concave", "linear" or "convex".
        dtype: of the result, which is computed in float64 and rounded to it at the end.

    Returns:
        (C,) ε, on the device of the counts.

    Raises:
        InputError: counts that cannot be used, a smoothing outside 0..1, an unknown profile.
        InputTypeError: counts that are not whole numbers.

    Example:
        >>> smoothing_by_class([500, 98, 5])
        tensor([0.4000, 0.1873, 0.1000])
    """
    check_smoothing(smooth_head, smooth_tail, profile)
    counts = count_tensor(class_counts).values
    counts = counts.to(widest_dtype(counts))
    largest = counts.amax()
    smallest = counts.where(counts > 0, largest).amin()
    x = ((counts - smallest) / (largest - smallest).clamp(min=1)).clamp(min=0)
    if profile == "concave":
        x = (x * (math.pi / 2)).sin()
    elif profile == "convex":
        x = 1 - (x * (math.pi / 2)).cos()
    return (smooth_tail + (smooth_head - smooth_tail) * x).to(dtype)


def check_smoothing(smooth_head: float, smooth_tail: float, profile: str) -> None:
    """Refuse settings that are no smoothing.

    Raises:
        InputError, InputTypeError: as :func:`smoothing_by_class`.
    """
    check_number("smooth_head", smooth_head, 0.0, 1.0)
    check_number("smooth_tail", smooth_tail, 0.0, 1.0)
    check_choice("profile", profile, get_args(SmoothingProfile))
