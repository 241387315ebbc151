"""LDAM: margins that grow as classes get rarer (Cao et al. 2019), without deferred re-weighting.

Cosine head at scale 30, largest margin 0.5. In the authors' code the scale is in the loss and the
test logits are bare cosines; here it is in the head, so that probabilities, temperatures and
ensembles mean something. Training is the same. An extra row: "LDAM" in the tables is LDAM-DRW.
"""

from everyclass.losses import LDAMLoss
from everyclass.training import Recipe

RECIPE = Recipe(
    name="ldam",
    summary="label-distribution-aware margins",
    source="Cao et al. 2019",
    loss=LDAMLoss,
    head="cosine",
)
