"""A small perceptron between a backbone's features and a contrastive loss."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from everyclass.errors import InputError

__all__ = ["Projector"]


class Projector(nn.Module):
    """Linear layers with ReLU between them; the result has length one.

    Args:
        widths: of the input, each hidden layer, and the output.
        batch_norm: after each linear layer but the last.

    Shape:
        (n, widths[0]) → (n, widths[-1]) float32.

    Raises:
        InputError: fewer than two widths.
    """

    def __init__(self, widths: Sequence[int], *, batch_norm: bool = True) -> None:
        super().__init__()
        if len(widths) < 2:
            raise InputError(
                f"widths must name those of the input and of the output at least; got {[*widths]}."
            )
        layers: list[nn.Module] = []
        for before, after in pairwise(widths[:-1]):
            layers.append(nn.Linear(before, after))
            layers += [nn.BatchNorm1d(after), nn.ReLU()] if batch_norm else [nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))

    def forward(self, features: Tensor) -> Tensor:
        return F.normalize(self.layers(features).float())
