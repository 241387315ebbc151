"""What a published method is made of: the parts that the one loop puts together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy.typing as npt
from torch import nn

from everyclass.artifacts import ClassCounts, Features, check_number, check_whole_number
from everyclass.data import CutMix, InstanceBalanced, Mixup, RowSampler
from everyclass.errors import EveryclassError, InputError, first_line
from everyclass.training.learner import Learner, Supervised
from everyclass.training.recipe_in_words import held_by, in_words
from everyclass.training.sgd import SgdSettings

__all__ = ["HeadRecipe", "Recipe"]

_MADE_BY = {
    "loss": "loss=lambda counts: nn.CrossEntropyLoss()",
    "sampler": "sampler=ClassAware, or partial(ClassAware, images_per_class=2)",
}


@dataclass(frozen=True)
class Recipe(SgdSettings):
    """A method as data: what the one loop trains, on what, with which loss, and how.

    How it trains are the attributes of :class:`SgdSettings`, which are given by name.

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
        shift_batch_norm: let the statistics of what is frozen in the backbone follow the batches.
        sampler: which images an epoch shows: from the training labels to a sampler.
        augmentation: one of ``everyclass.data.AUGMENTATIONS``.
        other_views: the augmentations of further views of the same images.
        mixing: ``Mixup`` or ``CutMix``, or None.
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
    shift_batch_norm: bool = False
    sampler: Callable[[npt.ArrayLike], RowSampler] = InstanceBalanced
    augmentation: str = "basic"
    other_views: tuple[str, ...] = ()
    mixing: Mixup | CutMix | None = None
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
        check_whole_number(f"begin_after of {self.name}", self.begin_after)

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
        values = {"name": self.name, **asdict(replace(self, start=None, teachers=()))}
        for words in ("loss", "learner", "summary", "source"):
            del values[words]
        values["start"] = None if self.start is None else self.start.name
        values["teachers"] = [teacher.name for teacher in self.teachers]
        values["sampler"] = in_words(self.sampler)
        if self.mixing is not None:
            values["mixing"] = {type(self.mixing).__name__: self.mixing.alpha}
        values["schedule"]["milestones"] = list(self.schedule.milestones)
        values["other_views"] = list(self.other_views)
        for later in (
            "teachers",
            "other_views",
            "repeat_after",
            "begin_after",
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
            values["loss_values"] = held_by(loss)
            values["learner"] = in_words(self.learner)
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
        return said if counts is None else {**said, "fit": in_words(self.fit)}
