"""Label-aware smoothing: how much by class, and the loss in the paper's and the code's reading."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from torch import Tensor

from everyclass.data import long_tailed_counts
from everyclass.errors import InputError
from everyclass.losses import (
    LabelAwareSmoothingLoss,
    label_aware_smoothing_loss,
    smoothing_by_class,
)

PROFILES = {
    "concave": lambda x: math.sin(math.pi * x / 2),
    "linear": lambda x: x,
    "convex": lambda x: 1 + math.sin(1.5 * math.pi + math.pi * x / 2),  # as the authors write it
}


def slow_smoothing(counts: list[int], head: float, tail: float, profile: str) -> list[float]:
    positive = [n for n in counts if n]
    low, high = min(positive), max(positive)
    out = []
    for n in counts:
        x = (max(n, low) - low) / (high - low) if high > low else 0.0
        out.append(tail + (head - tail) * PROFILES[profile](x))
    return out


@st.composite
def all_counts(draw) -> list[int]:
    sizes = st.sampled_from([0, 1, 5, 98, 500, 10_000_000])
    return [*draw(st.lists(sizes, max_size=5)), draw(st.integers(1, 500))]


@given(all_counts(), st.sampled_from([(0.4, 0.1), (0.0, 0.3), (1.0, 0.0)]))
def test_the_smoothing_of_each_class(counts, ends) -> None:
    for profile in PROFILES:
        expected = slow_smoothing(counts, *ends, profile)
        options = {"smooth_head": ends[0], "smooth_tail": ends[1], "profile": profile}
        exact = smoothing_by_class(counts, dtype=torch.float64, **options)
        assert exact.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-15)
        rounded = smoothing_by_class(torch.tensor(counts), **options)
        assert rounded.dtype == torch.float32
        assert rounded.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_the_smoothing_of_cifar100_lt() -> None:
    smoothing = smoothing_by_class(long_tailed_counts(500, 100, 100))
    expected = [0.400, 0.349, 0.187, 0.113, 0.100]
    assert smoothing[[0, 10, 35, 70, 99]].tolist() == pytest.approx(expected, abs=5e-4)
    assert (smoothing.diff() <= 0).all()


@pytest.mark.parametrize("profile", PROFILES)
def test_the_ends_are_exact_and_equal_classes_have_no_head(profile) -> None:
    ends = smoothing_by_class([9, 0, 3, 5], profile=profile)[[0, 1, 2]]
    torch.testing.assert_close(ends, torch.tensor([0.4, 0.1, 0.1]))
    assert smoothing_by_class([7, 7, 7], profile=profile).tolist() == pytest.approx([0.1] * 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_narrow_type_is_that_of_the_result_alone(profile, dtype) -> None:
    counts = [100_000, 50, 5]  # float16 ends at 65,504
    narrow = smoothing_by_class(counts, profile=profile, dtype=dtype)
    exact = smoothing_by_class(counts, profile=profile, dtype=torch.float64)
    assert narrow.dtype == dtype
    assert torch.equal(narrow, exact.to(dtype))


def test_smoothing_outside_its_range() -> None:
    for name in ("smooth_head", "smooth_tail"):
        with pytest.raises(InputError, match=rf"^{name} must be from 0 to 1; got 1\.5\.$"):
            smoothing_by_class([3, 4], **{name: 1.5})
    with pytest.raises(InputError, match=r"^profile must be 'concave', 'linear' or 'convex'; got"):
        smoothing_by_class([3, 4], profile="exp")


# --- the loss --------------------------------------------------------------------------------


def batch(num_classes: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(7, num_classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(num_classes, (7,), generator=generator)


@given(st.lists(st.integers(1, 500), min_size=2, max_size=6), st.sampled_from(list(PROFILES)))
def test_equals_the_equations(counts, profile) -> None:
    classes = len(counts)
    logits, labels = batch(classes)
    smoothing = slow_smoothing(counts, 0.4, 0.1, profile)
    expected: dict[str, list[float]] = {"all": [], "others": []}
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        total = sum(math.exp(o) for o in row)
        costs = [-math.log(math.exp(o) / total) for o in row]
        e = smoothing[label]
        expected["all"].append((1 - e) * costs[label] + e * sum(costs) / classes)
        others = sum(cost for c, cost in enumerate(costs) if c != label)
        expected["others"].append((1 - e) * costs[label] + e * others / (classes - 1))
    for share, losses in expected.items():
        options = {"profile": profile, "share": share}
        got = label_aware_smoothing_loss(logits, labels, counts, reduction="none", **options)
        assert got.tolist() == pytest.approx(losses, rel=1e-9)
        got = label_aware_smoothing_loss(logits, labels, counts, **options)
        assert got.item() == pytest.approx(sum(losses) / 7, rel=1e-9)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("share", ["all", "others"])
def test_without_smoothing_it_is_cross_entropy(reduction, share) -> None:
    logits, labels = batch()
    labels[2] = -100
    options = {"reduction": reduction, "weight": torch.tensor([0.5, 3.0, 1.0, 0.1]).double()}
    got = label_aware_smoothing_loss(
        logits, labels, [9, 5, 3, 1], smooth_head=0.0, smooth_tail=0.0, share=share, **options
    )
    torch.testing.assert_close(got, F.cross_entropy(logits, labels, **options))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_equal_smoothing_is_torch_s(reduction) -> None:
    logits, labels = batch()
    equal = {"smooth_head": 0.2, "smooth_tail": 0.2, "reduction": reduction}
    got = label_aware_smoothing_loss(logits, labels, [9, 5, 3, 1], **equal)
    expected = F.cross_entropy(logits, labels, label_smoothing=0.2, reduction=reduction)
    torch.testing.assert_close(got, expected)
    soft = torch.full((7, 4), 0.2 / 3).double().scatter(1, labels[:, None], 0.8)
    got = label_aware_smoothing_loss(logits, labels, [9, 5, 3, 1], share="others", **equal)
    torch.testing.assert_close(got, F.cross_entropy(logits, soft, reduction=reduction))


def test_everything_given_away_leaves_the_label_out() -> None:
    logits, labels = batch(2)
    got = label_aware_smoothing_loss(
        logits, labels, [9, 1], smooth_head=1.0, smooth_tail=1.0, share="others"
    )
    torch.testing.assert_close(got, F.cross_entropy(logits, 1 - labels))


def slow_masked(row: Tensor, label: int, e: float, share: str) -> tuple[float, Tensor]:
    """The loss of one image and its gradient; what has weight 0 is left out of the sum."""
    classes = len(row)
    if share == "all":
        weights = torch.full((classes,), e / classes, dtype=torch.float64)
        weights[label] += 1 - e
    else:
        weights = torch.full((classes,), e / (classes - 1), dtype=torch.float64)
        weights[label] = 1 - e
    costs = -row.log_softmax(dim=0)
    return float(costs[weights > 0] @ weights[weights > 0]), row.softmax(dim=0) - weights


@pytest.mark.parametrize("share", ["all", "others"])
@pytest.mark.parametrize("e", [0.0, 0.1, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0])
@pytest.mark.parametrize(
    ("classes", "masked"), [(2, []), (2, [0]), (2, [1]), (4, [1]), (4, [0, 1]), (4, [0, 2, 3])]
)
def test_a_masked_class_matters_where_it_has_a_weight(classes, masked, e, share) -> None:
    logits, _ = batch(classes)
    logits[:, masked] = -math.inf
    logits.requires_grad_()
    labels = torch.arange(7) % classes
    options = {"smooth_head": e, "smooth_tail": e, "share": share}
    losses = label_aware_smoothing_loss(
        logits, labels, range(1, classes + 1), reduction="none", **options
    )
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    for i, label in enumerate(labels.tolist()):
        expected, slope = slow_masked(logits[i].detach(), label, e, share)
        assert losses[i].item() == pytest.approx(expected, rel=1e-9)
        torch.testing.assert_close(gradient[i], slope)


def test_a_masked_class_without_smoothing() -> None:
    logits = torch.tensor([[2.0, 1.0, -math.inf]])
    got = label_aware_smoothing_loss(
        logits, torch.tensor([1]), [90, 10, 5], smooth_head=0.0, smooth_tail=0.0
    )
    torch.testing.assert_close(got, F.cross_entropy(logits, torch.tensor([1])))


def test_logits_that_are_no_numbers_give_no_number() -> None:
    for bad in (math.nan, math.inf):
        logits = torch.tensor([[2.0, bad, 1.0], [2.0, 0.0, -math.inf]])
        for share in ("all", "others"):
            for e in (0.0, 0.3, 1.0):
                options = {"smooth_head": e, "smooth_tail": e, "share": share}
                got = label_aware_smoothing_loss(
                    logits, torch.tensor([0, 1]), [3, 3, 3], reduction="none", **options
                )
                assert got.isnan().tolist() == [True, False]


def test_a_label_of_a_class_without_images() -> None:
    logits, _ = batch()
    with pytest.raises(InputError) as caught:
        LabelAwareSmoothingLoss([9, 5, 0, 1])(logits, torch.tensor([0, 1, 2, 3, 0, 0, 0]))
    assert str(caught.value) == (
        "labels[2] is class 2, which has no training image in class_counts and so no smoothing of "
        "its own; give the counts of the data that the labels come from."
    )
