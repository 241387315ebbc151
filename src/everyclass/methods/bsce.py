"""Balanced Softmax: cross entropy with the class counts in the softmax (BSCE in the tables).

Ren et al. 2020. The network learns what the class frequencies do not explain, so the plain logits
are used at test time. The published 42.24 % on CIFAR100-LT fits the recipe of LDAM-DRW and not that
of the Balanced Softmax authors (batch 512, 13,000 steps, AutoAugment and Cutout), which gives over
50 %; so here it is plain cross entropy's recipe with another loss, on ImageNet-LT and Places-LT
too (the authors' networks there: a ResNet-10, and a ResNet-152 of Decoupling).
"""

from dataclasses import replace

from everyclass.losses import BalancedSoftmaxLoss
from everyclass.methods.ce import ON as CE_ON
from everyclass.training import Recipe

RECIPE = Recipe(
    name="bsce",
    summary="balanced softmax",
    source="Ren et al. 2020; recipe of Cao et al. 2019",
    loss=BalancedSoftmaxLoss,
)

ON = {
    data: replace(
        recipe, name=RECIPE.name, summary=RECIPE.summary, source=RECIPE.source, loss=RECIPE.loss
    )
    for data, recipe in CE_ON.items()
}
