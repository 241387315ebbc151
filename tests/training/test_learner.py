"""What a learner brings along: views, a teacher, modules of its own that checkpoints hold."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from everyclass.data import BatchAugmentation, MemorySource
from everyclass.losses import DeferredLoss
from everyclass.nn import Classifier, build_classifier
from everyclass.training import (
    EpochLog,
    Learner,
    Outcome,
    Schedule,
    SgdSettings,
    fit,
    load_checkpoint,
)

CPU = torch.device("cpu")
SETTINGS = SgdSettings(
    schedule=Schedule(epochs=4, learning_rate=0.05, warmup_epochs=0), batch_size=10
)
LABELS = torch.arange(31) % 3


def views(count: int, images: int = 31) -> list[BatchAugmentation]:
    pixels = torch.randint(0, 256, (images, 8, 8, 3), generator=torch.Generator().manual_seed(0))
    one = BatchAugmentation(
        pixels.to(torch.uint8), transforms=[], mean=(0.5,) * 3, std=(0.25,) * 3, device=CPU
    )
    return [one.with_transforms([Fill(number)]) for number in range(count)]


class Fill:
    """A view that shows which one it is."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        images = images.clone()
        images[:, 0, 0] = self.value
        return images


class Curious(Learner):
    """Learns a projector beside the network, counts steps, and draws noise."""

    carried = ("projector", "counter")

    def __init__(self, model: Classifier, loss: nn.Module, **options: Any) -> None:
        super().__init__(model, loss, **options)
        self.projector = nn.Linear(64, 3)
        self.counter = nn.BatchNorm1d(3, affine=False)
        self.sizes: list[int] = []

    def forward(
        self, views: Sequence[Tensor], labels: Tensor, generator: torch.Generator
    ) -> Outcome:
        """Checks that each view is what it should be."""
        self.sizes.append(len(labels))
        corners = [round(float(v[0, 0, 0, 0] * 0.25 + 0.5) * 255) for v in views]
        assert corners == list(range(len(views)))
        features = self.model.backbone(views[0])
        features = features + 0.1 * torch.randn(features.shape, generator=generator)
        logits = self.model.head(features) + self.counter(self.projector(features))
        return Outcome(self.loss(logits, labels), logits)


def a_learner(**options: Any) -> Curious:
    torch.manual_seed(0)
    return Curious(build_classifier("mlp", 3, seed=0), nn.CrossEntropyLoss(), **options)


def test_every_view_of_a_batch_is_of_the_same_images() -> None:
    fit(a_learner(), views(3), LABELS, SETTINGS, device=CPU)


