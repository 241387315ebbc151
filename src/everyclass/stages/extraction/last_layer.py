"""Finding a network's last layer by what it does: its output is the network's output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from everyclass.artifacts import Head
from everyclass.errors import InputError
from everyclass.nn import could_be_last, has_logits, logits_of, proven_head

__all__ = ["Caught", "LastLayer", "Watch", "find_last_layer"]

Caught = dict[str, tuple[Tensor, Tensor]]


class Watch:
    """Keeps what enters layers and what comes out, while a network runs.

    Args:
        layers: by name.
        classes: C; then what comes out per token is kept too, of layers with C outputs. Else only
            what comes out once per sample: all tokens of all layers would fill the memory.
        named: the layer whose output the logits are where the network returns several things.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        classes: int | None = None,
        named: str | None = None,
    ) -> None:
        self.caught: Caught = {}
        self._classes = classes
        self._named = named
        self._handles = [
            layer.register_forward_hook(self._hook(name), with_kwargs=True)
            for name, layer in layers.items()
        ]

    def _hook(self, name: str) -> Callable[..., None]:
        def hook(
            layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
        ) -> None:
            inputs = next((x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)), None)
            if inputs is None or not isinstance(output, Tensor):
                return
            if output.ndim == 4 and output.shape[2:] == (1, 1) and inputs.ndim == 4:
                inputs, output = inputs.flatten(1), output.flatten(1)
            if output.ndim == 2 or (output.ndim == 3 and output.shape[-1] == self._classes):
                self.caught.pop(name, None)  # so that the layer called last stands last
                self.caught[name] = (inputs, output.clone())  # others may overwrite it

        return hook

    def run(self, network: Callable[[], Any]) -> Tensor:
        """Run the network and return its logits; ``caught`` is what was seen on the way."""
        self.caught.clear()
        output = network()
        if self._named in self.caught and not has_logits(output):
            return logits_of(self.caught[self._named][1])
        return logits_of(output)

    def close(self) -> None:
        """Watch no longer."""
        for handle in self._handles:
            handle.remove()


@dataclass(frozen=True)
class LastLayer:
    """The last layer of a network.

    Attributes:
        layers: one by name, or several whose outputs are averaged, as in distilled transformers.
        head: what it computes; of several, the head on their features side by side.
        per_token: C where it is applied to every token and one of them is chosen, else None.
    """

    layers: dict[str, nn.Module]
    head: Head
    per_token: int | None = None

    def features(self, caught: Caught, logits: Tensor) -> Tensor:
        """(n, d) what entered the layer when the network gave these logits, on the CPU.

        Raises:
            InputError: the logits of this batch came from elsewhere.
        """
        seen = [_chosen(*caught[name], logits) for name in self.layers if name in caught]
        if len(seen) < len(self.layers) or not _same(_mean([out for _, out in seen]), logits):
            raise InputError(
                f"In a later batch the network's output is not that of {_listed(self.layers)} any "
                "more; pass a network that does the same to every batch."
            )
        return torch.cat([inputs.float().cpu() for inputs, _ in seen], dim=1)


def find_last_layer(
    model: nn.Module, network: Callable[[], Any], name: str | None = None
) -> LastLayer:
    """Find the last layer, and prove that its head on its features gives the network's output.

    Args:
        model: the network.
        network: runs it on one batch.
        name: the layer's, or of the part that ends in it, where it is known. Where the network
            returns several things, as with several heads, it says which of them are the logits.

    Raises:
        InputError: there is none, or something happens to its output.
    """
    layers = _candidates(model, name)
    caught, logits = _watched(layers, network, None, name)
    if not bool(torch.isfinite(logits).all()):
        raise InputError(
            "The network's output on the first batch is not finite: NaNs or infinities stand in "
            "its inputs or in its weights."
        )
    for_token = None
    names = _matching(caught, logits)
    if not names:
        for_token = logits.shape[1]
        caught, logits = _watched(layers, network, for_token, name)
        names = _matching(caught, logits)
    if not names:
        raise InputError(_not_found(caught, logits, name))
    seen = {each: _chosen(*caught[each], logits) for each in names}
    heads = [proven_head(layers[each], *pair) for each, pair in seen.items()]
    proven = [head for head in heads if head is not None]
    if len(proven) < len(heads) or (len(heads) > 1 and any(h.kind != "linear" for h in proven)):
        each = names[[head is None for head in heads].index(True)] if None in heads else names[0]
        raise InputError(
            f"The network's output comes from the layer {each!r}, a {type(layers[each]).__name__}, "
            "which is no linear or cosine layer; replace it by one (adapters: merge them first), "
            'or name the linear layer inside it with head="…".'
        )
    return LastLayer({each: layers[each] for each in names}, _joined(proven), for_token)


