"""LADE: balanced softmax and a regulariser that disentangles the label distribution.

Hong et al. 2021. The paper weighs each image by the importance of *its* label; the published code
uses that of the class whose logit is estimated, and gave the published numbers: the code's reading
is the default of the loss, the paper's is a switch there. α = 0.1, λ = 0.01 as in the command for
ratio 100 (the configuration file says 0.1).

Recipe of the authors: batch 256, learning rate 0.2, × 0.01 after epochs 120 and 160, weight decay
5e-4. Their network is BBN's wider ResNet-32 with 128 features (lade-wide); here it is the standard
one, as for every other method. Their warm-up starts at a third of the rate, ours at a fifth.
"""

from everyclass.losses import LADELoss
from everyclass.training import Recipe, Schedule

RECIPE = Recipe(
    name="lade",
    summary="label-distribution disentangling",
    source="Hong et al. 2021",
    loss=LADELoss,
    schedule=Schedule(learning_rate=0.2, milestones=(0.6, 0.8)),
    batch_size=256,
    weight_decay=5e-4,
)
