"""Checks of logits, labels and class counts that the losses share.

What costs nothing is checked always: types, shapes, the number of classes. What has to look at the
values of a tensor is checked where that is free of a wait: on the CPU, and outside torch.compile.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from everyclass.artifacts import ClassCounts
from everyclass.errors import InputError, InputTypeError

__all__ = [
    "EMPTY_BATCH",
    "Counts",
    "can_look",
    "check_experts",
    "check_label_range",
    "check_label_values",
    "checked_labels",
    "count_tensor",
    "has_integers",
    "is_mapped",
    "loss_dtype",
    "said_shape",
    "widest_dtype",
]

EMPTY_BATCH = "The batch is empty and its loss undefined; skip such a batch."
_INTEGERS = frozenset((torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8))


class Counts(NamedTuple):
    """Class counts that are checked already, as a module keeps them: (C,) integers, and names."""

    values: Tensor
    names: tuple[str, ...] | None


def loss_dtype(logits: Tensor) -> torch.dtype:
    """The type a loss is computed and returned in: float32, or float64 for float64 logits."""
    return torch.promote_types(logits.dtype, torch.float32)


def widest_dtype(values: Tensor) -> torch.dtype:
    """The type for what may lose no digits: float64, but for Apple's GPUs, which have none."""
    return torch.float32 if values.device.type == "mps" else torch.float64


def can_look(values: Tensor) -> bool:
    """Whether looking at values is free.

    On an accelerator it waits; in torch.compile, and at one sample of ``vmap``, it breaks.
    """
    return (
        values.device.type == "cpu" and not torch.compiler.is_compiling() and not is_mapped(values)
    )


def is_mapped(values: Tensor) -> bool:
    """Whether ``vmap`` shows one sample at a time, or autograd one of many gradients at once."""
    functorch = torch._C._functorch
    if functorch.is_legacy_batchedtensor(values):  # of is_grads_batched=True
        return True
    while functorch.is_functorch_wrapped_tensor(values):
        if functorch.is_batchedtensor(values):
            return True
        values = functorch.get_unwrapped(values)
    return False


def has_integers(values: Tensor) -> bool:
    """Whether a tensor's type is one of labels."""
    return values.dtype in _INTEGERS


def said_shape(value: Any) -> str:
    """What something has in the place of a wanted shape, for a sentence."""
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def check_experts(expert_logits: Any, *, fewest_classes: int = 1) -> None:
    """Refuse what are no logits of one expert or more.

    Raises:
        InputError: no tensor, another number of axes, no expert, too few classes.
    """
    shape = expert_logits.shape if isinstance(expert_logits, Tensor) else ()
    if len(shape) != 3 or shape[0] < 1 or shape[2] < fewest_classes:
        raise InputError(
            f"expert_logits must be a tensor (experts, n, C), one expert or more, C ≥ "
            f"{fewest_classes}; got {said_shape(expert_logits)}."
        )


def checked_labels(
    logits: Tensor, labels: Tensor, num_classes: int | None, *, may_be_empty: bool = False
) -> Tensor:
    """Return the labels as int64 after all checks that look at no value.

    Args:
        logits, labels: as a loss was given them.
        num_classes: C, where there are class counts that say so.
        may_be_empty: this is a part of a batch, the rest of which other processes have.

    Raises:
        InputError: a wrong shape, an empty batch, another number of classes, two devices.
        InputTypeError: logits that are not floating-point numbers, labels that are not integers.
    """
    if not isinstance(logits, Tensor) or not isinstance(labels, Tensor):
        raise InputTypeError(
            f"logits and labels must be tensors; got {type(logits).__name__} and "
            f"{type(labels).__name__}."
        )
    shape = logits.shape
    if not logits.is_floating_point():
        raise InputTypeError(f"logits must be floating-point numbers; got {logits.dtype}.")
    if len(shape) != 2:
        raise InputError(
            "logits must be (n, C), one row per image and one column per class; got shape "
            f"{tuple(shape)}."
        )
    if not has_integers(labels):
        hint = "one class per image" if labels.ndim > 1 else "convert them with labels.long()"
        raise InputTypeError(f"labels must be integers 0..C−1; got {labels.dtype}; {hint}.")
    if labels.shape != shape[:1]:
        raise InputError(
            "labels must be (n,), one class per row of logits; got shape "
            f"{tuple(labels.shape)} for logits of shape {tuple(shape)}."
        )
    if shape[0] == 0 and not may_be_empty:
        raise InputError(EMPTY_BATCH)
    if num_classes is not None and shape[1] != num_classes:
        raise InputError(
            f"class_counts has {num_classes} entries and logits {shape[1]} columns; give one "
            "count per class, in class order."
        )
    if labels.device != logits.device:
        raise InputError(
            f"labels are on {labels.device} and logits on {logits.device}; move them to one device."
        )
    return labels.long()


