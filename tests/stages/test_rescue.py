"""The whole rescue on features whose best classifier is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gaussians import Gaussians, long_tail

from everyclass import Features, Head, Predictions, RescueResult, Retraining, evaluate, rescue
from everyclass.errors import InputError
from everyclass.stages import MinibatchSettings, ensemble_log_probabilities, fit_temperature

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
    with pytest.raises(InputError, match="belongs to another network"):
        rescued.evaluate(Features(np.ones((2, 9)), [0, 1]))
    with pytest.raises(InputError, match=r"labels\[1\] is 8"):
        rescued.evaluate(Features(np.ones((2, 10)), [0, 8]))


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
