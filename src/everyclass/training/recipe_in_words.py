"""What a recipe is made of, in words and numbers: what a run's configuration says of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["held_by", "in_words"]


def in_words(made_by: Callable[..., Any]) -> str:
    """A class or function by its name, with the arguments that a ``partial`` gives it."""
    if not isinstance(made_by, partial):
        return str(getattr(made_by, "__qualname__", repr(made_by)))
    given = [*map(repr, made_by.args), *(f"{k}={v!r}" for k, v in made_by.keywords.items())]
    return f"{in_words(made_by.func)}({', '.join(given)})"


def held_by(loss: nn.Module) -> dict[str, Any]:
    """Numbers, words and tensors of a loss and its parts: a repr need not say them all."""
    held: dict[str, Any] = {}
    for place, part in loss.named_modules():
        own = {**vars(part), **part._parameters, **part._buffers}
        for name, value in sorted(own.items()):
            if name.startswith("_") or name in ("training", "class_names"):
                continue
            where = f"{place}.{name}" if place else name
            if isinstance(value, Tensor):
                held[where] = _in_short(value)
            elif isinstance(value, bool | int | float | str):
                held[where] = value
            elif isinstance(value, tuple | list):
                held[where] = repr(value)
    return held


def _in_short(values: Tensor) -> str:
    """A tensor in four numbers, rounded so that they are the same on every machine."""
    flat = values.detach().double().flatten()
    if not len(flat):
        return f"{tuple(values.shape)}"
    places = torch.arange(1, len(flat) + 1, dtype=torch.float64, device=flat.device)
    by_place = (flat * places).sum() / places.sum()  # tells one order from another
    said = {"least": flat.min(), "mean": flat.mean(), "by place": by_place, "largest": flat.max()}
    return f"{tuple(values.shape)}: " + ", ".join(f"{k} {float(v):.4g}" for k, v in said.items())
