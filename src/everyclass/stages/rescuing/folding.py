"""Handing the result back as a module of the user's own."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from warnings import warn

import numpy as np
import torch
from torch import Tensor, nn

from everyclass.artifacts import Head, did_you_mean, quoted
from everyclass.errors import InputError
from everyclass.nn import (
    Classifier,
    EnsembleHead,
    EnsembleOfMeans,
    as_convolution,
    head_of_module,
    module_of_head,
    unwrapped,
    weight_rows,
    with_head,
)
from everyclass.stages.choosing.ensembling import Ensemble
from everyclass.stages.rescuing.rescue_folder import module_of_classifier

__all__ = ["fold_head"]


def fold_head(
    model: nn.Module, old: Head, new: Head | Ensemble, *, layer: str | None = None
) -> nn.Module:
    """A copy of ``model`` in which the layer with the old head's weights computes the new one.

    Args:
        model: the network, without what torch.compile or a data-parallel module wraps around it;
            it is not changed.
        old: its last layer, as extracted: what the layer is recognised by.
        new: the head, or the ensemble, that takes its place.
        layer: its name, where several have these weights.

    Raises:
        InputError: no layer has the old head's weights, the one that is named has not, or several
            have and none is named.
    """
    model = unwrapped(model)
    names = _names_of(model, old, layer)
    model = copy.deepcopy(model)
    if new is old:
        return model
    if len(names) > 1:
        return _fold_mean(model, names, old, new)
    place = model.get_submodule(names[0])
    if isinstance(new, Ensemble):
        made = module_of_classifier(new)
        made = as_convolution(made) if isinstance(place, nn.Conv2d) else made
    else:
        _warn_of_bias(model, place, new)
        tied = _tied_with(model, place)
        _warn_of_tied(tied)
        made = with_head(place, old, new, is_shared=bool(tied))
    return _put(model, names[0], made)


def _names_of(model: nn.Module, old: Head, named: str | None) -> list[str]:
    """The layer that the old head is, or the layers that it is the mean of."""
    layers = dict(model.named_modules())
    weight = torch.from_numpy(old.weight)
    if isinstance(model, Classifier) and head_of_module(model.last_layer) is None:
        alike = ["head"]  # of a kind that has no weights to be recognised by
    else:
        alike = [name for name, layer in layers.items() if any(_equal(weight, _rows(layer)))]
    names = alike or _halves(layers, weight)
    if not names:
        raise InputError(
            "The network has no layer with the old head's weights; pass the network that the "
            "features were extracted from."
        )
    if named is not None and named not in names:
        raise InputError(
            f"No layer {quoted(named)} has the old head's weights{did_you_mean(named, names)} "
            f"Those that have them: {', '.join(map(quoted, names))}."
        )
    if len(alike) < 2:
        return names
    if named is None:
        raise InputError(
            f"The network has {len(names)} layers ({', '.join(names)}) with the old head's "
            f"weights; name the last one with layer={names[-1]!r}."
        )
    return [named]


def _halves(layers: Mapping[str, nn.Module], weight: Tensor) -> list[str]:
    rows = [(n, r) for n, layer in layers.items() for r in _rows(layer) if len(r) == len(weight)]
    for (a, left), (b, right) in combinations(rows, 2):
        if any(_equal(weight, [torch.cat([left, right], dim=1) / 2])):
            return [a, b]
    return []


def _rows(layer: nn.Module) -> list[Tensor]:
    return [rows.float().cpu() for rows in weight_rows(layer)]


def _equal(weight: Tensor, rows: Sequence[Tensor]) -> Iterator[bool]:
    return (each.shape == weight.shape and bool(torch.equal(each, weight)) for each in rows)


def _warn_of_bias(model: nn.Module, layer: nn.Module, new: Head) -> None:
    if (
        getattr(layer, "bias", None) is None
        and new.bias.any()
        and hasattr(model, "save_pretrained")
    ):
        warn(
            "The network's last layer has no bias and the new one has: from_pretrained would leave "
            "it out. Use to_module(model, result.single_layer(train, bias=False).head).",
            stacklevel=4,
        )


def _tied_with(model: nn.Module, layer: nn.Module) -> list[str]:
    """The modules outside a layer that have a parameter of it."""
    own, inside = {id(p) for p in layer.parameters()}, set(layer.modules())
    return [
        name
        for name, module in model.named_modules()
        if module not in inside and any(id(p) in own for p in module.parameters(recurse=False))
    ]


def _warn_of_tied(tied: Sequence[str]) -> None:
    if tied:
        warn(
            f"The last layer shares its weights with {', '.join(map(quoted, tied))}; in the new "
            "network it has its own. A network that ties them loads this state without an error "
            "and answers otherwise: untie them there first, or save the whole module.",
            stacklevel=4,
        )


def _put(model: nn.Module, name: str, layer: nn.Module) -> nn.Module:
    replaced = model.get_submodule(name)
    if layer is replaced:
        return model
    parameter = next(replaced.parameters())
    layer.to(device=parameter.device, dtype=parameter.dtype).train(replaced.training)
    if name == "":
        return layer
    # A layer may have several names, of which forward takes any.
    every = [n for n, m in model.named_modules(remove_duplicate=False) if m is replaced]
    for each in every:
        parent, _, child = each.rpartition(".")
        setattr(model.get_submodule(parent), child, layer)
    return model


def _fold_mean(
    model: nn.Module, names: Sequence[str], old: Head, new: Head | Ensemble
) -> nn.Module:
    """The same where the output is the mean of layers, each with its part of the features."""
    count = len(names)
    if isinstance(new, Ensemble):
        both = EnsembleHead(new.old, new.new, new.t_old, new.t_new)
        wide = Head(both.weight.detach().numpy(), both.bias.detach().flatten().numpy())
    else:
        wide = new
    layers = [model.get_submodule(name) for name in names]
    before = [Head(rows.numpy(), old.bias) for layer in layers for rows in _rows(layer)[:1]]
    ends = np.cumsum([head.num_features for head in before])[:-1]
    parts = np.split(wide.weight * np.float32(count), ends, axis=1)
    for name, layer, was, part in zip(names, layers, before, parts, strict=True):
        head = Head(part, wide.bias)
        if isinstance(new, Ensemble):
            made: nn.Module = module_of_head(head)
        else:
            made = with_head(layer, was, head, is_shared=bool(_tied_with(model, layer)))
        _put(model, name, made)
    return EnsembleOfMeans(model, old.num_classes) if isinstance(new, Ensemble) else model
