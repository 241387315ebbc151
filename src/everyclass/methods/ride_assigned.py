"""RIDE, stage 2: routers that decide, image by image, how many experts are asked.

Wang et al. 2021. The experts are finished and frozen; after each but the last a router learns to
say whether the next one should be asked: yes where the answer so far is wrong and a later one would
be right. Binary cross entropy with weight 100 on yes, class-balanced batches of 512, rate 0.01,
five epochs of cosine decay. Saves work at test time; accuracy hardly moves.

As in the published code a router sees the features of the expert that has just been asked, and SGD
has Nesterov's momentum.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from everyclass.data import ClassBalanced
from everyclass.methods.ride import RECIPE as RIDE
from everyclass.nn import RoutedExpertHead
from everyclass.training import Learner, Outcome, Recipe, Schedule


class Routers(Learner):
    """Whether asking more experts would put a wrong answer right."""

    def forward(
        self, views: Sequence[Tensor], labels: Tensor, generator: torch.Generator
    ) -> Outcome:
        """The loss of one batch."""
        (images,) = views
        head = self.model.head
        assert isinstance(head, RoutedExpertHead)
        with torch.no_grad(), self.autocast():
            features = self.model.backbone(images)
        running = head.running_logits(features).detach()
        right = running.argmax(dim=2) == labels
        later = right.flip(0).cummax(dim=0).values.flip(0)
        worth = ~right[:-1] & later[1:]
        scores = head.scores(features, running)
        return Outcome(self.loss(scores, worth.to(scores.dtype)), running[-1])


RECIPE = Recipe(
    name="ride-assigned",
    summary="routers that decide how many experts are asked",
    source="Wang et al. 2021",
    loss=lambda counts: nn.BCEWithLogitsLoss(pos_weight=torch.tensor(100.0)),
    learner=Routers,
    start=RIDE,
    head="3-experts-routed",
    keep_head=True,
    trained={"head.hidden": 1.0, "head.router": 1.0},
    sampler=ClassBalanced,
    augmentation="rotation",
    schedule=Schedule(epochs=5, learning_rate=0.01, decay="cosine", warmup_epochs=0),
    batch_size=512,
    nesterov=True,
    weight_decay=5e-4,
)
