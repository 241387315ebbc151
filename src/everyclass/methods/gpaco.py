"""GPaCo: PaCo without the momentum copy; both views learn.

Cui et al. 2023. Both views go through the one network with gradient, both are anchors and both have
class logits; the queue keeps the second view's projections. The projector has three layers and no
batch norm. As in the authors' script for CIFAR100-LT at ratio 100: PaCo's constants at twice the
rate, with less blur in the second view. Half more work per step: a second backward pass.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from everyclass.methods.paco import QUEUE, WIDTH
from everyclass.methods.paco import RECIPE as PACO
from everyclass.nn import Classifier, FeatureQueue, Projector
from everyclass.training import Learner, Outcome


class GPaCo(Learner):
    """Two views, each with its logits, contrasted with each other and with earlier ones."""

    carried = ("projector", "queue")

    def __init__(self, model: Classifier, loss: nn.Module) -> None:
        super().__init__(model, loss)
        width = int(model.backbone.num_features)  # type: ignore[arg-type]
        self.projector = Projector((width, width, width, WIDTH), batch_norm=False)
        self.queue = FeatureQueue(QUEUE, WIDTH)

    def forward(
        self, views: Sequence[Tensor], labels: Tensor, generator: torch.Generator
    ) -> Outcome:
        """The loss of one batch."""
        with self.autocast():
            # One after the other, so that each view has batch statistics of its own, as published.
            features = torch.cat([self.model.backbone(view) for view in views])
            logits = self.model.classify(features)
            anchors = self.projector(features)
        both = labels.repeat(2)
        earlier = {"others": self.queue.features.clone(), "other_labels": self.queue.labels}
        loss = self.loss(logits, both, anchors=anchors, **earlier)
        self.queue.push(anchors[len(labels) :].detach(), labels)
        return Outcome(loss, logits[: len(labels)])


RECIPE = replace(
    PACO,
    name="gpaco",
    summary="PaCo without a momentum copy",
    source="Cui et al. 2023",
    learner=GPaCo,
    other_views=("contrastive-less-blur",),
    schedule=replace(PACO.schedule, learning_rate=0.1),
)
