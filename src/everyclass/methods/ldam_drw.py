"""LDAM-DRW: margins, and class-balanced weights once the learning rate has fallen.

Cao et al. 2019. The paper describes the weights as inverse counts, the published code uses those of
Cui et al. (β = 0.9999, from epoch 161 of 200), which is what the published numbers come from and
what is done here. As there, a batch's mean divides by the sum of its weights.
"""

from everyclass.artifacts import ClassCounts
from everyclass.losses import DeferredLoss, LDAMLoss, class_balanced_weights
from everyclass.training import Recipe


def _loss(counts: ClassCounts) -> DeferredLoss:
    weights = class_balanced_weights(counts, beta=0.9999)
    return DeferredLoss(LDAMLoss(counts), LDAMLoss(counts, weight=weights), start=0.8)


RECIPE = Recipe(
    name="ldam-drw",
    summary="label-distribution-aware margins, deferred re-weighting",
    source="Cao et al. 2019",
    loss=_loss,
    head="cosine",
)
