"""The samplers: the laws they draw by, and what seed, epoch, rank and position determine."""

from __future__ import annotations

import copy
import json
import pickle
import time
from collections import Counter
from itertools import chain, islice
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch.utils.data import DataLoader, TensorDataset

from everyclass import data
from everyclass.data import (
    ClassAware,
    ClassBalanced,
    InstanceBalanced,
    ProgressivelyBalanced,
    RowSampler,
    SquareRoot,
)
from everyclass.errors import EveryclassError, InputError, InputTypeError

SAMPLERS = [InstanceBalanced, ClassBalanced, SquareRoot, ProgressivelyBalanced, ClassAware]
# Class 1 has no image; the classes are not in order.
LABELS = [0] * 12 + [3] * 6 + [2] * 3 + [0] * 24 + [3] * 3
COUNTS = {0: 36, 2: 3, 3: 9}

some_labels = st.lists(st.sampled_from([0, 1, 2, 5, 70_000]), min_size=1, max_size=40)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_sampler_is_tried() -> None:
    there = (getattr(data, name) for name in data.__all__)
    samplers = {each for each in there if isinstance(each, type) and issubclass(each, RowSampler)}
    assert samplers - {RowSampler} == {*SAMPLERS}


def drawn(sampler: RowSampler, epoch: int = 1, epochs: int = 1, seed: int = 0) -> list[int]:
    return sampler.draw(generator(seed), epoch, epochs).tolist()


# --- the laws --------------------------------------------------------------------------------


@given(some_labels, st.integers(0, 2**31))
def test_instance_balanced_is_torch_s_permutation(labels, seed) -> None:
    ours, torchs = generator(seed), generator(seed)
    sampler = InstanceBalanced(labels)
    for epoch in (1, 2):  # the generator goes on alike
        rows = sampler.draw(ours, epoch, 2)
        assert torch.equal(rows, torch.randperm(len(labels), generator=torchs))


@given(some_labels, st.integers(1, 130))
def test_instance_balanced_uses_all_rows_before_any_comes_again(labels, num_samples) -> None:
    rows = drawn(InstanceBalanced(labels, num_samples=num_samples))
    assert len(rows) == num_samples
    for start in range(0, num_samples, len(labels)):
        part = rows[start : start + len(labels)]
        assert len(set(part)) == len(part)
    assert set(rows) <= set(range(len(labels)))


EXPECTED = {  # of the classes 0, 2, 3: 36, 3 and 9 images
    "balanced": (ClassBalanced, 1, [1 / 3, 1 / 3, 1 / 3]),
    "square root": (SquareRoot, 1, [6 / (9 + 3**0.5), 3**0.5 / (9 + 3**0.5), 3 / (9 + 3**0.5)]),
    "progressive, first": (ProgressivelyBalanced, 1, [36 / 48, 3 / 48, 9 / 48]),
    "progressive, halfway": (ProgressivelyBalanced, 3, [13 / 24, 19 / 96, 25 / 96]),
    "progressive, last": (ProgressivelyBalanced, 5, [1 / 3, 1 / 3, 1 / 3]),
    "class-aware": (ClassAware, 1, [1 / 3, 1 / 3, 1 / 3]),
}


@pytest.mark.parametrize(("kind", "epoch", "shares"), EXPECTED.values(), ids=EXPECTED)
def test_how_often_each_class_and_each_of_its_images_comes(kind, epoch, shares) -> None:
    sampler = kind(LABELS, num_samples=60_000)
    rows = np.array(drawn(sampler, epoch, 5))
    of_rows = np.bincount(rows, minlength=len(LABELS))
    expected = np.zeros(len(LABELS))
    for label, share in zip(COUNTS, shares, strict=True):
        expected[np.array(LABELS) == label] = 60_000 * share / COUNTS[label]
    assert expected.sum() == pytest.approx(60_000)
    if kind is ClassAware:  # which leaves nothing to chance but where the last round is cut
        assert np.abs(of_rows - expected).max() <= 2
        return
    assert chisquare(of_rows, expected).pvalue > 1e-3
    assert of_rows.min() > 0
    torch.testing.assert_close(
        sampler.class_probabilities(epoch, 5), torch.tensor(shares, dtype=torch.float64)
    )
    assert sampler.classes.tolist() == list(COUNTS)


