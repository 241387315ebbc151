"""Several processes at one job: who am I, how many are we, what do all of us know.

Everything that talks to other processes goes through here, and all of it is torch.distributed:
gloo on the CPU, NCCL on GPUs, started by torchrun or by whoever sets the same variables. Alone,
every function does what one process would do, so callers need no case of their own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from everyclass.errors import EveryclassError, InputError, RunFailedError, first_line

__all__ = [
    "Group",
    "alone",
    "barrier",
    "everybody_has",
    "first_goes_first",
    "from_first",
    "gathered",
    "generator_of",
    "group_of",
    "is_first",
    "joined",
    "largest",
    "my_share",
    "rank",
    "rows_before",
    "shares_batches",
    "summed",
    "summed_in_place",
    "weighted_mean",
    "world_size",
]

Group = Any  # a torch.distributed.ProcessGroup; that name is missing where torch is built without
Value = TypeVar("Value")

_LONGEST_START = timedelta(minutes=10)  # until all processes are there
_LONGEST_WAIT = timedelta(hours=12)  # for the first process, while it evaluates or writes
_LOST = (
    "Another process of this job has ended or never came, so this one cannot go on ({reason}). "
    "Start the same command again, with as many processes as you like: it goes on from what is "
    "finished."
)


_is_alone: ContextVar[bool] = ContextVar("_is_alone", default=False)


def _is_started() -> bool:
    return dist.is_available() and dist.is_initialized() and not _is_alone.get()


@contextmanager
def alone() -> Iterator[None]:
    """What is done in here is one process's own work, whatever the others do meanwhile."""
    token = _is_alone.set(True)
    try:
        yield
    finally:
        _is_alone.reset(token)


def world_size(group: Group = None) -> int:
    """How many processes there are; 1 without a process group."""
    return dist.get_world_size(group) if _is_started() else 1


def rank(group: Group = None) -> int:
    """Which of them this is, from 0."""
    return dist.get_rank(group) if _is_started() else 0


def is_first() -> bool:
    """Whether this process writes the files and shows the progress."""
    return rank() == 0


def barrier() -> None:
    """Wait until every process is here."""
    if world_size() > 1:
        dist.barrier()


@contextmanager
def first_goes_first() -> Iterator[None]:
    """What the first process does in here is done when the others begin."""
    if not is_first():
        barrier()
    yield
    if is_first():
        barrier()


def group_of(module: nn.Module) -> Group:
    """The processes whose batches make one batch for this loss, or None for its own alone.

    That is so in training mode and where gradients are recorded, so that a validation pass on one
    process waits for nobody.

    Args:
        module: with ``sync`` (False: never) and ``process_group`` (None: all processes).
    """
    if not (module.sync and module.training and torch.is_grad_enabled() and _is_started()):
        return None
    group: Group = module.process_group
    chosen: Group = dist.group.WORLD if group is None else group
    return chosen if dist.get_world_size(chosen) > 1 else None


def shares_batches(module: nn.Module) -> bool:
    """Whether a loss, or one inside it, takes all processes' batches for one by itself."""
    return any(getattr(part, "sync", False) for part in module.modules())


@torch.compiler.disable  # type: ignore[untyped-decorator]
def summed(values: Tensor, group: Group = None) -> Tensor:
    """Sum over the processes, with a gradient: it reaches every process's own values.

    The gradient is summed over the processes as well, so where each has the same loss, the mean
    of their gradients, which is what DDP takes, is the gradient of that one loss.
    """
    return _sum(values, group) if world_size(group) > 1 else values


def weighted_mean(total: Tensor, weight: Tensor, group: Group = None) -> Tensor:
    """Σ total / Σ weight over the processes, with a gradient to the totals."""
    return summed(total, group) / summed_in_place(weight.detach().to(total).clone(), group)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def largest(values: Tensor, group: Group = None) -> Tensor:
    """Largest over the processes, entry by entry, without a gradient."""
    values = values.detach().clone(memory_format=torch.contiguous_format)
    if world_size(group) > 1:
        dist.all_reduce(values, op=dist.ReduceOp.MAX, group=group)
    return values


def summed_in_place(values: Tensor, group: Group = None) -> Tensor:
    """Overwrite a contiguous tensor without a gradient by its sum over the processes."""
    if world_size(group) > 1:
        dist.all_reduce(values, group=group)
    return values


