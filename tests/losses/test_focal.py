"""Focal loss, both forms, against the equations, cross entropy, and where powers break."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from torch import Tensor

from everyclass.losses import FocalLoss, focal_loss


def batch(n: int = 7, num_classes: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    logits = 3 * torch.randn(n, num_classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(num_classes, (n,), generator=generator)


def slow_softmax(row: list[float], label: int, gamma: float) -> float:
    p = math.exp(row[label]) / sum(math.exp(o) for o in row)
    return -((1 - p) ** gamma) * math.log(p)


def slow_sigmoid(row: list[float], label: int, gamma: float) -> float:
    total = 0.0
    for c, o in enumerate(row):
        p = 1 / (1 + math.exp(-o))
        q = p if c == label else 1 - p
        total -= (1 - q) ** gamma * math.log(q)
    return total


@given(st.integers(1, 9), st.integers(2, 6), st.sampled_from([0.0, 0.3, 1.0, 2.0, 5.0]))
def test_equals_the_equations(n, num_classes, gamma) -> None:
    logits, labels = batch(n, num_classes)
    for form, slow in (("softmax", slow_softmax), ("sigmoid", slow_sigmoid)):
        rows = zip(logits.tolist(), labels.tolist(), strict=True)
        expected = [slow(row, label, gamma) for row, label in rows]
        got = focal_loss(logits, labels, gamma=gamma, form=form, reduction="none")
        assert got.tolist() == pytest.approx(expected, rel=1e-9)
        mean = focal_loss(logits, labels, gamma=gamma, form=form)
        assert mean.item() == pytest.approx(sum(expected) / n, rel=1e-9)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore_index", [-100, 2, 9])
def test_gamma_0_is_cross_entropy(reduction, weighted, ignore_index) -> None:
    logits, labels = batch()
    labels[2] = ignore_index
    weight = torch.tensor([0.5, 3.0, 1.0, 0.1]).double() if weighted else None
    options = {"reduction": reduction, "weight": weight, "ignore_index": ignore_index}
    expected = F.cross_entropy(logits, labels, **options)
    torch.testing.assert_close(focal_loss(logits, labels, gamma=0.0, **options), expected)


def test_gamma_0_of_sigmoids_is_binary_cross_entropy() -> None:
    logits, labels = batch()
    truth = F.one_hot(labels, 4).double()
    expected = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").sum(1)
    got = focal_loss(logits, labels, gamma=0.0, form="sigmoid", reduction="none")
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
def test_the_factor_is_that_of_the_probability_not_of_the_weighted_loss(form) -> None:
    logits, labels = batch()
    weight = torch.tensor([0.5, 3.0, 1.0, 0.1]).double()
    plain = focal_loss(logits, labels, form=form, reduction="none")
    weighted = focal_loss(logits, labels, form=form, reduction="none", weight=weight)
    torch.testing.assert_close(weighted, weight[labels] * plain)
    mean = focal_loss(logits, labels, form=form, weight=weight)
    torch.testing.assert_close(mean, weighted.sum() / weight[labels].sum())


def test_two_classes_and_one_logit_are_the_paper_s_binary_form() -> None:
    """Of two logits o and 0, the softmax is the sigmoid of o."""
    x = torch.linspace(-5, 5, 11).double()
    logits = torch.stack([torch.zeros_like(x), x], dim=1)
    labels = torch.ones(11, dtype=torch.long)
    p = x.sigmoid()
    torch.testing.assert_close(
        focal_loss(logits, labels, gamma=2.0, reduction="none"), -((1 - p) ** 2) * p.log()
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gamma", [0.01, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
def test_sure_and_right_or_wrong_the_gradient_is_finite(form, gamma, dtype) -> None:
    sizes = [*range(0, 130, 3), 700, 1e3, 1e4]
    logits = torch.tensor([[o, 0.0] for o in sizes], dtype=dtype).requires_grad_()
    for label in (0, 1):
        labels = torch.full((len(logits),), label)
        loss = focal_loss(logits, labels, gamma=gamma, form=form, reduction="sum")
        assert loss.isfinite()
        (gradient,) = torch.autograd.grad(loss, logits)
        assert gradient.isfinite().all()
        pull = gradient[-1, 0]  # the surest
        assert pull.item() == pytest.approx(label, abs=1e-3)


def test_the_last_digits_of_a_sure_probability() -> None:
    """Where 1 − p rounds to a handful of values p itself would have lost them: log-space."""
    for o in (5.0, 10.0, 15.0):
        u = math.log1p(math.exp(-o))  # −log p
        expected = (-math.expm1(-u)) ** 2 * u
        got = focal_loss(torch.tensor([[o, 0.0]]).double(), torch.tensor([0]), gamma=2.0)
        assert got.item() == pytest.approx(expected, rel=1e-6)


def test_a_sure_start_makes_all_classes_together_weigh_one() -> None:
    """What the docstring says of the bias −log(C − 1)."""
    assert torch.full((10,), -math.log(9)).sigmoid().sum().item() == pytest.approx(1.0)


def test_a_module_without_classes_checks_its_weights_when_it_sees_logits() -> None:
    module = FocalLoss(weight=torch.ones(3))
    with pytest.raises(ValueError, match=r"^weight must be \(4,\), one factor per class; got"):
        module(*batch())
    assert module(*batch(5, 3)).isfinite()
