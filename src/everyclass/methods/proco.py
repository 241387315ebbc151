"""ProCo: contrast with the whole distribution of each class instead of with drawn images.

Du et al. 2024; the strongest published single ResNet-32. The projections of a class are taken to be
von Mises–Fisher, with a mean followed over the last epoch; the expected contrast then has a closed
form and gives class logits of its own. One strongly augmented view feeds the classifier, two
contrastive views the other logits; both carry log π.

As in the published code: rate 0.3 at batch 256, weight decay 2e-4, warm-up of ten epochs, × 0.1
after epochs 360 and 380 of 400. Different: log I_ν comes from its uniform expansion for large
orders instead of a recurrence (relative error 1e-9 at ν = 63), so that the gradient needs no
formula of its own; the batches that are left over are used; the last epoch is kept.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from everyclass.losses import BalancedSoftmaxLoss, von_mises_fisher_logits
from everyclass.nn import Classifier, ClassMeans, Projector
from everyclass.training import Learner, Outcome, Recipe, Schedule

HIDDEN, WIDTH = 512, 128
TEMPERATURE = 0.1


class ProCo(Learner):
    """A view for the classifier, two for the contrast with every class's distribution."""

    carried = ("projector", "class_means")

    def __init__(self, model: Classifier, loss: nn.Module) -> None:
        super().__init__(model, loss)
        width = int(model.backbone.num_features)  # type: ignore[arg-type]
        num_classes = len(loss.class_counts)  # type: ignore[arg-type]
        self.projector = Projector((width, HIDDEN, WIDTH))
        self.class_means = ClassMeans(num_classes, WIDTH)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Means forget what is older than an epoch."""
        super().begin_epoch(epoch, epochs)
        self.class_means.begin_epoch()

    def forward(
        self, views: Sequence[Tensor], labels: Tensor, generator: torch.Generator
    ) -> Outcome:
        """The loss of one batch."""
        with self.autocast():
            features = self.model.backbone(torch.cat(list(views)))
            logits = self.model.classify(features[: len(labels)])
            # The first view's is not used, but belongs to the batch statistics.
            _, *projections = self.projector(features).split(len(labels))
        loss = self.loss(logits, labels)
        for view in projections:  # the second is contrasted with means that know the first
            self.class_means.update(view.detach(), labels)
            contrasts = von_mises_fisher_logits(view, self.class_means(), temperature=TEMPERATURE)
            loss = loss + self.loss(contrasts, labels).float() / len(projections)
        return Outcome(loss, logits)


RECIPE = Recipe(
    name="proco",
    summary="contrast with the distribution of each class",
    source="Du et al. 2024",
    loss=BalancedSoftmaxLoss,
    learner=ProCo,
    augmentation="autoaugment",
    other_views=("contrastive-no-blur", "contrastive-no-blur"),
    schedule=Schedule(
        epochs=400, learning_rate=0.3, warmup_epochs=10, milestones=(0.9, 0.95), step_factor=0.1
    ),
    batch_size=256,
    weight_decay=2e-4,
)
