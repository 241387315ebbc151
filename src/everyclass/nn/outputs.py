"""Logits out of whatever a network returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from everyclass.errors import InputError

__all__ = ["logits_of"]


def logits_of(output: Any) -> Tensor:
    """The (n, C) logits in a network's output: the output itself, or what it calls ``logits``.

    Raises:
        InputError: neither is a tensor of one row of logits per sample.
    """
    if not isinstance(output, Tensor):
        named = output.get("logits") if isinstance(output, Mapping) else None
        logits = getattr(output, "logits", named)
        if not isinstance(logits, Tensor):
            raise InputError(
                f"The network returns {type(output).__name__} and must return a tensor of logits, "
                "or something that has them as .logits; wrap it in a module that does."
            )
        output = logits
    if output.ndim != 2:
        raise InputError(
            f"The network returns a tensor of shape {tuple(output.shape)}; one row of logits per "
            "image is needed."
        )
    if output.shape[1] == 1:
        raise InputError(
            "The network returns one number per sample, as for binary cross entropy; everyclass "
            "needs one per class: give it a last layer with two outputs, the first of them zero."
        )
    return output
