"""RIDE: three experts over a shared first stage, each fitting the labels in its own way.

Wang et al. 2021. Every expert has an LDAM loss of its own and is rewarded for differing from the
mean of all; in the last fifth rare classes weigh more. As in the published code: the divergence is
from the mean (the paper compares each pair), the margins and the deferral are LDAM's, the weights
those of Cui et al., SGD with Nesterov's momentum, × 0.01 after epochs 160 and 180, rotation by up
to 15°. The network answers with the mean of the experts' logits. On ImageNet-LT a ResNeXt-50 whose
last two stages are each expert's own and narrower, less diversity, and 100 epochs, × 0.1 after 60
and 80.

The weight of diversity is the 0.45 of the newest published configuration; earlier ones have less,
and users report a point more without any (docs/reproduction.md).

Published defects, not copied: the best epoch on the test set is kept; without the diversity term
the code silently gives every expert the mean logits.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from everyclass.artifacts import ClassCounts
from everyclass.losses import DeferredLoss, DistillationLoss, RIDELoss
from everyclass.nn import Classifier, ExpertHead
from everyclass.training import Learner, Outcome, Recipe, Schedule

DISTILLATION_TEMPERATURE = 1.5


class Experts(Learner):
    """The logits of each expert; with a teacher also its word on their mean."""

    def __init__(self, model: Classifier, loss: nn.Module, **options: Any) -> None:
        super().__init__(model, loss, **options)
        self.follow = DistillationLoss(temperature=DISTILLATION_TEMPERATURE)

    def forward(
        self, views: Sequence[Tensor], labels: Tensor, generator: torch.Generator
    ) -> Outcome:
        """The loss of one batch."""
        (images,) = views
        head = self.model.head
        assert isinstance(head, ExpertHead)
        with self.autocast():
            features = self.model.backbone(images)
        expert_logits = head.expert_logits(features)
        logits = expert_logits.mean(dim=0)
        loss = self.loss(expert_logits, labels)
        if self.teachers:
            loss = loss + self.follow(logits, self.taught(images))
        return Outcome(loss, logits)


def ride_loss(
    counts: ClassCounts, *, diversity: float = 0.45, flattening: float = 0.05
) -> DeferredLoss:
    """RIDE's loss, re-weighted in the last fifth of the training."""
    kind = partial(RIDELoss, counts, diversity=diversity, flattening=flattening)
    return DeferredLoss(kind(), kind(reweight=True), start=0.8)


RECIPE = Recipe(
    name="ride",
    summary="three experts that differ from each other",
    source="Wang et al. 2021",
    loss=ride_loss,
    learner=Experts,
    backbone="resnet32-3-experts",
    head="3-experts",
    augmentation="rotation",
    nesterov=True,
    weight_decay=5e-4,
)

ON = {
    "imagenet-lt": replace(
        RECIPE,
        backbone="resnext50_32x4d-3-experts",
        loss=partial(ride_loss, diversity=0.2, flattening=0.02),
        augmentation="jitter",
        schedule=Schedule(epochs=100, milestones=(0.6, 0.8), step_factor=0.1),
        batch_size=256,
        weight_decay=2e-4,
    )
}
