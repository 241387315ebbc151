"""Logits out of whatever a network returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from everyclass.errors import InputError

__all__ = ["has_logits", "logits_of"]


def has_logits(output: Any) -> bool:
    """Whether a network's output is a tensor, or calls one ``logits``."""
    return isinstance(_named(output), Tensor)


def _named(output: Any) -> Any:
    if isinstance(output, Tensor):
        return output
    return getattr(output, "logits", output.get("logits") if isinstance(output, Mapping) else None)


def logits_of(output: Any) -> Tensor:
    """The (n, C) logits in a network's output: the output itself, or what it calls ``logits``.

    Raises:
        InputError: neither is a tensor of one row of logits per sample.
    """
    logits = _named(output)
    if not isinstance(logits, Tensor):
        raise InputError(
            f"The network returns {type(output).__name__} and must return a tensor of logits, or "
            "something that has them as .logits; wrap it in a module that does, or name the layer "
            'whose output they are with head="…".'
        )
    if logits.ndim == 1:
        raise InputError(
            f"The network returns a tensor of shape {tuple(logits.shape)} and one row of logits "
            "per sample is needed; if the loader yields single samples, batch them: "
            "DataLoader(dataset, batch_size=64)."
        )
    if logits.ndim != 2:
        raise InputError(
            f"The network returns a tensor of shape {tuple(logits.shape)}; one row of logits per "
            "image is needed."
        )
    if logits.shape[1] == 1:
        raise InputError(
            "The network returns one number per sample, as for binary cross entropy; everyclass "
            "needs one per class: give it a last layer with two outputs, the first of them zero."
        )
    return logits
