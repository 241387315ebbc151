"""What a published method is made of: the parts that the one loop puts together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from everyclass.artifacts import ClassCounts, Features, check_number, check_whole_number
from everyclass.data import CutMix, InstanceBalanced, Mixup, RowSampler
from everyclass.errors import EveryclassError, InputError, first_line
from everyclass.training.learner import Learner, Supervised
from everyclass.training.schedules import Schedule

__all__ = ["HeadRecipe", "Recipe", "modern"]

_STRONG = "autoaugment"
_MADE_BY = {
    "loss": "loss=lambda counts: nn.CrossEntropyLoss()",
    "sampler": "sampler=ClassAware, or partial(ClassAware, images_per_class=2)",
}


@dataclass(frozen=True)
class Recipe:
    """A method as data: what the one loop trains, on what, with which loss.

    Attributes:
        name: what the command line calls it.
        summary: one line.
        source: where the method and its constants come from.
        loss: from the training counts to the loss module, which :meth:`make_loss` returns.
        learner: what a step does with a batch; called with the network, the loss, and
            ``teachers=`` and ``mixing=`` where the recipe has them.
        start: the recipe whose finished network this one goes on from; None: from scratch.
        teachers: the recipes whose finished networks this one learns from.
        backbone: one of ``everyclass.nn.BACKBONES`` or a name of timm; None: what the data set
            usually has.
        weights: of a backbone of timm: "none", "pretrained", or a file.
        head: one of ``everyclass.nn.HEADS``.
        keep_head: begin with the head of ``start`` instead of a fresh one.
        trained: beginnings of parameter names and the factor of their learning rate; what begins
            with none of them is frozen, and the longest that fits counts.
        shift_batch_norm: let the statistics of what is frozen in the backbone follow the batches.
        sampler: which images an epoch shows: from the training labels to a sampler.
        augmentation: one of ``everyclass.data.AUGMENTATIONS``.
        other_views: the augmentations of further views of the same images.
        mixing: ``Mixup`` or ``CutMix``, or None.
        repeat_after: epochs after which the same batches come again, to pixel and mixture, so that
            teachers look once only; None: never. What they say of each is kept: n · C · 2 bytes an
            epoch.
        schedule: epochs and learning rate.
        batch_size, momentum, nesterov, weight_decay: of SGD.
        retraining: settings of a rescue of its network, where a part of the method belongs there.
        file_fingerprint: of the user's own file that it was read from; None of the library's.

    Raises:
        InputError: a number out of its range, teachers that are not different recipes, a loss or a
            mixing that is no such thing.
        InputTypeError: something else where a number should be.
    """

    name: str
    summary: str
    source: str
    loss: Callable[[ClassCounts], nn.Module]
    learner: Callable[..., Learner] = Supervised
    start: Recipe | None = None
    teachers: tuple[Recipe | HeadRecipe, ...] = ()
    backbone: str | None = None
    weights: str = "none"
    head: str = "linear"
    keep_head: bool = False
    trained: Mapping[str, float] = field(default_factory=lambda: {"": 1.0})
    shift_batch_norm: bool = False
    sampler: Callable[[npt.ArrayLike], RowSampler] = InstanceBalanced
    augmentation: str = "basic"
    other_views: tuple[str, ...] = ()
    mixing: Mixup | CutMix | None = None
    repeat_after: int | None = None
    schedule: Schedule = field(default_factory=Schedule)
    batch_size: int = 128
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 2e-4
    retraining: Mapping[str, Any] = field(default_factory=dict)
    file_fingerprint: str | None = None

    def __post_init__(self) -> None:
        for name, what in (("loss", self.loss), ("sampler", self.sampler)):
            if not callable(what) or isinstance(what, nn.Module):
                raise InputError(
                    f"The {name} of {self.name} must be made for the data: say {_MADE_BY[name]}; "
                    f"got {what!r}."
                )
        if not isinstance(self.mixing, Mixup | CutMix | None):
            raise InputError(
                f"The mixing of {self.name} must be Mixup(…), CutMix(…) or None; got "
                f"{self.mixing!r}."
            )
        check_whole_number(f"batch_size of {self.name}", self.batch_size, 2)  # for batch norm
        check_number(f"momentum of {self.name}", self.momentum, high=1)
        check_number(f"weight_decay of {self.name}", self.weight_decay)
        for beginning, factor in self.trained.items():
            check_number(f"The factor of {beginning!r} in trained of {self.name}", factor)
        if not isinstance(self.teachers, tuple) or len(self.teachers) != len(
            {teacher.name for teacher in self.teachers}
        ):
            raise InputError(f"The teachers of {self.name} must be a tuple of different recipes.")
        if self.repeat_after is not None:
            check_whole_number(f"repeat_after of {self.name}", self.repeat_after, 1)

    @property
    def rests_on(self) -> tuple[Recipe | HeadRecipe, ...]:
        """The recipes whose finished runs are needed first, to go on from and to learn from."""
        return self.teachers if self.start is None else (self.start, *self.teachers)

    @property
    def trains_backbone(self) -> bool:
        """Whether anything below the head learns."""
        return any(p == "" or p.startswith("backbone") for p in self.trained)

    def make_loss(self, counts: ClassCounts) -> nn.Module:
        """The loss for these training counts.

        Raises:
            InputError: it cannot be made, or is no module.
        """
        made: object
        try:
            made = self.loss(counts)
        except EveryclassError:
            raise
        except Exception as error:  # of whatever kind the recipe's own code raises
            made = f"{type(error).__name__}: {first_line(error)}"
        if isinstance(made, nn.Module):
            return made
        raise InputError(
            f"The loss of {self.name} must be a module made from class counts: say "
            f"{_MADE_BY['loss']}; got {made!r}."
        )

    def to_dict(self, counts: ClassCounts | None = None) -> dict[str, Any]:
        """The constants as plain values, for ``config.json``.

        Those that recipes did not always have are there only where they say something, so that
        earlier runs can be gone on with.

        Args:
            counts: training images per class; with them also what loss and learner are made of.
        """
        values = asdict(replace(self, start=None, teachers=()))
        for words in ("loss", "learner", "summary", "source"):
            del values[words]
        values["start"] = None if self.start is None else self.start.name
        values["teachers"] = [teacher.name for teacher in self.teachers]
        values["sampler"] = _in_words(self.sampler)
        if self.mixing is not None:
            values["mixing"] = {type(self.mixing).__name__: self.mixing.alpha}
        values["schedule"]["milestones"] = list(self.schedule.milestones)
        values["other_views"] = list(self.other_views)
        for later in (
            "teachers",
            "other_views",
            "repeat_after",
            "nesterov",
            "retraining",
            "file_fingerprint",
        ):
            if not values[later]:
                del values[later]
        if self.weights == "none":
            del values["weights"]
        if counts is not None:
            loss = self.make_loss(counts)
            values["loss"] = " ".join(repr(loss).split())
            values["loss_values"] = _held_by(loss)
            values["learner"] = _in_words(self.learner)
        return values


@dataclass(frozen=True)
class HeadRecipe:
    """A method that computes a head from a finished network's features, without training.

    Attributes:
        name: what the command line calls it.
        summary: one line.
        source: where the method and its constants come from.
        start: the recipe of the network.
        head: one of ``everyclass.nn.HEADS``.
        fit: from training features with their head to the new head, a module of kind ``head``.
        file_fingerprint: of the user's own file that it was read from; None of the library's.
    """

    name: str
    summary: str
    source: str
    start: Recipe
    head: str
    fit: Callable[[Features], nn.Module]
    file_fingerprint: str | None = None

    @property
    def rests_on(self) -> tuple[Recipe, ...]:
        """The recipe whose finished run is needed first."""
        return (self.start,)

    def to_dict(self, counts: ClassCounts | None = None) -> dict[str, Any]:
        """The constants as plain values, for ``config.json``.

        Args:
            counts: training images per class; with them also what the head is fitted by.
        """
        said = {"name": self.name, "head": self.head, "start": self.start.name}
        if self.file_fingerprint is not None:
            said["file_fingerprint"] = self.file_fingerprint
        return said if counts is None else {**said, "fit": _in_words(self.fit)}


def _in_words(made_by: Callable[..., Any]) -> str:
    """A class or function by its name, with the arguments that a ``partial`` gives it."""
    if not isinstance(made_by, partial):
        return str(getattr(made_by, "__qualname__", repr(made_by)))
    given = [*map(repr, made_by.args), *(f"{k}={v!r}" for k, v in made_by.keywords.items())]
    return f"{_in_words(made_by.func)}({', '.join(given)})"


def _held_by(loss: nn.Module) -> dict[str, Any]:
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


def modern(recipe: Recipe | HeadRecipe) -> Recipe | HeadRecipe:
    """The same method under strong augmentation and a longer schedule.

    AutoAugment and Cutout, twice the epochs, cosine decay: the usual recipe of papers after 2020,
    so that what augmentation gives is never taken for what a method gives. Weight decay 1e-3,
    chosen on held-out images (docs/experiments.md). Of a method in two stages it changes the first
    one only, and of one with teachers theirs too.

    Args:
        recipe: a paper's recipe.

    Returns:
        The recipe with ``-modern`` after its name.

    Raises:
        InputError: the recipe, or one that it rests on, has strong augmentation already.
    """
    name = f"{recipe.name}-modern"
    if strong := _strong_already(recipe):
        rests = "" if strong == recipe.name else f"rests on {strong}, which "
        raise InputError(
            f"{recipe.name} {rests}is trained under strong augmentation as it is; there is no "
            f"{name}."
        )
    if isinstance(recipe, Recipe):
        recipe = replace(recipe, teachers=tuple(map(modern, recipe.teachers)))
    if recipe.start is not None:
        start = modern(recipe.start)
        assert isinstance(start, Recipe)
        return replace(recipe, name=name, start=start)
    assert isinstance(recipe, Recipe)
    return replace(
        recipe,
        name=name,
        augmentation=_STRONG,
        schedule=replace(recipe.schedule, epochs=2 * recipe.schedule.epochs, decay="cosine"),
        weight_decay=1e-3,
    )


def _strong_already(recipe: Recipe | HeadRecipe) -> str | None:
    """The first trained from scratch under strong augmentation, of it and what it rests on."""
    if recipe.start is None and isinstance(recipe, Recipe) and recipe.augmentation == _STRONG:
        return recipe.name
    return next(filter(None, map(_strong_already, recipe.rests_on)), None)
