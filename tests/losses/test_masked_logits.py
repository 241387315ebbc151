"""A class that is masked, with a logit of −∞, is one with a logit far below all others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from everyclass.losses import (
    class_balanced_loss,
    distillation_loss,
    dive_loss,
    focal_loss,
    gml_loss,
    lade_loss,
    lade_regulariser,
    ride_loss,
    shike_loss,
)

LABELS = torch.tensor([0, 1, 2, 0])
COUNTS = [50, 20, 10, 0]
TEACHER = torch.tensor([1.0, 0.0, -0.5, 0.0], dtype=torch.float64)

LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "gml": lambda z: gml_loss(z, LABELS, COUNTS),
    "lade": lambda z: lade_loss(z, LABELS, COUNTS),
    "lade regulariser": lambda z: lade_regulariser(z, LABELS, COUNTS),
    "focal of sigmoids": lambda z: focal_loss(z, LABELS, gamma=0.0, form="sigmoid"),
    "class-balanced of sigmoids": lambda z: class_balanced_loss(z, LABELS, COUNTS, form="sigmoid"),
    "distillation": lambda z: distillation_loss(z, z.detach() + TEACHER),
    "dive": lambda z: dive_loss(z, LABELS, COUNTS, z.detach() + TEACHER),
    "ride": lambda z: ride_loss(torch.stack([z, 0.5 * z]), LABELS, COUNTS),
    "shike": lambda z: shike_loss(torch.stack([z, 0.5 * z]), LABELS),
}


def loss_and_gradient(loss_fn: Callable[[Tensor], Tensor], masked: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 4, dtype=torch.float64, generator=generator)
    logits[:, 3] = masked
    logits.requires_grad_()
    loss = loss_fn(logits)
    loss.backward()
    assert logits.grad is not None
    return loss.detach(), logits.grad


@pytest.mark.parametrize("name", LOSSES)
def test_a_masked_class_is_one_far_below(name: str) -> None:
    loss, gradient = loss_and_gradient(LOSSES[name], -torch.inf)
    low, low_gradient = loss_and_gradient(LOSSES[name], -1e4)
    torch.testing.assert_close(loss, low)
    torch.testing.assert_close(gradient, low_gradient)
    assert not gradient[:, 3].any()


def test_gml_is_infinite_where_a_class_has_no_probability_at_all() -> None:
    logits = torch.zeros(3, 2)
    logits[2, 1] = -torch.inf
    labels = torch.tensor([0, 0, 1])
    for counts in ([5, 3], [1, 1]):
        for z in (logits, logits.clone().requires_grad_(), logits.half(), logits.double()):
            assert float(gml_loss(z, labels, counts).detach()) == torch.inf
    assert float(torch.func.vmap(lambda z: gml_loss(z, labels, [5, 3]))(logits[None])) == torch.inf
