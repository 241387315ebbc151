"""AutoAugment: one of a learnt policy's pairs of operations for each image."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from everyclass.data.augmentation.checks import check_name
from everyclass.data.augmentation.drawing import apply_each
from everyclass.data.augmentation.operation_space import STYLES, operation_space
from everyclass.data.augmentation.policies import LEVELS, POLICIES

__all__ = ["AutoAugment", "PolicyDraw"]


class PolicyDraw(NamedTuple):
    """What each of n images drew; all on the CPU.

    Attributes:
        pair: (n,) int64, which pair of the policy.
        applied: (n, 2) bool, whether each of its two steps is taken.
        sign: (n, 2) float64, −1 or 1, of each step's magnitude.
    """

    pair: Tensor
    applied: Tensor
    sign: Tensor


@dataclass(eq=False)
class AutoAugment:
    """Apply a learnt policy (Cubuk et al. 2019), each image by its own draw.

    The policies have been implemented twice, and the results differ; both are here:

    ============================  =================  ====================
    \\                             ``"torchvision"``  ``"published"``
    ============================  =================  ====================
    what comes from outside       black              grey (128)
    shear                         nearest pixel      cubic interpolation
    rotation                      both ways          only to the left
    translation                   fraction cut off   to the nearest pixel
    solarize, threshold at 0      255                256
    ============================  =================  ====================

    "published" is the stand-alone copy that the published long-tailed pipelines carry.

    Args:
        policy: "cifar10", which those pipelines use for CIFAR-100 too.
        style: whose implementation.

    Raises:
        InputError: there is no policy or style of that name.
    """

    policy: str = "cifar10"
    _: KW_ONLY
    style: str = "torchvision"

    def __post_init__(self) -> None:
        check_name("policy", self.policy, POLICIES)
        check_name("style", self.style, STYLES)
        space = operation_space(STYLES[self.style])
        names = list(space)
        pairs = POLICIES[self.policy]
        self._operations = list(space.values())
        self._kind = torch.tensor([[names.index(name) for name, _, _ in pair] for pair in pairs])
        self._probability = torch.tensor([[p for _, p, _ in pair] for pair in pairs])
        level = torch.tensor([[level for _, _, level in pair] for pair in pairs])
        self._strength = level.double() / (LEVELS - 1)
        self._identity = names.index("identity")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw and apply: (b, h, w, 3) uint8 → the same shape."""
        pair, applied, sign = self.draw(len(images), generator)
        kind = self._kind[pair].where(applied, self._identity)
        strength = self._strength[pair] * sign
        for step in range(2):
            images = apply_each(images, kind[:, step], strength[:, step], self._operations)
        return images

    def draw(self, count: int, generator: torch.Generator) -> PolicyDraw:
        """Draw for ``count`` images."""
        pair = torch.randint(len(self._kind), (count,), generator=generator)
        applied = torch.rand(count, 2, generator=generator) < self._probability[pair]
        sign = 2.0 * torch.randint(2, (count, 2), generator=generator) - 1
        return PolicyDraw(pair, applied, sign.double())
