"""Last layers as modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everyclass.artifacts import Head
from everyclass.nn._known_settings import StateWithSettings
from everyclass.nn._traced import full_precision_for
from everyclass.nn.experts import ExpertHead, RoutedExpertHead, of_length_one
from everyclass.precision import at_least_float32

__all__ = [
    "CentredUnit",
    "CosineHead",
    "NearestMeanHead",
    "ScaledLinear",
    "head_of_module",
    "module_of_head",
]


class CosineHead(StateWithSettings):
    """Logits = scale · cos(feature, class weight), + b where it has a bias.

    Args:
        num_features: d.
        num_classes: C.
        scale: of the cosine; 30 in LDAM and RIDE.
        bias: whether there is one, zero at first. LDAM and RIDE have none; an offset per class,
            as logit adjustment adds it, makes one.

    Shape:
        (n, d) → (n, C).
    """

    _in_state = ("scale",)

    def __init__(
        self, num_features: int, num_classes: int, scale: float = 30.0, *, bias: bool = False
    ) -> None:
        super().__init__()
        self.scale = float(scale)
        self.bias = nn.Parameter(torch.zeros(num_classes)) if bias else None
        directions = torch.empty(num_classes, num_features).uniform_(-1, 1)
        # How fast a direction turns goes with 1 / length², so the length at first is a constant of
        # the method: one, as published.
        self.weight = nn.Parameter(F.normalize(directions))

    def forward(self, features: Tensor) -> Tensor:
        # Not in bfloat16, in which a cosine times 30 is known to an eighth only.
        dtype = self.weight.dtype
        with full_precision_for(features):
            features = of_length_one(features.to(at_least_float32(dtype))).to(dtype)
            logits = self.scale * F.linear(features, of_length_one(self.weight).to(dtype))
            return logits if self.bias is None else logits + self.bias


class ScaledLinear(nn.Linear):
    """Logits = scale · (W x + b), one scale per class, all ones at first.

    The scale is of the bias too, as in the published code of LWS and MiSLAS; the LWS paper scales
    W x only.

    Args:
        num_features: d.
        num_classes: C.

    Shape:
        (n, d) → (n, C).
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes)
        self.scale = nn.Parameter(torch.ones(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * super().forward(features)


class CentredUnit(nn.Module):
    """x̂ = (x − centre) / ‖x − centre‖.

    Args:
        num_features: d.

    Attributes:
        centre: (d,) mean of the training features.

    Shape:
        (n, d) → (n, d).
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(num_features))

    def forward(self, features: Tensor) -> Tensor:
        centred = features - self.centre
        return of_length_one(centred).to(centred.dtype)


class NearestMeanHead(nn.Sequential):
    """Logits = 1 − ‖x̂ − m_c‖², x̂ the centred feature at length one, m_c the mean of class c.

    ‖x̂‖ is one, so they are 2 m_c · x̂ − ‖m_c‖²: the last layer is an ordinary linear one, of x̂.

    Args:
        num_features: d.
        num_classes: C.

    Shape:
        (n, d) → (n, C).
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(CentredUnit(num_features), nn.Linear(num_features, num_classes))

    @torch.no_grad()
    def set_means(self, centre: Tensor, means: Tensor) -> None:
        """What it measures from.

        Args:
            centre: (d,) mean of the training features.
            means: (C, d) mean of each class's x̂; not of length one.
        """
        unit, last = self
        assert isinstance(unit, CentredUnit)
        assert isinstance(last, nn.Linear)
        unit.centre.copy_(centre)
        last.weight.copy_(2 * means)
        last.bias.copy_(-means.square().sum(dim=1))


def head_of_module(module: nn.Module) -> Head | None:
    """The weights of a last layer that is linear or cosine in some form; None if it is neither."""
    if isinstance(module, CosineHead):
        bias = torch.zeros(len(module.weight)) if module.bias is None else module.bias
        return Head(_numpy(module.weight), _numpy(bias), "cosine", module.scale)
    if isinstance(module, ExpertHead) and not isinstance(module, RoutedExpertHead):
        rows = module.scale / len(module.weight) * F.normalize(module.weight, dim=2)
        return Head(_numpy(rows.transpose(0, 1).flatten(1)), np.zeros(rows.shape[1], np.float32))
    if not isinstance(module, nn.Linear):
        return None
    bias = module.bias if module.bias is not None else torch.zeros(module.out_features)
    if isinstance(module, ScaledLinear):
        return Head(_numpy(module.scale[:, None] * module.weight), _numpy(module.scale * bias))
    return Head(_numpy(module.weight), _numpy(bias))


def _numpy(tensor: Tensor) -> npt.NDArray[Any]:
    return tensor.detach().float().cpu().numpy()


def module_of_head(head: Head) -> nn.Linear | CosineHead:
    """An ordinary linear layer, or a cosine layer, with the weights of a head.

    A cosine layer has a bias only where the head's is not zero.
    """
    shape = head.num_features, head.num_classes
    layer: nn.Linear | CosineHead
    with torch.device("meta"):  # where nothing is drawn
        if head.kind == "cosine":
            layer = CosineHead(*shape, head.scale, bias=bool(head.bias.any()))
        else:
            layer = nn.Linear(*shape)
    layer = layer.to_empty(device=torch.get_default_device())
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(head.weight))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(head.bias))
    return layer
