"""`everyclass.adjust`: choosing on validation samples, and refusing what is of no use."""

from __future__ import annotations

import numpy as np
import pytest
from samples import COUNTS, PRIOR, draw, held_out
from scipy import stats

from everyclass import Adjustment, Head, Predictions, adjust
from everyclass.adjustment import (
    ClassObjective,
    deal,
    describe,
    methods_for,
    pick_by_fold,
    smoothed_recall,
)
from everyclass.errors import EveryclassError, InputError, InputTypeError
from everyclass.metrics import per_class_recall

VAL = draw([40] * 8, seed=1)
TEST = draw([400] * 8, seed=99)
NAMES = tuple("abcdefgh")


def recall(adjustment: Adjustment) -> np.ndarray:
    return per_class_recall(TEST[1], adjustment.apply(TEST[0]).argmax(axis=1), 8)


# --- what it finds --------------------------------------------------------------------------------


def test_the_harmonic_mean_rises_on_new_samples() -> None:
    found = adjust(logits=VAL[0], labels=VAL[1], class_counts=COUNTS)
    assert found.method != "none"
    before = stats.hmean(np.maximum(recall(Adjustment.nothing(8)), 1e-3))
    assert stats.hmean(recall(found)) > before + 0.1
    # What is promised is about what is got.
    assert found.notes["after"] == pytest.approx(stats.hmean(recall(found)), abs=0.08)
    assert found.notes["before"] < found.notes["after"]
    assert set(found.notes["tried"]) == {
        "none",
        "additive",
        "multiplicative",
        "bias",
        "drops",
        "linear_ascent",
    }


def test_another_objective_gives_another_answer() -> None:
    weights = [1.0] * 7 + [30.0]
    plain = recall(adjust(logits=VAL[0], labels=VAL[1], method="bias"))
    heavy = recall(adjust(logits=VAL[0], labels=VAL[1], method="bias", class_weights=weights))
    assert heavy[7] > plain[7] + 0.05
    assert heavy[:7].mean() < plain[:7].mean()
    lowest = recall(adjust(logits=VAL[0], labels=VAL[1], method="bias", objective="lowest_recall"))
    assert lowest.min() > plain.min() - 0.03
    for name in ("geometric_mean", "worst_mean"):
        found = adjust(logits=VAL[0], labels=VAL[1], method="bias", objective=name)
        assert found.notes["objective"] == name
        assert recall(found).min() > recall(Adjustment.nothing(8)).min() + 0.1


def test_where_nothing_helps_nothing_is_done() -> None:
    """Logits that are already the posterior of the uniform prior: biases can only overfit."""
    methods = []
    for seed in range(6):
        logits, labels = draw([12] * 8, seed=seed, wrong=-np.log(PRIOR))
        methods.append(adjust(logits=logits, labels=labels, folds=3, seed=seed).method)
    assert methods.count("none") >= 5, methods
    logits, labels = draw([12] * 8, seed=3, wrong=-np.log(PRIOR))
    perfect = 50 * np.eye(8)[labels]
    assert adjust(logits=perfect, labels=labels).method == "none"
    assert np.array_equal(adjust(logits=perfect, labels=labels).bias, np.zeros(8))


def test_what_is_promised_is_not_too_good_on_average() -> None:
    """Few samples, many methods: each sample is judged by what was chosen without it."""
    gaps = []
    for seed in range(6):
        logits, labels = draw([25] * 8, seed=seed)
        found = adjust(logits=logits, labels=labels, class_counts=COUNTS, folds=3, seed=seed)
        assert found.method != "none"
        got = TEST[1], found.apply(TEST[0]).argmax(axis=1)
        # The same estimate of recall from as many samples as the promise has, sixteen times.
        order = deal(got[0], 16, seed=0)
        parts = [order == part for part in range(16)]
        expected = [stats.hmean(smoothed_recall(got[0][p], got[1][p], 8)) for p in parts]
        gaps.append(found.notes["after"] - np.mean(expected))
    assert np.mean(gaps) < 2 * stats.sem(gaps)


def test_classes_without_samples_are_left_alone_and_said() -> None:
    logits, labels = draw([30, 30, 30, 0, 30, 30, 1, 30], seed=1)
    said = Predictions(labels, logits, class_names=NAMES)
    found = adjust(said, method="bias")
    assert found.bias[[3, 6]].tolist() == [0.0, 0.0]
    assert found.notes["left_alone"] == [3, 6]
    assert "Too few validation samples for a bias of their own (2): d, g." in describe(found)
    with_counts = adjust(said, method="bias", class_counts=COUNTS)
    assert with_counts.bias[3] != 0.0
    assert with_counts.notes["left_alone"] == [3, 6]


def test_a_head_makes_tau_norm_possible() -> None:
    generator = np.random.default_rng(0)
    head = Head(generator.normal(size=(8, 5)), np.zeros(8))
    labels = np.repeat(np.arange(8), 20)
    features = head.weight[labels] + generator.normal(size=(160, 5))
    logits = head.logits(features)
    found = adjust(logits=logits, labels=labels, head=head)
    assert "tau_norm" in found.notes["tried"]
    cosine = Head(head.weight, head.bias, "cosine", 10.0)
    found = adjust(logits=cosine.logits(features), labels=labels, head=cosine)
    assert "tau_norm" not in found.notes["tried"]