def test_what_is_carried_is_trained_and_resumed(tmp_path: Path) -> None:
    whole, stopped, resumed = a_learner(), a_learner(), a_learner()
    before = stopped.projector.weight.clone()

    def stop(log: EpochLog) -> None:
        if log.epoch == 3:
            raise KeyboardInterrupt

    fit(whole, views(1), LABELS, SETTINGS, device=CPU)
    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, views(1), LABELS, SETTINGS, device=CPU, checkpoint=path, on_epoch=stop)
    assert {"model", "projector", "counter"} <= load_checkpoint(path).keys()
    nn.init.zeros_(resumed.projector.weight)
    fit(resumed, views(1), LABELS, SETTINGS, device=CPU, checkpoint=path)
    for part in ("model", "projector", "counter"):
        states = (getattr(learner, part).state_dict() for learner in (whole, resumed))
        for a, b in zip(*(state.values() for state in states), strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(before, resumed.projector.weight)


def test_one_image_left_over_joins_the_batch_before() -> None:
    learner = a_learner()
    fit(learner, views(1), LABELS, SETTINGS, device=CPU)
    assert learner.sizes == [10, 10, 11] * 4


def test_several_teachers_say_the_mean_of_their_logits() -> None:
    teachers = [build_classifier("mlp", 3, seed=seed) for seed in (1, 2)]
    images = torch.randn(2, 3, 8, 8)
    expected = torch.stack([teacher.eval()(images) for teacher in teachers]).mean(dim=0)
    assert torch.equal(a_learner(teachers=teachers).taught(images), expected)


def test_a_teacher_stays_as_it_is() -> None:
    teacher = build_classifier("resnet32", 3, seed=1)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    learner = a_learner(teachers=[teacher])
    fit(learner, views(1), LABELS, SETTINGS, device=CPU)
    learner.train()
    assert not teacher.training
    assert not learner.taught(torch.randn(2, 3, 8, 8)).requires_grad
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


# --- batches that come again ----------------------------------------------------------------------


class Follower(Learner):
    """Learns what its teachers say, with noise of its own on the images."""

    def __init__(self, model: Classifier, loss: nn.Module, **options: Any) -> None:
        super().__init__(model, loss, **options)
        self.shown: list[Tensor] = []

    def forward(
        self, views: Sequence[Tensor], labels: Tensor, generator: torch.Generator
    ) -> Outcome:
        """The squared difference."""
        images = views[0] + 0.1 * torch.randn(views[0].shape, generator=generator)
        self.shown.append(images)
        logits = self.model(images)
        return Outcome((logits - self.taught(images)).square().mean(), logits)


class Asked(nn.Module):
    """A teacher that counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = build_classifier("mlp", 3, seed=5)
        self.times = 0

    def forward(self, images: Tensor) -> Tensor:
        self.times += 1
        return self.inside(images)


def followed(
    repeat_after: int | None, *, begin_after: int = 0, **options: Any
) -> tuple[list[list[Tensor]], int, dict[str, Tensor]]:
    """The batches of each of four epochs, how often the teacher was asked, and the weights."""
    teacher = Asked()
    learner = Follower(
        build_classifier("mlp", 3, seed=0),
        nn.Identity(),
        teachers=[teacher],  # type: ignore[list-item]
    )
    settings = replace(SETTINGS, repeat_after=repeat_after, begin_after=begin_after)
    with contextlib.suppress(KeyboardInterrupt):
        fit(learner, views(1), LABELS, settings, device=CPU, **options)
    epochs = [learner.shown[i : i + 3] for i in range(0, len(learner.shown), 3)]
    return epochs, teacher.times, learner.model.state_dict()


def alike(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_batches_come_again_and_teachers_are_asked_once() -> None:
    epochs, times, _ = followed(2)
    assert alike(epochs[0], epochs[2])
    assert alike(epochs[1], epochs[3])
    assert not alike(epochs[0], epochs[1])
    assert times == 2 * 3
    epochs, times, _ = followed(None)
    assert not any(alike(epochs[0], other) for other in epochs[1:])
    assert times == 4 * 3


@pytest.mark.parametrize("repeat_after", [2, None])
def test_batches_begin_after_those_that_another_run_has_shown(repeat_after: int | None) -> None:
    first, _, _ = followed(2)
    second, times, _ = followed(repeat_after, begin_after=2)
    assert not any(alike(epoch, other) for epoch in first for other in second)
    assert times == (repeat_after or 4) * 3
    overlapping, _, _ = followed(2, begin_after=1)
    assert alike(overlapping[0], first[1])


@pytest.mark.parametrize("stop_in", [2, 3, 4])
def test_what_teachers_said_is_asked_for_anew_after_a_stop(stop_in: int, tmp_path: Path) -> None:
    def stop(log: EpochLog) -> None:
        if log.epoch == stop_in:
            raise KeyboardInterrupt

    _, _, whole = followed(2)
    path = tmp_path / "checkpoint"
    followed(2, checkpoint=path, on_epoch=stop)
    assert load_checkpoint(path)["epoch"] == stop_in - 1
    _, times, resumed = followed(2, checkpoint=path)
    assert times == 3 * min(2, 5 - stop_in)
    assert alike(list(whole.values()), list(resumed.values()))


def test_a_deferred_loss_within_another_is_told_the_epoch() -> None:
    deferred = DeferredLoss(nn.CrossEntropyLoss(), nn.CrossEntropyLoss(), start=0.5)
    learner = Curious(build_classifier("mlp", 3, seed=0), nn.Sequential(deferred))
    learner.begin_epoch(1, 2)
    assert not deferred.has_started
    learner.begin_epoch(2, 2)
    assert deferred.has_started


def test_what_teachers_said_is_near_to_what_they_say() -> None:
    teacher = Asked().eval()
    learner = a_learner(teachers=[teacher])
    learner.keep_answers(True)
    images, rows, generator = torch.randn(5, 3, 8, 8), torch.arange(5), torch.Generator()
    learner.begin_batch(0, rows, generator)
    first = learner.taught(images)
    learner.begin_batch(0, rows, generator)
    assert torch.equal(first, learner.taught(torch.zeros_like(images)))
    torch.testing.assert_close(first, teacher(images), rtol=1e-3, atol=1e-3)
    for other in ((1, rows, generator), (0, rows.flip(0), generator)):
        learner.begin_batch(*other)
        assert not torch.equal(first, learner.taught(torch.zeros_like(images)))
    learner.keep_answers(True)  # another training
    learner.begin_batch(0, rows, generator)
    assert not torch.equal(first, learner.taught(torch.zeros_like(images)))


class LosesPictures(MemorySource):
    """Of some epochs, from 0, the second batch cannot be read, or not all of it."""

    def __init__(self, views: Sequence[BatchAugmentation], readable: list[int]) -> None:
        super().__init__(views)
        self.readable = readable

    def augmented(
        self, batches: Sequence[Tensor], generator: torch.Generator, **options: Any
    ) -> Iterator[tuple[Tensor, list[Tensor]]]:
        batches = [*batches]
        batches[1] = batches[1][: self.readable.pop(0)]
        return super().augmented(batches, generator, **options)


@pytest.mark.parametrize("left", [0, 9])
def test_what_teachers_said_stays_with_its_batch_where_another_is_lost(left: int) -> None:
    """A picture that was there in one pass may be gone, or there again, in the next."""
    answers: list[tuple[Tensor, Tensor]] = []

    class Noted(Follower):
        def taught(self, images: Tensor) -> Tensor:
            answers.append((super().taught(images), images))
            return answers[-1][0]

    teacher = Asked().eval()
    learner = Noted(
        build_classifier("mlp", 3, seed=0),
        nn.Identity(),
        teachers=[teacher],  # type: ignore[list-item]
    )
    source = LosesPictures(views(1), [10, left, left, 10])
    settings = replace(SETTINGS, repeat_after=1)
    fit(learner, source, LABELS, settings, device=CPU)
    assert len(answers) == (12 if left else 10)
    for said, images in answers:
        torch.testing.assert_close(said, teacher(images), rtol=1e-3, atol=1e-3)
