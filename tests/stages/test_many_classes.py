"""Retraining without all logits, and without all features, in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from gaussians import Gaussians, long_tail
from hypothesis import given
from hypothesis import strategies as st

from everyclass import Features, Retraining, rescue
from everyclass.artifacts import FeatureFolder
from everyclass.errors import InputError
from everyclass.stages import MinibatchSettings, Objective, retrain
from everyclass.stages.retraining import class_blocks as blocks_module
from everyclass.stages.retraining import standardised as rows_module
from everyclass.stages.retraining.class_blocks import class_blocks
from everyclass.stages.retraining.exact_solver import _BlockSums, fit_exact
from everyclass.stages.retraining.minibatch_solver import fit_minibatches
from everyclass.stages.retraining.objectives import ObjectiveName, Whole
from everyclass.stages.retraining.retraining import cross_fit_objective
from everyclass.stages.retraining.standardised import Streamed, shuffled, standardise, standardised

COUNTS = long_tail(6, 150, 6)


def a_set(views: int = 1, seed: int = 1) -> Features:
    return Gaussians(6, 8).draw(COUNTS, seed=seed, views=views)


def stored(place: Path, features: Features, dtype: str = "float32") -> Features:
    folder = FeatureFolder(
        place,
        num_images=len(features),
        num_features=features.num_features,
        num_views=features.num_views,
        chunk_rows=100,
        dtype=dtype,
    )
    for chunk in folder.missing():
        rows = np.array(folder.rows(chunk))
        folder.write(chunk, features.features[..., rows, :], features.labels[rows])
    folder.finish(head=features.head)
    return Features.load(place)


@contextmanager
def streaming() -> Iterator[None]:
    """Features of any size are read as they are used."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "LARGE", 1)
        yield


# --- blocks of classes ----------------------------------------------------------------------------


@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    most=st.integers(1, 30),
)
def test_blocks_hold_whole_classes_and_every_row_once(labels, most):
    tensor = torch.tensor(labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks_module, "LOGITS_PER_BLOCK", 6 * most)
        order, blocks = class_blocks(tensor, 6)
    ordered = tensor if order is None else tensor[order]
    parts = [part for block in blocks for part in block.parts]
    assert parts[0][0] == 0
    assert parts[-1][1] == len(labels)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(parts))
    assert all(stop - start <= most for start, stop in parts)
    if order is None:
        assert len(labels) <= most
        return
    seen: set[int] = set()
    for block in blocks:
        classes = set(ordered[block.parts[0][0] : block.parts[-1][1]].tolist())
        assert not classes & seen
        assert len(block.parts) == 1 or len(classes) == 1
        seen |= classes


