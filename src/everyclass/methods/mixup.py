"""Mixup: training on mixtures of two images and their labels (Zhang et al. 2018).

Stage 1 of MiSLAS (Zhong et al. 2021): α = 1, one weight and one permutation per batch, every batch;
plain cross entropy's schedule but × 0.1 after epochs 160 and 180. Bag of Tricks trains 400 epochs
to reach 40.8 %; 200 epochs give 39 to 40 %.

On ImageNet-LT ResNet-50, 180 epochs, α = 0.2. On Places-LT the last block of a ResNet-152 with
ImageNet weights learns, for 90 epochs; the authors begin that block anew, here it keeps its
weights.
"""

from dataclasses import replace

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

_LARGE = replace(
    RECIPE, mixing=Mixup(alpha=0.2), augmentation="jitter", batch_size=256, weight_decay=5e-4
)
ON = {
    "imagenet-lt": replace(
        _LARGE,
        backbone="resnet50",
        schedule=Schedule(epochs=180, learning_rate=0.1, decay="cosine", warmup_epochs=0),
    ),
    "places-lt": replace(
        _LARGE,
        backbone="resnet152.tv_in1k",
        weights="pretrained",
        trained={"backbone.network.layer4.2": 1.0, "head": 1.0},
        schedule=Schedule(epochs=90, learning_rate=0.1, decay="cosine", warmup_epochs=0),
    ),
}