def gathered(rows: Tensor, group: Group = None) -> Tensor:
    """Every process's rows below each other, in the order of the processes, with a gradient.

    Args:
        rows: (n, …), n as it may be in each process, 0 included.
    """
    if world_size(group) == 1:
        return rows
    sizes = _sizes(len(rows), rows.device, group)
    before = sum(sizes[: rank(group)])
    after = sum(sizes) - before - len(rows)
    shape = rows.shape[1:]
    padded = torch.cat([rows.new_zeros(before, *shape), rows, rows.new_zeros(after, *shape)])
    return summed(padded, group)


def rows_before(rows: Tensor, group: Group = None) -> int:
    """Where the rows of this process begin among those that :func:`gathered` returns."""
    return sum(_sizes(len(rows), rows.device, group)[: rank(group)])


def _sizes(count: int, device: torch.device, group: Group) -> list[int]:
    if world_size(group) == 1:
        return [count]
    sizes = torch.zeros(world_size(group), dtype=torch.int64, device=device)
    sizes[rank(group)] = count
    return [int(size) for size in summed_in_place(sizes, group)]


def my_share(rows: Tensor) -> Tensor:
    """Every world-size-th row, from this process's number on: together each row once."""
    return rows[rank() :: world_size()]


def generator_of(*numbers: int) -> torch.Generator:
    """A generator on the CPU that follows from a seed and from what it is for, such as an epoch."""
    entropy = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(entropy[0]))


def from_first(value: Value) -> Value:
    """What the first process has, in every process; for plain values."""
    if world_size() == 1:
        return value
    boxed = [value]
    dist.broadcast_object_list(boxed, src=0)
    return boxed[0]


def everybody_has(value: Value) -> list[Value]:
    """The values of all processes, in their order, in every process; for plain values."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


@contextmanager
def joined(device: str = "auto") -> Iterator[None]:
    """Take part in the job that torchrun has started, if it has; leave it at the end.

    Args:
        device: what will be computed on: NCCL for CUDA, each process with the GPU of its number on
            this machine; gloo for everything else.

    Raises:
        InputError: the variables that torchrun sets are there in part only, or no such numbers.
        RunFailedError: another process ended, so that nothing can be reduced any more.
    """
    if "WORLD_SIZE" not in os.environ or _is_started():
        yield
        return
    needed = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    missing = [name for name in needed if name not in os.environ]
    if missing:
        raise InputError(
            f"WORLD_SIZE is set and {', '.join(missing)} is not; start several processes by "
            "torchrun, or unset WORLD_SIZE."
        )
    size = _from_environment("WORLD_SIZE", low=1)
    _from_environment("RANK", high=size - 1)
    _from_environment("MASTER_PORT", high=65_535)
    on_gpus = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if on_gpus:
        torch.cuda.set_device(_from_environment("LOCAL_RANK"))
    from torch.distributed.rendezvous import rendezvous  # not in every build of torch

    try:
        store, number, size = next(rendezvous("env://", timeout=_LONGEST_START))
        dist.init_process_group(
            "nccl" if on_gpus else "gloo",
            store=store,
            rank=number,
            world_size=size,
            timeout=_LONGEST_WAIT,
        )
        yield
    except EveryclassError:  # which says what is wrong already
        raise
    except (RuntimeError, dist.DistError) as error:
        if not _is_lost_connection(error):
            raise
        raise RunFailedError(_LOST.format(reason=first_line(error))) from error
    finally:
        if _is_started():
            dist.destroy_process_group()


def _from_environment(name: str, low: int = 0, high: int | None = None) -> int:
    """A whole number in a variable of the environment; 0 if it is not set."""
    said = os.environ.get(name, "0")
    digits = said.strip()
    number = int(digits) if digits.isdecimal() else -1
    if number < low or (high is not None and number > high):
        allowed = f"{low} or more" if high is None else f"{low} to {high}"
        raise InputError(
            f"The environment variable {name} must be a whole number, {allowed}; it is {said!r}. "
            "Start several processes by torchrun, or unset WORLD_SIZE."
        )
    return number


_LOST_CONNECTION = re.compile(
    r"\bgloo[/\\]"  # the source file that gloo begins its errors with
    r"|connection (closed|reset) by peer"
    r"|\bNCCL (communicator|error|operation)|\bnccl\w+Error\b|\bProcessGroupNCCL",
    re.IGNORECASE,
)


def _is_lost_connection(error: Exception) -> bool:
    return isinstance(error, dist.DistError) or bool(_LOST_CONNECTION.search(str(error)))


class _Sum(torch.autograd.Function):
    """All-reduce whose gradient, and that one's gradient, is an all-reduce."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: Group) -> Tensor:
        ctx.group = group
        total = values.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _sum(grad, ctx.group), None


_sum: Callable[[Tensor, Group], Tensor] = _Sum.apply
