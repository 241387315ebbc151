"""SHIKE, stage 1: three experts of different depths, trained without any re-balancing.

Jin et al. 2023. Each expert multiplies its own last stage's map by one made of a shallower stage's,
and has a cosine head; plain cross entropy under AutoAugment and Cutout, and two divergences between
the experts, see ``shike_loss``. 180 epochs of cosine decay from 0.15.

Different from the published code: its warm-up begins at a sixth of the rate and ends in epoch 6,
ours at a fifth and in epoch 5; its shortcuts have weights where channels change, ours never have;
its convolutions of the shallow maps begin as PyTorch's do, ours as all others. Its subset of CIFAR
is not shuffled.

What it is for: features that were learned without re-balancing leave a new head the most room. The
published log gains eight points when the heads are trained anew; see shike.
"""

from everyclass.losses import SHIKELoss
from everyclass.methods.ride import Experts
from everyclass.training import Recipe, Schedule

RECIPE = Recipe(
    name="shike-features",
    summary="experts of different depths, before their heads are retrained",
    source="Jin et al. 2023",
    loss=lambda counts: SHIKELoss(),
    learner=Experts,
    backbone="resnet32-3-experts-fused",
    head="3-experts",
    augmentation="autoaugment",
    schedule=Schedule(epochs=180, learning_rate=0.15, decay="cosine"),
    weight_decay=5e-4,
)
