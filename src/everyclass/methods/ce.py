"""Cross entropy: plain training, the baseline that everything is measured against.

Recipe of LDAM-DRW (Cao et al. 2019) for CIFAR-LT, which gives the 38–39 % of the published tables:
SGD 0.1 with momentum 0.9 and weight decay 2e-4 on every parameter, batch 128, 200 epochs, five of
linear warm-up, × 0.01 after epoch 160 and again after 180, random crop and flip.

On ImageNet-LT the recipe of Decoupling (Kang et al. 2020): ResNeXt-50, batch 512, rate 0.2, 90
epochs of cosine decay, weight decay 5e-4, colour jitter; the published schedule is moved before
each epoch and ends with one at rate zero, ours after it. On Places-LT a ResNet-152 with ImageNet
weights, of which the last block and the classifier learn, as in Decoupling; its configuration was
never released, so that batch 256, rate 0.1, a tenth of it for the block, and 30 epochs are ours.

Published code keeps the epoch that is best on the test set; here the last epoch is what counts.
"""

from dataclasses import replace

from torch import nn

from everyclass.training import Recipe, Schedule

RECIPE = Recipe(
    name="ce",
    summary="plain cross entropy",
    source="Cao et al. 2019, LDAM-DRW recipe",
    loss=lambda counts: nn.CrossEntropyLoss(),
)

ON = {
    "imagenet-lt": replace(
        RECIPE,
        source="Kang et al. 2020",
        backbone="resnext50_32x4d",
        augmentation="jitter",
        schedule=Schedule(epochs=90, learning_rate=0.2, decay="cosine", warmup_epochs=0),
        batch_size=512,
        weight_decay=5e-4,
    ),
    "places-lt": replace(
        RECIPE,
        source="Kang et al. 2020",
        backbone="resnet152.tv_in1k",
        weights="pretrained",
        trained={"backbone.network.layer4.2": 0.1, "head": 1.0},
        augmentation="jitter",
        schedule=Schedule(epochs=30, learning_rate=0.1, decay="cosine", warmup_epochs=0),
        batch_size=256,
        weight_decay=5e-4,
    ),
}
