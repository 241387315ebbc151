"""MiSLAS, stage 2: label-aware smoothing, a learned scale per class, shifted batch norm.

Zhong et al. 2021. Begins with the mixup network *and its head*, which goes on learning at a
fraction of the rate of the scales; class-aware batches; ten epochs of cosine decay from 0.1. How
much is smoothed, for the largest and the smallest class, and the head's share of the rate are the
published ones of each set and ratio; on CIFAR10-LT batch norm is not shifted. The published loss
leaves 1 − ε + ε/C on the true class where the paper has 1 − ε; for 100 classes that changes
nothing. The published loop makes one step more per epoch than there are batches (86 for 85): not
copied. On Places-LT the authors let only the last block's batch norm shift, here all of it does.

A rescue of the network keeps the smoothing beside GML, as Du & Wu 2023 say, and adds the two; they
do not say how much each weighs.
"""

from dataclasses import replace
from functools import partial

from everyclass.data import ClassAware
from everyclass.losses import LabelAwareSmoothingLoss
from everyclass.methods.mixup import ON as MIXUP_ON
from everyclass.methods.mixup import RECIPE as MIXUP
from everyclass.training import Recipe, Schedule


def smoothed(recipe: Recipe, *, largest: float, smallest: float, head: float) -> Recipe:
    """The recipe with this smoothing and this share of the rate for the head."""
    return replace(
        recipe,
        loss=partial(LabelAwareSmoothingLoss, smooth_head=largest, smooth_tail=smallest),
        trained={"head.scale": 1.0, "head": head},
        retraining={"objective": "gml_and_smoothing", "smoothing": [largest, smallest]},
    )


_BASE = Recipe(
    name="mislas",
    summary="mixup, then label-aware smoothing and learned scales",
    source="Zhong et al. 2021",
    loss=LabelAwareSmoothingLoss,
    start=MIXUP,
    head="scaled",
    keep_head=True,
    shift_batch_norm=True,
    sampler=ClassAware,
    schedule=Schedule(epochs=10, learning_rate=0.1, decay="cosine", warmup_epochs=0),
)
RECIPE = smoothed(_BASE, largest=0.4, smallest=0.1, head=0.2)  # CIFAR100-LT at ratio 100

_CIFAR10 = replace(_BASE, shift_batch_norm=False)
_LARGE = replace(_BASE, augmentation="jitter", batch_size=256, weight_decay=5e-4)
ON = {
    "cifar100-lt-ir50": smoothed(_BASE, largest=0.3, smallest=0.0, head=0.1),
    "cifar100-lt-ir10": smoothed(_BASE, largest=0.2, smallest=0.0, head=0.1),
    "cifar10-lt": smoothed(_CIFAR10, largest=0.3, smallest=0.0, head=0.5),  # ratio 100
    "cifar10-lt-ir50": smoothed(_CIFAR10, largest=0.2, smallest=0.0, head=0.2),
    "cifar10-lt-ir10": smoothed(_CIFAR10, largest=0.1, smallest=0.0, head=0.2),
    "imagenet-lt": smoothed(
        replace(_LARGE, start=MIXUP_ON["imagenet-lt"]), largest=0.3, smallest=0.0, head=0.05
    ),
    "places-lt": smoothed(
        replace(_LARGE, start=MIXUP_ON["places-lt"]), largest=0.4, smallest=0.1, head=0.05
    ),
}
