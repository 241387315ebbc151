"""Handing the result back as a module of the user's own."""

from __future__ import annotations

import copy

import torch
from torch import nn

from everyclass.artifacts import Head
from everyclass.errors import InputError
from everyclass.nn import Classifier, EnsembleHead, head_of_module, module_of_head
from everyclass.stages.ensembling import Ensemble

__all__ = ["fold_head"]


def fold_head(model: nn.Module, old: Head, new: Head | Ensemble) -> nn.Module:
    """A copy of ``model`` in which the layer with the old head's weights is replaced.

    Args:
        model: the network; it is not changed.
        old: its last layer, as extracted: what the layer is recognised by.
        new: the head, or the ensemble, that takes its place.

    Raises:
        InputError: no layer has the old head's weights, or several have.
    """
    names = [name for name, layer in model.named_modules() if _is_head(layer, old)]
    if isinstance(model, Classifier) and head_of_module(model.head) is None:
        names = ["head"]  # of a kind that has no weights to be recognised by
    if len(names) != 1:
        found = "no layer" if not names else f"{len(names)} layers ({', '.join(names)})"
        raise InputError(
            f"The network has {found} with the old head's weights; pass the network that the "
            "features were extracted from."
        )
    if new is old:
        return copy.deepcopy(model)
    if isinstance(new, Ensemble):
        layer: nn.Module = EnsembleHead(new.old, new.new, new.t_old, new.t_new)
    else:
        layer = module_of_head(new)
    model = copy.deepcopy(model)
    replaced = model.get_submodule(names[0])
    parameter = next(replaced.parameters())
    layer.to(device=parameter.device, dtype=parameter.dtype).train(replaced.training)
    if names[0] == "":
        return layer
    parent, _, child = names[0].rpartition(".")
    setattr(model.get_submodule(parent), child, layer)
    return model


def _is_head(layer: nn.Module, old: Head) -> bool:
    head = head_of_module(layer)
    return (
        head is not None
        and head.weight.shape == old.weight.shape
        and bool(torch.equal(torch.from_numpy(head.weight), torch.from_numpy(old.weight)))
    )
