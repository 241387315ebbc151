"""Labels as loaders yield them: numbers, one-hot rows, strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from everyclass.artifacts import quoted
from everyclass.errors import InputError, InputTypeError
from everyclass.stages.extraction.loaders import BATCH_SIZE

__all__ = ["class_numbers"]


def class_numbers(labels: Any, class_names: Sequence[str] | None) -> Tensor:
    """Labels of a batch as (n,) int64; whether there are such classes is not looked at.

    Floats are refused even where they are whole: 0.0 and 1.0 are targets of a binary loss more
    often than classes, and what one batch holds says nothing about the next.

    Args:
        labels: numbers (n,) or (n, 1), one-hot rows (n, C), or a list of strings.
        class_names: C names in class order, for strings.

    Raises:
        InputError: strings without names or of an unknown class, several classes at once, mixed
            labels, or not one label per sample.
        InputTypeError: floats that are not one-hot rows.
    """
    if isinstance(labels, list | tuple) and labels and isinstance(labels[0], str):
        return _numbered(labels, class_names)
    try:
        found = torch.as_tensor(labels).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"The labels are a {type(labels).__name__}, which is no tensor of classes: {error}."
        ) from error
    shape = tuple(found.shape)
    if found.ndim == 2 and shape[1] == 1:
        found = found.squeeze(1)
    if found.ndim == 1:
        if found.is_floating_point() or found.is_complex():
            kind = str(found.dtype).removeprefix("torch.")
            raise InputTypeError(
                f"labels must be integers 0..C−1 and are {kind} of shape {shape}, as targets of a "
                "regression or of a binary loss are; if these are classes, yield labels.long()."
            )
        return found.long()
    if found.ndim == 0:
        raise InputError(
            "The labels of a batch are a single number; if the loader yields single samples, batch "
            f"them: DataLoader(dataset, batch_size={BATCH_SIZE})."
        )
    if found.ndim > 2:
        raise InputError(
            f"The labels have shape {shape}, as one class per pixel has; one class per sample is "
            "needed."
        )
    ones = found.sum(dim=1)
    if not bool(((found == 0) | (found == 1)).all()):
        why = (
            "as mixup makes them; one class per sample is needed: use a loader that does not mix"
            if found.is_floating_point()
            else "as one class per token has; one class per sample is needed"
        )
        raise InputError(f"The labels are numbers of shape {shape}, {why}.")
    if not bool((ones == 1).all()):
        row = int((ones != 1).nonzero()[0])
        raise InputError(
            f"labels[{row}] has {int(ones[row])} classes at once; multi-label targets are not "
            "supported, every sample needs exactly one class."
        )
    return found.long().argmax(dim=1)


def _numbered(labels: Sequence[str], class_names: Sequence[str] | None) -> Tensor:
    if class_names is None:
        raise InputError(
            f"The labels are strings such as {quoted(labels[0])}; pass class_names=[…] in the "
            "order of the network's outputs, so that they can be numbered."
        )
    number = {name: c for c, name in enumerate(class_names)}
    for label in labels:
        if label not in number:
            raise InputError(
                f"The label {quoted(label)} is not in class_names, which has "
                f"{', '.join(map(quoted, class_names[:5]))}"
                f"{', …' if len(number) > 5 else ''}."
            )
    return torch.tensor([number[label] for label in labels])
