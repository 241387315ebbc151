"""The one training loop: every method runs through it."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from everyclass.data import (
    BatchAugmentation,
    BatchSource,
    InstanceBalanced,
    MemorySource,
    RowSampler,
)
from everyclass.errors import FileFormatError, InputError, RunFailedError, first_line
from everyclass.processes import (
    from_first,
    generator_of,
    is_first,
    my_share,
    rank,
    shares_batches,
    summed_in_place,
    weighted_mean,
    world_size,
)
from everyclass.progress import Progress, silent
from everyclass.training.allocator import keep_large_buffers
from everyclass.training.checkpoints import load_checkpoint, save_checkpoint
from everyclass.training.devices import autocast
from everyclass.training.learner import Learner, Outcome
from everyclass.training.schedules import build_scheduler
from everyclass.training.sgd import SgdSettings

__all__ = ["EpochLog", "fit"]


@dataclass(frozen=True)
class EpochLog:
    """What one epoch gave.

    Attributes:
        epoch: from 1.
        loss: mean over the images.
        accuracy: on the augmented training images, as a fraction.
        learning_rate: in this epoch.
        seconds: it took.
        precision: what it was computed in.
    """

    epoch: int
    loss: float
    accuracy: float
    learning_rate: float
    seconds: float
    precision: Literal["fp32", "bf16"]


def fit(
    learner: Learner,
    images: BatchSource | Sequence[BatchAugmentation],
    labels: Tensor,
    settings: SgdSettings,
    *,
    device: torch.device,
    precision: Literal["fp32", "bf16"] = "fp32",
    seed: int = 0,
    compile: bool = False,
    sampler: RowSampler | None = None,
    checkpoint: Path | None = None,
    on_epoch: Callable[[EpochLog], None] = lambda log: None,
    show: Progress = silent,
) -> nn.Module:
    """Train the network of ``learner`` in place; go on from ``checkpoint`` if one is there.

    A run that was stopped at any moment and started again ends with the same weights as one left
    alone, on the CPU of the same machine bit for bit; a GPU may add up in another order each time.
    The checkpoint holds what the learner carries, the optimiser, the schedule and the generator
    that orders and augments the images. What a network draws itself, such as dropout, comes from
    torch's global generators: they follow from the seed and the epoch in here, and those of the CPU
    and of ``device`` are the caller's again afterwards.

    Where there are several processes, each has its share of every batch, loss and gradient are
    those of the whole batch, and the first one writes checkpoints that any number of processes can
    go on from. Batch norm takes its statistics from each share, and those of the first are kept.

    Args:
        learner: the network and what it learns by.
        images: the training images, with as many augmentations as the learner takes views; a
            list of augmentations is of images on the device.
        labels: (n,) int64.
        settings: how it is trained: a recipe's, or :class:`SgdSettings` alone.
        device: where to train.
        precision: what the network computes in; weights and losses stay float32.
        seed: of the order of images, of their augmentation, and of what a network draws itself,
            such as dropout.
        compile: compile the network where a compiler is found.
        sampler: which images an epoch shows; default each one once.
        checkpoint: file to write after every epoch, and to resume from.
        on_epoch: called after every epoch.
        show: how progress is shown.

    Returns:
        The network, in eval mode.

    Raises:
        FileFormatError: the checkpoint is damaged or of another training.
        InputError: nothing in the network is called as what is to be trained.
        RunFailedError: the loss became NaN or infinite.
    """
    keep_large_buffers()
    source = MemorySource(images) if isinstance(images, Sequence) else images
    learner.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    learner.autocast = partial(autocast, device, precision)
    learner.keep_answers(settings.repeat_after is not None)
    sampler = sampler or InstanceBalanced(labels)
    labels = labels.to(device)
    optimizer = torch.optim.SGD(
        _parameter_groups(learner, settings),
        lr=settings.schedule.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
    )
    scheduler = build_scheduler(optimizer, settings.schedule)
    generator = torch.Generator().manual_seed(seed)
    parts: dict[str, Any] = {"model": learner.model}
    parts |= {name: getattr(learner, name) for name in learner.carried}
    parts |= {"optimizer": optimizer, "scheduler": scheduler}
    done_epochs = 0
    if checkpoint is not None and from_first(checkpoint.exists()):
        done_epochs = _resume(checkpoint, parts, generator)

    if compile:
        _compile(learner.model.backbone, device)  # not every learner calls the whole network
    learn = _over_processes(learner, settings)
    epochs = settings.schedule.epochs
    size = sampler.num_samples
    done = done_epochs * size
    with _own_randomness(device), show("training", epochs * size, "images", done) as task:
        for epoch in range(done_epochs + 1, epochs + 1):
            start = time.perf_counter()
            torch.manual_seed(_seed_of(seed, epoch))
            learning_rate = max(group["lr"] for group in optimizer.param_groups)
            learner.begin_epoch(epoch, epochs)
            learner.train()
            shown = _shown_epoch(epoch, settings.repeat_after)
            if settings.repeat_after is not None or settings.begin_after:
                generator = generator_of(seed, settings.begin_after + shown)
            order = sampler.draw(generator, shown, epochs)
            own = _of_this_process(generator, seed, settings.begin_after + shown)
            batches = _batches(order, settings.batch_size, least=2 * world_size())
            shares = source.augmented([my_share(rows) for rows in batches], own)
            sums = torch.zeros(3, device=device)  # loss, images that are right, images
            for number, (whole, (rows, batch)) in enumerate(zip(batches, shares, strict=True)):
                if _is_enough(rows):
                    learner.begin_batch(number, rows, own)
                    sums += _step(learn, optimizer, batch, labels[rows.to(device)], own)
                    task.advance(len(whole), f"epoch {epoch}/{epochs}")
            total, right, seen = summed_in_place(sums).tolist()
            mean_loss = _mean_loss(total, seen, epoch)
            scheduler.step()
            seconds = time.perf_counter() - start
            on_epoch(EpochLog(epoch, mean_loss, right / seen, learning_rate, seconds, precision))
            if checkpoint is not None and is_first():
                state = {name: part.state_dict() for name, part in parts.items()}
                state |= {"epoch": epoch, "generator": generator.get_state()}
                save_checkpoint(checkpoint, state)
    return learner.model.eval()


def _shown_epoch(epoch: int, repeat_after: int | None) -> int:
    """The epoch, from 1, whose batches this one shows."""
    return epoch if repeat_after is None else (epoch - 1) % repeat_after + 1


def _own_randomness(device: torch.device) -> AbstractContextManager[None]:
    """Put torch's global generators, the CPU's and the device's, back as they were at the end."""
    if device.type == "cpu":  # whose generator is always put back
        return torch.random.fork_rng(devices=[])
    return torch.random.fork_rng(devices=[device], device_type=device.type)


