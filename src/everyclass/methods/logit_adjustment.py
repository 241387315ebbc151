"""Post-hoc logit adjustment: subtract log π_c from the logits of a finished network.

Menon et al. 2021, τ = 1. It is folded into the bias, so the result is an ordinary linear layer. The
same as PC-softmax in the LADE paper. Costs nothing and is what any retraining has to beat.
"""

from dataclasses import replace
from functools import partial

import numpy as np
from torch import nn

from everyclass.artifacts import Features
from everyclass.errors import InputError
from everyclass.methods.ce import RECIPE as CE
from everyclass.nn import module_of_head
from everyclass.training import HeadRecipe

TAU = 1.0


def fit(train: Features, tau: float = TAU) -> nn.Module:
    """The old head with τ log π_c taken from each bias.

    Args:
        train: training features with the old, linear head.
        tau: 1 for the exact change of prior.

    Raises:
        InputError: no linear head, or a class without training images.
    """
    if train.head is None or train.head.kind != "linear":
        raise InputError("Logit adjustment needs the network's own linear head.")
    if len(train.class_counts.missing):
        first = train.class_counts.describe(int(train.class_counts.missing[0]))
        raise InputError(
            f"Logit adjustment needs training images of every class; {first} has none."
        )
    prior = train.class_counts.counts / len(train)
    bias = train.head.bias - tau * np.log(prior)
    return module_of_head(replace(train.head, bias=bias.astype(np.float32)))


RECIPE = HeadRecipe(
    name="logit-adjustment",
    summary="log class frequencies taken from the logits",
    source="Menon et al. 2021",
    start=CE,
    head="linear",
    fit=partial(fit, tau=TAU),
)
