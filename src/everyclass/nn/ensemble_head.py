"""The ensemble of two heads as one layer: eq. 11 from one product with 2C rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everyclass.artifacts import Head
from everyclass.nn._known_settings import StateWithSettings
from everyclass.nn._traced import full_precision_for
from everyclass.nn.outputs import logits_of
from everyclass.precision import at_least_float32

__all__ = ["EnsembleHead", "EnsembleOfMeans", "log_mean_of_softmaxes"]


def log_mean_of_softmaxes(logits: Tensor) -> Tensor:
    """log of the mean of two softmaxes: (…, 2, C) → (…, C), valid as logits."""
    old, new = logits.log_softmax(dim=-1).unbind(-2)
    return torch.logaddexp(old, new) - math.log(2)


class EnsembleHead(StateWithSettings):
    """The log of eq. 11's probabilities, from one product with 2C rows.

    Args:
        old, new: heads of the same width, each linear or cosine.
        t_old, t_new: their temperatures.

    Shape:
        (…, d) → (…, C) log-probabilities, valid as logits.
    """

    _in_state = ("cosine",)

    def __init__(self, old: Head, new: Head, t_old: float, t_new: float) -> None:
        super().__init__()
        weight, bias = [], []
        for head, t in ((old, t_old), (new, t_new)):
            rows = torch.from_numpy(head.weight)
            if head.kind == "cosine":
                rows = head.scale * F.normalize(rows)
            weight.append(rows / t)
            bias.append(torch.from_numpy(head.bias) / t)
        self.cosine = (old.kind == "cosine", new.kind == "cosine")
        self.in_features, self.out_features = old.num_features, old.num_classes
        self.weight = nn.Parameter(torch.cat(weight))
        self.bias = nn.Parameter(torch.stack(bias))

    @classmethod
    def empty(
        cls, num_features: int, num_classes: int, *, cosine: tuple[bool, bool] = (False, False)
    ) -> EnsembleHead:
        """A layer of zeros, to load a saved ``state_dict`` into.

        Args:
            num_features: d.
            num_classes: C.
            cosine: which of the two heads is a cosine one; they were told apart by that.

        Example:
            >>> EnsembleHead.empty(512, 10).weight.shape
            torch.Size([20, 512])
        """
        rows = np.zeros((num_classes, num_features), np.float32)
        bias = np.zeros(num_classes, np.float32)
        old, new = (Head(rows, bias, "cosine" if c else "linear") for c in cosine)
        return cls(old, new, 1.0, 1.0)

    def forward(self, features: Tensor) -> Tensor:
        dtype = self.weight.dtype
        # Not in half precision, in which rows of a cosine over a small temperature give infinity.
        wide = at_least_float32(dtype)
        features = features.to(wide)
        with full_precision_for(features):
            logits = F.linear(features, self.weight.to(wide)).unflatten(-1, (2, self.out_features))
            if any(self.cosine):  # which is a linear head on features of length one
                length = features.norm(dim=-1, keepdim=True).clamp_min(1e-12)
                lengths = [length if cosine else torch.ones_like(length) for cosine in self.cosine]
                logits = logits / torch.stack(lengths, dim=-2)
            return log_mean_of_softmaxes(logits + self.bias).to(dtype)


class EnsembleOfMeans(nn.Module):
    """Eq. 11 for a network whose output is the mean of several last layers, as of distilled ones.

    Args:
        network: its last layers have 2C outputs each, the old classifier's and the new one's.
        num_classes: C.

    Shape:
        what the network takes → (n, C) log-probabilities.
    """

    def __init__(self, network: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.network = network
        self.num_classes = num_classes

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        logits = logits_of(self.network(*args, **kwargs))
        return log_mean_of_softmaxes(logits.unflatten(-1, (2, self.num_classes)))
