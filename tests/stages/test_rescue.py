"""The whole rescue on features whose best classifier is known."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gaussians import Gaussians, long_tail
from hypothesis import given
from hypothesis import strategies as st

from everyclass import Features, Head, Predictions, RescueResult, Retraining, evaluate, rescue
from everyclass.errors import InputError
from everyclass.metrics import log_probabilities
from everyclass.stages import (
    MinibatchSettings,
    ensemble_log_probabilities,
    fit_temperature,
    rescue_features,
)
from everyclass.stages.retraining.missing_classes import restricted, with_old_rows

COUNTS = long_tail(8, 300, 5)
CLASSES = Gaussians(8, 10, spread=0.9)
QUICK = Retraining(penalty=1e-3)


def long_tailed(seed: int = 1) -> Features:
    """Long-tailed features with the head that the network would have: prior included."""
    return CLASSES.draw(COUNTS, seed=seed).with_head(CLASSES.bayes_head(COUNTS))


@pytest.fixture(scope="module", autouse=True)
def few_penalties() -> Iterator[None]:
    """Try a few penalties only, which takes a quarter of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("everyclass.stages.retraining.retraining.PENALTIES", (1e-2, 1e-3, 1e-4))
        yield


@pytest.fixture(scope="module")
def test_set() -> Features:
    return CLASSES.draw([150] * 8, seed=99)


@pytest.fixture(scope="module")
def rescued(few_penalties: None) -> RescueResult:
    return rescue(long_tailed())


@pytest.fixture
def other() -> RescueResult:
    """Another one, made in little time and not yet evaluated."""
    return rescue(long_tailed(seed=2), val=CLASSES.draw([20] * 8, seed=7), retraining=QUICK)


# --- when to change, and when not -----------------------------------------------------------------


def test_the_best_head_is_left_alone_on_validation_data() -> None:
    uses = []
    for seed in range(10):
        classes = Gaussians(5, 4, seed=seed)
        train = classes.draw([50] * 5, seed=seed + 100).with_head(classes.bayes_head())
        val = classes.draw([50] * 5, seed=seed + 200)
        uses.append(rescue(train, val=val, retraining=QUICK, seed=seed).verdict.use)
    assert uses.count("old") >= 9, uses


@pytest.mark.parametrize("off", [[4.0, 4.0, 4.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, -4.0]])
def test_a_bad_head_on_balanced_data_speaks_for_itself(off: list[float]) -> None:
    """A refitted head would be no stand-in for it: it is bad on the images that it saw already."""
    classes = Gaussians(6, 8, spread=0.7)
    best = classes.bayes_head()
    bad = Head(best.weight, best.bias + np.array(off))
    result = rescue(classes.draw([60] * 6, seed=1).with_head(bad), retraining=QUICK)
    before, after = result.evaluate(classes.draw([150] * 6, seed=99))
    assert result.verdict.use != "old"
    assert after.harmonic_mean > before.harmonic_mean + 0.3


def test_a_head_with_a_bad_prior_is_rescued(rescued: RescueResult, test_set: Features) -> None:
    before, after = rescued.evaluate(test_set)
    assert rescued.verdict.use != "old"
    assert rescued.verdict.decided_on == "cross-fitting on the training features"
    assert after.harmonic_mean > before.harmonic_mean + 0.1
    assert after.lowest_recall > before.lowest_recall + 0.1
    # Not far from the best that there is.
    best = evaluate(logits=CLASSES.bayes_head().logits(test_set.features), labels=test_set.labels)
    assert after.harmonic_mean > best.harmonic_mean - 0.15


def test_validation_data_are_used_where_given(test_set: Features) -> None:
    val = CLASSES.draw([40] * 8, seed=7)
    result = rescue(long_tailed(), val=val, retraining=QUICK)
    assert result.verdict.decided_on == "validation data"
    assert result.verdict.use != "old"
    assert list(result.settings["penalties_tried"]) == ["0.001"]  # the one that is set
    before, after = result.evaluate(test_set)
    assert after.harmonic_mean > before.harmonic_mean + 0.1