@pytest.mark.parametrize("kind", [ClassBalanced, SquareRoot, ProgressivelyBalanced])
def test_draws_are_independent_of_each_other(kind) -> None:
    sampler = kind([0, 0, 0, 1], num_samples=40_000)
    rows = torch.tensor(drawn(sampler, 2, 3))
    pairs = torch.bincount(4 * rows[::2] + rows[1::2], minlength=16)
    shares = sampler.class_probabilities(2, 3)[[0, 0, 0, 1]] / torch.tensor([3, 3, 3, 1])
    assert chisquare(pairs, 20_000 * torch.outer(shares, shares).flatten()).pvalue > 1e-3


def test_the_largest_random_number_draws_the_last_class(monkeypatch) -> None:
    """Ten times 0.1 add up to less than one; the gap belongs to the last class."""
    largest = 1 - 2.0**-53
    monkeypatch.setattr(
        torch, "rand", lambda n, **options: torch.full((n,), largest, dtype=torch.float64)
    )
    sampler = ClassBalanced(range(10))
    assert sampler.class_probabilities(1, 1).cumsum(0)[-1] <= largest
    assert drawn(sampler) == [9] * 10


def test_progress_is_in_equal_steps_and_one_epoch_is_the_first() -> None:
    sampler = ProgressivelyBalanced([0] * 9 + [1])
    tail = [sampler.class_probabilities(epoch, 5)[1].item() for epoch in (1, 2, 3, 4, 5)]
    assert tail == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert sampler.class_probabilities(1, 1)[1].item() == pytest.approx(0.1)
    outside = [sampler.class_probabilities(epoch, 5)[1].item() for epoch in (0, 6)]
    assert outside == pytest.approx([0.1, 0.5])


@given(some_labels, st.integers(1, 5), st.integers(1, 150), st.integers(0, 1000))
def test_class_aware_batches(labels, m, num_samples, seed) -> None:
    sampler = ClassAware(labels, images_per_class=m, num_samples=num_samples)
    rows = drawn(sampler, seed=seed)
    assert len(rows) == num_samples
    classes = [labels[row] for row in rows]
    turns = [classes[i : i + m] for i in range(0, num_samples, m)]
    assert all(len(set(turn)) == 1 for turn in turns)  # m consecutive images of one class
    order = [turn[0] for turn in turns]
    present = set(labels)
    for start in range(0, len(order), len(present)):  # every class once per round
        part = order[start : start + len(present)]
        assert len(set(part)) == len(part)
    for label in present:  # every image of a class before any comes again
        own = [row for row in rows if labels[row] == label]
        size = labels.count(label)
        for start in range(0, len(own), size):
            part = own[start : start + size]
            assert len(set(part)) == len(part)


def test_class_aware_orders_are_uniform() -> None:
    """Each of the 3! orders of the classes, and of the images of a class, equally often."""
    sampler = ClassAware([0, 0, 0, 1, 2], images_per_class=3, num_samples=90_000)
    rows = torch.tensor(drawn(sampler)).reshape(-1, 3, 3)
    of_classes = Counter(map(tuple, rows[:, :, 0].clamp(min=2).tolist()))
    assert len(of_classes) == 6
    assert chisquare(list(of_classes.values())).pvalue > 1e-3
    of_images = Counter(tuple(turn) for turn in rows.reshape(-1, 3).tolist() if max(turn) < 3)
    assert len(of_images) == 6
    assert chisquare(list(of_images.values())).pvalue > 1e-3


# --- epochs, seeds, ranks --------------------------------------------------------------------


@pytest.mark.parametrize("kind", SAMPLERS)
def test_draw_is_a_function_of_the_generator(kind) -> None:
    state = torch.get_rng_state()
    sampler = kind(LABELS)
    first = sampler.draw(generator(3), 2, 4)
    assert first.dtype == torch.int64
    assert first.shape == (len(LABELS),)
    list(kind(LABELS, epochs=4))
    assert torch.equal(sampler.draw(generator(3), 2, 4), first)
    assert torch.equal(kind(LABELS, seed=9).draw(generator(3), 2, 4), first)
    assert not torch.equal(sampler.draw(generator(4), 2, 4), first)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_seed_and_epoch_determine_the_rows(kind) -> None:
    def rows(seed: int, epoch: int) -> tuple[int, ...]:
        sampler = kind(LABELS, seed=seed, epochs=9)
        sampler.set_epoch(epoch)
        return tuple(sampler)

    assert rows(1, 2) == rows(1, 2)
    # No two of them alike, also not those with the same sum.
    assert len({rows(seed, epoch) for seed in range(4) for epoch in range(5)}) == 20


