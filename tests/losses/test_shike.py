"""SHIKE's loss against its equation, written with loops over images and classes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from everyclass.errors import InputError, InputTypeError
from everyclass.losses import SHIKELoss, shike_loss

LABELS = torch.tensor([0, 2, 3, 1])
CLASSES = range(5)


def experts(count: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(count, 4, 5, generator=generator, dtype=torch.float64)
    return logits.requires_grad_()


def softmax(row: dict[int, float]) -> dict[int, float]:
    total = sum(map(math.exp, row.values()))
    return {c: math.exp(x) / total for c, x in row.items()}


def divergence(p: dict[int, float], q: dict[int, float]) -> float:
    return sum(p[c] * math.log(p[c] / q[c]) for c in p)


def slow_shike(logits: Tensor, hardest: float, mutual: float) -> float:
    total = 0.0
    for i, y in enumerate(LABELS.tolist()):
        rows = [dict(enumerate(z[i].tolist())) for z in logits]
        others = [c for c in CLASSES if c != y]
        means = {c: sum(row[c] for row in rows) / len(rows) for c in others}
        worst = max(others, key=means.__getitem__)
        largest = {c: max(row[c] for row in rows) for c in others}
        followed = softmax({**largest, worst: means[worst]})
        for e, row in enumerate(rows):
            total -= math.log(softmax(row)[y])
            rest = softmax({c: row[c] for c in others})
            total += hardest / len(CLASSES) * divergence(followed, rest)
            for j, other in enumerate(rows):
                if j != e:
                    total += mutual / len(CLASSES) * divergence(softmax(other), softmax(row))
    return total / len(LABELS)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(("hardest", "mutual"), [(10.0, 1.0), (0.0, 2.0), (3.0, 0.0)])
def test_equals_the_equation(count: int, hardest: float, mutual: float) -> None:
    logits = experts(count)
    expected = pytest.approx(slow_shike(logits, hardest, mutual))
    settings = {"hardest": hardest, "mutual": mutual}
    assert shike_loss(logits, LABELS, **settings).item() == expected
    assert SHIKELoss(**settings)(logits, LABELS).item() == expected


def test_experts_of_one_mind_have_only_the_labels_to_learn() -> None:
    alone = experts(1)
    together = alone.expand(3, -1, -1)
    assert shike_loss(together, LABELS).item() == pytest.approx(
        3 * torch.nn.functional.cross_entropy(alone[0], LABELS).item()
    )


def test_a_constant_of_each_image_changes_nothing() -> None:
    logits = experts()
    constants = 50 * torch.randn(1, 4, 1, dtype=torch.float64)
    torch.testing.assert_close(shike_loss(logits + constants, LABELS), shike_loss(logits, LABELS))


def test_bad_input_is_refused() -> None:
    logits = experts()
    text = r"must be a tensor \(experts, n, C\), one expert or more, C ≥ 2; got shape"
    for wrong in (logits[0], logits[:, :, :1], logits[:0]):
        with pytest.raises(InputError, match=text):
            shike_loss(wrong, LABELS)
    with pytest.raises(InputError, match=r"C ≥ 2; got list\."):
        shike_loss(logits.tolist(), LABELS)
    with pytest.raises(InputError, match=r"labels\[1\] is 5, outside 0\.\.4"):
        shike_loss(logits, torch.tensor([0, 5, 1, 1]))
    with pytest.raises(InputTypeError, match="labels must be integers"):
        shike_loss(logits, LABELS.float())
    with pytest.raises(InputError, match="empty"):
        shike_loss(logits[:, :0], LABELS[:0])
    with pytest.raises(InputError, match="hardest must be"):
        SHIKELoss(hardest=-1.0)
    with pytest.raises(InputError, match="mutual must be"):
        shike_loss(logits, LABELS, mutual=float("nan"))