def _of_this_process(generator: torch.Generator, seed: int, epoch: int) -> torch.Generator:
    """What one process's share is augmented by; the generator of all stays in step."""
    # Without the 2 the first of several processes would have the stream that drew the order.
    return generator if world_size() == 1 else generator_of(seed, epoch, rank(), 2)


def _seed_of(seed: int, epoch: int) -> int:
    """What a process seeds the global generators with; no other stream of the loop is the same."""
    # torch takes seeds below zero for large ones, which is what this makes of them.
    return generator_of(seed % (1 << 64), epoch, rank(), 1).initial_seed()


def _mean_loss(total: float, seen: float, epoch: int) -> float:
    """The loss of an epoch.

    Raises:
        RunFailedError: it is no finite number, or nothing was seen.
    """
    if not seen:
        raise RunFailedError(
            f"Epoch {epoch} has no batch with two pictures that could be read; find the bad ones "
            "with everyclass data check --decode, and take them out of the list."
        )
    mean_loss = total / seen
    if not math.isfinite(mean_loss):
        raise RunFailedError(
            f"The training loss became {mean_loss} in epoch {epoch}; lower the learning rate. The "
            "checkpoint of the last good epoch is kept."
        )
    return mean_loss


def _batches(rows: Tensor, size: int, *, least: int = 2) -> list[Tensor]:
    """Rows in batches; too few left over join the batch before, as batch norm needs two of each."""
    batches = list(rows.split(size))
    if len(batches) > 1 and len(batches[-1]) < least:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _step(
    learn: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Sequence[Tensor],
    target: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """One step on one batch: its summed loss, how many images are right, how many there are."""
    loss, logits = learn(batch, target, generator)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    right = (logits.detach().argmax(dim=1) == target).sum()
    return torch.stack([loss.detach() * len(target), right, right.new_tensor(len(target))])


def _is_enough(rows: Tensor) -> bool:
    """Whether anything is left of a batch whose unreadable images were left out.

    Raises:
        RunFailedError: too little is left of this process's share for the others to go on.
    """
    if world_size() > 1 and len(rows) < 2:
        raise RunFailedError(
            "Hardly any picture of one process's share of a batch could be read; find the bad ones "
            "with everyclass data check --decode, and take them out of the list."
        )
    return len(rows) > 1  # batch norm needs two


def _over_processes(learner: Learner, settings: SgdSettings) -> nn.Module:
    """The learner, or DDP around it where there are several processes.

    Raises:
        InputError: batches that are too small to be shared out.
    """
    if world_size() == 1:
        return learner
    if settings.batch_size < 2 * world_size():
        raise InputError(
            f"A batch of {settings.batch_size} images cannot be shared by {world_size()} "
            "processes, as batch norm needs two for each; start fewer."
        )
    # Queues, class means and the like are the same in every process by what they take in.
    return _Shared(nn.parallel.DistributedDataParallel(learner, broadcast_buffers=False))


class _Shared(nn.Module):
    """A learner in DDP, with the loss of the whole batch whatever it is a mean over."""

    def __init__(self, learner: nn.parallel.DistributedDataParallel) -> None:
        super().__init__()
        self._learner = learner
        self._knows = shares_batches(learner.module.loss)

    def forward(
        self, views: Sequence[Tensor], labels: Tensor, generator: torch.Generator
    ) -> Outcome:
        loss, logits = self._learner(views, labels, generator)
        if not self._knows:
            count = loss.new_tensor(len(labels))
            loss = weighted_mean(loss * count, count)
        return Outcome(loss, logits)


def _resume(checkpoint: Path, parts: dict[str, Any], generator: torch.Generator) -> int:
    """Put everything back to where a checkpoint was made; the number of epochs that are done."""
    state = load_checkpoint(checkpoint)
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
        generator.set_state(state["generator"])
        return int(state["epoch"])
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"{checkpoint} is not a checkpoint of this training; remove it to begin anew."
        ) from error


