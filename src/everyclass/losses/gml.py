"""The geometric-mean loss (GML) of Du & Wu, CVPR 2023: every class counts the same.

Three ways to one number, because speed and generality pull apart:

- ``_definition`` is the equations in differentiable operations on log-probabilities. It is what
  torch.compile sees and what second derivatives are taken of.
- ``_GeometricMean`` is the same with a gradient by hand. With w_i = p_i / Σ_{j in class y_i} p_j,
  the loss has ∂L/∂o_i = w_i (p̃^i − onehot(y_i)) / K: a weighted softmax, so one buffer of the size
  of the logits is enough. It works in blocks of rows, so that what lies between the steps stays in
  the cache.
- Without a gradient no such buffer is taken, only one block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everyclass.artifacts import ClassCounts
from everyclass.errors import InputError
from everyclass.losses._inputs import (
    check_label_values,
    checked_labels,
    count_tensor,
    loss_dtype,
)

__all__ = ["Absent", "GMLLoss", "gml_loss"]

Absent = Literal["present", "all"]

_BLOCK = 1 << 20  # logits per block: 4 MB of float32


def gml_loss(
    logits: Tensor,
    labels: Tensor,
    class_counts: Any,
    *,
    reweight: bool = True,
    absent: Absent = "present",
) -> Tensor:
    r"""Minus the log of the geometric mean, over classes, of the mean probability of the true class.

    (1) L = −(1/C) Σ_c log p̄_c
    (2) p̄_c = mean of p̃^i_{y_i} over the images i of class c in the batch
    (3) p̃^i_j = N_j exp(o^i_j) / Σ_c N_c exp(o^i_c), N_j the number of *training* images of class j

    p̄_c is a smooth stand-in for the recall of class c, so exp(−L) is one for the geometric mean of
    the recalls. Equal counts and one image per class make it cross entropy.

    It is no mean over images: the loss of a batch is not the mean of the losses of its halves, so
    accumulated gradients differ from those of one large batch, and there is no ``reduction``, no
    ``weight`` and no ``ignore_index``; leave such rows out beforehand.

    Everything is computed from logarithms of probabilities, so that no logit, however large, makes
    the loss or its gradient infinite. A class with count 0 has probability exactly 0 and its logit
    no gradient: it is as if the classifier had no such output, and a label of it is an error. At
    test time use the plain logits, without the counts.

    Args:
        logits: (n, C) floating point, n ≥ 1.
        labels: (n,) integers in 0..C−1.
        class_counts: N, the training images per class: ClassCounts, list, array, tensor, or a
            dict by class. An integer tensor on the device of the logits is fastest, and what
            torch.compile wants.
        reweight: False leaves N out of (3), which makes p̃ the plain softmax.
        absent: what (1) does with classes that are not in the batch: "present" takes the mean
            over the classes that are (the published code); "all" divides by C.

    Returns:
        Scalar, float32, or float64 for float64 logits.

    Raises:
        InputError: shapes that do not fit, an empty batch, a negative count; on the CPU also a
            label outside 0..C−1 or, with ``reweight``, of a class with count 0. On other devices
            and under torch.compile labels are not looked at: there a label of a class with count
            0 gives a loss that is not finite.
        InputTypeError: labels or counts that are not whole numbers, logits that are.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> labels = torch.tensor([0, 0, 1])
        >>> gml_loss(logits, labels, [90, 10])
        tensor(0.7408)
        >>> gml_loss(logits, labels, [90, 10], reweight=False)
        tensor(0.2580)

    References:
        Du & Wu, No One Left Behind: Improving the Worst Categories in Long-Tailed Learning,
        CVPR 2023.
    """
    counts, names = count_tensor(class_counts)
    return _gml(logits, labels, counts, names, reweight, absent)


class GMLLoss(nn.Module):
    """The geometric-mean loss as a module; see :func:`gml_loss` for the equations and errors.

    Args:
        class_counts: training images per class: ClassCounts, list, array, tensor, or a dict by
            class. Kept as the int64 buffer ``class_counts``, which no ``.half()`` narrows.
        reweight: False leaves the counts out, which makes p̃ the plain softmax.
        absent: "present" averages over the classes in the batch, "all" divides by C.

    Shape:
        logits (n, C) and labels (n,) → scalar.

    Raises:
        InputError: counts that cannot be used, an unknown ``absent``; in ``forward`` as gml_loss.
        InputTypeError: counts that are not whole numbers; in ``forward`` as gml_loss.

    Example:
        >>> loss_fn = GMLLoss({"cat": 90, "lynx": 10})
        >>> loss_fn(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))
        tensor(0.7196)
    """

    class_counts: Tensor

    def __init__(
        self, class_counts: Any, *, reweight: bool = True, absent: Absent = "present"
    ) -> None:
        super().__init__()
        _check_absent(absent)
        counts = ClassCounts.of(class_counts)
        self.register_buffer("class_counts", torch.tensor(counts.counts))
        self.class_names = counts.names
        self.reweight = reweight
        self.absent: Absent = absent

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return _gml(
            logits, labels, self.class_counts, self.class_names, self.reweight, self.absent
        )

    def extra_repr(self) -> str:
        """Name the settings in the module's repr."""
        return (
            f"num_classes={len(self.class_counts)}, reweight={self.reweight}, "
            f"absent={self.absent!r}"
        )