def test_it_is_the_same_every_time_and_changes_nothing_of_the_callers() -> None:
    before = VAL[0].copy()
    found = [adjust(logits=VAL[0], labels=VAL[1], class_counts=COUNTS) for _ in range(2)]
    assert np.array_equal(found[0].bias, found[1].bias)
    assert found[0].notes == found[1].notes
    assert np.array_equal(before, VAL[0])


def test_predictions_bring_their_names_and_counts() -> None:
    said = Predictions(VAL[1], VAL[0], class_names=NAMES, class_counts=COUNTS)
    found = adjust(said, method="additive")
    assert found.class_names == NAMES
    by_name = dict(zip(NAMES, COUNTS.tolist(), strict=True))
    again = adjust(
        Predictions(VAL[1], VAL[0], class_names=NAMES), method="additive", class_counts=by_name
    )
    assert np.array_equal(found.bias, again.bias)


# --- choosing fold by fold ------------------------------------------------------------------------


def test_folds_share_every_class() -> None:
    labels = np.repeat([0, 1, 2, 3, 4], [23, 5, 3, 1, 1])
    fold_of = deal(labels, 5, seed=0)
    counts = np.array([np.bincount(fold_of[labels == c], minlength=5) for c in range(5)])
    assert counts[0].min() >= 4
    assert counts[1].tolist() == [1] * 5
    assert counts[2].max() == 1
    assert fold_of[-2] != fold_of[-1]  # classes of one do not all fall into the same fold
    assert np.array_equal(fold_of, deal(labels, 5, seed=0))
    assert not np.array_equal(fold_of, deal(labels, 5, seed=1))


