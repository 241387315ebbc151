"""cRT: classifier re-training on class-balanced batches (Kang et al. 2020).

A fresh linear layer on the frozen network of plain cross entropy, batches of four images of each
class in turn. In the authors' code the frozen network stays in train mode, so that batch norm
follows the balanced batches; that is kept. They give no settings for CIFAR; these are of Bag of
Tricks: 30 epochs, rate 0.1, × 0.1 after epochs 10 and 20, weight decay 5e-4, without Nesterov's
momentum, which is theirs in every method; the warm-up of five epochs is that of all recipes here.
On ImageNet-LT and Places-LT the authors' own: ten epochs of cosine decay, batches and rates of
stage 1.
"""

from dataclasses import replace

from torch import nn

from everyclass.data import ClassAware
from everyclass.methods.ce import ON as CE_ON
from everyclass.methods.ce import RECIPE as CE
from everyclass.training import Recipe, Schedule

RECIPE = Recipe(
    name="crt",
    summary="classifier re-training on balanced batches",
    source="Kang et al. 2020; schedule of Zhang et al. 2021",
    loss=lambda counts: nn.CrossEntropyLoss(),
    start=CE,
    trained={"head": 1.0},
    shift_batch_norm=True,
    sampler=ClassAware,
    schedule=Schedule(epochs=30, milestones=(1 / 3, 2 / 3), step_factor=0.1),
    weight_decay=5e-4,
)

ON = {
    data: replace(
        RECIPE,
        source="Kang et al. 2020",
        start=start,
        augmentation=start.augmentation,
        schedule=replace(start.schedule, epochs=10),
        batch_size=start.batch_size,
    )
    for data, start in CE_ON.items()
}