def _check_absent(absent: str) -> None:
    if absent not in get_args(Absent):
        raise InputError(f"absent must be 'present' or 'all'; got {absent!r}.")


def _gml(
    logits: Tensor,
    labels: Tensor,
    counts: Tensor,
    names: tuple[str, ...] | None,
    reweight: bool,
    absent: Absent,
) -> Tensor:
    _check_absent(absent)
    labels = checked_labels(logits, labels, len(counts))
    check_label_values(labels, counts, names, zero_allowed=not reweight)
    log_counts = counts.to(logits.device, loss_dtype(logits)).log() if reweight else None
    if torch.compiler.is_compiling():
        return _definition(logits, labels, log_counts, absent)
    if torch.is_grad_enabled() and logits.requires_grad:
        loss: Tensor = _GeometricMean.apply(logits, labels, log_counts, absent)  # type: ignore[no-untyped-call]
        return loss
    log_probs = _log_probs(logits, labels, log_counts)
    return _mean_over_classes(*_per_class(log_probs, labels, logits.shape[1]), absent)[0]


def _definition(
    logits: Tensor, labels: Tensor, log_counts: Tensor | None, absent: Absent
) -> Tensor:
    """Equations 1 to 3 in differentiable operations."""
    z = logits.to(loss_dtype(logits))
    z = z if log_counts is None else z + log_counts
    log_probs = F.log_softmax(z, -1).gather(1, labels[:, None]).squeeze(1)
    return _mean_over_classes(*_per_class(log_probs, labels, logits.shape[1]), absent)[0]


def _per_class(log_probs: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Add up probabilities per class: all that (1) and (2) need to know of a batch.

    Returns:
        log Σ p over the images of each class, 0 where there is none; and how many those are.
        Both (C,).
    """
    empty = log_probs.new_zeros(num_classes)
    largest = empty.scatter_reduce(0, labels, log_probs.detach(), "amax", include_self=False)
    relative = (log_probs - largest.index_select(0, labels)).exp()
    sizes = empty.index_add(0, labels, torch.ones_like(relative))
    # An absent class starts at 1 instead of 0, so that its logarithm is 0 and has a gradient.
    sums = (sizes == 0).to(relative.dtype).index_add(0, labels, relative)
    return sums.log() + largest, sizes


def _mean_over_classes(
    log_sums: Tensor, sizes: Tensor, absent: Absent
) -> tuple[Tensor, Tensor | int]:
    """Return the loss of (1) and what its sum was divided by: K classes present, or C."""
    divisor = len(sizes) if absent == "all" else sizes.count_nonzero()
    return (sizes.clamp(min=1).log() - log_sums).sum() / divisor, divisor


class _GeometricMean(torch.autograd.Function):
    """The loss with its gradient by hand."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, labels: Tensor, log_counts: Tensor | None, absent: Absent
    ) -> Tensor:
        dtype = loss_dtype(logits)
        ctx.absent, ctx.probs = absent, None
        if logits.device.type == "cpu" and logits.dtype == dtype:
            # exp is what costs time here, so the softmax is kept for the backward pass; elsewhere
            # it is computed again, in full precision.
            ctx.probs = torch.empty_like(logits, memory_format=torch.contiguous_format)
            log_probs = _fill(ctx.probs, logits, labels, log_counts)
        else:
            log_probs = _log_probs(logits, labels, log_counts)
        log_sums, sizes = _per_class(log_probs, labels, logits.shape[1])
        loss, divisor = _mean_over_classes(log_sums, sizes, absent)
        weights = (log_probs - log_sums.index_select(0, labels)).exp_().div_(divisor)
        ctx.save_for_backward(logits, labels, log_counts, weights)
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        logits, labels, log_counts, weights = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: the gradient is differentiated in turn
            value = _definition(logits, labels, log_counts, ctx.absent)
            (out,) = torch.autograd.grad(value, logits, grad, create_graph=True)
            return out, None, None, None
        scale = (weights * grad)[:, None]
        # The buffer becomes the gradient, which is the caller's from then on.
        probs, ctx.probs = ctx.probs, None
        if probs is None:
            return _gradient(logits, labels, log_counts, scale), None, None, None
        return _subtract_label(probs.mul_(scale), labels, scale), None, None, None


