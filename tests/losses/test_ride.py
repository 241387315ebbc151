"""RIDE's loss against its equations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from everyclass.errors import InputError, InputTypeError
from everyclass.losses import RIDELoss, ldam_loss, ride_loss

COUNTS = [70, 1, 500]
LABELS = torch.tensor([0, 2, 2, 1])


def experts(count: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(count, 4, 3, generator=generator, dtype=torch.float64)
    return logits.requires_grad_()


def softmax(row: list[float]) -> list[float]:
    return [math.exp(x) / sum(map(math.exp, row)) for x in row]


def slow_ride(logits: Tensor, reweight: bool, diversity: float, r: float) -> float:
    weights, temperatures = [1.0] * 3, [1.0] * 3
    if reweight:
        effective = [(1 - 0.9999**n) / (1 - 0.9999) for n in COUNTS]
        weights = [3 / e / sum(1 / e for e in effective) for e in effective]
        v = [3 * n / sum(COUNTS) * r + 1 - r for n in COUNTS]
        temperatures = [x / max(v) for x in v]
    margins = [0.5 * (min(COUNTS) / n) ** 0.25 for n in COUNTS]
    total = 0.0
    for z in logits.tolist():
        above = below = 0.0
        for row, y in zip(z, LABELS.tolist(), strict=True):
            shifted = [x - 30 * margins[y] * (c == y) for c, x in enumerate(row)]
            above -= weights[y] * math.log(softmax(shifted)[y])
            below += weights[y]
        total += above / below
        for i, row in enumerate(z):
            mean = [sum(e[i][c] for e in logits.tolist()) / len(logits) for c in range(3)]
            together = softmax([m / t for m, t in zip(mean, temperatures, strict=True)])
            alone = softmax([x / t for x, t in zip(row, temperatures, strict=True)])
            divergence = sum(p * math.log(p / q) for p, q in zip(together, alone, strict=True))
            total -= diversity * (sum(temperatures) / 3) ** 2 * divergence / len(z)
    return total


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("reweight", [False, True])
def test_equals_the_equations(count: int, reweight: bool) -> None:
    logits = experts(count)
    settings = {"reweight": reweight, "diversity": 0.3, "flattening": 0.2}
    expected = slow_ride(logits, reweight, 0.3, 0.2)
    assert ride_loss(logits, LABELS, COUNTS, **settings).item() == pytest.approx(expected)
    assert RIDELoss(COUNTS, **settings)(logits, LABELS).item() == pytest.approx(expected)


def test_without_diversity_every_expert_is_on_its_own() -> None:
    logits = experts()
    alone = sum(ldam_loss(z, LABELS, COUNTS) for z in logits)
    torch.testing.assert_close(ride_loss(logits, LABELS, COUNTS, diversity=0.0), alone)


def test_the_mean_has_no_gradient() -> None:
    """d/dz_i of −λ KL(mean ‖ i) is −λ (softmax(z_i) − mean's probabilities) / n."""
    logits = experts()
    with_it = torch.autograd.grad(ride_loss(logits, LABELS, COUNTS), logits)[0]
    without = torch.autograd.grad(ride_loss(logits, LABELS, COUNTS, diversity=0.0), logits)[0]
    together = logits.mean(dim=0).softmax(dim=1)
    torch.testing.assert_close(with_it - without, -0.45 * (logits.softmax(dim=2) - together) / 4)


def test_bad_input_is_refused() -> None:
    text = r"expert_logits must be a tensor \(experts, n, C\), one expert or more, C ≥ 1; got "
    for wrong, got in (
        (experts()[0], r"shape \(4, 3\)\."),
        (experts()[:0], r"shape \(0, 4, 3\)\."),
        (experts().tolist(), r"list\."),
        (experts().detach().numpy(), r"ndarray\."),
    ):
        with pytest.raises(InputError, match=text + got):
            ride_loss(wrong, LABELS, COUNTS)
        with pytest.raises(InputError, match=text + got):
            RIDELoss(COUNTS)(wrong, LABELS)
    with pytest.raises(InputTypeError, match=r"logits must be floating-point numbers; got .*int64"):
        ride_loss(experts().long(), LABELS, COUNTS)
    with pytest.raises(InputTypeError, match="labels must be integers"):
        ride_loss(experts(), LABELS.float(), COUNTS)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("diversity", -0.1, "0 or more"),
        ("max_margin", -1, "0 or more"),
        ("scale", -3.0, "0 or more"),
        ("flattening", 2.0, "from 0 to 1"),
    ],
)
def test_settings_are_looked_at_at_once(name, value, allowed) -> None:
    for call in (RIDELoss, lambda counts, **how: ride_loss(experts(), LABELS, counts, **how)):
        with pytest.raises(InputError, match=rf"^{name} must be {allowed}; got {value}\.$"):
            call(COUNTS, **{name: value})
