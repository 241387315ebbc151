"""Learning rates, epoch by epoch, as the recipes say them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everyclass.errors import InputError
from everyclass.training import Schedule, build_scheduler


def rates(schedule: Schedule) -> list[float]:
    """The learning rate in each epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=schedule.learning_rate)
    scheduler = build_scheduler(optimizer, schedule)
    seen = []
    for _ in range(schedule.epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_the_published_200_epochs() -> None:
    seen = rates(Schedule())
    expected = [0.1 * e / 5 for e in range(1, 6)]  # 0.02, 0.04, … in epochs 1 to 5
    expected += [0.1] * 155 + [0.001] * 20 + [0.00001] * 20
    assert seen == pytest.approx(expected, rel=1e-12)


def test_a_shorter_run_keeps_the_shape() -> None:
    seen = rates(Schedule(epochs=50, learning_rate=0.2))
    expected = [0.2 * e / 5 for e in range(1, 6)] + [0.2] * 35 + [0.002] * 5 + [0.00002] * 5
    assert seen == pytest.approx(expected, rel=1e-12)


def test_cosine_falls_from_the_peak_towards_zero() -> None:
    schedule = Schedule(epochs=25, learning_rate=0.3, decay="cosine", warmup_epochs=5)
    seen = rates(schedule)
    expected = [0.3 * e / 5 for e in range(1, 6)]
    expected += [0.15 * (1 + math.cos(math.pi * k / 20)) for k in range(20)]
    assert seen == pytest.approx(expected, rel=1e-9)


def test_cosine_without_warmup() -> None:
    seen = rates(Schedule(epochs=4, learning_rate=1.0, decay="cosine", warmup_epochs=0))
    assert seen == pytest.approx([0.5 * (1 + math.cos(math.pi * k / 4)) for k in range(4)])


@pytest.mark.parametrize("decay", ["steps", "cosine"])
@pytest.mark.parametrize("milestones", [(0.8, 0.9), (1 / 3, 2 / 3), (0.1,)])
def test_one_epoch_runs_at_the_full_rate(decay: str, milestones: tuple[float, ...]) -> None:
    assert rates(Schedule(epochs=1, decay=decay, milestones=milestones)) == [0.1]  # type: ignore[arg-type]


@given(
    epochs=st.integers(1, 60),
    warmup=st.integers(0, 8),
    decay=st.sampled_from(["steps", "cosine"]),
    peak=st.floats(1e-3, 10),
)
def test_every_schedule_rises_to_its_peak_and_never_again(
    epochs: int, warmup: int, decay: str, peak: float
) -> None:
    schedule = Schedule(epochs, peak, decay, warmup)  # type: ignore[arg-type]
    seen = rates(schedule)
    top = seen.index(max(seen))
    assert seen[: top + 1] == sorted(seen[: top + 1])
    assert seen[top:] == sorted(seen[top:], reverse=True)
    assert min(seen) > 0
    assert max(seen) <= peak * (1 + 1e-9)
    if epochs > 2 * warmup + 2:
        assert max(seen) == pytest.approx(peak)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epochs": 0}, "epochs must be 1 or more; got 0"),
        ({"epochs": -3}, "epochs must be 1 or more; got -3"),
        ({"decay": "linear"}, "decay must be 'steps' or 'cosine'; got 'linear'"),
        ({"milestones": (160, 180)}, "as a fraction of the epochs, .* at most 1; got 160"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0"),
        ({"warmup_epochs": -1}, "warmup_epochs must be 0 or more"),
        ({"step_factor": 0.0}, "step_factor must be above 0"),
    ],
)
def test_what_is_no_schedule_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Schedule(**settings)
