"""A tiny network and what methods share, written out in float64 for the tests in this folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from everyclass.nn import Classifier

COUNTS = [50, 10, 3]
PRIOR = torch.tensor(COUNTS, dtype=torch.float64) / sum(COUNTS)


def a_network(seed: int = 0) -> Classifier:
    """A linear layer, batch norm and ReLU on images of 2 × 2 pixels; a linear head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU())
        backbone.num_features = 8
        return Classifier(backbone, nn.Linear(8, len(COUNTS)))


def some_views(count: int, seed: int, size: int = 2) -> list[Tensor]:
    """Views of five images, which can say whether a gradient has reached them."""
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(5, 3, size, size, generator=draw).requires_grad_() for _ in range(count)]


def weights_of(*modules: nn.Module) -> list[Tensor]:
    return [weight.double() for module in modules for weight in module.parameters()]


def batch_normed(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """By the statistics of this very batch."""
    return (x - x.mean(dim=0)) / (x.var(dim=0, correction=0) + 1e-5).sqrt() * gain + shift


def features_of(weights: Sequence[Tensor], images: Tensor) -> Tensor:
    """What the backbone of ``a_network`` says in training mode."""
    weight, bias, gain, shift = weights
    return batch_normed(images.double().flatten(1) @ weight.T + bias, gain, shift).relu()


def of_length_one(x: Tensor) -> Tensor:
    return x / x.square().sum(dim=1, keepdim=True).sqrt()


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Of each image."""
    return -torch.stack([z.log_softmax(0)[y] for z, y in zip(logits, labels, strict=True)])


def balanced(logits: Tensor, labels: Tensor) -> Tensor:
    """Balanced softmax."""
    return cross_entropy(logits.double() + PRIOR.log(), labels).mean()


def divergence(taught: Tensor, said: Tensor) -> Tensor:
    """KL(softmax of ``taught`` ‖ softmax of ``said``), a mean over the images."""
    p = taught.double().softmax(dim=1)
    return (p * (p.log() - said.double().log_softmax(dim=1))).sum(dim=1).mean()


def assert_same(found: Tensor, expected: Tensor, learning: Iterable[Tensor]) -> None:
    """Both losses are equal, and so are their gradients at everything that learns.

    The gradient of what does not learn, None, is that of neither.
    """
    torch.testing.assert_close(found.double(), expected.double(), rtol=1e-4, atol=1e-5)
    learning = list(learning)
    gradients, slow = (
        torch.autograd.grad(loss, learning, allow_unused=True) for loss in (found, expected)
    )
    for one, other in zip(gradients, slow, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
