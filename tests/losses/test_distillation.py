"""Distillation and DiVE against their equations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from everyclass.errors import InputError, InputTypeError
from everyclass.losses import (
    DistillationLoss,
    DiVELoss,
    balanced_softmax_loss,
    distillation_loss,
    dive_loss,
)

COUNTS = [70, 1, 500]
LABELS = torch.tensor([0, 2, 2, 1])


def two() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits, teacher = 3 * torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    return logits.requires_grad_(), teacher


def softmax(row: list[float]) -> list[float]:
    return [math.exp(x) / sum(map(math.exp, row)) for x in row]


def slow_distillation(logits: Tensor, teacher: Tensor, t: float, power: float) -> float:
    total = 0.0
    for s, q in zip(logits.tolist(), teacher.tolist(), strict=True):
        raised = [p**power for p in softmax([x / t for x in q])]
        followed = [p / sum(raised) for p in raised]
        own = softmax([x / t for x in s])
        total += sum(a * math.log(a / b) for a, b in zip(followed, own, strict=True))
    return t**2 * total / len(logits)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("power", [0.5, 1.0])
def test_equals_the_equations(temperature: float, power: float) -> None:
    logits, teacher = two()
    expected = slow_distillation(logits, teacher, temperature, power)
    got = distillation_loss(logits, teacher, temperature=temperature, power=power)
    assert got.item() == pytest.approx(expected, rel=1e-9)
    assert DistillationLoss(temperature=temperature, power=power)(logits, teacher) == got
    settings = {"alpha": 0.3, "temperature": temperature, "power": power}
    whole = 0.7 * balanced_softmax_loss(logits, LABELS, COUNTS).item() + 0.3 * expected
    assert dive_loss(logits, LABELS, COUNTS, teacher, **settings).item() == pytest.approx(whole)
    assert DiVELoss(COUNTS, **settings)(logits, LABELS, teacher).item() == pytest.approx(whole)


def test_whole_numbers_are_no_logits() -> None:
    whole = torch.zeros(4, 3, dtype=torch.int64)
    for pair in ((whole, whole), (whole, whole.float()), (whole.float(), whole)):
        with pytest.raises(InputTypeError, match="floating-point"):
            distillation_loss(*pair)


def test_a_student_that_is_its_teacher_has_nothing_to_learn() -> None:
    logits, _ = two()
    assert distillation_loss(logits, logits, temperature=2.0).item() == pytest.approx(0, abs=1e-12)


def test_constants_of_either_change_nothing() -> None:
    logits, teacher = two()
    expected = distillation_loss(logits, teacher, temperature=2.0)
    constants = 50 * torch.randn(4, 1, dtype=torch.float64)
    for pair in ((logits + constants, teacher), (logits, teacher + constants)):
        torch.testing.assert_close(distillation_loss(*pair, temperature=2.0), expected)


def test_the_teacher_has_no_gradient() -> None:
    logits, teacher = two()
    teacher.requires_grad_()
    dive_loss(logits, LABELS, COUNTS, teacher).backward()
    assert teacher.grad is None
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


def test_bad_input_is_refused() -> None:
    logits, teacher = two()
    fitting = r"must both be tensors \(n, C\), n ≥ 1; got"
    with pytest.raises(InputError, match=rf"{fitting} shape \(4, 3\) and shape \(4, 2\)\."):
        distillation_loss(logits, teacher[:, :2])
    with pytest.raises(InputError, match=fitting):
        distillation_loss(logits[:0], teacher[:0])
    for pair in ((logits.tolist(), teacher), (logits, teacher.numpy())):
        with pytest.raises(InputError, match=rf"{fitting} .*(list|ndarray)"):
            distillation_loss(*pair)
    with pytest.raises(InputError, match=rf"{fitting} shape \(4, 3\) and list\."):
        dive_loss(logits, LABELS, COUNTS, teacher.tolist())


@pytest.mark.parametrize("module", [DistillationLoss, lambda **how: DiVELoss(COUNTS, **how)])
@pytest.mark.parametrize("name", ["temperature", "power"])
def test_settings_are_looked_at_at_once(module, name) -> None:
    logits, teacher = two()
    for value in (0, -1.0, float("nan")):
        with pytest.raises(InputError, match=rf"^{name} must be above 0; got {value}\.$"):
            module(**{name: value})
        with pytest.raises(InputError, match=rf"^{name} must be above 0; got {value}\.$"):
            distillation_loss(logits, teacher, **{name: value})
    assert distillation_loss(logits, teacher, **{name: 1e-7}).isfinite()


def test_alpha_is_a_share() -> None:
    logits, teacher = two()
    with pytest.raises(InputError, match="alpha must be from 0 to 1"):
        dive_loss(logits, LABELS, COUNTS, teacher, alpha=1.5)
    with pytest.raises(InputError, match="alpha must be from 0 to 1"):
        DiVELoss(COUNTS, alpha=1.5)
