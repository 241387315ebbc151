"""PaCo: class centres and other images as contrasts in one softmax, under strong augmentation.

Cui et al. 2021. The query view goes through the network; the key view through a momentum copy of
it, in training mode, that is moved before each step; 1,024 earlier keys wait in a queue. The class
logits carry log π, so at test time the plain classifier is balanced already.

Decisions where published code and sense differ: the queue starts empty (the code fills it with
noise, along the wrong axis, and random labels); the last, smaller batch of an epoch is used (the
code drops it, as its queue needs equal batches); the warm-up ends at the full rate (the code
overshoots by a tenth in one epoch), and the rate falls an epoch earlier than there; the copy has no
classifier, which never entered the loss; the last epoch is kept, not the best on the test set.

On ImageNet-LT a ResNeXt-50, 400 epochs, queue of 8,192 keys of 128, temperature 0.2 (the authors'
script for this network says 0.07, their page 0.2). Its query's RandAugment is timm's in the code;
here it has that strength and torchvision's operations, which also solarize and darken. On Places-LT
a ResNet-152 with ImageNet weights, 30 epochs, of which the last block of convolutions learns. There
the authors also train scale and shift of every batch norm; here only the statistics of those follow
the batches.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from everyclass.losses import PaCoLoss
from everyclass.nn import Classifier, FeatureQueue, Projector
from everyclass.processes import gathered
from everyclass.training import Learner, Outcome, Recipe, Schedule

WIDTH = 32
QUEUE = 1024
MOMENTUM = 0.999


class PaCo(Learner):
    """A query view with its logits, contrasted with keys that a momentum copy makes."""

    carried = ("projector", "key_encoder", "queue")

    def __init__(
        self, model: Classifier, loss: nn.Module, *, projected: int = WIDTH, queue: int = QUEUE
    ) -> None:
        super().__init__(model, loss)
        width = int(model.backbone.num_features)  # type: ignore[arg-type]
        self.projector = Projector((width, width, projected))
        self.key_encoder = AveragedModel(
            self._encoder, multi_avg_fn=get_ema_multi_avg_fn(MOMENTUM)
        ).requires_grad_(False)
        self.queue = FeatureQueue(queue, projected)

    @property
    def _encoder(self) -> nn.Sequential:
        return nn.Sequential(self.model.backbone, self.projector)

    def forward(
        self, views: Sequence[Tensor], labels: Tensor, generator: torch.Generator
    ) -> Outcome:
        """The loss of one batch."""
        query, key = views
        self.key_encoder.update_parameters(self._encoder)
        with self.autocast():
            features = self.model.backbone(query)
            logits = self.model.classify(features)
            anchors = self.projector(features)
            with torch.no_grad():
                keys = self.key_encoder(key)
        others = torch.cat([gathered(keys), self.queue.features])
        other_labels = torch.cat([gathered(labels), self.queue.labels])
        loss = self.loss(logits, labels, anchors=anchors, others=others, other_labels=other_labels)
        self.queue.push(keys, labels)
        return Outcome(loss, logits)


RECIPE = Recipe(
    name="paco",
    summary="class centres and images as contrasts",
    source="Cui et al. 2021",
    loss=PaCoLoss,
    learner=PaCo,
    augmentation="autoaugment",
    other_views=("contrastive",),
    schedule=Schedule(epochs=400, learning_rate=0.05, warmup_epochs=10, step_factor=0.1),
    weight_decay=5e-4,
)

_LARGE = replace(
    RECIPE,
    loss=partial(PaCoLoss, alpha=0.05, temperature=0.2),
    learner=partial(PaCo, projected=128, queue=8192),
    other_views=("contrastive-jitter",),
)
ON = {
    "imagenet-lt": replace(
        _LARGE,
        backbone="resnext50_32x4d",
        augmentation="jitter-randaugment",
        schedule=Schedule(epochs=400, learning_rate=0.02, decay="cosine", warmup_epochs=10),
    ),
    "places-lt": replace(
        _LARGE,
        backbone="resnet152.tv_in1k",
        weights="pretrained",
        trained={"backbone.network.layer4.2": 1.0, "head": 1.0},
        shift_batch_norm=True,
        augmentation="contrastive-jitter",
        schedule=Schedule(epochs=30, learning_rate=0.02, decay="cosine", warmup_epochs=5),
    ),
}