def count_tensor(class_counts: Any) -> Counts:
    """Return class counts as a tensor of integers, and the class names where they are known.

    A tensor of integers comes back as it is; its values are looked at on the CPU only.

    Raises:
        InputError: not one number per class, or a negative one.
        InputTypeError: not whole numbers.
    """
    if isinstance(class_counts, Counts):
        return class_counts
    if torch.compiler.is_compiling():
        values = class_counts.counts if isinstance(class_counts, ClassCounts) else class_counts
        return Counts(torch.as_tensor(values), None)
    usable = (
        isinstance(class_counts, Tensor)
        and class_counts.ndim == 1
        and class_counts.dtype in _INTEGERS
    )
    if usable and not (can_look(class_counts) and bool((class_counts < 0).any())):
        return Counts(class_counts, None)
    counts = ClassCounts.of(class_counts)
    return Counts(torch.tensor(counts.counts), counts.names)


def check_label_range(
    labels: Tensor, num_classes: int, ignore_index: int | None = None, *, name: str = "labels"
) -> None:
    """Refuse a label outside 0..C−1, where looking is free.

    Args:
        labels: (n,) int64.
        num_classes: C.
        ignore_index: the label of rows that do not count, or None.
        name: what to call them.

    Raises:
        InputError: such a label; the first one is named.
    """
    used = _used(labels, ignore_index)
    if used is None:
        return
    lowest, highest = used.aminmax()
    if int(lowest) >= 0 and int(highest) < num_classes:
        return
    bad = (labels < 0) | (labels >= num_classes)
    if ignore_index is not None:
        bad &= labels != ignore_index
    row = int(bad.nonzero()[0])
    raise InputError(
        f"{name}[{row}] is {int(labels[row])}, outside 0..{num_classes - 1} "
        f"({int(bad.sum())} such)."
    )


def check_label_values(
    labels: Tensor,
    counts: Tensor,
    names: tuple[str, ...] | None,
    *,
    zero_allowed: bool = False,
    ignore_index: int | None = None,
    has_no: str = "probability 0",
) -> None:
    """Refuse a label outside 0..C−1, or of a class without training images, where that is free.

    Args:
        labels: (n,) int64.
        counts: (C,) integers.
        names: class names for the message, or None.
        zero_allowed: a label of a class without training images is fine.
        ignore_index: the label of rows that do not count, or None.
        has_no: what a class without training images comes out with, for the message.

    Raises:
        InputError: such a label; the first one is named.
    """
    check_label_range(labels, len(counts), ignore_index)
    used = _used(labels, ignore_index)
    if used is None or zero_allowed or int(counts.min()) > 0:
        return
    counts = counts.cpu()
    empty = (counts.index_select(0, used) == 0).nonzero()
    if len(empty) == 0:
        return
    label = int(used[empty[0]])
    row = int((labels == label).nonzero()[0])
    known = ClassCounts.of(counts.tolist(), names=names)
    raise InputError(
        f"labels[{row}] is {known.describe(label)}, which has no training image in class_counts "
        f"and so {has_no}; give the counts of the data that the labels come from."
    )


def _used(labels: Tensor, ignore_index: int | None) -> Tensor | None:
    """The labels that count, or None where there are none or looking is not free."""
    if not can_look(labels):
        return None
    used = labels if ignore_index is None else labels[labels != ignore_index]
    return used if len(used) else None