def test_without_an_old_head_a_plain_one_is_fitted(test_set: Features) -> None:
    train = CLASSES.draw(COUNTS, seed=1)
    result = rescue(train)
    before, after = result.evaluate(test_set)
    assert result.old.weight.shape == (8, 10)
    # What was fitted is a softmax classifier: it predicts the training labels' frequencies.
    p = np.exp(result.old.logits(train.features).astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p.mean(axis=0), np.array(COUNTS) / sum(COUNTS), atol=2e-3)
    assert result.verdict.use != "old"
    assert after.harmonic_mean > before.harmonic_mean


@pytest.mark.parametrize(
    ("objective", "solver"),
    [
        *[("gml", solver) for solver in ("exact", "minibatch", "running")],
        *[("balanced_softmax", solver) for solver in ("exact", "minibatch")],
    ],
)
def test_every_solver_lifts_the_lowest_recall(
    objective: str, solver: str, test_set: Features
) -> None:
    settings = Retraining(
        objective,  # type: ignore[arg-type]
        solver=solver,  # type: ignore[arg-type]
        penalty=1e-3,
        minibatch=MinibatchSettings(epochs=40, batch_size=128, learning_rate=0.2),
    )
    result = rescue(long_tailed(), retraining=settings, val=CLASSES.draw([20] * 8, seed=7))
    result.evaluate(test_set)
    old, new = result.evaluations["old"], result.evaluations["retrained"]
    assert new.lowest_recall > old.lowest_recall + 0.1


