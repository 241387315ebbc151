"""What PaCo, GPaCo and ProCo do with a batch, against their steps written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from written_out import (
    COUNTS,
    PRIOR,
    a_network,
    assert_same,
    balanced,
    batch_normed,
    features_of,
    of_length_one,
    some_views,
    weights_of,
)

from everyclass import ClassCounts, get_method
from everyclass.training import Learner, Recipe, Schedule, SgdSettings, fit

LABELS = torch.tensor([0, 0, 1, 0, 1])  # nothing is seen of class 2
DRAW = torch.Generator()


def a_learner(name: str, data: str | None = None) -> Learner:
    recipe = get_method(name, data)
    assert isinstance(recipe, Recipe)
    torch.manual_seed(0)
    return recipe.learner(a_network(), recipe.make_loss(ClassCounts(COUNTS))).train()


def learning(learner: Learner) -> list[Tensor]:
    return [weight for weight in learner.parameters() if weight.requires_grad]


@torch.no_grad()
def move(learner: Learner) -> None:
    """As a large step would."""
    for weight in learning(learner):
        weight.add_(torch.randn_like(weight))


def classified(learner: Learner, features: Tensor) -> Tensor:
    weight, bias = weights_of(learner.model.head)
    return features @ weight.T + bias


def projected(weights: list[Tensor], features: Tensor) -> Tensor:
    """One hidden layer with batch norm."""
    first, bias, gain, shift, last, last_bias = weights
    hidden = batch_normed(features @ first.T + bias, gain, shift).relu()
    return of_length_one(hidden @ last.T + last_bias)


def slow_paco(
    logits: Tensor,
    labels: Tensor,
    anchors: Tensor,
    others: Tensor,
    other_labels: Tensor,
    alpha: float = 0.01,
    temperature: float = 0.05,
) -> Tensor:
    """The loss, one anchor at a time; β and γ are 1."""
    losses = []
    for i, y in enumerate(labels):
        rest = torch.arange(len(labels)) != i
        contrasts = torch.cat([anchors[rest], others])
        alike = torch.cat([labels[rest], other_labels]) == y
        classes, images = logits[i] + PRIOR.log(), contrasts @ anchors[i] / temperature
        below = torch.cat([classes, images]).logsumexp(dim=0)
        drawn = classes[y] - below + alpha * (images[alike] - below).sum()
        losses.append(-drawn / (1 + alpha * alike.sum()))
    return torch.stack(losses).mean()


@pytest.mark.parametrize(
    ("data", "alpha", "temperature", "queue"),
    [(None, 0.01, 0.05, (1024, 32)), ("imagenet-lt", 0.05, 0.2, (8192, 128))],
)
def test_paco_contrasts_with_keys_of_a_copy_that_follows_slowly(
    data: str | None, alpha: float, temperature: float, queue: tuple[int, int]
) -> None:
    """The copy moves before it makes the keys, in training mode, and no gradient goes there."""
    learner = a_learner("paco", data)
    assert learner.queue.features.shape == queue
    parts = (learner.model.backbone, learner.projector)
    copy = [weight.detach() for weight in weights_of(*parts)]
    keys = torch.empty(0, queue[1], dtype=torch.float64)
    for step in range(3):
        query, key = some_views(2, seed=step)
        backbone, projector = map(weights_of, parts)
        copy = [
            0.999 * old + 0.001 * new.detach()
            for old, new in zip(copy, [*backbone, *projector], strict=True)
        ]
        outcome = learner([query, key], LABELS, DRAW)

        features = features_of(backbone, query)
        logits = classified(learner, features)
        anchors = projected(projector, features)
        new_keys = projected(copy[4:], features_of(copy[:4], key.detach()))
        keys, key_labels = torch.cat([keys, new_keys]), LABELS.repeat(step + 1)
        slow = slow_paco(logits, LABELS, anchors, keys, key_labels, alpha, temperature)
        assert_same(outcome.loss, slow, [*learning(learner), query, key])
        torch.testing.assert_close(outcome.logits.double(), logits, rtol=1e-4, atol=1e-5)
        for found, expected in zip(learner.key_encoder.parameters(), copy, strict=True):
            torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-6)
            assert not found.requires_grad
        filled = learner.queue.labels >= 0
        waiting = learner.queue.features[filled].double()
        torch.testing.assert_close(waiting, keys, rtol=0, atol=2e-5)
        assert torch.equal(learner.queue.labels[filled], key_labels)
        move(learner)


def test_gpaco_contrasts_both_views_with_each_other_and_with_earlier_second_ones() -> None:
    """One network with gradient for both, statistics of its own for each."""
    learner = a_learner("gpaco")
    assert learner.queue.features.shape == (1024, 32)
    earlier = torch.empty(0, 32, dtype=torch.float64)
    for step in range(3):
        views = some_views(2, seed=step)
        backbone = weights_of(learner.model.backbone)
        first, bias, second, second_bias, last, last_bias = weights_of(learner.projector)
        outcome = learner(views, LABELS, DRAW)

        features = torch.cat([features_of(backbone, view) for view in views])
        logits = classified(learner, features)
        hidden = ((features @ first.T + bias).relu() @ second.T + second_bias).relu()
        anchors = of_length_one(hidden @ last.T + last_bias)
        slow = slow_paco(logits, LABELS.repeat(2), anchors, earlier, LABELS.repeat(step))
        assert_same(outcome.loss, slow, [*learning(learner), *views])
        torch.testing.assert_close(outcome.logits.double(), logits[:5], rtol=1e-4, atol=1e-5)
        earlier = torch.cat([earlier, anchors[5:].detach()])
        filled = learner.queue.labels >= 0
        waiting = learner.queue.features[filled].double()
        torch.testing.assert_close(waiting, earlier, rtol=0, atol=2e-5)
        move(learner)


K = torch.arange(5_000, dtype=torch.float64)
SERIES = torch.lgamma(K + 1) + torch.lgamma(K + 64) + (2 * K + 63) * torch.tensor(2.0).log()


def log_bessel_less_power(x: Tensor) -> Tensor:
    """log I_63(x) − 63 log x, by the power series."""
    return (2 * K * x[:, None].log() - SERIES).logsumexp(dim=1)


def slow_contrasts(projections: Tensor, means: Tensor) -> Tensor:
    """Logits of von Mises–Fisher distributions on the sphere of 128 dimensions, T = 0.1."""
    lengths = means.square().sum(dim=1, keepdim=True).sqrt()
    concentrated = 128 * lengths / (1 - lengths.square()) * means / lengths
    alone = log_bessel_less_power(concentrated.norm(dim=1))
    rows = [log_bessel_less_power((concentrated + v / 0.1).norm(dim=1)) for v in projections]
    return torch.stack(rows) - alone


def test_proco_contrasts_each_view_with_means_that_know_it() -> None:
    """Of the last epoch and of this one so far; half of each, beside the classifier's loss."""
    learner = a_learner("proco")
    means = learner.class_means().double()  # random ones, of what has not been seen
    seen: list[tuple[int, Tensor, int]] = []
    for step, epoch in enumerate((1, 1, 2, 3)):
        if step != 1:
            learner.begin_epoch(epoch, 3)
        views = some_views(3, seed=step)
        outcome = learner(views, LABELS, DRAW)

        features = features_of(weights_of(learner.model.backbone), torch.cat(views))
        logits = classified(learner, features[:5])
        slow = balanced(logits, LABELS)
        projections = projected(weights_of(learner.projector), features)
        for view in (projections[5:10], projections[10:]):
            seen += [(epoch, *image) for image in zip(view.detach(), LABELS.tolist(), strict=True)]
            for c in (0, 1):
                recent = [v for when, v, y in seen if y == c and when >= epoch - 1]
                means[c] = torch.stack(recent).mean(dim=0)
            slow = slow + balanced(slow_contrasts(view, means), LABELS) / 2
        assert_same(outcome.loss, slow, [*learning(learner), *views])
        torch.testing.assert_close(outcome.logits.double(), logits, rtol=1e-4, atol=1e-5)
        move(learner)


class Still:
    """Stands in for the augmentation: always the same images."""

    def augmented(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        return some_views(1, seed=0)[0].detach()[rows]


@pytest.mark.parametrize("name", ["paco", "gpaco", "proco"])
def test_the_projector_learns_with_the_network(name: str) -> None:
    learner = a_learner(name)
    before = [weight.clone() for weight in learner.projector.parameters()]
    views = [Still()] * (1 + len(get_method(name).other_views))
    once = SgdSettings(schedule=Schedule(epochs=1, warmup_epochs=0), batch_size=5, weight_decay=0.0)
    fit(learner, views, LABELS, once, device=torch.device("cpu"))
    for old, weight in zip(before, learner.projector.parameters(), strict=True):
        assert weight.ndim == 1 or not torch.equal(old, weight)
