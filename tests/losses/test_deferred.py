"""The deferred loss: which of two it is, by the epoch alone."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from everyclass.errors import InputError, InputTypeError
from everyclass.losses import DeferredLoss, GMLLoss, LDAMLoss, class_balanced_weights

BATCH = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])


def pair(start: float = 0.8) -> DeferredLoss:
    weights = class_balanced_weights([90, 10])
    return DeferredLoss(LDAMLoss([90, 10]), LDAMLoss([90, 10], weight=weights), start=start)


@pytest.mark.parametrize(
    ("start", "epochs", "first_after"),
    [(0.8, 200, 161), (0.8, 5, 5), (0.0, 3, 1), (0.5, 5, 3), (0.99, 10, None), (1.0, 10, None)],
)
def test_which_epochs_have_which_loss(start, epochs, first_after) -> None:
    loss = pair(start)
    before, after = loss.before(*BATCH), loss.after(*BATCH)
    assert before != after
    seen = []
    for epoch in range(1, epochs + 1):
        loss.begin_epoch(epoch, epochs)
        seen.append(loss(*BATCH).item())
    last_before = epochs if first_after is None else first_after - 1
    assert seen == [before.item()] * last_before + [after.item()] * (epochs - last_before)


def test_until_told_it_is_the_first_loss() -> None:
    loss = pair(0.0)
    assert loss(*BATCH) == loss.before(*BATCH)


def test_resuming_and_going_back_need_no_state() -> None:
    trained, resumed = pair(), pair()
    trained.begin_epoch(200, 200)
    assert list(trained.state_dict()) == [
        "before.class_counts",
        "after.class_counts",
        "after.weight",
    ]
    resumed.load_state_dict(trained.state_dict())
    resumed.begin_epoch(170, 200)
    assert resumed(*BATCH) == trained(*BATCH) == trained.after(*BATCH)
    trained.begin_epoch(3, 200)
    assert trained(*BATCH) == trained.before(*BATCH)
    resumed.begin_epoch(161, 200)
    for twin in (pickle.loads(pickle.dumps(resumed)), copy.deepcopy(resumed)):
        assert twin(*BATCH) == resumed(*BATCH)


def test_any_two_losses_and_any_arguments() -> None:
    loss = DeferredLoss(nn.CrossEntropyLoss(), GMLLoss([90, 10]), start=0.5)
    logits, labels = BATCH
    assert loss(input=logits, target=labels) == nn.CrossEntropyLoss()(logits, labels)
    loss.begin_epoch(2, 2)
    assert loss(logits, labels=labels) == GMLLoss([90, 10])(logits, labels)


def test_three_losses_one_inside_another() -> None:
    parts = [nn.Identity(), nn.Tanh(), nn.Sigmoid()]
    loss = DeferredLoss(parts[0], DeferredLoss(parts[1], parts[2], start=0.75), start=0.25)
    x = torch.tensor(0.5)
    seen = []
    for epoch in range(1, 5):
        loss.begin_epoch(epoch, 4)
        seen.append(loss(x))
    assert seen == [x, x.tanh(), x.tanh(), x.sigmoid()]


def test_the_weights_move_with_the_loss() -> None:
    loss = pair().double()
    assert loss.after.weight.dtype == torch.float64
    assert loss.after.class_counts.dtype == torch.int64


def test_repr_says_where_it_begins() -> None:
    assert repr(pair()).startswith("DeferredLoss(\n  start=0.8\n  (before): LDAMLoss(")


@pytest.mark.parametrize(("epoch", "epochs"), [(0, 10), (11, 10), (-1, 10), (1, 0)])
def test_an_epoch_that_is_none(epoch, epochs) -> None:
    loss = pair()
    with pytest.raises(InputError) as caught:
        loss.begin_epoch(epoch, epochs)
    assert str(caught.value) == f"epoch counts from 1 to epochs = {epochs}; got {epoch}."


def test_a_start_that_is_no_fraction() -> None:
    for start in (-0.1, 160, float("nan")):
        with pytest.raises(InputError) as caught:
            pair(start)
        assert str(caught.value) == f"start must be from 0 to 1; got {start}."
    with pytest.raises(InputTypeError, match=r"^start must be a number; got str\.$"):
        pair("0.8")
    with pytest.raises(TypeError, match="positional argument"):
        DeferredLoss(nn.Identity(), nn.Identity(), 0.8)
