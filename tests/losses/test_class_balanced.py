"""Class-balanced weights in many digits, and the losses that use them."""

from __future__ import annotations

import math
from decimal import Context, Decimal, localcontext

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from torch import Tensor

from everyclass.artifacts import ClassCounts
from everyclass.data import long_tailed_counts
from everyclass.errors import InputError
from everyclass.losses import (
    ClassBalancedLoss,
    class_balanced_loss,
    class_balanced_weights,
    focal_loss,
)

SIZES = [1, 2, 5, 500, 70_000, 5_000_000, 10**12]
BETAS = [0.0, 1e-300, 0.5, 0.9, 0.9999, 1 - 1e-9, math.nextafter(1.0, 0.0), 1.0]


def slow_weights(counts: list[int], beta: float) -> list[float]:
    """The equation in 60 digits; β = 1 as the limit of inverse counts."""
    with localcontext(Context(prec=60)):
        b = Decimal(beta)
        raw = []
        for n in counts:
            if n == 0:
                raw.append(Decimal(0))
            elif b == 1:
                raw.append(1 / Decimal(n))
            else:
                raw.append((1 - b) / (1 - b**n if b else Decimal(1)))
        k = sum(n > 0 for n in counts) / sum(raw)
        return [float(k * w) for w in raw]


@given(st.lists(st.sampled_from([0, *SIZES]), max_size=6), st.sampled_from(BETAS))
def test_the_weights_in_many_digits(sizes, beta) -> None:
    counts = [*sizes, 7]
    expected = slow_weights(counts, beta)
    exact = class_balanced_weights(counts, beta=beta, dtype=torch.float64)
    assert exact.tolist() == pytest.approx(expected, rel=1e-11)
    rounded = class_balanced_weights(torch.tensor(counts), beta=beta)
    assert rounded.dtype == torch.float32
    assert rounded.tolist() == pytest.approx(expected, rel=2e-6)
    assert exact.sum().item() == pytest.approx(sum(n > 0 for n in counts))


def test_the_weights_of_cifar100_lt() -> None:
    weights = class_balanced_weights(long_tailed_counts(500, 100, 100))
    assert weights[0].item() == pytest.approx(0.0449, abs=5e-5)
    assert weights[99].item() == pytest.approx(4.378, abs=5e-4)
    assert (weights[99] / weights[0]).item() == pytest.approx(97.6, abs=0.05)
    assert weights.sum().item() == pytest.approx(100.0, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("beta", [0.9, 0.9999, 1.0])
def test_a_narrow_type_is_that_of_the_result_alone(beta, dtype) -> None:
    counts = [100_000, 50, 5]  # float16 ends at 65,504
    narrow = class_balanced_weights(counts, beta=beta, dtype=dtype)
    exact = class_balanced_weights(counts, beta=beta, dtype=torch.float64)
    assert narrow.dtype == dtype
    assert torch.equal(narrow, exact.to(dtype))
    assert (narrow > 0).all()


def test_the_limits_of_beta() -> None:
    assert class_balanced_weights([500, 50, 5], beta=0.0).tolist() == [1.0, 1.0, 1.0]
    inverse = torch.tensor([1 / 500, 1 / 50, 1 / 5])
    limit = class_balanced_weights([500, 50, 5], beta=1.0)
    torch.testing.assert_close(limit, inverse / inverse.mean())


def test_a_class_without_images_has_no_weight_and_takes_none() -> None:
    with_it, without = (class_balanced_weights(c) for c in ([500, 0, 5], [500, 5]))
    assert with_it.tolist() == [without[0], 0.0, without[1]]
    assert class_balanced_weights([0, 0]).tolist() == [0.0, 0.0]


def test_settings_are_named() -> None:
    """Two of them follow each other; by their place they would be taken for each other."""
    for call in (ClassBalancedLoss, class_balanced_weights):
        with pytest.raises(TypeError, match="positional argument"):
            call(COUNTS, 0.99)


@pytest.mark.parametrize("beta", [-0.1, 1.1, float("nan")])
def test_beta_outside_its_range(beta) -> None:
    with pytest.raises(InputError) as caught:
        class_balanced_weights([3, 4], beta=beta)
    assert str(caught.value) == f"beta must be from 0 to 1; got {beta}."


# --- the loss --------------------------------------------------------------------------------

COUNTS = [500, 50, 5]


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(6, 3, generator=generator, dtype=torch.float64)
    return logits, torch.tensor([0, 2, 1, 0, 0, 2])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_equals_the_equation(gamma) -> None:
    logits, labels = batch()
    weights = slow_weights(COUNTS, 0.99)
    expected = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        p = math.exp(row[label]) / sum(math.exp(o) for o in row)
        expected.append(-weights[label] * (1 - p) ** gamma * math.log(p))
    options = {"beta": 0.99, "gamma": gamma}
    got = class_balanced_loss(logits, labels, COUNTS, reduction="none", **options)
    assert got.tolist() == pytest.approx(expected, rel=1e-9)
    mean = sum(expected) / sum(weights[label] for label in labels.tolist())
    assert class_balanced_loss(logits, labels, COUNTS, **options).item() == pytest.approx(mean)
    module = ClassBalancedLoss(COUNTS, **options)
    assert module(logits, labels).item() == pytest.approx(mean)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
def test_it_is_focal_loss_with_those_weights(reduction, form) -> None:
    logits, labels = batch()
    labels[1] = -1
    weight = class_balanced_weights(COUNTS, beta=0.999, dtype=torch.float64)
    options = {"form": form, "gamma": 0.5, "reduction": reduction, "ignore_index": -1}
    expected = focal_loss(logits, labels, weight=weight, **options)
    got = class_balanced_loss(logits, labels, COUNTS, beta=0.999, **options)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_without_gamma_it_is_weighted_cross_entropy(reduction) -> None:
    logits, labels = batch()
    weight = class_balanced_weights(COUNTS, dtype=torch.float64)
    expected = F.cross_entropy(logits, labels, weight=weight, reduction=reduction)
    got = class_balanced_loss(logits, labels, COUNTS, reduction=reduction)
    torch.testing.assert_close(got, expected)
    plain = class_balanced_loss(logits, labels, COUNTS, beta=0.0, reduction=reduction)
    torch.testing.assert_close(plain, F.cross_entropy(logits, labels, reduction=reduction))


def test_the_mean_of_the_authors_divides_by_n() -> None:
    logits, labels = batch()
    losses = class_balanced_loss(logits, labels, COUNTS, reduction="none")
    weight = class_balanced_weights(COUNTS, dtype=torch.float64)
    by_weights = class_balanced_loss(logits, labels, COUNTS)
    torch.testing.assert_close(losses.mean(), by_weights * weight[labels].mean())


def test_a_label_of_a_class_without_images() -> None:
    logits, labels = batch()
    with pytest.raises(InputError) as caught:
        ClassBalancedLoss(ClassCounts.of({"ant": 3, "bee": 2, "cat": 0}))(logits, labels)
    assert str(caught.value) == (
        "labels[1] is 'cat' (class 2), which has no training image in class_counts and so no "
        "weight; give the counts of the data that the labels come from."
    )
