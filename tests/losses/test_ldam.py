"""LDAM against its equations, its published margins, and cross entropy."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from torch import Tensor

from everyclass.errors import InputError
from everyclass.losses import LDAMLoss, class_balanced_weights, ldam_loss
from everyclass.nn import CosineHead


def slow_ldam(
    logits: Tensor, labels: Tensor, counts: list[int], max_margin: float, scale: float
) -> list[float]:
    """The equations one number at a time."""
    largest = max(n**-0.25 for n in counts if n)
    out = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        margin = max_margin * counts[label] ** -0.25 / largest
        true = math.exp(row[label] - scale * margin)
        others = sum(math.exp(o) for c, o in enumerate(row) if c != label)
        out.append(-math.log(true / (true + others)))
    return out


@st.composite
def problems(draw) -> tuple[Tensor, Tensor, list[int]]:
    sizes = st.sampled_from([0, 1, 2, 50, 1280, 10_000_000])
    counts = [*draw(st.lists(sizes, min_size=1, max_size=6)), draw(st.integers(1, 500))]
    possible = [c for c, n in enumerate(counts) if n]
    labels = draw(st.lists(st.sampled_from(possible), min_size=1, max_size=9))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    cosines = 2 * torch.rand(len(labels), len(counts), generator=generator).double() - 1
    return 10 * cosines, torch.tensor(labels), counts


@given(problems(), st.sampled_from([0.0, 0.3, 0.5]), st.sampled_from([1.0, 10.0]))
def test_equals_the_equations(problem, max_margin, scale) -> None:
    logits, labels, counts = problem
    options = {"max_margin": max_margin, "scale": scale}
    expected = slow_ldam(logits, labels, counts, **options)
    got = ldam_loss(logits, labels, counts, reduction="none", **options)
    assert got.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    mean = sum(expected) / len(expected)
    assert ldam_loss(logits, labels, counts, **options).item() == pytest.approx(mean, rel=1e-9)
    weight = torch.arange(1.0, 1 + len(counts), dtype=torch.float64)
    weights = weight[labels].tolist()
    mean = sum(w * x for w, x in zip(weights, expected, strict=True)) / sum(weights)
    assert ldam_loss(logits, labels, counts, weight=weight, **options).item() == pytest.approx(
        mean, rel=1e-9
    )


def margins(counts: list[int], **options: float) -> list[float]:
    """What is taken from each class: of logits that are all 0, log(exp(ℓ) − 1) − log(C − 1)."""
    classes = len(counts)
    losses = ldam_loss(
        torch.zeros(classes, classes, dtype=torch.float64),
        torch.arange(classes),
        counts,
        reduction="none",
        **options,
    )
    return (losses.expm1().log() - math.log(classes - 1)).tolist()


def test_the_margins_of_cifar100_lt() -> None:
    assert margins([500, 98, 5], scale=1.0) == pytest.approx([0.158, 0.238, 0.5], abs=5e-4)
    assert margins([500, 98, 5], scale=30.0) == pytest.approx([4.74, 7.13, 15.0], abs=5e-3)
    assert margins([500, 98, 5], scale=1.0, max_margin=0.3)[2] == pytest.approx(0.3)


def test_equal_counts_have_the_largest_margin() -> None:
    assert margins([7, 7, 7, 7], scale=2.0) == pytest.approx([1.0] * 4)


def test_the_scale_is_in_the_head() -> None:
    """Bare cosines, the margin taken from them, then the scale, as the authors write it."""
    torch.manual_seed(0)
    head, features = CosineHead(5, 3, scale=16.0).double(), torch.randn(6, 5).double()
    labels, counts = torch.tensor([0, 1, 2, 2, 1, 0]), [81, 16, 1]
    cosines = F.normalize(features) @ F.normalize(head.weight).T
    margin = 0.5 * torch.tensor([1 / 3, 1 / 2, 1.0]).double()
    expected = F.cross_entropy(16 * (cosines - margin * F.one_hot(labels, 3)), labels)
    torch.testing.assert_close(ldam_loss(head(features), labels, counts, scale=16.0), expected)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("nothing", [{"max_margin": 0.0}, {"scale": 0.0}])
def test_without_a_margin_it_is_cross_entropy(reduction, nothing) -> None:
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, -100, 1, 0])
    options = {"reduction": reduction, "weight": torch.tensor([0.5, 3.0, 0.1])}
    expected = F.cross_entropy(logits, labels, **options)
    torch.testing.assert_close(ldam_loss(logits, labels, [9, 3, 1], **nothing, **options), expected)


def test_a_class_without_images_leaves_the_margins_alone() -> None:
    logits, labels = torch.zeros(2, 3), torch.tensor([0, 2])
    with_it = ldam_loss(logits, labels, [81, 0, 1], reduction="none")
    assert torch.equal(with_it, ldam_loss(logits, labels, [81, 5, 1], reduction="none"))
    with pytest.raises(InputError) as caught:
        LDAMLoss({"ant": 81, "bee": 0, "cat": 1})(logits, torch.tensor([0, 1]))
    assert str(caught.value) == (
        "labels[1] is 'bee' (class 1), which has no training image in class_counts and so no "
        "margin of its own; give the counts of the data that the labels come from."
    )


def test_the_weighted_mean_of_deferred_reweighting() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double()
    labels, counts = torch.tensor([0, 0, 1, 2, 2]), [500, 98, 5]
    weight = class_balanced_weights(counts)
    losses = torch.tensor(slow_ldam(logits, labels, counts, 0.5, 30.0), dtype=torch.float64)
    expected = (weight[labels] * losses).sum() / weight[labels].sum()
    torch.testing.assert_close(LDAMLoss(counts, weight=weight)(logits, labels), expected)
