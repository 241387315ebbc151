"""SHIKE's experts: each multiplies the deepest features by shallower ones (Jin et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from everyclass.errors import InputError
from everyclass.nn.experts import of_length_one

__all__ = ["FusedExpertBackbone"]


class FusedExpertBackbone(nn.Module):
    """Branches over a trunk of two parts; what a branch makes is multiplied by shallower features.

    Each product is pooled and brought to length one, side by side, as in
    :class:`~everyclass.nn.ExpertBackbone`: cosine heads on them are linear ones.

    Args:
        first, second: the trunk, from images to shallow features and on to deeper ones.
        branches: of each expert, from the deeper features on.
        shallow: of each expert, from the trunk's output to a factor for its branch's, of the same
            shape.
        depths: of each expert, whose output its factor is made of: 1, the first part's, or 2.
        pool: from a branch's output to (n, width).
        width: d.

    Shape:
        images → (n, E · d).
    """

    def __init__(
        self,
        first: nn.Module,
        second: nn.Module,
        *,
        branches: Iterable[nn.Module],
        shallow: Iterable[nn.Module],
        depths: tuple[int, ...],
        pool: nn.Module,
        width: int,
    ) -> None:
        super().__init__()
        if not {*depths} <= {1, 2}:
            raise InputError(f"Each depth must be 1 or 2; got {depths}.")
        self.num_experts = len(depths)
        self.num_features = len(depths) * width
        self.first, self.second, self.pool = first, second, pool
        self.branches = nn.ModuleList(branches)
        self.shallow = nn.ModuleList(shallow)
        self.depths = depths
        if not len(self.branches) == len(self.shallow) == len(depths):
            raise InputError(
                f"There are {len(self.branches)} branches, {len(self.shallow)} factors and "
                f"{len(depths)} depths; each expert needs one of each."
            )

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        outputs = {1: first, 2: self.second(first)}
        experts = zip(self.branches, self.shallow, self.depths, strict=True)
        fused = [branch(outputs[2]) * shallow(outputs[d]) for branch, shallow, d in experts]
        return torch.cat([of_length_one(self.pool(each)) for each in fused], dim=1)
