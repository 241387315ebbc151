"""τ-normalisation: each class's weights divided by their length to the power τ (Kang et al. 2020).

The bias is dropped, as in the authors' code. They choose τ on validation images (about 0.7 on
ImageNet-LT); on CIFAR-LT, where there are none, Bag of Tricks takes τ = 1, and so is done here.
"""

from functools import partial

import numpy as np
from torch import nn

from everyclass.artifacts import Features, Head
from everyclass.errors import InputError
from everyclass.methods.ce import RECIPE as CE
from everyclass.nn import module_of_head
from everyclass.training import HeadRecipe

TAU = 1.0


def fit(train: Features, tau: float = TAU) -> nn.Module:
    """The old head with w_c / ‖w_c‖^τ for w_c, and no bias.

    Args:
        train: training features with the old, linear head.
        tau: 0 keeps the weights, 1 makes them equally long.

    Raises:
        InputError: no linear head.
    """
    if train.head is None or train.head.kind != "linear":
        raise InputError("τ-normalisation needs the network's own linear head.")
    lengths = np.linalg.norm(train.head.weight, axis=1, keepdims=True)
    weight = train.head.weight / np.maximum(lengths, np.finfo(np.float32).tiny) ** tau
    return module_of_head(Head(weight, np.zeros_like(train.head.bias)))


RECIPE = HeadRecipe(
    name="tau-norm",
    summary="weights of equal length",
    source="Kang et al. 2020; τ of Zhang et al. 2021",
    start=CE,
    head="linear",
    fit=partial(fit, tau=TAU),
)
