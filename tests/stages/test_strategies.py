"""`rescue(strategy=…)`: what is compared, what is chosen, what it costs, when nothing is done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gaussians import Gaussians, long_tail
from scipy import stats

from everyclass import Features, Head, RescueResult, Retraining, evaluate, rescue
from everyclass.adjustment import METHODS, deal, smoothed_recall
from everyclass.errors import FileFormatError, InputError
from everyclass.stages import STRATEGIES, MinibatchSettings, load_classifier
from everyclass.stages.choosing.candidates import RETRAINED, TITLES, Candidate
from everyclass.stages.choosing.choice import choose
from everyclass.stages.rescuing.costs import cost_of
from few_penalties import few_penalties

COUNTS = long_tail(8, 300, 5)
CLASSES = Gaussians(8, 10, spread=0.9)
QUICK = Retraining(penalty=1e-2)
EVERYTHING = [*METHODS, *RETRAINED, "ensemble"]


def long_tailed() -> Features:
    return CLASSES.draw(COUNTS, seed=1).with_head(CLASSES.bayes_head(COUNTS))


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with few_penalties():
        yield


@pytest.fixture(scope="module")
def val() -> Features:
    return CLASSES.draw([30] * 8, seed=7)


@pytest.fixture(scope="module")
def test_set() -> Features:
    return CLASSES.draw([150] * 8, seed=99)


@pytest.fixture(scope="module")
def chosen(val: Features, quick: None) -> RescueResult:
    return rescue(long_tailed(), val=val, strategy="auto")


# --- what is compared and chosen ------------------------------------------------------------------


def test_auto_compares_everything_and_takes_the_best(
    chosen: RescueResult, test_set: Features
) -> None:
    names = [each["name"] for each in chosen.candidates]
    assert names == ["none", *EVERYTHING]
    scores = {each["name"]: each["score"] for each in chosen.candidates}
    assert chosen.best == max((n for n in names if n != "none"), key=lambda n: scores[n])
    assert chosen.chosen == chosen.best  # much is gained here
    assert chosen.verdict.decided_on == "validation data"
    assert chosen.verdict.reason.startswith(f"{TITLES[chosen.best]}: estimated harmonic mean of")
    assert len(chosen.by_fold) == 5
    assert set(chosen.by_fold) <= set(names)
    before, after = chosen.evaluate(test_set)
    assert after.harmonic_mean > before.harmonic_mean + 0.1
    best = evaluate(logits=CLASSES.bayes_head().logits(test_set.features), labels=test_set.labels)
    assert after.harmonic_mean > best.harmonic_mean - 0.1


def test_auto_without_validation_data(test_set: Features) -> None:
    result = rescue(long_tailed(), strategy="auto")
    tried = [name for name in EVERYTHING if name != "tau_norm"]  # stand-ins have no one head
    assert [each["name"] for each in result.candidates] == ["none", *tried]
    assert result.verdict.decided_on == "cross-fitting on the training features"
    before, after = result.evaluate(test_set)
    assert result.verdict.use != "old"
    assert after.harmonic_mean > before.harmonic_mean + 0.1


@pytest.mark.parametrize("strategy", [n for n in STRATEGIES if n not in ("auto", "gml")])
def test_each_strategy_alone(strategy: str, val: Features, test_set: Features) -> None:
    result = rescue(long_tailed(), val=val, strategy=strategy, retraining=QUICK)
    assert [each["name"] for each in result.candidates] == ["none", *STRATEGIES[strategy]]
    assert result.strategy == strategy
    assert result.best in STRATEGIES[strategy]
    result.evaluate(test_set)
    which = "ensemble" if strategy == "ensemble" else "retrained"
    new, old = result.evaluations[which], result.evaluations["old"]
    if strategy != "tau_norm":  # which needs lengths that follow the counts
        assert new.harmonic_mean > old.harmonic_mean + 0.05
    if strategy in METHODS or strategy == "offsets":
        assert result.retrained.kind == "linear"
        turned = result.retrained.weight / result.old.weight
        assert np.ptp(turned, axis=1).max() < 1e-4  # rows are scaled and shifted, not turned


def test_the_offset_is_in_the_head(val: Features, test_set: Features) -> None:
    result = rescue(long_tailed(), val=val, strategy="bias", retraining=QUICK)
    np.testing.assert_array_equal(result.retrained.weight, result.old.weight)
    shift = result.retrained.bias - result.old.bias
    assert shift[-1] > shift[0] + 1  # the rarest class against the largest


def test_the_strategy_gml_is_what_it_was(val: Features) -> None:
    """Its choice and verdict are those without a strategy; the comparison stands beside them."""
    plain = rescue(long_tailed(), val=val)
    named = rescue(long_tailed(), val=val, strategy="gml")
    assert plain.verdict == named.verdict
    assert plain.retrained.weight.tobytes() == named.retrained.weight.tobytes()
    beside = ["additive", "class_weighted"]
    assert [each["name"] for each in plain.candidates] == ["none", "gml", "ensemble", *beside]
    assert plain.by_fold == ()
    numbers = {each["name"]: each["harmonic_mean"] for each in plain.candidates}
    said = f"{numbers['none']:.1%} → {max(numbers['gml'], numbers['ensemble']):.1%}"
    assert said in plain.verdict.reason


@pytest.mark.parametrize("held_out", [True, False])
def test_an_offset_and_class_weights_stand_beside_gml(val: Features, held_out: bool) -> None:
    """They are what their own strategies say of them, and are never what is chosen."""
    given = val if held_out else None
    plain = rescue(long_tailed(), val=given)
    shown = {each["name"]: each for each in plain.candidates}
    for name in ("additive", "class_weighted"):
        (_, alone) = rescue(long_tailed(), val=given, strategy=name).candidates
        assert shown[name] == alone
    assert plain.best in ("gml", "ensemble")


def test_another_objective_is_named(val: Features) -> None:
    result = rescue(long_tailed(), val=val, retraining=replace(QUICK, objective="cross_entropy"))
    names = [each["name"] for each in result.candidates]
    assert names == ["none", "cross_entropy", "ensemble", "additive"]


@pytest.mark.parametrize("given", [{"reweight": False}, {"solver": "running"}])
def test_what_is_gmls_alone_is_not_asked_of_others(val: Features, given: dict[str, Any]) -> None:
    settings = replace(QUICK, minibatch=MinibatchSettings(epochs=2, batch_size=64), **given)
    result = rescue(long_tailed(), val=val, strategy="class_weighted", retraining=settings)
    assert result.settings["retraining"]["objective"] == "class_weighted"
    assert result.settings["retraining"]["reweight"] is True
    assert result.settings["retraining"]["solver"] != "running"


def test_running_means_are_of_gml() -> None:
    with pytest.raises(InputError, match="class means of GML, which the objective cross_entropy"):
        Retraining("cross_entropy", solver="running")


def test_an_offset_says_that_nothing_was_retrained(val: Features) -> None:
    result = rescue(long_tailed(), val=val, strategy="bias")
    assert result.settings["retraining"] is None


def test_what_was_compared_is_what_is_shown(test_set: Features) -> None:
    """Also where the verdict is to change nothing."""
    uses = set()
    for seed in range(6):
        world = Gaussians(4, 4, seed=seed)
        train = world.draw([40] * 4, seed=seed + 100).with_head(world.bayes_head())
        result = rescue(train, val=world.draw([60] * 4, seed=seed), retraining=QUICK)
        compared = result.verdict.compared
        assert f"{compared}: " in result.verdict.reason or compared == result.verdict.use
        assert (result.best == "ensemble") == (compared == "ensemble")
        uses.add((result.verdict.use == "old", compared))
    assert (True, "ensemble") in uses


def test_two_views_at_most_are_compared() -> None:
    train = CLASSES.draw(COUNTS, seed=1, views=4).with_head(CLASSES.bayes_head(COUNTS))
    val = CLASSES.draw([20] * 8, seed=7)
    two = Features(train.views[:2], train.labels, train.head)
    results = [rescue(t, val=val, strategy="gml", retraining=QUICK) for t in (train, two)]
    assert not np.array_equal(results[0].retrained.weight, results[1].retrained.weight)
    results = [
        rescue(t, val=val, strategy="class_weighted", retraining=QUICK) for t in (train, two)
    ]
    assert np.array_equal(results[0].retrained.weight, results[1].retrained.weight)


# --- when nothing is done -------------------------------------------------------------------------


def test_the_best_head_is_left_alone() -> None:
    uses = []
    for seed in range(8):
        classes = Gaussians(5, 4, seed=seed)
        train = classes.draw([50] * 5, seed=seed + 100).with_head(classes.bayes_head())
        held_out = classes.draw([30] * 5, seed=seed + 200)
        result = rescue(train, val=held_out, strategy="auto", retraining=QUICK, seed=seed)
        uses.append(result.verdict.use)
    assert uses.count("old") >= 7, uses


def test_a_refusal_names_what_was_best(val: Features) -> None:
    classes = Gaussians(5, 4, spread=8)
    train = classes.draw([50] * 5, seed=1).with_head(classes.bayes_head())
    result = rescue(train, val=classes.draw([20] * 5, seed=2), strategy="auto", retraining=QUICK)
    assert result.chosen == "none"
    assert result.best in EVERYTHING
    assert result.verdict.reason == (
        f"nothing that was tried does better than the old head; the best was {TITLES[result.best]}"
    )


def test_the_best_of_many_that_guess_is_not_believed() -> None:
    """Ten candidates as good as the old one: one of them looks better, none is better."""
    changes = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        labels = np.repeat(np.arange(5), 24)
        said = [
            np.where(generator.random(120) < 0.6, labels, generator.integers(0, 5, 120))
            for _ in range(11)
        ]
        nothing: Any = None
        candidates = [Candidate("none", said[0], nothing, nothing)]
        candidates += [Candidate("bias", each, nothing, nothing) for each in said[1:]]
        fold_of = deal(labels, 5, seed)
        choice = choose(candidates, labels, fold_of, 5, decided_on="…", seed=seed)
        changes += choice.verdict.use != "old"
        scores = [smoothed_recall(labels, each, 5) for each in said]
        harmonic = [stats.hmean(r) for r in scores]
        assert choice.candidate is candidates[1 + int(np.argmax(harmonic[1:]))]
    assert changes <= 5  # 5 % of 40 are 2, and two standard deviations more


# --- what it costs --------------------------------------------------------------------------------


def test_who_rises_and_who_pays() -> None:
    labels = np.repeat([0, 1, 2], 10)
    old = 5.0 * np.eye(3)[np.where(labels == 2, 0, labels)]
    new = 5.0 * np.eye(3)[labels]
    new[:4] = [0.0, 5.0, 0.0]  # four of class 0 are lost to class 1
    cost = cost_of(labels, old, new)
    assert (cost.rise, cost.fall, cost.pays_most) == (1, 1, 0)
    assert cost.mean_rise == 1.0
    assert cost.mean_fall == cost.largest_fall == pytest.approx(-0.4)
    assert cost.accuracy == (pytest.approx(20 / 30), pytest.approx(26 / 30))
    before, after = evaluate(labels=labels, logits=old), evaluate(labels=labels, logits=new)
    assert cost.calibration_error == (before.calibration_error, after.calibration_error)
    assert cost.negative_log_likelihood[1] == after.negative_log_likelihood
    counts = Features(np.ones((3, 2)), [0, 1, 2], class_names=("cat", "dog", "lynx")).class_counts
    assert cost.sentence(counts).startswith(
        "1 class rises by 100.0 points on average, 1 pays 40.0 on average, 'cat' (class 0) most "
        "(40.0); accuracy 66.7% → 86.7%, calibration error "
    )
    assert cost_of(labels, old, old).sentence(counts).startswith("no class rises, no class pays;")


def test_classes_are_numbered_as_the_caller_numbers_them() -> None:
    train = CLASSES.draw([0, 60, 40, 30, 20, 15, 10, 8], seed=3).with_head(CLASSES.bayes_head())
    val = CLASSES.draw([20] * 8, seed=5)
    result = rescue(train, val=val, strategy="auto", retraining=QUICK, missing_classes="keep-old")
    assert result.cost is not None
    assert result.cost.pays_most is None or result.cost.pays_most > 0
    in_head = result.settings["fitted_temperatures"]["retrained"] / result.ensemble.t_new
    assert result.retrained.bias[0] == pytest.approx(result.old.bias[0] / in_head, rel=1e-6)
    assert result.retrained.num_classes == 8


@pytest.mark.parametrize("temperature", [0, -1, "many"])
def test_a_temperature_that_there_is_not_is_not_used(
    chosen: RescueResult, test_set: Features, tmp_path: Path, temperature: object
) -> None:
    chosen.save(tmp_path, test_set)
    said = json.loads((tmp_path / "evaluation.json").read_text())
    said["temperatures"]["old"] = temperature
    (tmp_path / "evaluation.json").write_text(json.dumps(said))
    with pytest.raises(FileFormatError, match="no verdict and temperatures above 0"):
        load_classifier(tmp_path, "ensemble")


def test_evaluation_json_has_it_beside_what_was_there(
    chosen: RescueResult, test_set: Features, tmp_path: Path
) -> None:
    chosen.save(tmp_path, test_set)
    said = json.loads((tmp_path / "evaluation.json").read_text())
    assert {"format", "verdict", "temperatures", "old", "retrained", "ensemble"} <= set(said)
    assert set(said["verdict"]) == {"use", "reason", "decided_on", "compared"}
    assert said["verdict"]["use"] in ("old", "retrained", "ensemble")
    assert said["strategy"]["asked"] == "auto"
    assert said["strategy"]["chosen"] == chosen.chosen
    marked = [each["name"] for each in said["candidates"] if each["chosen"]]
    assert marked == [chosen.chosen]
    for each in said["candidates"]:
        assert 0 <= each["lowest_recall"] <= each["harmonic_mean"] <= 1
    assert said["cost"]["accuracy"][0] == pytest.approx(said["candidates"][0]["accuracy"])
    assert json.loads((tmp_path / "result.json").read_text())["settings"]["strategy"] == "auto"
    assert Head.load(tmp_path / "head.safetensors").bias.tolist() == chosen.retrained.bias.tolist()


def test_two_runs_are_equal(chosen: RescueResult, val: Features) -> None:
    again = rescue(long_tailed(), val=val, strategy="auto")
    assert again.candidates == chosen.candidates
    assert again.verdict == chosen.verdict
    assert again.cost == chosen.cost
    assert np.array_equal(again.retrained.weight, chosen.retrained.weight)


# --- bad input ------------------------------------------------------------------------------------


def test_strategies_that_there_are_not(val: Features) -> None:
    with pytest.raises(
        InputError, match=r"strategy must be one of gml, auto, .* did you mean 'auto'"
    ):
        rescue(long_tailed(), val=val, strategy="atuo")
    with pytest.raises(InputError, match="objective cross_entropy goes with the strategy gml"):
        rescue(
            long_tailed(),
            val=val,
            strategy="auto",
            retraining=Retraining(objective="cross_entropy"),
        )


def test_a_validation_set_without_some_classes(test_set: Features) -> None:
    val = CLASSES.draw([30, 0, 30, 30, 1, 30, 30, 30], seed=7)
    result = rescue(long_tailed(), val=val, strategy="auto", retraining=QUICK)
    before, after = result.evaluate(test_set)
    assert after.harmonic_mean > before.harmonic_mean


def test_a_cosine_head_takes_what_it_can(val: Features) -> None:
    cosine = Head(CLASSES.means, np.log(np.array(COUNTS) / sum(COUNTS)), "cosine", 12.0)
    train = CLASSES.draw(COUNTS, seed=1).with_head(cosine)
    result = rescue(train, val=val, strategy="offsets", retraining=QUICK)
    names = [each["name"] for each in result.candidates]
    assert names == ["none", "additive", "bias", "drops", "linear_ascent"]
    assert result.retrained.kind == "cosine"
    with pytest.raises(InputError, match="tau_norm needs scales, which a cosine head has no"):
        rescue(train, val=val, strategy="tau_norm", retraining=QUICK)
