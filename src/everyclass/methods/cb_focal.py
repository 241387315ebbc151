"""Class-balanced focal loss: weights by the effective number of images (Cui et al. 2019).

β = 0.9999 from the first epoch, as in the authors' scripts, hurts at ratio 100 (36.0 % in the LDAM
paper); β = 0.9 and γ = 1, from Bag of Tricks, are used here. Those are of one sigmoid per class,
divided by n; here it is the softmax, divided by the sum of weights, as in focal. LDAM-DRW's code
multiplies the weight into the probability inside the focal factor; here the factor sees the
probability itself.
"""

from everyclass.losses import ClassBalancedLoss
from everyclass.training import Recipe

RECIPE = Recipe(
    name="cb-focal",
    summary="class-balanced focal loss",
    source="Cui et al. 2019; constants of Zhang et al. 2021",
    loss=lambda counts: ClassBalancedLoss(counts, beta=0.9, gamma=1.0),
)
