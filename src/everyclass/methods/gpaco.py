"""GPaCo: PaCo without the momentum copy; both views learn.

Cui et al. 2023. Both views go through the one network with gradient, both are anchors and both have
class logits; the queue keeps the second view's projections. The projector has three layers and no
batch norm. The authors never released a configuration for CIFAR-LT: what their code for it passes
is PaCo's, with less blur in the second view, and that is taken here. A third more work per step.
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
            features = self.model.backbone(torch.cat(list(views)))
            logits = self.model.head(features).float()
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
)
