"""The geometric-mean loss (GML) of Du & Wu, CVPR 2023: every class counts the same.

The same number is computed in two ways, because speed and generality pull apart:

- ``_definition`` is the equations in differentiable operations on log-probabilities. It is what
  torch.compile, torch.func and forward-mode differentiation see, and what second derivatives are
  taken of.
- ``_GeometricMean`` has its gradient by hand. With w_i = p_i / Σ_{j in class y_i} p_j, the share
  of an image in the probability of its class, ∂L/∂o^i = w_i (p̃^i − onehot(y_i)) / K: the softmax
  of the forward pass, scaled, so one buffer of the size of the logits is enough.

Without a gradient there is no such buffer: the logits are gone through in blocks of rows.

Over several processes only Σ p per class and how many images there are have to be known of the
others' batches: 2 C numbers, whatever the batches hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from everyclass.artifacts import check_choice
from everyclass.errors import InputError
from everyclass.losses._inputs import (
    EMPTY_BATCH,
    can_look,
    check_label_values,
    checked_labels,
    count_tensor,
    is_mapped,
    loss_dtype,
    widest_dtype,
)
from everyclass.losses._weighted import LossModule
from everyclass.processes import Group, group_of, largest, summed, world_size

__all__ = ["Absent", "GMLLoss", "gml_loss"]

Absent = Literal["present", "all"]
_ABSENT = get_args(Absent)

_BLOCK = 1 << 22  # logits per block: 16 MB of float32
_SMALLEST = 1e-30  # for probabilities from here on float32 is enough; below, take logarithms
_NO_GRADIENT = (None,) * 5  # for every argument but the logits


def gml_loss(
    logits: Tensor,
    labels: Tensor,
    class_counts: Any,
    *,
    reweight: bool = True,
    absent: Absent = "present",
) -> Tensor:
    """Minus the log of the geometric mean, over classes, of the mean probability of the label.

    (1) L = −(1/C) Σ_c log p̄_c
    (2) p̄_c = mean of p̃^i_{y_i} over the images i of class c in the batch
    (3) p̃^i_j = N_j exp(o^i_j) / Σ_c N_c exp(o^i_c), N_j the number of *training* images of class j

    p̄_c is a smooth stand-in for the recall of class c, so exp(−L) is one for the geometric mean of
    the recalls. Equal counts and one image per class make it cross entropy.

    It is no mean over images: the loss of a batch is not the mean of the losses of its halves, so
    accumulated gradients differ from those of one large batch, and there is no ``reduction``, no
    ``weight`` and no ``ignore_index``; leave such rows out beforehand.

    No probability is too small for it: where one cannot be held its logarithm is used, so that
    neither the loss nor its gradient becomes infinite. A class with count 0 has probability
    exactly 0 and its logit no gradient: it is as if the classifier had no such output, and a
    label of it is an error. Where the label's logit is −∞ in every image of a class the loss is +∞
    and its gradient NaN. At test time use the plain logits, without the counts.

    Args:
        logits: (n, C) floating point, n ≥ 1.
        labels: (n,) integers in 0..C−1.
        class_counts: N, the training images per class: ClassCounts, list, array, tensor, or a
            dict by class. An integer tensor on the device of the logits is fastest, and what
            torch.compile wants.
        reweight: False leaves N out of (3), which makes p̃ the plain softmax; the counts then
            only say how many classes there are.
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
        tensor(0.7443)
        >>> gml_loss(logits, labels, [90, 10], reweight=False)
        tensor(0.2645)

    References:
        Du & Wu, No One Left Behind: Improving the Worst Categories in Long-Tailed Learning,
        CVPR 2023.
    """
    counts, names = count_tensor(class_counts)
    return _gml(logits, labels, counts, names=names, reweight=reweight, absent=absent)


class GMLLoss(LossModule):
    """The geometric-mean loss as a module; see :func:`gml_loss` for the equations and errors.

    Args:
        class_counts: training images per class: ClassCounts, list, array, tensor, or a dict by
            class. Kept as the int64 buffer ``class_counts``, which no ``.half()`` narrows.
        reweight: False leaves the counts out, which makes p̃ the plain softmax.
        absent: "present" averages over the classes in the batch, "all" divides by C.
        process_group: the processes whose batches together are the batch, where torch.distributed
            is initialised; None: all of them.
        sync: False makes each process's batch a batch of its own, which is another loss.

    Under data parallelism the batch is that of all processes, however its images and classes are
    split among them, a process without any included. Every process gets the loss of the whole
    batch; the mean of the processes' gradients, which is what DistributedDataParallel takes, is
    the gradient of that loss. Processes wait for each other only in training mode and where
    gradients are recorded, so one alone may validate.

    Shape:
        logits (n, C) and labels (n,) → scalar.

    Raises:
        InputError: counts that cannot be used, an unknown ``absent``; in ``forward`` as gml_loss.
        InputTypeError: counts that are not whole numbers; in ``forward`` as gml_loss.

    Example:
        >>> loss_fn = GMLLoss({"cat": 90, "lynx": 10})
        >>> loss_fn(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))
        tensor(0.7380)
    """

    _shown = ("reweight", "absent")

    def __init__(
        self,
        class_counts: Any,
        *,
        reweight: bool = True,
        absent: Absent = "present",
        process_group: Group = None,
        sync: bool = True,
    ) -> None:
        super().__init__(process_group=process_group, sync=sync)
        check_choice("absent", absent, _ABSENT)
        self.reweight = reweight
        self.absent: Absent = absent
        self._keep_counts(class_counts)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return _gml(
            logits,
            labels,
            self.class_counts,
            names=self.class_names,
            reweight=self.reweight,
            absent=self.absent,
            group=group_of(self),
        )


def _gml(
    logits: Tensor,
    labels: Tensor,
    counts: Tensor,
    *,
    names: tuple[str, ...] | None,
    reweight: bool,
    absent: Absent,
    group: Group = None,
) -> Tensor:
    check_choice("absent", absent, _ABSENT)
    labels = checked_labels(logits, labels, len(counts), may_be_empty=group is not None)
    log_counts = counts.to(logits.device, loss_dtype(logits)).log() if reweight else None
    if torch.compiler.is_compiling():
        return _definition(logits, labels, log_counts, absent, group)

    def check_labels() -> None:
        check_label_values(labels, counts, names, zero_allowed=not reweight)

    # These cannot go through _GeometricMean, which keeps a buffer for its backward pass.
    is_dual = forward_ad.unpack_dual(logits).tangent is not None
    if is_dual or torch._C._are_functorch_transforms_active():
        check_labels()
        return _definition(logits, labels, log_counts, absent, group)
    if torch.is_grad_enabled() and logits.requires_grad:
        return _with_gradient(logits, labels, log_counts, absent, check_labels, group)
    check_labels()
    log_probs = _log_probs(logits, labels, log_counts)
    loss = _mean_over_classes(*_per_class(log_probs, labels, logits.shape[1], group), absent)
    return loss.to(log_probs.dtype)


def _definition(
    logits: Tensor, labels: Tensor, log_counts: Tensor | None, absent: Absent, group: Group
) -> Tensor:
    """Equations 1 to 3 in differentiable operations."""
    z = logits.to(loss_dtype(logits))
    z = z if log_counts is None else z + log_counts
    log_probs = F.log_softmax(z, -1).gather(1, labels[:, None]).squeeze(1)
    loss = _mean_over_classes(*_per_class(log_probs, labels, logits.shape[1], group), absent)
    return loss.to(log_probs.dtype)


def _per_class(
    log_probs: Tensor, labels: Tensor, num_classes: int, group: Group = None
) -> tuple[Tensor, Tensor]:
    """Add up probabilities per class: all that (1) and (2) need to know of a batch.

    Returns:
        log Σ p over the images of each class, 0 where there is none; and how many those are.
        Both (C,), float64 where the device has it.
    """
    # One after the other, thousands of float32 would add up to only five digits.
    log_probs = log_probs.to(widest_dtype(log_probs))
    empty = log_probs.new_zeros(num_classes)
    top = empty.scatter_reduce(0, labels, log_probs.detach(), "amax", include_self=False)
    if group is not None:
        # A class that this process has no image of must not count with the 0 that stands there.
        here = empty.index_add(0, labels, torch.ones_like(log_probs)) > 0
        top = largest(top.where(here, -torch.inf), group)
    # Of a class whose images all have probability 0 the sum is to be 0, and not −∞ less −∞.
    top = top.where(top > -torch.inf, 0)
    relative = (log_probs - top.index_select(0, labels)).exp()
    sizes = empty.index_add(0, labels, torch.ones_like(relative))
    sums = empty.index_add(0, labels, relative)
    if group is not None:
        sums, sizes = summed(torch.stack([sums, sizes]), group)
        if can_look(sizes) and not sizes.any():
            raise InputError(EMPTY_BATCH)
    # An absent class starts at 1 instead of 0, so that its logarithm is 0 and has a gradient.
    sums = sums + (sizes == 0).to(sums.dtype)
    return sums.log() + top, sizes


def _mean_over_classes(log_sums: Tensor, sizes: Tensor, absent: Absent) -> Tensor:
    """The loss of (1)."""
    return (sizes.clamp(min=1).log() - log_sums).sum() / _divisor(sizes, absent)


def _divisor(sizes: Tensor, absent: Absent) -> Tensor | int:
    return len(sizes) if absent == "all" else sizes.count_nonzero()


class _GeometricMean(torch.autograd.Function):
    """The loss with its gradient by hand."""

    @staticmethod
    def forward(  # noqa: PLR0917 - apply() takes no keywords
        ctx: Any,
        logits: Tensor,
        labels: Tensor,
        log_counts: Tensor | None,
        absent: Absent,
        check_labels: Callable[[], None],
        group: Group,
    ) -> Tensor:
        ctx.absent, ctx.group = absent, group
        ctx.gradient = None
        found = None
        if logits.device.type == "cpu" and logits.dtype in (torch.float32, torch.float64):
            # On the CPU exp is what costs time, so its results are kept: they become the gradient.
            ctx.gradient = torch.empty_like(logits, memory_format=torch.contiguous_format)
            _softmax(logits, log_counts, ctx.gradient)
            found = None if group else _from_probs(ctx.gradient, labels, absent)
        if found is None:
            check_labels()
            log_probs = _log_probs(logits, labels, log_counts)
            log_sums, sizes = _per_class(log_probs, labels, logits.shape[1], group)
            loss = _mean_over_classes(log_sums, sizes, absent)
            weights = (log_probs - log_sums.index_select(0, labels)).exp_()
            # Each process has the gradient of the sum of all processes' losses, which are equal.
            weights.mul_(world_size(group) if group else 1)
            found = loss, weights.div_(_divisor(sizes, absent))
        loss, weights = (t.to(loss_dtype(logits)) for t in found)
        if ctx.gradient is not None:
            _times_difference(ctx.gradient, labels, weights)
        ctx.save_for_backward(logits, labels, log_counts, weights)
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        logits, labels, log_counts, weights = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: the gradient is differentiated in turn
            value = _definition(logits, labels, log_counts, ctx.absent, ctx.group)
            (out,) = torch.autograd.grad(value, logits, grad, create_graph=True)
            return out, *_NO_GRADIENT
        # The buffer is the caller's from here on; a second backward pass makes another.
        gradient, ctx.gradient = ctx.gradient, None
        if is_mapped(grad):  # many gradients at once, which nothing can be overwritten by
            if gradient is None:
                gradient = _gradient(logits, labels, log_counts, weights)
            return gradient * grad.to(gradient.dtype), *_NO_GRADIENT
        if gradient is None:
            gradient = _gradient(logits, labels, log_counts, weights * grad)
        elif float(grad) != 1:
            gradient.mul_(grad)
        return gradient, *_NO_GRADIENT


_with_gradient: Callable[..., Tensor] = _GeometricMean.apply


def _rows_per_block(logits: Tensor) -> int:
    return min(max(1, len(logits)), max(1, _BLOCK // logits.shape[1]))


def _blocks(logits: Tensor) -> Iterator[slice]:
    step = _rows_per_block(logits)
    return (slice(start, start + step) for start in range(0, len(logits), step))


def _one_block(logits: Tensor) -> Tensor:
    shape = (_rows_per_block(logits), logits.shape[1])
    return logits.new_empty(shape, dtype=loss_dtype(logits))


def _log_probs(logits: Tensor, labels: Tensor, log_counts: Tensor | None) -> Tensor:
    """(n,) log-probabilities of the labels, with memory for one block."""
    block = _one_block(logits)
    out = block.new_empty((len(labels), 1))
    for rows in _blocks(logits):
        z = logits[rows]
        log_p = block[: len(z)]
        if log_counts is not None:
            z = torch.add(z, log_counts, out=log_p)
        torch.log_softmax(z, -1, dtype=log_p.dtype, out=log_p)
        torch.gather(log_p, 1, labels[rows, None], out=out[rows])
    return out.squeeze(1)


def _softmax(logits: Tensor, log_counts: Tensor | None, out: Tensor) -> Tensor:
    if log_counts is not None:
        logits = torch.add(logits, log_counts, out=out)
    return torch.softmax(logits, -1, dtype=out.dtype, out=out)


def _from_probs(probs: Tensor, labels: Tensor, absent: Absent) -> tuple[Tensor, Tensor] | None:
    """Loss and weights w / K from probabilities: _per_class and what follows, in fewer steps.

    Returns:
        None where a probability is too small or NaN, and where a label is wrong: outside 0..C−1,
        or of a class with count 0. That is looked into only then, which keeps it out of the way.
    """
    try:
        p = probs.gather(1, labels[:, None]).squeeze(1)
    except RuntimeError:  # a label outside 0..C−1
        return None
    if not float(p.min()) >= _SMALLEST:
        return None
    num_classes = probs.shape[1]
    p = p.double()
    sizes = labels.bincount(minlength=num_classes)
    sums = labels.bincount(p, minlength=num_classes).index_select(0, labels)
    weights = p.div_(sums).div_(_divisor(sizes, absent))
    # The weights of a class add up to 1 / K, so this is (1), with every class once.
    loss = sizes.index_select(0, labels).div(sums).log_().mul_(weights).sum()
    return loss, weights


def _times_difference(probs: Tensor, labels: Tensor, weights: Tensor) -> None:
    """Turn p̃ into w · (p̃ − onehot(y)), in place."""
    weights = weights[:, None]
    probs.mul_(weights).scatter_add_(1, labels[:, None], -weights)


def _gradient(logits: Tensor, labels: Tensor, log_counts: Tensor | None, weights: Tensor) -> Tensor:
    """The gradient from the logits alone, rounded to their type once, at the end."""
    out = torch.empty_like(logits, memory_format=torch.contiguous_format)
    block = None if out.dtype == weights.dtype else _one_block(logits)
    for rows in _blocks(logits):
        target = out[rows]
        probs = target if block is None else block[: len(target)]
        _softmax(logits[rows], log_counts, probs)
        _times_difference(probs, labels[rows], weights[rows])
        if block is not None:
            target.copy_(probs)
    return out
