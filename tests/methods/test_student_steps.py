"""What students learn from their teachers, against their steps written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from written_out import (
    COUNTS,
    a_network,
    assert_same,
    balanced,
    divergence,
    features_of,
    some_views,
    weights_of,
)

from everyclass import ClassCounts, get_method
from everyclass.data import Mixup
from everyclass.nn import Classifier
from everyclass.training import Learner, Recipe

LABELS = torch.tensor([0, 0, 1, 2, 1])


def a_teacher(seed: int) -> Classifier:
    """One whose running statistics are not those of any batch."""
    teacher = a_network(seed)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        teacher.backbone[2].running_mean.copy_(torch.randn(8, generator=draw))
        teacher.backbone[2].running_var.copy_(1 + torch.rand(8, generator=draw))
    return teacher


def a_student(name: str, data: str | None, *teachers: Classifier, **options: Any) -> Learner:
    recipe = get_method(name, data)
    assert isinstance(recipe, Recipe)
    loss = recipe.make_loss(ClassCounts(COUNTS))
    return recipe.learner(a_network(), loss, teachers=teachers, **options).train()


def said_by(student: Classifier, images: torch.Tensor) -> torch.Tensor:
    """Logits in training mode."""
    weight, bias = weights_of(student.head)
    return features_of(weights_of(student.backbone), images) @ weight.T + bias


def taught_by(teacher: Classifier, images: torch.Tensor) -> torch.Tensor:
    """Logits in evaluation mode."""
    first, bias, gain, shift = weights_of(teacher.backbone)
    norm = teacher.backbone[2]
    hidden = images.double().flatten(1) @ first.T + bias
    hidden = (hidden - norm.running_mean) / (norm.running_var + 1e-5).sqrt() * gain + shift
    last, last_bias = weights_of(teacher.head)
    return (hidden.relu() @ last.T + last_bias).detach()


@pytest.mark.parametrize(
    ("data", "temperature", "power"), [(None, 2.0, 0.5), ("imagenet-lt", 9.0, 1.0)]
)
def test_dive_learns_half_from_labels_and_half_from_a_flattened_teacher(
    data: str | None, temperature: float, power: float
) -> None:
    teacher = a_teacher(1)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    learner, views = a_student("dive", data, teacher), some_views(1, seed=0)
    outcome = learner(views, LABELS, torch.Generator())
    logits, taught = said_by(learner.model, views[0]), taught_by(teacher, views[0].detach())
    flat = (taught / temperature).softmax(dim=1) ** power
    soft = temperature**2 * divergence(flat.log(), logits / temperature)
    slow = 0.5 * balanced(logits, LABELS) + 0.5 * soft
    assert_same(outcome.loss, slow, [*learner.model.parameters(), *views])
    torch.testing.assert_close(outcome.logits.double(), logits, rtol=1e-4, atol=1e-5)
    assert not any(weight.requires_grad for weight in teacher.parameters())
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


def test_distilled_follows_the_mean_of_teachers_who_see_the_same_mixed_images() -> None:
    teachers, mixing = [a_teacher(1), a_teacher(2)], Mixup(alpha=1.0)
    learner = a_student("distilled", None, *teachers, mixing=mixing)
    images = some_views(1, seed=0)[0].detach()
    outcome = learner([images], LABELS, torch.Generator().manual_seed(3))
    mixed = mixing(images, LABELS, torch.Generator().manual_seed(3)).images
    assert not torch.equal(mixed, images)
    logits = said_by(learner.model, mixed)
    taught = sum(taught_by(teacher, mixed) for teacher in teachers) / 2
    slow = 2.0**2 * divergence(taught / 2.0, logits / 2.0)
    assert_same(outcome.loss, slow, learner.model.parameters())