def by_sgd(solver: str, rate: float, epochs: int = 40, **more: Any) -> Retraining:
    settings = MinibatchSettings(epochs=epochs, batch_size=64, learning_rate=rate)
    return Retraining(solver=solver, minibatch=settings, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("strategy", ["gml", "balanced_softmax", "class_weighted"])
def test_sgd_that_learns_nothing_is_not_recommended(strategy: str) -> None:
    """The exact solver, which chooses the penalty, would do well: it is not what is delivered."""
    lame = by_sgd("minibatch", 1e-9, epochs=1)
    result = rescue(long_tailed(), retraining=lame, strategy=strategy)
    assert np.abs(result.retrained.weight).max() < 1e-4
    assert result.verdict.use == "old"
    old, new = result.candidates[:2]
    assert new["accuracy"] < old["accuracy"] - 0.05
    exact = rescue(long_tailed(), strategy=strategy)
    assert exact.verdict.use != "old"


@pytest.mark.parametrize(
    "settings",
    [
        by_sgd("minibatch", 0.1, penalty=1e-3),
        by_sgd("minibatch", 0.1, penalty=1e-3, resample=True),
        by_sgd("running", 0.1, penalty=1e-3),
    ],
    ids=["minibatch", "resampled", "running"],
)
def test_sensible_sgd_is_recommended_without_validation_data(
    settings: Retraining, test_set: Features
) -> None:
    result = rescue(long_tailed(), retraining=settings)
    before, after = result.evaluate(test_set)
    assert result.verdict.use != "old"
    assert after.harmonic_mean > before.harmonic_mean + 0.1


def test_several_views(test_set: Features) -> None:
    train = CLASSES.draw(COUNTS, seed=1, views=3).with_head(CLASSES.bayes_head(COUNTS))
    result = rescue(train, retraining=QUICK)
    before, after = result.evaluate(test_set)
    assert result.settings["views"] == 3
    assert after.harmonic_mean > before.harmonic_mean + 0.1


# --- what comes out -------------------------------------------------------------------------------


def test_the_ensemble_is_equation_11(rescued: RescueResult, test_set: Features) -> None:
    said = rescued.predict(test_set, "ensemble").logits
    expected = ensemble_log_probabilities(
        rescued.old.logits(test_set.features),
        rescued.retrained.logits(test_set.features),
        rescued.ensemble.t_old,
        rescued.ensemble.t_new,
    )
    assert said is not None
    assert np.array_equal(said, expected)
    assert rescued.ensemble.old is rescued.old
    assert rescued.ensemble.new is rescued.retrained


def test_predictions_are_of_the_recommended_one_unless_said(
    rescued: RescueResult, test_set: Features
) -> None:
    assert np.array_equal(
        rescued.predict(test_set).top, rescued.predict(test_set, rescued.verdict.use).top
    )
    old = rescued.predict(test_set, "old")
    assert np.array_equal(old.top, CLASSES.bayes_head(COUNTS).logits(test_set.features).argmax(1))
    assert old.class_counts is not None
    assert old.class_counts.counts.tolist() == COUNTS


def test_evaluate_gives_the_old_and_the_recommended(
    rescued: RescueResult, test_set: Features
) -> None:
    before, after = rescued.evaluate(test_set)
    assert set(rescued.evaluations) == {"old", "retrained", "ensemble"}
    assert before is rescued.evaluations["old"]
    assert after is rescued.evaluations[rescued.verdict.use]
    unchanged = replace(rescued, verdict=replace(rescued.verdict, use="old"))
    assert len(set(map(id, unchanged.evaluate(test_set)))) == 1


@pytest.mark.parametrize("held_out", [False, True])
def test_the_retrained_head_can_be_read_as_probabilities(
    held_out: bool, test_set: Features
) -> None:
    val = CLASSES.draw([20] * 8, seed=7) if held_out else None
    result = rescue(long_tailed(), val=val, retraining=QUICK)
    fitted = result.settings["fitted_temperatures"]["retrained"]
    logits = result.predict(test_set, "retrained").logits
    assert logits is not None
    assert result.ensemble.t_new == 1
    assert abs(fitted - 1) > 0.05  # there was something to calibrate
    assert fit_temperature(logits, test_set.labels) == pytest.approx(1, rel=0.3)


def test_a_verdict_that_costs_accuracy_says_how_much() -> None:
    """Rescuing rare classes costs where validation images are long-tailed, and gains elsewhere."""
    said = []
    for held_out in ([max(n // 3, 8) for n in COUNTS], [60] * 8):
        result = rescue(long_tailed(), val=CLASSES.draw(held_out, seed=7), retraining=QUICK)
        assert result.cost is not None
        assert result.verdict.use != "old"
        before, after = result.cost.accuracy
        said.append(f"accuracy falls from {before:.1%} to {after:.1%}" in str(result.verdict))
    assert said == [True, False]


def test_temperatures_fit_new_images(test_set: Features) -> None:
    """The Bayes head is calibrated; one that is four times as sure has to be cooled to 4."""
    classes = Gaussians(5, 8, spread=0.7)
    sharp = classes.bayes_head()
    sharp = Head(4 * sharp.weight, 4 * sharp.bias)
    train = classes.draw([200] * 5, seed=1).with_head(sharp)
    without = rescue(train, retraining=QUICK)
    val = rescue(train, retraining=QUICK, val=classes.draw([200] * 5, seed=2))
    assert val.ensemble.t_old == pytest.approx(4, rel=0.2)
    assert without.ensemble.t_old == pytest.approx(4, rel=0.35)


def test_two_rescues_are_equal_bit_for_bit(rescued: RescueResult) -> None:
    again = rescue(long_tailed())
    assert again.retrained.weight.tobytes() == rescued.retrained.weight.tobytes()
    assert again.retrained.bias.tobytes() == rescued.retrained.bias.tobytes()
    assert again.verdict == rescued.verdict
    assert again.ensemble.t_old == rescued.ensemble.t_old
    assert again.ensemble.t_new == rescued.ensemble.t_new
    assert again.settings == rescued.settings


def test_the_callers_features_are_not_changed() -> None:
    train = long_tailed()
    before = train.features.copy(), train.labels.copy()
    rescue(train, retraining=QUICK)
    assert np.array_equal(train.features, before[0])
    assert np.array_equal(train.labels, before[1])


# --- missing classes ------------------------------------------------------------------------------


def with_a_hole(names: bool = True) -> Features:
    """Class 2 and class 5 have no training image."""
    train = CLASSES.draw([40, 30, 0, 20, 10, 0, 10, 5], seed=3)
    head = CLASSES.bayes_head()
    names_ = tuple(f"class-{c}" for c in "abcdefgh") if names else None
    return Features(train.features, train.labels, head, names_)


def test_missing_classes_are_refused_by_name() -> None:
    with pytest.raises(InputError) as caught:
        rescue(with_a_hole())
    assert str(caught.value) == (
        "2 classes have no training image: 'class-c' (class 2), 'class-f' (class 5). Add images, "
        "or keep what the old head has for them: missing_classes='keep-old' "
        "(--missing-classes keep-old)."
    )


def test_many_missing_classes_are_counted() -> None:
    head = Head(np.ones((30, 4)), np.zeros(30))
    train = Features(np.random.default_rng(0).normal(size=(6, 4)), [0, 0, 1, 1, 2, 2], head)
    with pytest.raises(InputError, match=r"27 classes .*: class 3, .* class 7 and 22 more"):
        rescue(train)


@pytest.mark.parametrize("val", [False, True])
def test_keep_old_keeps_the_rows_and_retrains_the_others(val: bool, test_set: Features) -> None:
    train = with_a_hole()
    # Validation images of all classes, without a head of their own, the last class left out.
    held_out = CLASSES.draw([20] * 7 + [0], seed=5) if val else None
    result = rescue(train, val=held_out, retraining=QUICK, missing_classes="keep-old")
    old, new = train.head, result.retrained
    assert old is not None
    t = result.settings["fitted_temperatures"]["retrained"]
    np.testing.assert_allclose(t * new.weight[[2, 5]], old.weight[[2, 5]], rtol=1e-6)
    np.testing.assert_allclose(t * new.bias[[2, 5]], old.bias[[2, 5]], rtol=1e-6)
    others = [0, 1, 3, 4, 6, 7]
    assert (np.abs(new.weight[others] - old.weight[others]).max(axis=1) > 1e-3).all()
    assert result.class_counts.counts.tolist() == [40, 30, 0, 20, 10, 0, 10, 5]
    assert result.class_counts.names == train.class_names
    result.evaluate(test_set)
    assert result.evaluations["retrained"].num_classes == 8
    assert result.settings["missing_classes"] == "keep-old"


OTHERS = [0, 1, 3, 4, 6, 7]
WHICH = ("old", "retrained", "ensemble")


def kept_old(train: Features, head: Head, val: Features | None, **more: Any) -> RescueResult:
    return rescue(
        train.with_head(head), val=val, retraining=QUICK, missing_classes="keep-old", **more
    )


@pytest.mark.parametrize(
    ("size", "held_out", "strategy"),
    [
        (1.0, None, "gml"),
        (10.0, [20] * 8, "gml"),
        (10.0, None, "class_weighted"),
        (1.0, [20] * 8, "class_weighted"),
        (10.0, [20] * 8, "bias"),
        (1.0, None, "bias"),
    ],
)
def test_what_is_added_to_all_old_rows_changes_no_answer(
    size: float, held_out: list[int] | None, strategy: str, test_set: Features
) -> None:
    """It changes no answer of the old head: nothing may depend on it."""
    train, head = with_a_hole(), CLASSES.bayes_head()
    val = held_out and CLASSES.draw(held_out, seed=5)
    generator = np.random.default_rng(0)
    other = Head(
        head.weight + size * generator.normal(size=10), head.bias + size * generator.normal()
    )
    one, two = (kept_old(train, each, val, strategy=strategy) for each in (head, other))
    assert one.verdict == two.verdict
    for which in WHICH:
        said = [each.predict(test_set, which) for each in (one, two)]  # type: ignore[arg-type]
        assert np.array_equal(said[0].top, said[1].top), which
        p = [np.exp(log_probabilities(each.logits, are_logits=True)) for each in said]
        np.testing.assert_allclose(p[0], p[1], atol=5e-3)


@given(seed=st.integers(0, 1000), t_old=st.floats(0.2, 5), t_new=st.floats(0.2, 5))
def test_old_rows_stand_beside_new_ones_whatever_is_added_or_multiplied(
    seed: int, t_old: float, t_new: float
) -> None:
    generator = np.random.default_rng(seed)
    old = Head(generator.normal(size=(6, 3)), generator.normal(size=6))
    new = Head(generator.normal(size=(4, 3)), generator.normal(size=4))
    x, classes = generator.normal(size=(20, 3)), np.array([0, 2, 3, 5])

    def answers(of_old: Head, of_new: Head, t_old: float, t_new: float) -> Any:
        both = with_old_rows(of_new, of_old, classes, scale=t_old / t_new)
        return log_probabilities(both.at_temperature(t_old).logits(x), are_logits=True)

    def changed(head: Head, factor: float) -> Head:
        u = generator.normal(size=3)
        return Head(factor * head.weight + u, factor * head.bias + 3)

    expected = answers(old, new, t_old, t_new)
    got = answers(changed(old, 2.0), changed(new, 0.5), 2 * t_old, t_new / 2)
    np.testing.assert_allclose(got, expected, atol=1e-3)
    # Among themselves, classes with new rows are what the new head makes of them.
    among = log_probabilities(new.at_temperature(t_new).logits(x), are_logits=True)
    some = log_probabilities(expected[:, classes], are_logits=True)
    np.testing.assert_allclose(some, among, atol=1e-3)
    kept = with_old_rows(new, old, classes, scale=t_old / t_new)
    assert np.array_equal(kept.weight[[1, 4]], old.weight[[1, 4]])


def test_kept_rows_change_nothing_among_the_others(test_set: Features) -> None:
    train = with_a_hole()
    with_them = kept_old(train, CLASSES.bayes_head(), None)
    alone = rescue(restricted(train, np.array(OTHERS)), retraining=QUICK)
    said = [each.retrained.logits(test_set.features) for each in (with_them, alone)]
    ours, theirs = (
        np.exp(log_probabilities(each, are_logits=True)) for each in (said[0][:, OTHERS], said[1])
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert with_them.ensemble.t_old == alone.ensemble.t_old
    assert with_them.ensemble.t_new == alone.ensemble.t_new == 1


@pytest.mark.parametrize(
    ("held_out", "said"),
    [
        (None, "; 2 classes have no image to decide on: 'class-c' (class 2), 'class-f' (class 5)"),
        ([20] * 5 + [0] + [20] * 2, "; 1 class has no image to decide on: 'class-f' (class 5)"),
        ([20] * 8, None),
    ],
)
def test_kept_classes_without_images_to_judge_them_are_named(
    held_out: list[int] | None, said: str | None
) -> None:
    val = held_out and CLASSES.draw(held_out, seed=5)
    reason = kept_old(with_a_hole(), CLASSES.bayes_head(), val).verdict.reason
    assert said in reason if said else "no image" not in reason


def half_kept() -> tuple[Features, Features, Features]:
    """Six classes, three without images, one of the others all but given up by the old head."""
    classes = Gaussians(6, 4, spread=1.5, seed=2)
    best = classes.bayes_head()
    bad = Head(best.weight, best.bias - 4.0 * (np.arange(6) == 0))
    train = classes.draw([60, 60, 60, 0, 0, 0], seed=1).with_head(bad)
    return train, classes.draw([60] * 6, seed=7), classes.draw([300] * 6, seed=8)


def test_a_change_that_takes_from_kept_classes_is_not_recommended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, val, test = half_kept()
    result = rescue(train, val=val, retraining=Retraining(penalty=1e-2), missing_classes="keep-old")
    assert result.verdict.use == "old"
    assert re.search(
        r"lost beside the rows that the others keep \(of all validation images: estimated harmonic "
        r"mean of recall 56\.\d% → 4\d\.\d%; class 3 falls most, 65\.0% → 15\.0%\)",
        result.verdict.reason,
    )
    # Among the classes with training images it is a gain, and new images lose by it as well.
    monkeypatch.setattr(
        "everyclass.stages.rescuing.rescuing.judged_as_delivered", lambda verdict, *_: verdict
    )
    alone = rescue(train, val=val, retraining=Retraining(penalty=1e-2), missing_classes="keep-old")
    assert alone.verdict.use != "old"
    before, after = alone.evaluate(test)
    assert after.harmonic_mean < before.harmonic_mean - 0.05


def test_a_change_that_leaves_kept_classes_alone_is_recommended() -> None:
    counts = [*COUNTS[:6], 0, COUNTS[7]]
    train = CLASSES.draw(counts, seed=1).with_head(CLASSES.bayes_head(COUNTS))
    val = CLASSES.draw([40] * 8, seed=7)
    result = rescue(train, val=val, retraining=QUICK, missing_classes="keep-old")
    assert result.verdict.use != "old"
    assert "; of all validation images, kept rows included: estimated" in result.verdict.reason
    before, after = result.evaluate(CLASSES.draw([150] * 8, seed=99))
    assert after.harmonic_mean > before.harmonic_mean + 0.1


@pytest.mark.parametrize("strategy", ["gml", "bias", "auto"])
def test_validation_images_of_few_classes_decide_nothing(strategy: str) -> None:
    for held_out, said in (([40] + [0] * 7, "1 of 8"), ([9, 9, 9] + [0] * 5, "3 of 8")):
        val = CLASSES.draw(held_out, seed=5)
        with pytest.raises(InputError, match=f"has images of {said} classes, .* by cross-fitting"):
            rescue(long_tailed(), val=val, strategy=strategy)


def test_keep_old_without_an_old_head_is_refused() -> None:
    train = with_a_hole().with_head(None)
    with pytest.raises(InputError, match="no old head whose rows could be kept"):
        rescue(train, missing_classes="keep-old")


def test_keep_old_of_a_cosine_head_is_refused() -> None:
    train = with_a_hole().with_head(Head(CLASSES.means, np.zeros(8), "cosine", 10.0))
    with pytest.raises(InputError, match="cosine one, whose rows cannot stand beside linear"):
        rescue(train, missing_classes="keep-old")


# --- what cannot be rescued -----------------------------------------------------------------------


def test_one_class_only() -> None:
    train = Features(np.random.default_rng(0).normal(size=(6, 4)), [0] * 6)
    with pytest.raises(InputError, match="one class only"):
        rescue(train)
    names = Features(train.features, train.labels, Head(np.eye(3, 4), np.zeros(3)))
    with pytest.raises(InputError, match="one class only"):
        rescue(names, missing_classes="keep-old")


def test_one_image_per_class() -> None:
    train = CLASSES.draw([1] * 8, seed=0)
    with pytest.raises(InputError, match="Every class has one training image only"):
        rescue(train, retraining=QUICK)
    val = CLASSES.draw([10] * 8, seed=1)
    for retraining in (None, QUICK):
        result = rescue(train.with_head(CLASSES.bayes_head()), val=val, retraining=retraining)
        assert result.verdict.use == "old"


@pytest.mark.parametrize(
    ("val", "said"),
    [
        (Features(np.ones((4, 9)), [0, 1, 2, 3]), "validation set has features of width 9"),
        (Features(np.ones((2, 10)), [0, 8]), r"validation set: labels\[1\] is 8"),
    ],
)
def test_validation_features_of_another_network(val: Features, said: str) -> None:
    with pytest.raises(InputError, match=said):
        rescue(long_tailed(), val=val, retraining=QUICK)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"strategy": "atuo"}, "did you mean 'auto'"),
        ({"strategy": "auto", "retraining": Retraining("cross_entropy")}, "leave one out"),
    ],
)
def test_a_strategy_that_cannot_be_is_refused_before_the_network_runs(
    settings: dict[str, Any], said: str
) -> None:
    def loader() -> Iterator[Any]:
        raise AssertionError("the network was run")
        yield

    with pytest.raises(InputError, match=said):
        rescue(loader(), model=torch.nn.Linear(2, 2), **settings)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(InputError, match="must be 'error' or 'keep-old'; got 'drop'"):
        rescue(long_tailed(), missing_classes="drop")  # type: ignore[arg-type]


def test_test_features_of_another_network(rescued: RescueResult) -> None:
    with pytest.raises(InputError, match=r"width 9 .* have 10: they come from different networks"):
        rescued.evaluate(Features(np.ones((2, 9)), [0, 1]))
    with pytest.raises(InputError, match=r"labels\[1\] is 8"):
        rescued.evaluate(Features(np.ones((2, 10)), [0, 8]))


THREE = Gaussians(3, 6)
NAMES = ("cat", "dog", "lynx")
OF_OTHER_CLASSES = {
    "numbered otherwise": (NAMES[::-1], "calls class 0 'lynx' and .* call it 'cat'.* differently"),
    "one more": ((*NAMES, "wolf"), "names of 4 classes and training has 3 classes"),
    "one less": (NAMES[:2], "names of 2 classes and training has 3 classes"),
}


def named(names: tuple[str, ...], counts: list[int], seed: int) -> Features:
    images = THREE.draw(counts, seed=seed)
    return Features(images.features, images.labels, class_names=names)


def three_classes() -> Features:
    return named(NAMES, [60, 30, 10], 1).with_head(THREE.bayes_head([60, 30, 10]))


def of_other_classes(case: str) -> tuple[Features, str]:
    names, said = OF_OTHER_CLASSES[case]
    return named(names, [20, 20, 0], 2), said


@pytest.fixture(scope="module")
def of_three() -> RescueResult:
    return rescue(three_classes(), val=named(NAMES, [20] * 3, 3), retraining=QUICK)


@pytest.mark.parametrize("case", OF_OTHER_CLASSES)
def test_a_test_set_of_other_classes_is_refused_everywhere(
    case: str, of_three: RescueResult, tmp_path: Path
) -> None:
    """Labels are numbers: under the training names they would be judged as other classes."""
    test, said = of_other_classes(case)
    for entry in (of_three.evaluate, of_three.predict, of_three.diagnose):
        with pytest.raises(InputError, match=said):
            entry(test)
    with pytest.raises(InputError, match=said):
        of_three.save(tmp_path / "out", test)
    assert not (tmp_path / "out").exists()
    assert not of_three.evaluations
    with pytest.raises(InputError, match=said):
        of_three.single_layer(three_classes(), judged_on=test)
    with pytest.raises(InputError, match=said):
        of_three.single_layer(test)
    with pytest.raises(InputError, match=said):
        rescue(three_classes(), test=test)


@pytest.mark.parametrize("case", [*OF_OTHER_CLASSES, "of another network"])
def test_a_bad_test_set_is_refused_before_the_long_work(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worked(*_: Any, **__: Any) -> None:
        raise AssertionError("the rescue was begun")

    monkeypatch.setattr("everyclass.stages.rescuing.feature_rescue.rescue", worked)
    if case in OF_OTHER_CLASSES:
        test, said = of_other_classes(case)
    else:
        test, said = Features(np.ones((3, 5)), [0, 1, 2]), "width 5 .* different networks"
    with pytest.raises(InputError, match=said):
        rescue_features(three_classes(), tmp_path / "out", test=test)
    assert not (tmp_path / "out").exists()


def test_validation_images_of_other_classes_are_refused_as_well() -> None:
    val = named((*NAMES, "one more"), [20] * 3, 4)
    with pytest.raises(InputError, match="names of 4 classes and training has 3"):
        rescue(three_classes(), val=val, retraining=QUICK)


def test_test_sets_with_the_same_names_or_none_are_judged(
    of_three: RescueResult, tmp_path: Path
) -> None:
    test = named(NAMES, [20] * 3, 4)
    one, other = of_three.predict(test), of_three.predict(Features(test.features, test.labels))
    assert np.array_equal(one.top, other.top)
    assert one.class_names == other.class_names == NAMES
    result = rescue_features(three_classes(), tmp_path / "out", test=test, retraining=QUICK)
    assert set(result.evaluations) == {"old", "retrained", "ensemble"}


def test_an_old_head_that_says_nothing(test_set: Features) -> None:
    """All weights zero: every class is given to the first, and everything is a gain."""
    train = CLASSES.draw(COUNTS, seed=1).with_head(Head(np.zeros((8, 10)), np.zeros(8)))
    result = rescue(train, retraining=QUICK)
    _, after = result.evaluate(test_set)
    assert result.verdict.use != "old"
    assert after.harmonic_mean > 0.5


# --- saving ---------------------------------------------------------------------------------------

FILES = {
    "old-head.safetensors",
    "head.safetensors",
    "evaluation.json",
    "result.json",
    "report.html",
}
PREDICTIONS = {"old.npz", "retrained.npz", "ensemble.npz", "diagnosis.json"}


def names_in(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def test_everything_is_saved(rescued: RescueResult, test_set: Features, tmp_path: Path) -> None:
    rescued.save(tmp_path / "out", test_set)
    assert names_in(tmp_path / "out") == FILES | PREDICTIONS
    head = Head.load(tmp_path / "out" / "head.safetensors")
    assert np.array_equal(head.weight, rescued.retrained.weight)
    old = Head.load(tmp_path / "out" / "old-head.safetensors")
    assert np.array_equal(old.bias, rescued.old.bias)
    numbers = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    for name in ("old", "retrained", "ensemble"):
        said = evaluate(Predictions.load(tmp_path / "out" / f"{name}.npz"))
        assert numbers[name]["harmonic_mean"] == said.harmonic_mean
    assert numbers["verdict"] == rescued.verdict.to_dict()
    settings = json.loads((tmp_path / "out" / "result.json").read_text())["settings"]
    assert settings["retraining"]["penalty"] == rescued.settings["retraining"]["penalty"]
    assert settings["fitted_temperatures"]["old"] == rescued.ensemble.t_old


def test_without_a_test_set_nothing_of_an_earlier_one_is_left(
    rescued: RescueResult, other: RescueResult, test_set: Features, tmp_path: Path
) -> None:
    rescued.save(tmp_path, test_set)
    (tmp_path / "notes.txt").write_text("mine")
    other.save(tmp_path)
    assert names_in(tmp_path) == FILES | {"notes.txt"}
    numbers = json.loads((tmp_path / "evaluation.json").read_text())
    assert not {"old", "retrained", "ensemble"} & set(numbers)


@pytest.mark.parametrize("failing", sorted((FILES | PREDICTIONS) - {"old-head.safetensors"}))
def test_a_failure_while_saving_leaves_the_earlier_results(
    failing: str,
    rescued: RescueResult,
    other: RescueResult,
    test_set: Features,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk is full, or somebody presses Ctrl-C, when it is the turn of one file."""
    import os

    rescued.save(tmp_path, test_set)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    flush = os.fsync

    def interrupted(handle: int) -> None:
        if f".{failing}." in os.readlink(f"/proc/self/fd/{handle}"):
            raise KeyboardInterrupt
        flush(handle)

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        other.save(tmp_path, test_set)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_report_without_a_test_set(other: RescueResult, tmp_path: Path) -> None:
    assert other.report(tmp_path / "r.html") == tmp_path / "r.html"
    assert "<html" in (tmp_path / "r.html").read_text()


def test_settings_say_how_it_was_made(rescued: RescueResult) -> None:
    settings: dict[str, Any] = rescued.settings
    assert settings["images"] == sum(COUNTS)
    assert settings["views"] == 1
    assert settings["seed"] == 0
    assert settings["retraining"]["objective"] == "gml"
    tried = settings["penalties_tried"]
    assert f"{settings['retraining']['penalty']:.3g}" == min(tried, key=tried.get)
    assert settings["decided_on"] == rescued.verdict.decided_on
