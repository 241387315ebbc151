"""GML as the only loss, from scratch: table 9 of Du & Wu 2023.

The paper gives results (geometric mean 36.63, harmonic mean 30.86, lowest recall 9) and no
settings; here it is plain cross entropy's recipe with another loss. The mean of eq. 1 runs over the
classes present in a batch, as in the authors' later code: of 100 classes a batch of 128 holds 50.
"""

from everyclass.losses import GMLLoss
from everyclass.training import Recipe

RECIPE = Recipe(
    name="gml",
    summary="geometric mean loss from scratch",
    source="Du & Wu 2023, table 9; recipe of Cao et al. 2019",
    loss=GMLLoss,
)
