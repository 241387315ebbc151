"""LWS: learnable weight scaling (Kang et al. 2020).

The frozen network *and its head*, and one factor per class that is learned on class-balanced
batches. The paper scales w·x, the authors' code the bias as well; the code is followed. The authors
have no configuration for CIFAR: the constants are those that Tang et al. 2020 use there (batch 512,
five epochs at rate 0.2 with cosine decay, weight decay 1e-4). The authors' scheduler is a step
ahead, so that their last epoch has rate zero: not copied.
"""

from torch import nn

from everyclass.data import ClassAware
from everyclass.methods.ce import RECIPE as CE
from everyclass.training import Recipe, Schedule

RECIPE = Recipe(
    name="lws",
    summary="one learned factor per class",
    source="Kang et al. 2020",
    loss=lambda counts: nn.CrossEntropyLoss(),
    start=CE,
    head="scaled",
    keep_head=True,
    trained={"head.scale": 1.0},
    shift_batch_norm=True,
    sampler=ClassAware,
    schedule=Schedule(epochs=5, learning_rate=0.2, decay="cosine", warmup_epochs=0),
    batch_size=512,
    weight_decay=1e-4,
)
