"""What RIDE, its routers and SHIKE do with a batch, against their steps written out."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from written_out import (
    COUNTS,
    assert_same,
    balanced,
    cross_entropy,
    divergence,
    of_length_one,
    some_views,
    weights_of,
)

from everyclass import ClassCounts, get_method
from everyclass.nn import Classifier, build_classifier
from everyclass.training import Learner, Recipe

LABELS = torch.tensor([0, 0, 1, 2, 1])
DRAW = torch.Generator()


def a_network(experts: int = 3, kind: str = "", seed: int = 0) -> Classifier:
    return build_classifier(f"mlp-{experts}-experts", 3, seed=seed, head=f"{experts}-experts{kind}")


def a_learner(
    name: str, data: str | None = None, kind: str = "", teachers: tuple[Classifier, ...] = ()
) -> Learner:
    recipe = get_method(name, data)
    assert isinstance(recipe, Recipe)
    given = {"teachers": teachers} if teachers else {}
    return recipe.learner(a_network(kind=kind), recipe.make_loss(ClassCounts(COUNTS)), **given)


def parts_of(model: Classifier, images: Tensor) -> list[Tensor]:
    """The feature of each expert, of length one."""
    weight, bias, *branches = weights_of(model.backbone)
    shared = (images.double().flatten(1) @ weight.T + bias).relu()
    pairs = zip(branches[::2], branches[1::2], strict=True)
    return [of_length_one((shared @ own.T + own_bias).relu()) for own, own_bias in pairs]


def logits_of(model: Classifier, images: Tensor) -> list[Tensor]:
    """30 times the cosines of each expert."""
    directions = model.head.weight.double().unbind()
    parts = parts_of(model, images)
    return [30 * part @ of_length_one(d).T for part, d in zip(parts, directions, strict=True)]


def mean_of(logits: list[Tensor]) -> Tensor:
    return torch.stack(logits).mean(dim=0)


def slow_ride(logits: list[Tensor], diversity: float, r: float, late: bool) -> Tensor:
    counts = torch.tensor(COUNTS, dtype=torch.float64)
    weights, temperatures = torch.ones(3).double(), torch.ones(3).double()
    if late:
        rare = 1 / (1 - 0.9999**counts)
        weights = 3 * rare / rare.sum()
        flat = 3 * counts / counts.sum() * r + 1 - r
        temperatures = flat / flat.max()
    margins = 0.5 * (counts.min() / counts) ** 0.25
    mean = mean_of(logits).detach()
    total = torch.zeros(()).double()
    for own in logits:
        less = 30 * margins * torch.nn.functional.one_hot(LABELS, 3)
        total = total + weights[LABELS] @ cross_entropy(own - less, LABELS) / weights[LABELS].sum()
        differs = divergence(mean / temperatures, own / temperatures)
        total = total - diversity * temperatures.mean() ** 2 * differs
    return total


@pytest.mark.parametrize(("epoch", "late"), [(8, False), (9, True)])
@pytest.mark.parametrize(
    ("data", "diversity", "r"), [(None, 0.45, 0.05), ("imagenet-lt", 0.2, 0.02)]
)
def test_ride_fits_each_expert_and_answers_with_their_mean(
    data: str | None, diversity: float, r: float, epoch: int, late: bool
) -> None:
    """Rare classes weigh more in the last fifth."""
    learner, views = a_learner("ride", data), some_views(1, seed=0, size=8)
    learner.begin_epoch(epoch, 10)
    outcome = learner(views, LABELS, DRAW)
    logits = logits_of(learner.model, views[0])
    slow = slow_ride(logits, diversity, r, late)
    assert_same(outcome.loss, slow, learner.parameters())
    torch.testing.assert_close(outcome.logits.double(), mean_of(logits), rtol=1e-4, atol=1e-4)


def test_ride_distilled_adds_once_what_the_mean_of_six_says_to_the_mean_of_three() -> None:
    teacher, views = a_network(6, seed=1), some_views(1, seed=0, size=8)
    learner = a_learner("ride-distilled", teachers=(teacher,))
    outcome = learner(views, LABELS, DRAW)
    logits = logits_of(learner.model, views[0])
    taught = mean_of(logits_of(teacher, views[0])).detach()
    slow = slow_ride(logits, 0.45, 0.05, late=False)
    slow = slow + 1.5**2 * divergence(taught / 1.5, mean_of(logits) / 1.5)
    assert_same(outcome.loss, slow, learner.model.parameters())
    assert not any(weight.requires_grad for weight in teacher.parameters())


def test_shike_adds_up_the_balanced_softmax_of_each_expert() -> None:
    learner, views = a_learner("shike"), some_views(1, seed=0, size=8)
    outcome = learner(views, LABELS, DRAW)
    logits = logits_of(learner.model, views[0])
    slow = sum(balanced(own, LABELS) for own in logits)
    assert_same(outcome.loss, slow, learner.parameters())
    torch.testing.assert_close(outcome.logits.double(), mean_of(logits), rtol=1e-4, atol=1e-4)


def test_routers_learn_to_ask_where_a_later_answer_puts_a_wrong_one_right() -> None:
    """Yes weighs a hundred times as much as no; nothing but the routers learns."""
    learner = a_learner("ride-assigned", kind="-routed")
    images = torch.randn(200, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(200) % 3
    outcome = learner([images], labels, DRAW)
    head, logits = learner.model.head, logits_of(learner.model, images)
    running = [mean_of(logits[: asked + 1]).detach() for asked in range(3)]
    parts = [part.detach() for part in parts_of(learner.model, images)]
    weight, bias = weights_of(head.router)
    losses, cases = [], set()
    for i, label in enumerate(labels):
        right = [bool(answer[i].argmax() == label) for answer in running]
        cases.add(tuple(right))
        for step in (0, 1):
            own, own_bias = weights_of(head.hidden[step])
            largest = running[step][i].sort(descending=True).values
            seen = torch.cat([(own @ parts[step][i] + own_bias).relu(), largest])
            yes = (weight @ seen + bias).sigmoid()
            ask = not right[step] and any(right[step + 1 :])
            losses.append(-100 * yes.log() if ask else -(1 - yes).log())
    assert cases == set(itertools.product([False, True], repeat=3))
    assert_same(outcome.loss, torch.stack(losses).mean(), learner.parameters())
    torch.testing.assert_close(outcome.logits.double(), running[-1], rtol=1e-4, atol=1e-4)
