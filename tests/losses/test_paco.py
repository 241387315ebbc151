"""PaCo against its equations."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from torch import Tensor

from everyclass.errors import InputError, InputTypeError
from everyclass.losses import PaCoLoss, balanced_softmax_loss, paco_loss

COUNTS = [70, 1, 500]


def slow_paco(
    logits: Tensor, labels: Tensor, counts: list[int], settings: dict[str, float], **images: Tensor
) -> float:
    """The equations one number at a time."""
    anchors, others, other_labels = (
        images[name].tolist() for name in ("anchors", "others", "other_labels")
    )
    alpha, beta, gamma, t = (settings[n] for n in ("alpha", "beta", "gamma", "temperature"))
    total = 0.0
    for i, (row, y) in enumerate(zip(logits.tolist(), labels.tolist(), strict=True)):
        classes = [o + math.log(n / sum(counts)) for o, n in zip(row, counts, strict=True)]
        contrasts = [
            (z, label)
            for j, (z, label) in enumerate(
                [
                    *zip(anchors, labels.tolist(), strict=True),
                    *zip(others, other_labels, strict=True),
                ]
            )
            if j != i and label >= 0
        ]
        scores = [
            (sum(a * b for a, b in zip(anchors[i], z, strict=True)) / t, label)
            for z, label in contrasts
        ]
        below = sum(map(math.exp, classes)) + gamma * sum(math.exp(s) for s, _ in scores)
        own = [s for s, label in scores if label == y]
        drawn = beta * (classes[y] - math.log(below))
        drawn += alpha * sum(s - math.log(below) for s in own)
        total -= drawn / (beta + alpha * len(own))
    return total / len(labels)


def a_problem(seed: int, n: int, m: int, classes: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return {
        "logits": 3 * randn(n, classes),
        "labels": torch.randint(0, classes, (n,), generator=generator),
        "anchors": F.normalize(randn(n, 5)),
        "others": F.normalize(randn(m, 5)),
        "other_labels": torch.randint(-1, classes, (m,), generator=generator),
    }


@given(
    st.integers(0, 2**31),
    st.integers(1, 6),
    st.integers(0, 8),
    st.sampled_from([0.0, 0.01, 0.7]),
    st.sampled_from([0.5, 1.0]),
    st.sampled_from([0.3, 1.0]),
    st.sampled_from([0.05, 0.5]),
)
def test_equals_the_equations(seed, n, m, alpha, beta, gamma, temperature) -> None:
    problem = a_problem(seed, n, m)
    settings = {"alpha": alpha, "beta": beta, "gamma": gamma, "temperature": temperature}
    got = paco_loss(class_counts=COUNTS, **problem, **settings)
    assert got.shape == ()
    expected = slow_paco(counts=COUNTS, settings=settings, **problem)
    assert got.item() == pytest.approx(expected, rel=1e-9)
    logits, labels = problem.pop("logits"), problem.pop("labels")
    assert PaCoLoss(COUNTS, **settings)(logits, labels, **problem) == got


def test_without_images_it_is_balanced_softmax() -> None:
    problem = a_problem(0, n=1, m=4)
    problem["other_labels"] = torch.full((4,), -1)
    logits, labels = problem["logits"], problem["labels"]
    torch.testing.assert_close(
        paco_loss(class_counts=COUNTS, **problem), balanced_softmax_loss(logits, labels, COUNTS)
    )


def test_gradcheck() -> None:
    problem = a_problem(1, n=5, m=6)
    ways = [problem.pop(name).requires_grad_() for name in ("logits", "anchors", "others")]

    def loss(logits: Tensor, anchors: Tensor, others: Tensor) -> Tensor:
        free = {"anchors": anchors, "others": others}
        return paco_loss(logits, class_counts=COUNTS, temperature=0.5, **free, **problem)

    assert torch.autograd.gradcheck(loss, ways)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_large_and_low_precision_logits_stay_finite(dtype: torch.dtype) -> None:
    problem = a_problem(2, n=6, m=8)
    problem |= {k: problem[k].to(dtype) for k in ("anchors", "others")}
    logits = (1e4 * problem.pop("logits")).to(dtype).requires_grad_()
    value = paco_loss(logits, class_counts=COUNTS, **problem)
    assert value.dtype == torch.float32
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"anchors": torch.zeros(4, 5)}, InputError, r"anchors must be \(n, p\)"),
        ({"others": torch.zeros(6, 4)}, InputError, r"anchors must be \(n, p\)"),
        ({"other_labels": torch.zeros(3)}, InputError, r"anchors must be \(n, p\)"),
        ({"other_labels": torch.zeros(6)}, InputTypeError, "other_labels must be integers"),
        (
            {"other_labels": torch.tensor([0, 1, 7, -1, 0, 0])},
            InputError,
            r"other_labels\[2\] is 7",
        ),
        ({"other_labels": torch.full((6,), -100)}, InputError, r"other_labels\[0\] is -100"),
        ({"others": [[0.0] * 5] * 6}, InputError, r"got shape \(5, 5\), list and shape \(6,\)"),
        ({"labels": torch.tensor([0, 1, 2, 3, 0])}, InputError, r"labels\[3\] is 3"),
        ({"labels": torch.zeros(5)}, InputTypeError, "labels must be integers"),
        ({"class_counts": [70, 1]}, InputError, "class_counts has 2 entries"),
        ({"temperature": 0.0}, InputError, "temperature must be above 0; got 0.0"),
        ({"beta": 0}, InputError, "beta must be above 0; got 0"),
        ({"alpha": -1.0}, InputError, "alpha must be 0 or more"),
    ],
)
def test_bad_input_is_refused(change: dict[str, Any], error: type[Exception], said: str) -> None:
    problem: dict[str, Any] = {**a_problem(0, n=5, m=6), "class_counts": COUNTS, **change}
    with pytest.raises(error, match=said):
        paco_loss(**problem)
