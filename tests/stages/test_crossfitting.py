"""Held-out logits come from heads that did not see the image, and they choose the penalty."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gaussians import Gaussians, long_tail

from everyclass import Features, Retraining
from everyclass.errors import InputError
from everyclass.progress import silent
from everyclass.stages import MinibatchSettings, Objective, cross_fit, retrain
from everyclass.stages.retraining.crossfitting import (
    balanced_log_loss,
    folds_of,
    mean_log_probability,
)
from everyclass.stages.retraining.retraining import cross_fit_objective

COUNTS = long_tail(6, 120, 4)
PENALTIES = (1e-1, 1e-3)


def objective_of(train: Features, name: str = "gml") -> Objective:
    return Objective(name, torch.from_numpy(train.class_counts.counts.copy()).float())  # type: ignore[arg-type]


def fitted(train: Features, **options: Any) -> Any:
    options = {"penalties": PENALTIES, **options}
    return cross_fit(train, objective_of(train), balanced_log_loss, **options)


def test_nothing_can_be_learned_by_heart() -> None:
    """More features than images: a head knows every image that it saw, and no other."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 40)
    train = Features(generator.normal(size=(160, 300)).astype(np.float32), labels)
    by_heart = retrain(train, Retraining(penalty=1e-4)).logits(train.features)
    assert (by_heart.argmax(axis=1) == labels).all()
    out = fitted(train, penalties=(1e-4,))
    accuracy = (out.logits.argmax(axis=1) == out.labels).mean()
    assert accuracy < 0.4  # chance: 0.25, with a standard deviation of 0.034


def test_views_of_one_image_stay_together() -> None:
    """Each view of an image gives the image away, so that a leak would show as perfect recall."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 40)
    plain = generator.normal(size=(160, 300)).astype(np.float32)
    train = Features(np.stack([plain, plain * 1.001]), labels)
    out = fitted(train, penalties=(1e-4,))
    assert (out.logits.argmax(axis=1) == out.labels).mean() < 0.4


def test_each_image_is_held_out_once_and_single_ones_never() -> None:
    train = Gaussians(4, 5).draw([30, 8, 2, 1], seed=0)
    out = fitted(train)
    expected = np.flatnonzero(train.labels != 3)
    assert out.rows.tolist() == expected.tolist()
    assert out.labels.tolist() == train.labels[expected].tolist()
    assert out.logits.shape == (40, 4)


def test_held_out_logits_are_those_of_a_head_fitted_to_the_other_folds() -> None:
    train = Gaussians(3, 5).draw([40, 20, 10], seed=0)
    out = fitted(train, penalties=(1e-2,), folds=2)
    # With two folds, both heads can be told from the logits that they gave.
    design = np.column_stack([train.features, np.ones(70)])[out.rows]
    remaining = np.arange(70)
    for _ in range(2):
        generator = np.random.default_rng(0)
        for _ in range(2000):  # a fold's logits lie on one linear map: find 6 + images on one
            some = generator.choice(remaining, 6, replace=False)
            solution = np.linalg.solve(design[some], out.logits[some])
            on = np.abs(design @ solution - out.logits).max(axis=1) < 1e-2
            if on.sum() > 20:
                break
        else:
            pytest.fail("the held-out logits are not those of one head per fold")
        others = train.take(out.rows[~on])
        head = retrain(others, Retraining(penalty=1e-2))
        own = retrain(train.take(out.rows[on]), Retraining(penalty=1e-2))
        features = train.features[out.rows[on]]
        assert np.abs(head.logits(features) - out.logits[on]).max() < 0.3
        assert np.abs(own.logits(features) - out.logits[on]).max() > 1
        remaining = np.flatnonzero(~on)
    assert not len(remaining) or len(remaining) > 20


@pytest.mark.parametrize("seed", range(3))
def test_folds_are_stratified(seed: int) -> None:
    """No head lacks a class of two or more: far apart, only an unseen class would be missed."""
    train = Gaussians(8, 5, spread=30.0).draw([20, 5, 2, 2, 2, 2, 2, 2], seed=1)
    out = fitted(train, penalties=(1e-2,), seed=seed)
    assert (out.logits.argmax(axis=1) == out.labels).all()


def test_the_penalty_is_the_best_on_held_out_images() -> None:
    classes = Gaussians(6, 20, spread=0.5)
    train, test = classes.draw(COUNTS, seed=2), classes.draw([200] * 6, seed=3)
    penalties = (10.0, 1e-1, 1e-2, 1e-6)
    objective = objective_of(train, "cross_entropy")
    out = cross_fit(train, objective, mean_log_probability, penalties=penalties)
    assert set(out.scores) == set(penalties)
    assert out.penalty == min(out.scores, key=lambda p: out.scores[p])
    assert out.scores[out.penalty] == pytest.approx(mean_log_probability(out.logits, out.labels))
    assert out.penalty not in (10.0, 1e-6)  # neither nothing learned nor everything by heart
    # What held-out images say is close to what new ones of the same frequencies say.
    head = retrain(train, Retraining("cross_entropy", penalty=out.penalty))
    frequency = np.array(COUNTS)[test.labels]
    log_p = head.logits(test.features).astype(np.float64)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    loss = -np.average(log_p[np.arange(len(test)), test.labels], weights=frequency)
    assert out.scores[out.penalty] == pytest.approx(loss, rel=0.25)


def test_weaker_penalties_are_not_tried_once_two_have_done_worse() -> None:
    """By heart: the weaker the penalty, the surer and the more often wrong."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 20)
    train = Features(generator.normal(size=(80, 40)).astype(np.float32), labels)
    out = cross_fit(
        train,
        objective_of(train, "cross_entropy"),
        mean_log_probability,
        penalties=(1e-4, 1e-2, 10.0, 1.0, 0.1),  # in whatever order
    )
    assert list(out.scores) == [10.0, 1.0, 0.1]
    assert out.penalty == 10.0
    assert out.scores[10.0] == pytest.approx(mean_log_probability(out.logits, out.labels))


