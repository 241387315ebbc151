"""Mixup: training on mixtures of two images and their labels (Zhang et al. 2018).

Stage 1 of MiSLAS (Zhong et al. 2021): α = 1, one weight and one permutation per batch, every batch;
plain cross entropy's schedule but × 0.1 after epochs 160 and 180. Bag of Tricks trains 400 epochs
to reach 40.8 %; 200 epochs give 39 to 40 %.
"""

from torch import nn

from everyclass.data import Mixup
from everyclass.training import Recipe, Schedule

RECIPE = Recipe(
    name="mixup",
    summary="cross entropy on mixed images",
    source="Zhang et al. 2018; recipe of Zhong et al. 2021",
    loss=lambda counts: nn.CrossEntropyLoss(),
    mixing=Mixup(alpha=1.0),
    schedule=Schedule(step_factor=0.1),
)
