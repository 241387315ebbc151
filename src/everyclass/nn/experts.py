"""Several experts over one trunk: their features side by side, and the heads on top of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everyclass.errors import InputError
from everyclass.nn._known_settings import StateWithSettings
from everyclass.nn._traced import full_precision_for
from everyclass.precision import at_least_float32

__all__ = ["ExpertBackbone", "ExpertHead", "RoutedExpertHead"]

HIDDEN = 16
MOST_LOGITS = 30


class ExpertBackbone(nn.Module):
    """A shared trunk and E branches; each branch's pooled features at length one, side by side.

    With features of length one a cosine head is a linear one, so that whatever works on a linear
    last layer works on the mean of E cosine heads too.

    Args:
        trunk: from images to what every branch begins with.
        make_branch: makes one expert's branch, from there to (n, d) features.
        num_experts: E.
        width: d.

    Shape:
        images → (n, E · d).
    """

    def __init__(
        self, trunk: nn.Module, make_branch: Callable[[], nn.Module], num_experts: int, width: int
    ) -> None:
        super().__init__()
        self.num_experts = num_experts
        self.num_features = num_experts * width
        self.trunk = trunk
        self.branches = nn.ModuleList(make_branch() for _ in range(num_experts))

    def forward(self, x: Tensor) -> Tensor:
        shared = self.trunk(x)
        return torch.cat([of_length_one(b(shared)) for b in self.branches], dim=1)


def of_length_one(features: Tensor) -> Tensor:
    """Features at length one, in float32 at least: in float16 nothing divided by nothing is NaN."""
    return F.normalize(features.to(at_least_float32(features.dtype)))


class ExpertHead(StateWithSettings):
    """The mean of E cosine heads, each on its own part of the features.

    Args:
        num_experts: E.
        num_features: E · d, of all experts together.
        num_classes: C.
        scale: of the cosines; 30 in RIDE.

    Shape:
        (n, E · d), each part of length one → (n, C).

    Raises:
        InputError: features that E experts cannot share alike.
    """

    _in_state = ("scale",)

    def __init__(
        self, num_experts: int, num_features: int, num_classes: int, scale: float = 30.0
    ) -> None:
        super().__init__()
        if num_experts < 1 or num_features < num_experts or num_features % num_experts:
            raise InputError(
                f"num_features must be num_experts times the width of one expert; got "
                f"{num_features} features for {num_experts} experts."
            )
        self.scale = float(scale)
        width = num_features // num_experts
        directions = torch.empty(num_experts, num_classes, width).uniform_(-1, 1)
        self.weight = nn.Parameter(F.normalize(directions, dim=2))  # see CosineHead

    def expert_logits(self, features: Tensor) -> Tensor:
        """Each expert's own logits: (E, n, C)."""
        parts = features.unflatten(1, (self.weight.shape[0], -1)).transpose(0, 1)
        dtype = self.weight.dtype
        # Not in bfloat16, in which a cosine times 30 is known to an eighth only.
        with full_precision_for(features):
            directions = F.normalize(self.weight.to(at_least_float32(dtype)), dim=2).to(dtype)
            return self.scale * parts.to(dtype) @ directions.transpose(1, 2)

    def forward(self, features: Tensor) -> Tensor:
        return self.expert_logits(features).mean(dim=0)


class RoutedExpertHead(ExpertHead):
    """Experts in turn: a sample goes on to the next one only while a router says it should.

    The answer is the mean of the logits of the experts asked. After expert i the router sees that
    expert's feature, through 16 hidden units of its own, and the 30 largest logits of the mean so
    far; one linear unit, shared by all steps, decides.

    Args:
        num_experts, num_features, num_classes, scale: see :class:`ExpertHead`; two experts or more.
    """

    def __init__(
        self, num_experts: int, num_features: int, num_classes: int, scale: float = 30.0
    ) -> None:
        super().__init__(num_experts, num_features, num_classes, scale)
        if num_experts < 2:
            raise InputError(f"A router chooses among 2 experts or more; got {num_experts}.")
        width = num_features // num_experts
        self.hidden = nn.ModuleList(nn.Linear(width, HIDDEN) for _ in range(num_experts - 1))
        self.router = nn.Linear(HIDDEN + min(MOST_LOGITS, num_classes), 1)

    def running_logits(self, features: Tensor) -> Tensor:
        """The mean of the first 1, 2, … E experts: (E, n, C)."""
        logits = self.expert_logits(features)
        asked = torch.arange(1, len(logits) + 1, device=logits.device)
        return logits.cumsum(dim=0) / asked[:, None, None]

    def scores(self, features: Tensor, running: Tensor) -> Tensor:
        """Of each step but the last, above 0 where the next expert should be asked: (E − 1, n).

        Args:
            features: (n, E · d).
            running: what :meth:`running_logits` says of them.
        """
        parts = features.to(self.weight.dtype).unflatten(1, (len(self.weight), -1)).unbind(1)
        largest = running.topk(self.router.in_features - HIDDEN, dim=2).values
        with full_precision_for(features):
            steps = [
                self.router(torch.cat([F.relu(layer(part)), logits], dim=1))[:, 0]
                for layer, part, logits in zip(self.hidden, parts[:-1], largest[:-1], strict=True)
            ]
        return torch.stack(steps)

    def forward(self, features: Tensor) -> Tensor:
        running = self.running_logits(features)
        go_on = self.scores(features, running) > 0
        asked = go_on.long().cumprod(dim=0).sum(dim=0)
        # Not running[asked, rows]: torch.export takes such rows for a batch of fixed size.
        where = asked[None, :, None].expand(1, -1, running.shape[2])
        return running.gather(0, where).squeeze(0)

    def of_all(self) -> ExpertHead:
        """The mean of all experts, whatever the routers say, with the same weights."""
        features = self.weight.shape[0] * self.weight.shape[2]
        with torch.device("meta"):  # where nothing is drawn
            head = ExpertHead(len(self.weight), features, self.weight.shape[1], self.scale)
        head.weight = self.weight
        return head
