"""Focal loss: images that are already classified well count less (Lin et al. 2017).

γ = 1 as in LDAM-DRW's comparison on CIFAR-LT.
"""

from everyclass.losses import FocalLoss
from everyclass.training import Recipe

RECIPE = Recipe(
    name="focal",
    summary="focal loss",
    source="Lin et al. 2017; recipe of Cao et al. 2019",
    loss=lambda counts: FocalLoss(gamma=1.0),
)