def test_only_two_views_and_the_plain_one_to_judge() -> None:
    train = Gaussians(3, 5).draw([40, 20, 10], seed=0, views=2)
    more = np.concatenate([train.views, np.full((3, 70, 5), 1e6, dtype=np.float32)])
    two, five = fitted(train), fitted(Features(more, train.labels))
    assert np.array_equal(two.logits, five.logits)


def test_the_same_seed_deals_the_same_folds() -> None:
    train = Gaussians(6, 8).draw(COUNTS, seed=2)
    one, same, other = (fitted(train, seed=s) for s in (0, 0, 1))
    assert np.array_equal(one.logits, same.logits)
    assert not np.array_equal(one.logits, other.logits)


def test_progress_counts_the_fits() -> None:
    seen: list[Any] = []

    class Task:
        def advance(self, amount: int, note: str = "") -> None:
            seen.append(amount)

    @contextmanager
    def show(title: str, total: int, unit: str, done: int = 0) -> Iterator[Task]:
        seen.append((title, total, unit))
        yield Task()

    fitted(Gaussians(3, 5).draw([20, 10, 5], seed=0), show=show, title="choosing")
    assert seen[0] == ("choosing", 10, "fits")
    assert sum(seen[1:]) == 10


def test_single_images_only_cannot_be_held_out() -> None:
    train = Gaussians(4, 5).draw([1, 1, 1, 1], seed=0)
    with pytest.raises(InputError, match="Every class has one training image only"):
        fitted(train)


# --- other solvers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [{"solver": "minibatch"}, {"solver": "minibatch", "resample": True}, {"solver": "running"}],
)
def test_held_out_logits_are_of_heads_that_the_solver_fitted(how: dict[str, Any]) -> None:
    drawn = Gaussians(4, 5).draw([30, 12, 6, 1], seed=0, views=3)
    minibatch = MinibatchSettings(epochs=3, batch_size=16)
    settings = Retraining(minibatch=minibatch, **how)
    exact, out = (cross_fit_objective(drawn, s, seed=4) for s in (Retraining(), settings))
    # The penalty is still chosen by exact fits, on the same folds.
    assert (out.penalty, out.scores) == (exact.penalty, exact.scores)
    assert out.rows.tolist() == exact.rows.tolist()
    fold_of = folds_of(drawn, seed=4)
    expected = np.empty((49, 4), dtype=np.float32)
    for fold in range(5):
        others = drawn.take(np.flatnonzero(fold_of != fold))
        head = retrain(others, replace(settings, penalty=out.penalty), seed=4)
        expected[fold_of == fold] = head.logits(drawn.views[0][fold_of == fold])
    assert np.array_equal(out.logits, expected[out.rows])
    assert not np.allclose(out.logits, exact.logits, atol=0.1)


def test_choosing_a_penalty_takes_no_fit_of_sgd(monkeypatch: pytest.MonkeyPatch) -> None:
    train, titles = Gaussians(3, 5).draw([20, 10, 5], seed=0), []

    @contextmanager
    def show(title: str, total: int, unit: str, done: int = 0) -> Iterator[Any]:
        titles.append(title)
        with silent(title, total, unit, done) as task:
            yield task

    settings = Retraining(solver="minibatch", minibatch=MinibatchSettings(1, 16))
    retrain(train, settings, show=show)
    assert titles == ["cross-fitting gml", "retraining"]
    titles.clear()
    cross_fit_objective(train, settings, show=show)
    assert titles == ["cross-fitting gml", *5 * ["retraining"]]


# --- criteria -------------------------------------------------------------------------------------


def test_criteria_against_their_definitions() -> None:
    generator = np.random.default_rng(4)
    logits, labels = generator.normal(size=(20, 3)), np.repeat([0, 2], [15, 5])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    p = p[np.arange(20), labels]
    assert mean_log_probability(logits, labels) == pytest.approx(-np.log(p).mean())
    expected = -(np.log(p[:15].mean()) + np.log(p[15:].mean())) / 2
    assert balanced_log_loss(logits, labels) == pytest.approx(expected)


def test_a_class_with_probability_zero_is_very_bad_but_finite() -> None:
    logits = np.array([[2e4, 0.0], [2e4, 0.0]])
    assert 100 < balanced_log_loss(logits, np.array([0, 1])) < np.inf
