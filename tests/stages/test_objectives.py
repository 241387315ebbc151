"""The hand-written gradients of the head objectives against slow definitions and autograd."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from everyclass.losses import balanced_softmax_loss, gml_loss, label_aware_smoothing_loss
from everyclass.stages import Objective
from everyclass.stages.retraining.objectives import RunningMeans, Whole

KINDS = [
    ("gml", True),
    ("gml", False),
    ("balanced_softmax", True),
    ("cross_entropy", True),
    ("class_weighted", True),
]


def slow_loss(name: str, reweight: bool, logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """Eqs. 1–3, Balanced Softmax and cross entropy, one image at a time."""
    weighted = name == "balanced_softmax" or (name == "gml" and reweight)
    by_class: dict[int, list[Tensor]] = {}
    for row, label in zip(logits, labels.tolist(), strict=True):
        weights = counts if weighted else torch.ones_like(counts)
        shifted = (row - row.max()).exp() * weights
        by_class.setdefault(label, []).append(shifted[label] / shifted.sum())
    if name == "gml":
        means = [torch.stack(ps).mean() for ps in by_class.values()]
        return -torch.stack(means).log().mean()
    if name == "class_weighted":
        return -torch.stack([torch.stack(ps).log().mean() for ps in by_class.values()]).mean()
    return -torch.cat([torch.stack(ps) for ps in by_class.values()]).log().mean()


@st.composite
def problems(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    classes, n = draw(st.integers(2, 6)), draw(st.integers(1, 12))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = torch.from_numpy(generator.normal(scale=draw(st.floats(0.1, 8)), size=(n, classes)))
    labels = torch.from_numpy(generator.integers(classes, size=n))
    counts = torch.from_numpy(generator.integers(1, 2000, size=classes)).double()
    return logits, labels, counts


@pytest.mark.parametrize(("name", "reweight"), KINDS)
@given(problem=problems())
def test_value_and_gradient_equal_autograd_of_the_definition(
    name: str, reweight: bool, problem: tuple[Tensor, Tensor, Tensor]
) -> None:
    logits, labels, counts = problem
    leaf = logits.clone().requires_grad_()
    expected = slow_loss(name, reweight, leaf, labels, counts)
    (gradient,) = torch.autograd.grad(expected, leaf)
    objective = Objective(name, counts, reweight)  # type: ignore[arg-type]
    buffer = logits.clone()
    value, residual = objective.value_and_gradient(buffer, labels)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(residual, gradient, rtol=1e-8, atol=1e-12)
    assert residual.data_ptr() == buffer.data_ptr()  # no second buffer of that size


@pytest.mark.parametrize(("name", "reweight"), KINDS)
@given(problem=problems())
def test_values_are_those_of_the_public_losses(
    name: str, reweight: bool, problem: tuple[Tensor, Tensor, Tensor]
) -> None:
    logits, labels, counts = problem
    leaf = logits.clone().requires_grad_()
    if name == "gml":
        expected = gml_loss(leaf, labels, counts.long(), reweight=reweight)
    elif name == "balanced_softmax":
        expected = balanced_softmax_loss(leaf, labels, counts.long())
    elif name == "class_weighted":
        weight = 1 / labels.bincount(minlength=leaf.shape[1]).clamp(min=1).to(leaf)
        expected = torch.nn.functional.cross_entropy(leaf, labels, weight)
    else:
        expected = torch.nn.functional.cross_entropy(leaf, labels)
    (gradient,) = torch.autograd.grad(expected, leaf)
    objective = Objective(name, counts, reweight)  # type: ignore[arg-type]
    value, residual = objective.value_and_gradient(logits.clone(), labels)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(residual, gradient, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", ["class_weighted", "smoothing", "cross_entropy"])
def test_batches_drawn_at_random_have_the_whole_gradient_on_average(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(3).repeat_interleave(torch.tensor([30, 5, 1]))
    logits = torch.randn(36, 3, generator=generator, dtype=torch.float64)
    objective = Objective(name, torch.tensor([30.0, 5.0, 1.0]).double())  # type: ignore[arg-type]
    value, residual = objective.value_and_gradient(logits.clone(), labels)
    values, parts = [], torch.zeros_like(residual)
    for rows in torch.randperm(36, generator=generator).split(4):
        whole = Whole.of(labels[rows], 3, drawn=True)
        of_batch = objective.value_and_gradient(logits[rows].clone(), labels[rows], whole)
        values.append(of_batch[0])
        parts[rows] = of_batch[1]
    torch.testing.assert_close(torch.stack(values).mean(), value)
    torch.testing.assert_close(parts / len(values), residual)


def test_where_classes_are_drawn_alike_nothing_is_left_to_balance() -> None:
    logits, labels = torch.randn(6, 3), torch.tensor([0, 0, 1, 1, 2, 2])
    whole = Whole.of(labels, 3, drawn=True)
    counts = torch.tensor([500.0, 50.0, 5.0])
    plain = Objective("cross_entropy", counts).value_and_gradient(logits.clone(), labels)
    for name in ("class_weighted", "balanced_softmax"):
        balanced = Objective(name, counts, balanced=True)  # type: ignore[arg-type]
        torch.testing.assert_close(
            balanced.value_and_gradient(logits.clone(), labels, whole), plain
        )


@pytest.mark.parametrize(("name", "reweight"), KINDS)
@pytest.mark.parametrize("size", [1e3, 1e4])
def test_huge_float32_logits_stay_finite(name: str, reweight: bool, size: float) -> None:
    logits = torch.tensor([[size, -size, 0.0], [-size, size, 0.0], [0.0, 0.0, size]])
    labels = torch.tensor([0, 0, 1])  # the second and third as wrong as can be
    objective = Objective(name, torch.tensor([900.0, 30.0, 2.0]), reweight)  # type: ignore[arg-type]
    value, residual = objective.value_and_gradient(logits, labels)
    assert math.isfinite(value)
    assert residual.isfinite().all()


def test_gml_in_words() -> None:
    """Two classes, one with a good and a hopeless image: the mean of both is what counts."""
    logits = torch.tensor([[9.0, 9.0], [0.0, 0.0], [0.0, 0.0]])
    labels = torch.tensor([0, 0, 1])
    value, _ = Objective("gml", torch.tensor([3.0, 1.0])).value_and_gradient(logits, labels)
    assert float(value) == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)


# --- label-aware smoothing, and GML beside it -----------------------------------------------------


@given(
    problem=problems(),
    weight=st.sampled_from([0.0, 0.3, 1.0]),
    smoothing_of=st.sampled_from([(0.4, 0.1), (0.3, 0.0), (0.0, 0.0)]),
)
def test_smoothing_and_the_sum_are_those_of_the_public_losses(
    problem: tuple[Tensor, Tensor, Tensor], weight: float, smoothing_of: tuple[float, float]
) -> None:
    logits, labels, counts = problem
    leaf = logits.clone().requires_grad_()
    largest, smallest = smoothing_of
    each = label_aware_smoothing_loss(
        leaf,
        labels,
        counts.long(),
        smooth_head=largest,
        smooth_tail=smallest,
        reduction="none",
    )
    smoothing = torch.stack([each[labels == c].mean() for c in labels.unique()]).mean()
    both = smoothing + weight * gml_loss(leaf, labels, counts.long())
    for name, expected in (("smoothing", smoothing), ("gml_and_smoothing", both)):
        (gradient,) = torch.autograd.grad(expected, leaf, retain_graph=True)
        objective = Objective(
            name,  # type: ignore[arg-type]
            counts,
            gml_weight=weight,
            smoothing=smoothing_of,
        )
        value, residual = objective.value_and_gradient(logits.clone(), labels)
        torch.testing.assert_close(value, expected.detach(), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(residual, gradient, rtol=1e-8, atol=1e-12)


# --- running class means --------------------------------------------------------------------------


def with_means(objective: Objective, means: Tensor) -> RunningMeans:
    """Running means that stay where they are."""
    running = RunningMeans(objective, objective.counts, rate=0.0)
    running.means.copy_(means)
    return running


def running_problem() -> tuple[Tensor, Tensor, Tensor]:
    generator = np.random.default_rng(3)
    counts = torch.tensor([17.0, 8.0, 4.0, 1.0])  # one class of a single image: absent in most
    labels = torch.arange(4).repeat_interleave(counts.long())
    labels = labels[torch.from_numpy(generator.permutation(30))]
    logits = torch.from_numpy(generator.normal(scale=2, size=(30, 4)).astype(np.float32))
    return logits, labels, counts


def test_gradients_at_fixed_means_are_unbiased() -> None:
    logits, labels, counts = running_problem()
    objective = Objective("gml", counts)
    means = torch.tensor([0.5, 0.2, 0.3, 0.1])
    whole = with_means(objective, means).value_and_gradient(logits.clone(), labels)[1]
    for size in (1, 3, 10):
        running = with_means(objective, means)
        batches = []
        for at in range(0, 30, size):
            rows = slice(at, at + size)
            batches.append(running.value_and_gradient(logits[rows].clone(), labels[rows])[1])
        # Each batch stands for the whole set, so that their mean is the whole set's gradient.
        mean = torch.cat(batches) / len(batches)
        torch.testing.assert_close(mean, whole, rtol=1e-5, atol=1e-8)


def test_gradients_at_the_true_means_are_those_of_the_exact_objective() -> None:
    logits, labels, counts = running_problem()
    objective = Objective("gml", counts)
    p = (logits + counts.log()).softmax(dim=1)[torch.arange(30), labels]
    means = torch.zeros(4).index_add_(0, labels, p) / counts
    value, gradient = with_means(objective, means).value_and_gradient(logits.clone(), labels)
    exact_value, exact = objective.value_and_gradient(logits.clone(), labels)
    torch.testing.assert_close(value, exact_value)
    torch.testing.assert_close(gradient, exact, rtol=1e-4, atol=1e-7)


def test_several_views_of_each_image_change_nothing() -> None:
    logits, labels, counts = running_problem()
    objective = Objective("gml", counts)
    means = torch.tensor([0.5, 0.2, 0.3, 0.1])
    once = with_means(objective, means).value_and_gradient(logits.clone(), labels)[1]
    twice = RunningMeans(objective, 2 * counts, rate=0.0)
    twice.means.copy_(means)
    both = twice.value_and_gradient(logits.repeat(2, 1), labels.repeat(2))[1]
    torch.testing.assert_close(both[:30] + both[30:], once)


def test_means_are_tracked_only_where_a_class_is_there() -> None:
    objective = Objective("gml", torch.tensor([10.0, 10.0]), reweight=False)
    running = RunningMeans(objective, objective.counts, rate=0.5)
    sure = torch.tensor([[20.0, 0.0], [20.0, 0.0]])
    for expected in (0.75, 0.875):  # from ½ half the way to 1, twice; class 1 stays at ½
        value, _ = running.value_and_gradient(sure.clone(), torch.tensor([0, 0]))
        assert float(value) == pytest.approx(-(math.log(expected) + math.log(0.5)) / 2)
