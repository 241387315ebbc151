"""Steps of one view and one loss: GML from scratch, and Nesterov's momentum."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from written_out import (
    COUNTS,
    PRIOR,
    a_network,
    assert_same,
    cross_entropy,
    features_of,
    some_views,
    weights_of,
)

from everyclass import ClassCounts, DataConfig, get_method, pretrain
from everyclass.training import (
    Recipe,
    Schedule,
    SgdSettings,
    Supervised,
    fit,
    load_checkpoint,
)

LABELS = torch.tensor([0, 0, 1, 0, 1])


def said_by(weights: list[Tensor], images: Tensor) -> Tensor:
    *backbone, weight, bias = weights
    return features_of(backbone, images) @ weight.T + bias


def test_gml_from_scratch_is_a_mean_over_the_classes_of_the_batch() -> None:
    """Of minus the log of the mean probability; class 2 is not there. All else is as in ce."""
    recipe, ce = get_method("gml"), get_method("ce")
    assert isinstance(recipe, Recipe)
    learner = recipe.learner(a_network(), recipe.make_loss(ClassCounts(COUNTS))).train()
    views = some_views(1, seed=0)
    outcome = learner(views, LABELS, torch.Generator())
    logits = said_by(weights_of(learner.model), views[0])
    p = (-cross_entropy(logits + PRIOR.log(), LABELS)).exp()
    slow = -(p[LABELS == 0].mean().log() + p[LABELS == 1].mean().log()) / 2
    assert_same(outcome.loss, slow, learner.parameters())
    assert {**recipe.to_dict(), "name": "ce"} == ce.to_dict()


class Still:
    """Stands in for the augmentation: always the same images."""

    def augmented(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        return some_views(1, seed=0)[0].detach()[rows]


def test_nesterov_steps_ahead_by_the_momentum() -> None:
    """v ← 0.8 v + g and w ← w − rate · (g + 0.8 v), twice, g with the decay of the weights."""
    model = a_network()
    weights = [weight.detach().requires_grad_() for weight in weights_of(model)]
    speed = [torch.zeros_like(weight) for weight in weights]
    for _ in range(2):
        loss = cross_entropy(said_by(weights, some_views(1, seed=0)[0].detach()), LABELS).mean()
        for weight, v, g in zip(weights, speed, torch.autograd.grad(loss, weights), strict=True):
            with torch.no_grad():
                g = g + 1e-2 * weight
                v.mul_(0.8).add_(g)
                weight.sub_(0.3 * (g + 0.8 * v))
    schedule = Schedule(epochs=2, learning_rate=0.3, warmup_epochs=0, milestones=())
    settings = SgdSettings(
        schedule=schedule, batch_size=5, momentum=0.8, nesterov=True, weight_decay=1e-2
    )
    learner = Supervised(model, nn.CrossEntropyLoss())
    fit(learner, [Still()], LABELS, settings, device=torch.device("cpu"))
    for found, expected in zip(model.parameters(), weights, strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


def test_a_run_has_the_momentum_of_its_recipe(tmp_path: Path) -> None:
    ce = get_method("ce")
    assert isinstance(ce, Recipe)
    for nesterov in (False, True):
        recipe = replace(ce, nesterov=nesterov, momentum=0.7)
        where = tmp_path / str(nesterov)
        run = pretrain(recipe, DataConfig("digits-lt", 20), epochs=1, out=where)
        for group in load_checkpoint(run.checkpoint)["optimizer"]["param_groups"]:
            assert group["nesterov"] is nesterov
            assert group["momentum"] == 0.7
