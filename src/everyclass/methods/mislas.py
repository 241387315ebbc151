"""MiSLAS, stage 2: label-aware smoothing, a learned scale per class, shifted batch norm.

Zhong et al. 2021. Begins with the mixup network *and its head*, which goes on learning at a fifth
of the rate of the scales; class-aware batches; ten epochs of cosine decay from 0.1. Smoothing of
0.4 for the largest class, 0.1 for the smallest (CIFAR100-LT at ratio 100; other ratios want less,
see the loss). The published loss leaves 1 − ε + ε/C on the true class where the paper has 1 − ε;
for 100 classes that changes nothing. The published loop makes one step more per epoch than there
are batches (86 for 85): not copied.

On ImageNet-LT smoothing of 0.3 to 0, on Places-LT 0.4 to 0.1, and the head at a twentieth of the
rate. On Places-LT the authors let only the last block's batch norm shift, here all of it does.
"""

from dataclasses import replace
from functools import partial

from everyclass.data import ClassAware
from everyclass.losses import LabelAwareSmoothingLoss
from everyclass.methods.mixup import ON as MIXUP_ON
from everyclass.methods.mixup import RECIPE as MIXUP
from everyclass.training import Recipe, Schedule

RECIPE = Recipe(
    name="mislas",
    summary="mixup, then label-aware smoothing and learned scales",
    source="Zhong et al. 2021",
    loss=LabelAwareSmoothingLoss,
    start=MIXUP,
    head="scaled",
    keep_head=True,
    trained={"head.scale": 1.0, "head": 0.2},
    shift_batch_norm=True,
    sampler=ClassAware,
    schedule=Schedule(epochs=10, learning_rate=0.1, decay="cosine", warmup_epochs=0),
)

_SMOOTHING = {"imagenet-lt": (0.3, 0.0), "places-lt": (0.4, 0.1)}
ON = {
    data: replace(
        RECIPE,
        loss=partial(LabelAwareSmoothingLoss, smooth_head=head, smooth_tail=tail),
        start=MIXUP_ON[data],
        trained={"head.scale": 1.0, "head": 0.05},
        augmentation="jitter",
        batch_size=256,
        weight_decay=5e-4,
    )
    for data, (head, tail) in _SMOOTHING.items()
}
