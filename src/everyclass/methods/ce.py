"""Cross entropy: plain training, the baseline that everything is measured against.

Recipe of LDAM-DRW (Cao et al. 2019) for CIFAR-LT, which gives the 38–39 % of the published tables:
SGD 0.1 with momentum 0.9 and weight decay 2e-4 on every parameter, batch 128, 200 epochs, five of
linear warm-up, × 0.01 after epoch 160 and again after 180, random crop and flip.

Published code keeps the epoch that is best on the test set; here the last epoch is what counts.
"""

from torch import nn

from everyclass.training import Recipe

RECIPE = Recipe(
    name="ce",
    summary="plain cross entropy",
    source="Cao et al. 2019, LDAM-DRW recipe",
    loss=lambda counts: nn.CrossEntropyLoss(),
)