def test_no_sample_chooses_what_it_is_judged_by() -> None:
    """Against a slow loop, on predictions that are right by chance only."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 15)
    fold_of = deal(labels, 5, seed=0)
    said = [generator.integers(0, 4, size=60) for _ in range(30)]
    goal = ClassObjective("harmonic_mean")
    pick = pick_by_fold(labels, said, fold_of, 4, goal)
    for fold in range(5):
        others = fold_of != fold
        scores = [stats.hmean(smoothed_recall(labels[others], p[others], 4)) for p in said]
        assert pick.by_fold[fold] == int(np.argmax(scores))
        best = said[pick.by_fold[fold]]
        assert np.array_equal(pick.predicted[~others], best[~others])
    # The best of thirty looks good; judged on other folds it is what it is.
    assert max(pick.scores) > 0.33
    assert (pick.predicted == labels).mean() < 0.34


# --- bad input ------------------------------------------------------------------------------------

GOOD = {"logits": VAL[0], "labels": VAL[1]}
ONE = {"logits": VAL[0][:5], "labels": np.zeros(5, dtype=int)}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "adjust needs a Predictions, or labels= and logits="),
        ({"labels": [0, 1]}, "adjust needs a Predictions, or labels= and logits="),
        (ONE, "All 5 validation samples are of class 0; samples of at least two classes"),
        ({**GOOD, "labels": VAL[1] + 1}, r"labels\[\d+\] is 8, outside 0..7"),
        ({**GOOD, "labels": VAL[1][:-1]}, "labels has 319 entries where 320 are needed"),
        ({**GOOD, "labels": VAL[1] * 1.0}, "labels must be integers"),
        ({**GOOD, "logits": np.full((320, 8), 0.125)}, "these are probabilities; pass them as"),
        ({**GOOD, "logits": VAL[0] * np.nan}, r"logits\[0, 0\] is nan"),
        ({**GOOD, "class_counts": [5, 3]}, "class_counts has 2 entries and there are 8 classes"),
        ({**GOOD, "class_counts": [5] * 7 + [0]}, "class 7 has no training sample, so its share"),
        ({**GOOD, "objective": "f1"}, "objective must be one of harmonic_mean"),
        ({**GOOD, "objective": "lowest"}, "did you mean 'lowest_recall'"),
        (
            {**GOOD, "objective": "weighted_mean"},
            r"class_weights \(--weight\) go with the objective weighted",
        ),
        ({**GOOD, "class_weights": [1.0, 2.0]}, "class_weights has 2 entries and there are 8"),
        (
            {
                **GOOD,
                "labels": [0] * 40 + [1] * 39 + [7],
                "logits": 3 * np.eye(8)[[0] * 40 + [1] * 39 + [7]],
                "objective": "weighted_mean",
                "class_weights": [0.0] * 7 + [1.0],
                "min_samples": 1,
            },
            r"weight above zero \(7\) some part of the samples has none; give at least two",
        ),
        ({**GOOD, "method": "biases"}, "method must be one of auto, .* did you mean 'bias'"),
        ({**GOOD, "method": "additive"}, r"additive needs the training samples .* \(--counts\)"),
        ({**GOOD, "method": "tau_norm"}, r"tau_norm needs the last layer .* \(--head\)"),
        ({**GOOD, "folds": 1}, "folds must be 2 or more; got 1"),
        ({**GOOD, "folds": 2.5}, r"folds must be a whole number; got 2\.5"),
        ({**GOOD, "folds": "5"}, "folds must be a whole number; got '5'"),
        ({**GOOD, "seed": -1}, "seed must be 0 or more; got -1"),
        ({**GOOD, "min_samples": 0}, "min_samples must be 1 or more; got 0"),
        ({**GOOD, "min_samples": "3"}, "min_samples must be a whole number; got '3'"),
        ({**GOOD, "worst_percent": "10"}, "worst_percent must be a number; got str"),
        ({**GOOD, "method": "prior", "seed": -5}, "seed must be 0 or more; got -5"),
        (
            {**GOOD, "method": "prior", "head": Head(np.eye(8), np.zeros(8))},
            r"head \(--head\) goes with the methods that serve an objective",
        ),
        ({**GOOD, "prior": [1] * 8}, "prior goes with the method 'prior'"),
        ({**GOOD, "method": "prior", "prior": [1, 2]}, "prior has 2 entries and there are 8"),
        ({**GOOD, "method": "prior", "prior": [1] * 7 + [0]}, r"prior\[7\] is 0: a class that n"),
        ({**GOOD, "method": "prior", "objective": "lowest_recall"}, "objective .* serves none"),
        ({**GOOD, "method": "prior", "class_weights": [1] * 8}, r"class_weights \(--weight\) goes"),
        ({**GOOD, "method": "prior", "worst_percent": 20}, r"\(--worst-percent\) goes with the m"),
        ({**GOOD, "method": "prior", "folds": 3}, r"folds .* or name another method"),
        ({**GOOD, "method": "prior", "prior": "em"}, "or 'estimated'; got 'em'"),
        ({**GOOD, "method": "prior", "prior": "estimated"}, "unlabelled= go together"),
        ({**GOOD, "head": Head(np.eye(3), np.zeros(3))}, "head has 3 classes and the logits have"),
    ],
)
def test_refused_in_one_sentence(options: dict, sentence: str) -> None:
    with pytest.raises(EveryclassError, match=sentence) as caught:
        adjust(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (Predictions([0, 1], probs=[[0.6, 0.4], [0.2, 0.8]]), "these are probabilities; give the"),
        (Predictions([0, 1], predicted=[0, 1]), "these are predicted classes; give the"),
    ],
)
def test_predictions_without_logits(said: Predictions, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        adjust(said)
    with pytest.raises(InputError, match="either a Predictions or labels= and logits="):
        adjust(said, labels=[0, 1])


def test_an_array_is_no_predictions() -> None:
    with pytest.raises(InputTypeError, match=r"takes a Predictions, or labels= .* a ndarray"):
        adjust(VAL[0])  # type: ignore[arg-type]


def test_probabilities_are_not_compared_by_an_objective() -> None:
    with pytest.raises(InputError, match=r"serves no objective.* adjust\(…, method='prior'\)"):
        methods_for(held_out([5] * 8), "prior")


def test_a_cosine_head_has_no_lengths() -> None:
    head = Head(np.ones((8, 3)), np.zeros(8), "cosine", 4.0)
    with pytest.raises(InputError, match="tau_norm needs a linear last layer; this is a cosine"):
        adjust(**GOOD, head=head, method="tau_norm")


def test_two_samples_are_enough_to_say_something() -> None:
    found = adjust(labels=[0, 1], logits=[[2.0, 0.0], [1.0, 0.5]])
    assert found.notes["left_alone"] == [0, 1]
    assert np.isfinite(found.bias).all()


@pytest.mark.parametrize(("images", "by"), [(3, "geometric_mean"), (10, "harmonic_mean")])
def test_of_few_samples_methods_are_chosen_by_the_geometric_mean(images: int, by: str) -> None:
    labels = np.append(np.repeat(np.arange(5), images), [0] * 200)
    assert ClassObjective("harmonic_mean").for_choosing(labels).name == by
    assert ClassObjective("lowest_recall").for_choosing(labels).name == "lowest_recall"
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(len(labels), 5)) + 2 * np.eye(5)[labels]
    found = adjust(labels=labels, logits=logits)
    assert found.notes["chosen_by"] == by
    assert found.notes["objective"] == "harmonic_mean"


def test_in_words() -> None:
    text = describe(adjust(**GOOD, class_counts=COUNTS, method="bias"))
    assert text.startswith("bias: harmonic mean ")
    assert "on 320 validation samples, each judged by what was chosen without it" in text
    assert "Tried, by harmonic mean: none " in text
    labels = VAL[1]
    assert describe(adjust(labels=labels, logits=9 * np.eye(8)[labels])).startswith("No adjustment")
    assert describe(adjust(**GOOD, method="prior")).startswith("Calibrated probabilities under a u")
    by_hand = Adjustment([1.0, 1.0], [0.0, 0.0], "prior")
    assert describe(by_hand) == "Calibrated probabilities under a uniform prior."