@pytest.mark.parametrize("kind", SAMPLERS)
def test_epochs_follow_each_other_without_a_call(kind) -> None:
    alone, told = kind(LABELS, epochs=3), kind(LABELS, epochs=3)
    for epoch in (1, 2, 3):
        told.set_epoch(epoch)
        assert list(alone) == list(told)


@given(st.sampled_from(SAMPLERS), some_labels, st.integers(1, 7), st.none() | st.integers(1, 60))
def test_ranks_share_the_rows(kind, labels, world_size, num_samples) -> None:
    options = {"epochs": 2, "num_samples": num_samples, "seed": 5}
    alone = list(kind(labels, **options))
    ranks = [kind(labels, rank=r, world_size=world_size, **options) for r in range(world_size)]
    shares = [list(rank) for rank in ranks]
    assert {len(share) for share in shares} == {len(rank) for rank in ranks}
    together = [row for step in zip(*shares, strict=True) for row in step]
    assert together[: len(alone)] == alone  # one process would see the same, in the same order
    padding = together[len(alone) :]
    assert len(padding) < world_size
    assert padding == (alone * world_size)[: len(padding)]
    if kind is InstanceBalanced and num_samples is None:
        assert set(together) == set(range(len(labels)))


# --- stopping and going on -------------------------------------------------------------------


@given(st.sampled_from(SAMPLERS), st.integers(0, 16), st.integers(1, 3))
def test_a_resumed_sampler_has_exactly_the_remaining_rows(kind, position, epoch) -> None:
    options = {"epochs": 4, "world_size": 3, "rank": 1}
    whole = kind(LABELS, **options)
    whole.set_epoch(epoch)
    rows = list(whole)
    stopped, resumed = kind(LABELS, **options), kind(LABELS, **options)
    stopped.set_epoch(epoch)
    assert list(islice(stopped, position)) == rows[:position]
    resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
    resumed.set_epoch(epoch)  # as loops do before each epoch; it stays where it stands
    assert list(resumed) == rows[position:]
    assert len(resumed) == len(rows) == 16
    assert list(resumed) == list(whole)  # the next epoch, whole again


def test_the_rows_trained_on_can_be_said_where_a_loader_is_ahead() -> None:
    sampler = InstanceBalanced(range(100))
    rows = sampler.rows().tolist()
    data = TensorDataset(torch.arange(100))
    loader = DataLoader(data, batch_size=10, sampler=sampler)
    batches = iter(loader)
    seen = [next(batches)[0].tolist() for _ in range(3)]
    assert list(chain(*seen)) == rows[:30]
    resumed = InstanceBalanced(range(100))
    resumed.load_state_dict({**sampler.state_dict(), "position": 20})
    rest = [batch.tolist() for (batch,) in DataLoader(data, batch_size=10, sampler=resumed)]
    assert list(chain(*rest)) == rows[20:]


def test_every_iteration_is_an_epoch_of_its_own() -> None:
    sampler, told = InstanceBalanced(range(10)), InstanceBalanced(range(10))

    def rows_of(epoch: int) -> list[int]:
        told.set_epoch(epoch)
        return told.rows().tolist()

    assert list(islice(sampler, 4)) == rows_of(1)[:4]  # given up
    assert list(sampler) == rows_of(2)
    assert list(islice(sampler, 10)) == rows_of(3)  # nobody asked for an eleventh
    assert list(sampler) == rows_of(4)
    list(islice(sampler, 3))
    for epoch in (5, 5, 1):
        sampler.set_epoch(epoch)
        assert list(sampler) == rows_of(epoch)
    assert len(DataLoader(TensorDataset(torch.arange(10)), sampler=sampler, batch_size=4)) == 3


def test_two_loaders_in_step_give_all_their_batches_in_every_epoch() -> None:
    """zip asks the first loader once more than the second: neither may come up short for it."""

    def a_loader(seed: int) -> DataLoader[Any]:
        sampler = InstanceBalanced(range(12), seed=seed)
        return DataLoader(TensorDataset(torch.arange(12)), sampler=sampler, batch_size=4)

    first, second = a_loader(0), a_loader(1)
    for _ in range(4):
        assert len(list(zip(first, second, strict=False))) == 3


