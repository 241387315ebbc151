"""One network that learns from many: distilled from the rescued networks of five methods.

Each teacher is the network of a method under a head retrained by GML, so that it knows every class;
the student follows the mean of their logits, which is the geometric mean of their probabilities,
and needs no labels. What several networks know together, one of the same size can learn if it sees
what they see (Hinton et al. 2015) and is given long enough and images that are varied enough (Beyer
et al. 2022), so every batch is cut from two images each (CutMix) under AutoAugment and Cutout, and
teachers and student see the very same pixels. Images are drawn class by class, so that the student
listens to what is said of the rare ones as often as of the others: without labels nothing tells it
that they are frequent (docs/experiments.md). After 40 epochs the batches come again, so that the
teachers, who take most of the time, look at the first 40 only. It begins as PaCo's network, the
best of the same size, and at PaCo's rate: from scratch it is far behind for a long time (compared
on held-out images, docs/experiments.md). Ours, and beyond the paper: five other trainings and its
own, but one standard network when it is used.

On ImageNet-LT and Places-LT four teachers, which have recipes for these; network, first weights,
what of it is trained, augmentation and twice the schedule are those of cross entropy there, and
batches do not come again.

The teachers are methods that fail differently: margins, LADE, mixup, PaCo, and SHIKE's experts.
With heads retrained on one view before they are averaged, their mean has more harmonic mean on
held-out images than any of them; cross entropy and balanced softmax beside them add nothing
(docs/experiments.md).
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from everyclass.artifacts import ClassCounts, Features
from everyclass.data import ClassBalanced, CutMix, Mixup
from everyclass.losses import DistillationLoss
from everyclass.methods.bsce import RECIPE as BSCE
from everyclass.methods.ce import ON as CE_ON
from everyclass.methods.ce import RECIPE as CE
from everyclass.methods.lade import RECIPE as LADE
from everyclass.methods.ldam_drw import RECIPE as LDAM_DRW
from everyclass.methods.mixup import RECIPE as MIXUP
from everyclass.methods.paco import RECIPE as PACO
from everyclass.methods.shike_features import RECIPE as SHIKE_FEATURES
from everyclass.nn import Classifier, module_of_head
from everyclass.stages import Retraining, retrain
from everyclass.training import HeadRecipe, Learner, Outcome, Recipe, Schedule

TEMPERATURE = 2.0
REPEAT_AFTER = 40  # epochs: 434,000 different images of CIFAR100-LT, each seen five times


class Distilled(Learner):
    """The student's logits beside the teachers' mean, of the same, perhaps mixed, images."""

    def __init__(
        self,
        model: Classifier,
        loss: nn.Module,
        *,
        teachers: Sequence[Classifier],
        mixing: Mixup | CutMix | None = None,
    ) -> None:
        super().__init__(model, loss, teachers=teachers)
        self.mixing = mixing

    def forward(
        self, views: Sequence[Tensor], labels: Tensor, generator: torch.Generator
    ) -> Outcome:
        """The loss of one batch, in which the labels have no part."""
        (images,) = views
        if self.mixing is not None:
            images = self.mixing(images, labels, generator).images
        with self.autocast():
            logits = self.model(images).float()
        return Outcome(self.loss(logits, self.taught(images)), logits)


def loss(counts: ClassCounts) -> DistillationLoss:
    """The divergence from the teachers; the student asks for no counts, its teachers did."""
    return DistillationLoss(temperature=TEMPERATURE)


def under_gml(recipe: Recipe) -> HeadRecipe:
    """The method's network under a head retrained by GML, as a run of its own."""
    return HeadRecipe(
        name=f"{recipe.name}-under-gml",
        summary=f"{recipe.name} under a retrained head",
        source="Du & Wu 2023",
        start=recipe,
        head="linear",
        fit=partial(retrained, settings=Retraining()),
    )


def retrained(train: Features, settings: Retraining) -> nn.Module:
    """The head that GML gives on one view, its penalty chosen by cross-fitting."""
    return module_of_head(retrain(train, settings))


RECIPE = Recipe(
    name="distilled",
    summary="one network that learns from five rescued ones",
    source="ours; Hinton et al. 2015, Beyer et al. 2022",
    loss=loss,
    learner=Distilled,
    start=PACO,
    keep_head=True,
    teachers=tuple(map(under_gml, (LDAM_DRW, LADE, MIXUP, PACO, SHIKE_FEATURES))),
    sampler=ClassBalanced,
    augmentation="autoaugment",
    mixing=CutMix(alpha=1.0),
    repeat_after=REPEAT_AFTER,
    schedule=Schedule(decay="cosine", learning_rate=PACO.schedule.learning_rate),
    weight_decay=5e-4,
)

ON = {
    data: replace(
        recipe,
        name=RECIPE.name,
        summary=RECIPE.summary,
        source=RECIPE.source,
        loss=loss,
        learner=Distilled,
        teachers=tuple(map(under_gml, (CE, BSCE, MIXUP, PACO))),
        sampler=RECIPE.sampler,
        mixing=RECIPE.mixing,
        schedule=replace(recipe.schedule, epochs=2 * recipe.schedule.epochs),
    )
    for data, recipe in CE_ON.items()
}
