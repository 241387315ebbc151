"""DiVE: a balanced-softmax teacher's soft labels as virtual examples of the rare classes.

He et al. 2021. The teacher is the same network trained with balanced softmax, at its last epoch; it
sees the very batch that the student sees and is not trained on. Constants of the published CIFAR
configuration: temperature 2 where the paper says 3, power ½, half of the loss each. Schedule of
BBN: × 0.01 after epochs 120 and 160, Nesterov's momentum; the published warm-up starts at a third
of the rate, ours at a fifth. The published teacher has this schedule too; here it is the network of
bsce, whose rate falls 40 and 20 epochs later. On ImageNet-LT temperature 9 without the power, which
is known from hearsay only, and for everything else the teacher's recipe.

What distillation cannot do: a class to which the teacher is blind stays lost.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from everyclass.losses import DiVELoss
from everyclass.methods.bsce import ON as BSCE_ON
from everyclass.methods.bsce import RECIPE as BSCE
from everyclass.training import Learner, Outcome, Recipe, Schedule


class DiVE(Learner):
    """The student's logits beside the teacher's, of the same images."""

    def forward(
        self, views: Sequence[Tensor], labels: Tensor, generator: torch.Generator
    ) -> Outcome:
        """The loss of one batch."""
        (images,) = views
        with self.autocast():
            logits = self.model(images).float()
        return Outcome(self.loss(logits, labels, self.taught(images)), logits)


RECIPE = Recipe(
    name="dive",
    summary="distillation from a flattened balanced-softmax teacher",
    source="He et al. 2021",
    loss=DiVELoss,
    learner=DiVE,
    teachers=(BSCE,),
    schedule=Schedule(milestones=(0.6, 0.8)),
    nesterov=True,
)

_TEACHER = BSCE_ON["imagenet-lt"]
ON = {
    "imagenet-lt": replace(
        _TEACHER,
        name=RECIPE.name,
        summary=RECIPE.summary,
        source=RECIPE.source,
        loss=partial(DiVELoss, temperature=9.0, power=1.0),
        learner=DiVE,
        teachers=(_TEACHER,),
    )
}
