"""Labels as loaders yield them: numbers, one-hot rows, strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from everyclass.artifacts import quoted
from everyclass.errors import InputError

__all__ = ["class_numbers"]


def class_numbers(labels: Any, class_names: Sequence[str] | None) -> Tensor:
    """Labels of a batch as (n,) numbers of classes.

    Args:
        labels: numbers (n,) or (n, 1), one-hot rows (n, C), or a list of strings.
        class_names: C names in class order, for strings.

    Raises:
        InputError: strings without names or of an unknown class, several classes at once, mixed
            labels.
    """
    if isinstance(labels, list | tuple) and labels and isinstance(labels[0], str):
        return _numbered(labels, class_names)
    try:
        found = torch.as_tensor(labels).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"The labels are a {type(labels).__name__}, which is no tensor of classes: {error}."
        ) from error
    if found.dtype == torch.bool and found.ndim == 1:
        return found.long()
    if found.ndim != 2:
        return found
    if found.shape[1] == 1 and not found.is_floating_point():
        return found.squeeze(1)
    ones = found.sum(dim=1)
    if not bool(((found == 0) | (found == 1)).all()):
        raise InputError(
            f"The labels are numbers of shape {tuple(found.shape)}, as mixup makes them; one "
            "class per sample is needed: use a loader that does not mix."
        )
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
