"""A small perceptron for small images: what `digits-lt` and the demo train in seconds."""

from __future__ import annotations

from torch import Tensor, nn

from everyclass.nn.experts import ExpertBackbone
from everyclass.nn.fused_experts import FusedExpertBackbone

__all__ = ["MLP", "mlp", "mlp_experts", "mlp_fused_experts"]


class MLP(nn.Module):
    """Two hidden layers on the flattened image.

    Args:
        in_features: values per image.
        width: units of each hidden layer, and the number of features.

    Shape:
        input (n, …) with in_features values per image → output (n, width).
    """

    def __init__(self, in_features: int, width: int = 64) -> None:
        super().__init__()
        self.num_features = width
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(in_features, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def mlp() -> MLP:
    """A perceptron for 8 × 8 images of three channels: 64 hidden units twice, 64 features."""
    return MLP(in_features=3 * 8 * 8)


def mlp_experts(num_experts: int) -> ExpertBackbone:
    """The same with experts: one hidden layer of 64 units shared, one of 32 each.

    Args:
        num_experts: E.
    """
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 64), nn.ReLU())
    return ExpertBackbone(trunk, _expert, num_experts, width=32)


def _expert() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU())


def mlp_fused_experts() -> FusedExpertBackbone:
    """The same as SHIKE's: two hidden layers of 64 units shared, one of 32 of each expert.

    Unlike the others it has batch norm: products of small numbers would be smaller still.
    """
    return FusedExpertBackbone(
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 64), nn.ReLU()),
        nn.Sequential(nn.Linear(64, 64), nn.ReLU()),
        branches=[_normed(nn.ReLU()) for _ in range(3)],
        shallow=[_normed(), _normed(nn.ReLU()), _normed()],
        depths=(1, 2, 1),
        pool=nn.Identity(),
        width=32,
    )


def _normed(*after: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), *after)