def test_a_loaded_state_is_gone_on_with_once() -> None:
    sampler = InstanceBalanced(range(10))
    rows = sampler.rows().tolist()
    iterator = iter(sampler)
    list(islice(iterator, 4))
    state = sampler.state_dict()
    resumed = InstanceBalanced(range(10))
    for go_on in (lambda: None, lambda: resumed.set_epoch(1)):
        resumed.load_state_dict(state)
        go_on()
        assert list(islice(resumed, 2)) == rows[4:6]  # given up again
        assert len(list(resumed)) == 10
        resumed.load_state_dict(state)
        list(islice(resumed, 2))
        resumed.set_epoch(1)
        assert list(resumed) == rows
    list(iterator)
    assert sampler.state_dict()["epoch"] == 2
    resumed.load_state_dict({**state, "position": 10})
    assert list(resumed) == []
    assert len(list(resumed)) == 10


@pytest.mark.parametrize("kind", SAMPLERS)
def test_pickle_and_deepcopy(kind) -> None:
    sampler = kind(LABELS, epochs=3, seed=2)
    list(islice(sampler, 5))
    twins = [pickle.loads(pickle.dumps(sampler)), copy.deepcopy(sampler)]
    assert all(twin.state_dict() == sampler.state_dict() for twin in twins)
    rows = list(sampler)
    assert len(rows) == len(LABELS)
    for twin in twins:
        assert list(twin) == rows


@pytest.mark.parametrize("kind", SAMPLERS)
def test_labels_in_any_form(kind) -> None:
    expected = list(kind(LABELS, epochs=1))
    array = np.array(LABELS)
    forms = [array, array.astype(np.uint8), torch.tensor(LABELS), torch.tensor(LABELS).int()]
    for form in forms:
        assert list(kind(form, epochs=1)) == expected
    shifted = [9_999_999 if label == 3 else label for label in LABELS]
    assert list(kind(shifted, epochs=1)) == expected


@pytest.mark.parametrize("kind", SAMPLERS)
def test_one_row(kind) -> None:
    assert list(kind([4], epochs=1)) == [0]
    assert list(kind([4], epochs=1, num_samples=3)) == [0, 0, 0]


@pytest.mark.parametrize("kind", SAMPLERS)
def test_five_million_labels_take_less_than_a_second(kind) -> None:
    labels = np.random.default_rng(0).integers(0, 10_000, 5_000_000)

    def seconds() -> float:
        start = time.process_time()  # of this process, whatever else the machine does
        kind(labels)
        return time.process_time() - start

    assert any(seconds() < 1 for _ in range(3))  # a busy machine may take longer once


@pytest.mark.slow
@pytest.mark.parametrize("kind", SAMPLERS)
def test_an_epoch_of_five_million_rows_takes_seconds(kind) -> None:
    sampler = kind(np.random.default_rng(0).integers(0, 10_000, 5_000_000))
    start = time.process_time()
    assert len(sampler.draw(generator(), 1, 2)) == 5_000_000
    assert time.process_time() - start < 20  # a step of Python per row would take longer


# --- what cannot be used ---------------------------------------------------------------------


def refusal(call, *args, **kwargs) -> EveryclassError:
    with pytest.raises(EveryclassError) as caught:
        call(*args, **kwargs)
    return caught.value


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize(
    ("labels", "error", "text"),
    [
        ([], InputError, "labels is empty; at least one is needed."),
        ([0, 1, -1, -2], InputError, "labels[2] is -1, outside 0..C−1 (2 such)."),
        (
            [[0, 1]],
            InputError,
            "labels must be one-dimensional; got an array of shape (1, 2); of one-hot rows take "
            "the class: labels.argmax(axis=1).",
        ),
        (
            [0.0, 1.0],
            InputTypeError,
            "labels must be integers 0..C−1; got float64; convert them with labels.astype(int).",
        ),
        (
            ["ant"],
            InputTypeError,
            "labels must be integers 0..C−1; got <U3; number them by one list of all classes: "
            "[classes.index(name) for name in labels].",
        ),
        (torch.tensor([True]), InputTypeError, "labels must be integers 0..C−1; got bool."),
    ],
)
def test_unusable_labels(kind, labels, error, text) -> None:
    caught = refusal(kind, labels)
    assert str(caught) == text
    assert type(caught) is error


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"num_samples": 0}, "num_samples must be 1 or more; got 0."),
        ({"seed": -1}, "seed must be 0 or more; got -1."),
        ({"world_size": 0}, "world_size must be 1 or more; got 0."),
        ({"rank": 2, "world_size": 2}, "rank must be from 0 to 1; got 2."),
        ({"rank": -1}, "rank must be from 0 to 0; got -1."),
        ({"epochs": 0}, "epochs must be 1 or more; got 0."),
    ],
)
def test_numbers_out_of_range(kind, options, text) -> None:
    caught = refusal(kind, [0, 1], **options)
    assert str(caught) == text
    assert type(caught) is InputError