def _blocks(logits: Tensor) -> Iterator[slice]:
    n, num_classes = logits.shape
    rows = max(1, _BLOCK // num_classes)
    return (slice(start, min(start + rows, n)) for start in range(0, n, rows))


def _softmax(logits: Tensor, log_counts: Tensor | None, out: Tensor) -> Tensor:
    if log_counts is None:
        return torch.softmax(logits, -1, dtype=out.dtype, out=out)
    return torch.softmax(torch.add(logits, log_counts, out=out), -1, out=out)


def _subtract_label(probs: Tensor, labels: Tensor, scale: Tensor) -> Tensor:
    return probs.scatter_add_(1, labels[:, None], -scale)


def _log_probs(logits: Tensor, labels: Tensor, log_counts: Tensor | None) -> Tensor:
    """(n,) log-probabilities of the labels, with memory for one block."""
    out = logits.new_empty((len(labels), 1), dtype=loss_dtype(logits))
    block = None
    for rows in _blocks(logits):
        x = logits[rows]
        block = torch.empty_like(x, dtype=out.dtype) if block is None else block[: len(x)]
        z = x if log_counts is None else torch.add(x, log_counts, out=block)
        torch.log_softmax(z, -1, dtype=out.dtype, out=block)
        torch.gather(block, 1, labels[rows, None], out=out[rows])
    return out.squeeze(1)


def _fill(probs: Tensor, logits: Tensor, labels: Tensor, log_counts: Tensor | None) -> Tensor:
    """Write the softmax of (3) into ``probs`` and return the log-probabilities of the labels."""
    out = probs.new_empty((len(labels), 1))
    for rows in _blocks(logits):
        _softmax(logits[rows], log_counts, probs[rows])
        torch.gather(probs[rows], 1, labels[rows, None], out=out[rows])
        if float(out[rows].min()) < torch.finfo(out.dtype).tiny:
            # A probability that a float cannot hold; its logarithm can be had all the same.
            out[rows, 0] = _log_probs(logits[rows], labels[rows], log_counts)
        else:
            out[rows].log_()
    return out.squeeze(1)


def _gradient(
    logits: Tensor, labels: Tensor, log_counts: Tensor | None, scale: Tensor
) -> Tensor:
    """The gradient from the logits alone, rounded once at the end."""
    out = torch.empty_like(logits, memory_format=torch.contiguous_format)
    block = None
    for rows in _blocks(logits):
        x = logits[rows]
        if out.dtype == scale.dtype:
            block = out[rows]
        else:
            block = torch.empty_like(x, dtype=scale.dtype) if block is None else block[: len(x)]
        _softmax(x, log_counts, block).mul_(scale[rows])
        _subtract_label(block, labels[rows], scale[rows])
        if block is not out[rows]:
            out[rows] = block
    return out
