"""What trainings remember of features: the queue of the latest, the mean of each class."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from everyclass.errors import InputError, InputTypeError
from everyclass.nn import ClassMeans, FeatureQueue, Projector


@given(st.lists(st.integers(1, 9), max_size=8))
def test_a_queue_holds_the_latest(sizes: list[int]) -> None:
    queue = FeatureQueue(size=5, width=2)
    pushed: list[int] = []
    for size in sizes:
        numbers = torch.arange(len(pushed), len(pushed) + size)
        queue.push(numbers[:, None] * torch.ones(1, 2), numbers)
        pushed += numbers.tolist()
    kept = pushed[-5:]
    assert sorted(queue.labels.tolist()) == [-1] * (5 - len(kept)) + kept
    filled = queue.labels >= 0
    assert torch.equal(queue.features[filled][:, 0].long(), queue.labels[filled])


def test_means_are_of_the_last_epoch_and_this_one() -> None:
    means = ClassMeans(num_classes=3, width=4)
    epochs = [torch.randn(6, 4) for _ in range(4)]
    labels = torch.tensor([0, 0, 1, 1, 1, 0])
    unseen = means().clone()
    for number, features in enumerate(epochs):
        means.begin_epoch()
        means.update(features[:3], labels[:3])
        means.update(features[3:], labels[3:])
        recent = torch.cat(epochs[max(0, number - 1) : number + 1])
        theirs = labels.repeat(min(number + 1, 2))
        for c in (0, 1):
            torch.testing.assert_close(means()[c], recent[theirs == c].mean(dim=0))
    assert torch.equal(means()[2], unseen[2])
    assert torch.allclose(unseen.norm(dim=1), torch.tensor(0.9))


def test_a_queue_of_nothing_and_a_projector_from_nowhere_are_refused() -> None:
    with pytest.raises(InputError, match="size must be 1 or more; got 0"):
        FeatureQueue(0, 2)
    with pytest.raises(InputTypeError, match=r"width must be a whole number; got 2\.5"):
        FeatureQueue(3, 2.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"widths must name .* got \[4\]"):
        Projector([4])