def _watched(
    layers: Mapping[str, nn.Module],
    network: Callable[[], Any],
    classes: int | None,
    name: str | None,
) -> tuple[Caught, Tensor]:
    watch = Watch(layers, classes, name)
    try:
        logits = watch.run(network)
    finally:
        watch.close()
    return watch.caught, logits


def _candidates(model: nn.Module, name: str | None) -> dict[str, nn.Module]:
    layers = {each: layer for each, layer in model.named_modules() if could_be_last(layer)}
    if name is None:
        return layers
    named = {e: layer for e, layer in layers.items() if e == name or e.startswith(f"{name}.")}
    if not named:
        raise InputError(
            f"The network has no linear or cosine layer {name!r}; it has "
            f"{', '.join(list(layers)[-5:]) or 'none'}."
        )
    return named


def _matching(caught: Caught, logits: Tensor) -> tuple[str, ...]:
    """The layer called last whose output the logits are, or the ones whose mean they are."""
    seen = {name: _chosen(*pair, logits)[1] for name, pair in caught.items()}
    seen = {name: out for name, out in seen.items() if out.shape == logits.shape}
    for name in reversed(seen):
        if _same(seen[name], logits):
            return (name,)
    for pair in combinations(seen, 2):
        if _same(_mean([seen[name] for name in pair]), logits):
            return pair
    return ()


def _mean(outputs: list[Tensor]) -> Tensor:
    return outputs[0] if len(outputs) == 1 else sum(outputs[1:], outputs[0]) / len(outputs)


def _same(output: Tensor, logits: Tensor) -> bool:
    """Whether the logits are this output, but for its type."""
    return output.shape == logits.shape and torch.equal(output.to(logits.dtype), logits)


def _chosen(inputs: Tensor, output: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Input and output of a layer at the one token of each sample that the logits come from."""
    if output.ndim == 2:
        return inputs, output
    if output.shape[0] != len(logits):
        return inputs, output
    there = (output.to(logits.dtype) == logits[:, None]).all(dim=2)
    rows = torch.arange(len(logits), device=output.device), there.int().argmax(dim=1)
    return inputs[rows], output[rows]


def _joined(heads: list[Head]) -> Head:
    """The head on features side by side that is the mean of heads, each on its own."""
    if len(heads) == 1:
        return heads[0]
    share = np.float32(1 / len(heads))
    bias = np.stack([head.bias for head in heads]).mean(axis=0)
    return Head(np.concatenate([head.weight * share for head in heads], axis=1), bias)


def _listed(names: Any) -> str:
    return " and ".join(repr(name) for name in names)


def _not_found(caught: Caught, logits: Tensor, name: str | None) -> str:
    which = f"the layer {name!r}" if name else "any linear or cosine layer of it"
    said = f"The network's output is not the output of {which}"
    for each, (_, out) in reversed(caught.items()):
        if out.shape == logits.shape and name in (None, each):
            for function in (torch.softmax, torch.log_softmax):
                if torch.allclose(function(out.double(), 1), logits.double(), 1e-2, 1e-6):
                    return (
                        f"{said}, but the {function.__name__} of that of {each!r}; leave it out, "
                        "logits are needed."
                    )
            a, b = out.double().flatten(), logits.double().flatten()
            scale = float((a @ b) / (a @ a).clamp_min(1e-30))
            if scale != 0 and torch.allclose(a * scale, b, rtol=1e-3, atol=1e-5):
                return f"{said}, but {scale:.4g} times that of {each!r}; leave the scaling out."
    if name is not None:
        return f"{said}; pass the part of the network that ends in it."
    return (
        f"{said}; pass the part of the network that ends in its last layer, or name that layer "
        'with head="model.fc".'
    )