@pytest.mark.parametrize("name", get_args(ObjectiveName))
@pytest.mark.parametrize("most", [400, 60, 7])
def test_value_and_gradient_do_not_depend_on_the_blocks(monkeypatch, name, most):
    # 400 holds everything in two blocks; 7 cuts every class but the smallest.
    train = a_set()
    counts = torch.from_numpy(train.class_counts.counts.copy()).float()
    objective = Objective(name, counts, gml_weight=0.3)
    data = standardise(train.views, train.labels)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 8, generator=generator)
    bias = torch.randn(6, generator=generator)
    logits = data.features @ weight.T + bias
    value, residual = objective.value_and_gradient(logits, data.labels)

    monkeypatch.setattr(blocks_module, "LOGITS_PER_BLOCK", 6 * most)
    order, blocks = class_blocks(data.labels, 6)
    whole = Whole.of(data.labels, 6)
    rows = data if order is None else data.ordered(order)
    got, of_weight, of_bias = _BlockSums(rows, objective, whole, blocks).at(weight, bias)
    torch.testing.assert_close(got.float(), value, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(of_weight, residual.T @ data.features, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(of_bias, residual.sum(dim=0), rtol=1e-4, atol=1e-6)


def test_a_head_fitted_block_by_block_is_the_same(monkeypatch):
    train = a_set(views=2)
    at_once = retrain(train, Retraining(penalty=1e-2))
    monkeypatch.setattr(blocks_module, "LOGITS_PER_BLOCK", 6 * 50)
    in_blocks = retrain(train, Retraining(penalty=1e-2))
    np.testing.assert_allclose(in_blocks.weight, at_once.weight, atol=2e-3)


# --- features on disk -----------------------------------------------------------------------------


@given(rows=st.integers(1, 300), run=st.integers(1, 20), window=st.integers(1, 100))
def test_a_shuffled_order_has_every_row_once(rows, run, window):
    order = shuffled(rows, torch.Generator().manual_seed(rows), run=run, window=window)
    assert sorted(order.tolist()) == list(range(rows))


def test_rows_sorted_by_class_are_mixed():
    order = shuffled(4096, torch.Generator().manual_seed(0), run=16, window=1024)
    classes = order[:1024] // 512  # eight classes, one after the other
    assert torch.bincount(classes, minlength=8).min() > 50


@pytest.mark.parametrize("views", [1, 3])
def test_streamed_rows_are_those_in_memory(tmp_path, views):
    train = a_set(views)
    shifted = Features(train.features * 3 + 50, train.labels)
    memory = standardise(shifted.views, shifted.labels)
    assert not isinstance(standardised(stored(tmp_path / "x", shifted)), Streamed)
    with streaming():
        streamed = standardised(stored(tmp_path / "x", shifted))
    assert isinstance(streamed, Streamed)
    assert streamed.labels.tolist() == memory.labels.tolist()
    rows = torch.arange(0, len(memory.labels), 7)
    torch.testing.assert_close(streamed.at(rows), memory.at(rows), rtol=1e-4, atol=1e-4)
    order = torch.randperm(len(memory.labels))
    torch.testing.assert_close(
        streamed.ordered(order).block(3, 20),
        memory.ordered(order).block(3, 20),
        rtol=1e-4,
        atol=1e-4,
    )


def test_large_features_in_memory_are_converted_as_they_are_used():
    with streaming():
        assert isinstance(standardised(a_set()), Streamed)


@pytest.mark.parametrize("solver", ["exact", "running", "minibatch"])
def test_a_head_from_disk_is_as_good_as_one_from_memory(tmp_path, solver):
    train = a_set(views=2)
    settings = Retraining(penalty=1e-2, solver=solver, minibatch=MinibatchSettings(20, 64, 0.02))
    with streaming():
        from_disk = retrain(stored(tmp_path / "x", train), settings)
    from_memory = retrain(train, settings)
    new = a_set(seed=7)
    ours, theirs = (np.argmax(h.logits(new.features), axis=1) for h in (from_disk, from_memory))
    assert (ours == theirs).mean() > (0.99 if solver == "exact" else 0.9)
    if solver == "exact":
        np.testing.assert_allclose(from_disk.weight, from_memory.weight, atol=2e-3)


def test_a_rescue_of_a_folder_says_what_one_of_a_file_says(tmp_path):
    world = Gaussians(6, 8)
    train, val = world.draw(COUNTS, seed=1), world.draw([40] * 6, seed=2)
    train = train.with_head(world.bayes_head(prior=COUNTS))
    settings = Retraining(penalty=0.05)
    file = rescue(train, val=val, retraining=settings)
    with streaming():
        folder = rescue(
            stored(tmp_path / "x", train), val=stored(tmp_path / "y", val), retraining=settings
        )
    assert folder.verdict.use == file.verdict.use
    np.testing.assert_allclose(folder.retrained.weight, file.retrained.weight, atol=2e-3)
    crossed = rescue(stored(tmp_path / "x", train), retraining=settings)
    assert crossed.verdict.decided_on != folder.verdict.decided_on


@pytest.mark.parametrize("strategy", ["gml", "auto"])
def test_a_rescue_of_more_than_memory_holds_never_reads_it_at_once(tmp_path, monkeypatch, strategy):
    world = Gaussians(6, 8)
    counts = [0, *COUNTS[1:]]  # one class has to be left out, without a copy of the others
    train = world.draw(counts, seed=1, views=3).with_head(world.bayes_head(prior=COUNTS))
    kept = stored(tmp_path / "x", train)
    monkeypatch.setattr("everyclass.artifacts.stored_features.free_memory", lambda: 0)
    with streaming():
        result = rescue(
            kept,
            val=world.draw([40] * 6, seed=2),
            strategy=strategy,
            retraining=Retraining(penalty=0.05),
            missing_classes="keep-old",
        )
    assert result.held_out is not None
    right = (train.head.logits(train.views[0]).argmax(axis=1) == train.labels).mean()
    assert result.held_out.shown_right.sum() > 0.7 * right * len(train)


@pytest.mark.parametrize("how", [nullcontext, streaming])
def test_features_that_are_not_finite_are_refused(tmp_path, how):
    train = stored(tmp_path / "x", a_set())
    file = tmp_path / "x" / "chunk-00001.npy"
    array = np.load(file)
    array[3, 2] = np.nan
    np.save(file, array)
    with how(), pytest.raises(InputError, match="not finite"):
        retrain(train, Retraining(penalty=0.1))


def test_cross_fitting_beyond_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("everyclass.stages.retraining.crossfitting.free_memory", lambda: 1000)
    with pytest.raises(InputError, match="held-out features, val"):
        retrain(a_set(), Retraining())


# --- running class means --------------------------------------------------------------------------


def test_running_means_come_near_the_exact_objective_with_tiny_batches():
    """A batch of 8 holds one image of most classes or none; its own means are a poor guide."""
    train = a_set()
    data = standardise(train.views, train.labels)
    objective = Objective("gml", torch.from_numpy(train.class_counts.counts.copy()).float())

    def reached(weight: torch.Tensor, bias: torch.Tensor) -> float:
        value, _ = objective.value_and_gradient(data.features @ weight.T + bias, data.labels)
        return float(value + 0.005 * weight.square().sum())

    best = reached(*fit_exact(data, objective, 0.01))
    settings = MinibatchSettings(epochs=40, batch_size=8, learning_rate=0.02, momentum=0.9)
    running = reached(*fit_minibatches(data, objective, 0.01, settings, running=True))
    batches = reached(*fit_minibatches(data, objective, 0.01, settings))
    assert best <= running < best + 0.02
    assert running < batches


# --- going on -------------------------------------------------------------------------------------


class StoppedError(Exception):
    pass


def stops_after(epochs: int) -> Any:
    """A progress that ends the process, so to say, after some epochs."""

    class Task:
        def __init__(self) -> None:
            self.left = epochs

        def __enter__(self) -> Task:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def advance(self, *_: object) -> None:
            self.left -= 1
            if not self.left:
                raise StoppedError

    return lambda *_: Task()


@pytest.mark.parametrize("solver", ["minibatch", "running"])
def test_a_stopped_retraining_goes_on_bit_for_bit(tmp_path, solver):
    train = a_set()
    settings = Retraining(penalty=1e-2, solver=solver, minibatch=MinibatchSettings(6, 32))
    undisturbed = retrain(train, settings)
    kept = replace(settings, checkpoints=tmp_path)
    with pytest.raises(StoppedError):
        retrain(train, kept, show=stops_after(4))
    assert len(list(tmp_path.iterdir())) == 1
    seen: list[int] = []

    class Recorder:
        def __init__(self, done: int) -> None:
            seen.append(done)

        def __enter__(self) -> Recorder:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def advance(self, *_: object) -> None:
            pass

    resumed = retrain(train, kept, show=lambda title, total, unit, done=0: Recorder(done))
    assert seen[-1] == 4 * len(train)
    np.testing.assert_array_equal(resumed.weight, undisturbed.weight)
    np.testing.assert_array_equal(resumed.bias, undisturbed.bias)
    again = retrain(train, kept, show=stops_after(1))  # is there already: nothing is fitted
    np.testing.assert_array_equal(again.weight, undisturbed.weight)
    other = retrain(train, replace(kept, penalty=0.5))
    assert not np.array_equal(other.weight, undisturbed.weight)
    changed = train.features.copy()
    changed[-2] += 1  # one image's view among all
    retrain(Features(changed, train.labels), replace(kept, minibatch=MinibatchSettings(1, 32)))
    assert len(list(tmp_path.glob("*-head.safetensors"))) == 3
    retrain(train, replace(kept, minibatch=MinibatchSettings(1, 32)))
    assert len(list(tmp_path.glob("*-head.safetensors"))) == 4


def test_stopped_cross_fitting_by_sgd_goes_on_with_the_fold_it_was_in(tmp_path):
    train = a_set()
    settings = Retraining(penalty=1e-2, solver="minibatch", minibatch=MinibatchSettings(3, 32))
    undisturbed = cross_fit_objective(train, settings)
    kept = replace(settings, checkpoints=tmp_path)
    advances = stops_after(5 + 2 * 3 + 1)  # five exact fits, two folds of SGD, an epoch of the next

    with pytest.raises(StoppedError):
        cross_fit_objective(train, kept, show=shared(advances))
    assert len(list(tmp_path.glob("*-head.safetensors"))) == 2
    resumed = cross_fit_objective(train, kept)
    np.testing.assert_array_equal(resumed.logits, undisturbed.logits)
    assert len(list(tmp_path.glob("*-head.safetensors"))) == 5


def shared(show: Any) -> Any:
    """The same task whatever is shown."""
    task = show("", 0, "")
    return lambda *_: task


# --- several processes ----------------------------------------------------------------------------


def _retrained(group: Any, train: Features, settings: Retraining) -> Any:
    return retrain(train, settings).weight


def _streamed(group: Any, train: Features, settings: Retraining) -> Any:
    with streaming():
        return retrain(train, settings).weight


@pytest.mark.parametrize("solver", ["exact", "minibatch", "running"])
def test_several_processes_fit_the_same_head(processes, solver):
    train = a_set(views=2)
    # 62 rows a batch do not divide by four.
    settings = Retraining(penalty=1e-2, solver=solver, minibatch=MinibatchSettings(3, 62))
    expected = retrain(train, settings).weight
    weights = processes.run(_retrained, [(train, settings)] * 4)
    for weight in weights:
        np.testing.assert_array_equal(weight, weights[0])
    np.testing.assert_allclose(weights[0], expected, rtol=1e-3, atol=2e-3)


def test_several_processes_stream_the_same_head(processes, tmp_path):
    train = stored(tmp_path / "x", a_set(views=2))
    settings = Retraining(penalty=1e-2, solver="running", minibatch=MinibatchSettings(3, 62))
    expected = _streamed(None, train, settings)
    for weight in processes.run(_streamed, [(train, settings)] * 4):
        np.testing.assert_allclose(weight, expected, rtol=1e-3, atol=1e-4)