@pytest.mark.parametrize("name", ["num_samples", "seed", "rank", "world_size", "epochs"])
@pytest.mark.parametrize("value", [1.0, "1", True])
def test_numbers_that_are_not_whole(name, value) -> None:
    caught = refusal(ClassAware, [0, 1], **{name: value})
    assert str(caught) == f"{name} must be a whole number; got {value!r}."
    assert type(caught) is InputTypeError


def test_images_per_class() -> None:
    text = "images_per_class must be 1 or more; got 0."
    assert str(refusal(ClassAware, [0, 1], images_per_class=0)) == text
    assert ClassAware([0, 1], images_per_class=np.int64(3)).images_per_class == 3


def test_progress_needs_an_end() -> None:
    sampler = ProgressivelyBalanced([0, 1])
    text = "ProgressivelyBalanced has to know when the last epoch is; give it epochs=…."
    for epoch in (1, 2):
        sampler.set_epoch(epoch)
        assert str(refusal(sampler.rows)) == text
        assert str(refusal(list, sampler)) == text
    assert len(sampler.draw(generator(), 1, 10)) == 2


def test_unusable_epochs() -> None:
    sampler = InstanceBalanced([0, 1])
    assert str(refusal(sampler.set_epoch, -1)) == "epoch must be 0 or more; got -1."
    assert str(refusal(sampler.set_epoch, 1.5)) == "epoch must be a whole number; got 1.5."


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"world_size": 4},
            "This state is of a sampler with world_size=4, and this one has world_size=1; make it "
            "with the same settings.",
        ),
        (
            {"num_samples": 9},
            "This state is of a sampler with num_samples=9, and this one has num_samples=2; make "
            "it with the same settings.",
        ),
        ({"position": 3}, "position must be from 0 to 2; got 3."),
        ({"epoch": -1}, "epoch must be 0 or more; got -1."),
        ({"epoch": None}, "epoch must be a whole number; got None."),
    ],
)
def test_unusable_states(change, text) -> None:
    sampler = InstanceBalanced([0, 1])
    state = sampler.state_dict()
    assert str(refusal(sampler.load_state_dict, {**state, **change})) == text
    del state["seed"]
    text = (
        "The state of a sampler has the entry 'seed'; got ['epoch', 'position', 'sampler', "
        "'num_samples', 'world_size', 'num_rows']."
    )
    assert str(refusal(sampler.load_state_dict, state)) == text
    text = "The state of a sampler is a mapping, as state_dict returns it; got NoneType."
    assert str(refusal(sampler.load_state_dict, None)) == text
    assert sampler.state_dict()["position"] == 0  # nothing was taken over


@pytest.mark.parametrize(
    ("given", "loaded", "text"),
    [
        (ClassBalanced(LABELS), SquareRoot(LABELS), "sampler=ClassBalanced.* has sampler=SquareR"),
        (
            ClassAware(LABELS, images_per_class=4),
            ClassAware(LABELS, images_per_class=1),
            "images_per_class=4, and this one has images_per_class=1",
        ),
        (
            ProgressivelyBalanced(LABELS, epochs=9),
            ProgressivelyBalanced(LABELS, epochs=4),
            "epochs=9, and this one has epochs=4",
        ),
        (
            InstanceBalanced(LABELS, num_samples=9),
            InstanceBalanced(LABELS[:20], num_samples=9),
            "num_rows=48, and this one has num_rows=20",
        ),
    ],
)
def test_a_state_of_other_settings(given, loaded, text) -> None:
    state = json.loads(json.dumps({**given.state_dict(), "position": 3}))
    with pytest.raises(InputError, match=text):
        loaded.load_state_dict(state)
    assert loaded.state_dict()["position"] == 0
    given.load_state_dict(state)
    assert given.state_dict() == state


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_state_from_before_settings_were_written(kind) -> None:
    sampler = kind(LABELS)
    sampler.load_state_dict(
        {"epoch": 2, "position": 3, "seed": 0, "num_samples": 48, "world_size": 1}
    )
    now = sampler.state_dict()
    assert (now["epoch"], now["position"]) == (2, 3)


def test_more_epochs_are_no_other_setting_where_draws_do_not_follow_them() -> None:
    longer = InstanceBalanced(LABELS, epochs=9)
    longer.load_state_dict({**InstanceBalanced(LABELS, epochs=4).state_dict(), "epoch": 3})
    assert longer.state_dict()["epoch"] == 3