def _parameter_groups(learner: Learner, settings: SgdSettings) -> list[dict[str, Any]]:
    """The trained parameters, grouped by learning rate; the network's others are frozen.

    Raises:
        InputError: no parameter's name begins as one that is to be trained.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    names = [name for name, _ in learner.model.named_parameters()]
    for beginning in settings.trained:
        if not any(name.startswith(beginning) for name in names):
            raise InputError(
                f"Nothing in the network begins with {beginning!r}, which is to be trained; its "
                f"last parameters are {', '.join(names[-3:])}."
            )
    for name, parameter in learner.model.named_parameters():
        fitting = [beginning for beginning in settings.trained if name.startswith(beginning)]
        parameter.requires_grad_(bool(fitting))
        if fitting:
            factor = settings.trained[max(fitting, key=len)]
            groups.setdefault(factor, []).append(parameter)
    for part in learner.carried:
        own = [p for p in getattr(learner, part).parameters() if p.requires_grad]
        groups.setdefault(1.0, []).extend(own)
    rate = settings.schedule.learning_rate
    return [{"params": group, "lr": factor * rate} for factor, group in groups.items() if group]


def _compile(backbone: nn.Module, device: torch.device) -> None:
    """Compile the backbone, or leave it as it is with a notice where nothing can compile it."""
    try:
        torch.compile(torch.square)(torch.ones(2, device=device))
    except Exception as error:  # of whatever kind the backend that torch has chosen raises
        warnings.warn(
            "The network is trained without torch.compile, which does not work here "
            f"({first_line(error)}); install a C++ compiler, such as g++, to have it.",
            stacklevel=3,
        )
        return
    backbone.compile()
