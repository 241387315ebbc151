"""Logit adjustment in the loss and after training, against its equations and its special cases."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from torch import Tensor

from everyclass.errors import InputError, InputTypeError
from everyclass.losses import (
    LogitAdjustedLoss,
    adjust_logits,
    balanced_softmax_loss,
    logit_adjusted_loss,
)

COUNTS = [70_000, 1, 500, 20]


def batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(7, 4, generator=generator, dtype=torch.float64)
    return logits.to(dtype), torch.tensor([0, 3, 2, 0, 3, 1, 0])


@given(
    st.lists(st.sampled_from([1, 3, 20, 500, 10_000_000]), min_size=4, max_size=4),
    st.sampled_from([0.0, 0.25, 1.0, 2.0]),
)
def test_equals_the_equation(counts, tau) -> None:
    logits, labels = batch()
    shares = [n / sum(counts) for n in counts]
    expected = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        terms = [p**tau * math.exp(o) for p, o in zip(shares, row, strict=True)]
        expected.append(-math.log(terms[label] / sum(terms)))
    got = logit_adjusted_loss(logits, labels, counts, tau=tau, reduction="none")
    assert got.tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_tau_1_is_balanced_softmax(dtype, reduction) -> None:
    logits, labels = batch(dtype)
    options = {"reduction": reduction, "weight": torch.tensor([0.5, 3.0, 1.0, 0.1])}
    expected = balanced_softmax_loss(logits, labels, COUNTS, **options)
    assert torch.equal(logit_adjusted_loss(logits, labels, COUNTS, **options), expected)


@pytest.mark.parametrize("counts", [COUNTS, [5, 0, 7, 3]])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_tau_0_is_cross_entropy_and_a_class_without_images_like_any(
    counts, reduction, dtype
) -> None:
    logits, labels = batch(dtype)
    widened = logits.to(torch.promote_types(dtype, torch.float32))
    expected = F.cross_entropy(widened, labels, reduction=reduction)
    got = logit_adjusted_loss(logits, labels, counts, tau=0.0, reduction=reduction)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("tau", [0.5, 2.0])
def test_a_class_without_images_is_as_if_it_were_not_there(tau) -> None:
    logits, labels = batch()
    labels[labels == 1] = 0
    logits[:, 1] = 1e4
    logits.requires_grad_()
    keep = torch.tensor([0, 2, 3])
    loss = logit_adjusted_loss(logits, labels, [500, 0, 3, 20], tau=tau)
    mapped = torch.tensor([0, -1, 1, 2])[labels]
    torch.testing.assert_close(
        loss, logit_adjusted_loss(logits[:, keep], mapped, [500, 3, 20], tau=tau)
    )
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[:, 1] == 0).all()


def test_a_label_of_a_class_without_images() -> None:
    logits, labels = batch()
    with pytest.raises(InputError) as caught:
        LogitAdjustedLoss([9, 0, 3, 1], tau=0.1)(logits, labels)
    assert str(caught.value) == (
        "labels[5] is class 1, which has no training image in class_counts and so probability 0; "
        "give the counts of the data that the labels come from."
    )


# --- after training --------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("shape", [(4,), (7, 4), (2, 3, 4), (0, 4)])
def test_adjusted_logits_are_those_of_the_equation(tau, shape) -> None:
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()
    shares = [n / sum(COUNTS) for n in COUNTS]
    got = adjust_logits(logits, COUNTS, tau=tau)
    assert got.shape == shape
    for row, adjusted in zip(
        logits.reshape(-1, 4).tolist(), got.reshape(-1, 4).tolist(), strict=True
    ):
        expected = [o - tau * math.log(p) for o, p in zip(row, shares, strict=True)]
        assert adjusted == pytest.approx(expected, rel=1e-12)


def test_adjusting_exchanges_the_prior() -> None:
    """softmax(o − log π) is p(c | x) / π_c, normalised: the posterior with equal classes."""
    logits, _ = batch()
    posterior = logits.softmax(1) / (torch.tensor(COUNTS).double() / sum(COUNTS))
    expected = posterior / posterior.sum(1, keepdim=True)
    torch.testing.assert_close(adjust_logits(logits, COUNTS).softmax(1), expected)


def test_adjusting_undoes_what_the_loss_adds() -> None:
    logits, labels = batch()
    adjusted = adjust_logits(logits, COUNTS, tau=0.7)
    torch.testing.assert_close(
        logit_adjusted_loss(adjusted, labels, COUNTS, tau=0.7), F.cross_entropy(logits, labels)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_adjusted_logits_are_at_least_float32(dtype) -> None:
    logits, _ = batch(dtype)
    for tau in (0.0, 1.0):
        got = adjust_logits(logits, COUNTS, tau=tau)
        assert got.dtype == torch.float32
        expected = adjust_logits(logits.double(), COUNTS, tau=tau)
        torch.testing.assert_close(got.double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("logits", "counts", "error", "text"),
    [
        (
            torch.zeros(2, 3, dtype=torch.long),
            [1, 2, 3],
            InputTypeError,
            "logits must be a tensor of floating-point numbers; got torch.int64.",
        ),
        (
            [[0.0, 1.0]],
            [1, 2],
            InputTypeError,
            "logits must be a tensor of floating-point numbers; got list.",
        ),
        (
            torch.zeros(2, 4),
            [1, 2, 3],
            InputError,
            "class_counts has 3 entries and logits the shape (2, 4); give one count per class, in "
            "class order.",
        ),
        (
            torch.zeros(2, 3),
            {"ant": 3, "bee": 0, "cat": 0},
            InputError,
            "'bee' (class 1) has no training image and so log π = −∞; leave its column out of "
            "logits and class_counts.",
        ),
    ],
)
def test_what_cannot_be_adjusted(logits, counts, error, text) -> None:
    with pytest.raises(error) as caught:
        adjust_logits(logits, counts)
    assert str(caught.value) == text
    with pytest.raises(InputError, match=r"^tau must be 0 or more; got -1\.$"):
        adjust_logits(torch.zeros(3), [1, 2, 3], tau=-1)
    assert torch.equal(adjust_logits(torch.ones(2), [3, 0], tau=0.0), torch.ones(2))
