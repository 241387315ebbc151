"""Numbers that need scores, against scikit-learn and loops typed here."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn import metrics as sk

from everyclass.artifacts import Predictions
from everyclass.metrics import certainty_of, evaluate, log_probabilities

BINS = 15


def brier(probs: np.ndarray, labels: np.ndarray) -> float:
    total = 0.0
    for row, label in zip(probs.tolist(), labels.tolist(), strict=True):
        for c, p in enumerate(row):
            total += (p - (c == label)) ** 2
    return total / len(labels)


def binned_gap(confidence: list[float], outcome: list[bool]) -> float:
    """Σ over bins of (share of images) · |mean confidence − mean outcome|."""
    gap = 0.0
    for b in range(BINS):
        inside = [i for i, p in enumerate(confidence) if min(int(p * BINS), BINS - 1) == b]
        if inside:
            mean_p = math.fsum(confidence[i] for i in inside) / len(inside)
            mean_y = sum(outcome[i] for i in inside) / len(inside)
            gap += len(inside) / len(confidence) * abs(mean_p - mean_y)
    return gap


def ece(probs: np.ndarray, labels: np.ndarray) -> float:
    top = [max(range(len(row)), key=row.__getitem__) for row in probs.tolist()]
    confidence = [row[c] for row, c in zip(probs.tolist(), top, strict=True)]
    return binned_gap(confidence, [c == y for c, y in zip(top, labels.tolist(), strict=True)])


def classwise_ece(probs: np.ndarray, labels: np.ndarray) -> float:
    gaps = [
        binned_gap(probs[:, c].tolist(), (labels == c).tolist()) for c in sorted({*labels.tolist()})
    ]
    return sum(gaps) / len(gaps)


def gml(probs: np.ndarray, labels: np.ndarray) -> float:
    means = []
    for c in sorted({*labels.tolist()}):
        of_class = [
            row[c] for row, y in zip(probs.tolist(), labels.tolist(), strict=True) if y == c
        ]
        means.append(math.fsum(of_class) / len(of_class))
    return -sum(math.log(m) for m in means) / len(means)


@st.composite
def probabilities(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Rows of simple fractions, many of which lie on the border between two bins."""
    classes, count = draw(st.integers(2, 6)), draw(st.integers(1, 12))
    row = st.lists(st.integers(0, 6), min_size=classes, max_size=classes).filter(any)
    parts = np.array(draw(st.lists(row, min_size=count, max_size=count)), dtype=float)
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count))
    return parts / parts.sum(axis=1, keepdims=True), np.array(labels)


@given(probabilities())
def test_probabilities_against_slow_loops(given_: tuple[np.ndarray, np.ndarray]) -> None:
    probs, labels = given_
    said = evaluate(labels=labels, probs=probs)
    assert said.brier_score == pytest.approx(brier(probs, labels), abs=1e-12)
    assert said.calibration_error == pytest.approx(ece(probs, labels), abs=1e-12)
    assert said.classwise_calibration_error == pytest.approx(
        classwise_ece(probs, labels), abs=1e-12
    )
    of_label = probs[np.arange(len(labels)), labels]
    if (of_label > 0).all():
        assert said.negative_log_likelihood == pytest.approx(-np.log(of_label).mean(), abs=1e-12)
    else:
        assert said.negative_log_likelihood == np.inf
    if all(of_label[labels == c].any() for c in np.unique(labels)):
        assert said.geometric_mean_loss == pytest.approx(gml(probs, labels), abs=1e-12)
    else:
        assert said.geometric_mean_loss == np.inf


@given(st.integers(0, 2**32 - 1), st.integers(6, 20), st.integers(1, 40), st.floats(0.1, 3))
def test_logits_against_scikit_learn_and_slow_loops(
    seed: int, classes: int, count: int, sharpness: float
) -> None:
    generator = np.random.default_rng(seed)
    logits = sharpness * generator.normal(size=(count, classes))
    labels = generator.integers(0, generator.integers(1, classes + 1), count)
    probs = softmax(logits, axis=1)
    said = evaluate(labels=labels, logits=logits)
    every = np.arange(classes)
    assert said.negative_log_likelihood == pytest.approx(
        sk.log_loss(labels, probs, labels=every), rel=1e-9
    )
    assert said.top5_accuracy == pytest.approx(
        sk.top_k_accuracy_score(labels, logits, k=5, labels=every), abs=1e-12
    )
    assert said.accuracy == sk.accuracy_score(labels, logits.argmax(axis=1))
    assert said.brier_score == pytest.approx(brier(probs, labels), rel=1e-9)
    assert said.calibration_error == pytest.approx(ece(probs, labels), abs=1e-9)
    assert said.classwise_calibration_error == pytest.approx(classwise_ece(probs, labels), abs=1e-9)
    assert said.geometric_mean_loss == pytest.approx(gml(probs, labels), rel=1e-9)
    # The same as probabilities, and whatever is added to a row.
    again = evaluate(labels=labels, probs=probs)
    moved = evaluate(labels=labels, logits=logits + generator.normal(size=(count, 1)) * 100)
    for other in (again, moved):
        assert other.negative_log_likelihood == pytest.approx(said.negative_log_likelihood)
        assert other.brier_score == pytest.approx(said.brier_score)
        assert other.geometric_mean_loss == pytest.approx(said.geometric_mean_loss)


@given(st.integers(0, 2**32 - 1))
def test_the_order_of_images_changes_nothing(seed: int) -> None:
    generator = np.random.default_rng(seed)
    logits, labels = generator.normal(size=(30, 7)), generator.integers(0, 7, 30)
    shuffle = generator.permutation(30)
    one = evaluate(labels=labels, logits=logits)
    two = evaluate(labels=labels[shuffle], logits=logits[shuffle])
    for name in (
        "brier_score",
        "calibration_error",
        "classwise_calibration_error",
        "top5_accuracy",
        "negative_log_likelihood",
        "geometric_mean_loss",
    ):
        assert getattr(one, name) == pytest.approx(getattr(two, name), rel=1e-12), name


def test_of_equal_scores_the_first_five_are_the_top_five() -> None:
    said = evaluate(labels=np.arange(8), logits=np.zeros((8, 8)))
    assert said.accuracy == 1 / 8
    assert said.top5_accuracy == 5 / 8
    assert evaluate(labels=[0, 1], logits=np.zeros((2, 2))).top5_accuracy == 1.0


@pytest.mark.parametrize("size", [80.0, 1e4, 1e30])
def test_extreme_logits_stay_finite(size: float) -> None:
    logits = np.array([[size, -size, 0.0], [-size, size, 0.0]], dtype=np.float32)
    right = evaluate(labels=[0, 1], logits=logits)
    assert right.negative_log_likelihood == pytest.approx(0.0, abs=1e-12)
    assert right.brier_score == pytest.approx(0.0, abs=1e-12)
    wrong = evaluate(labels=[1, 0], logits=logits)
    assert wrong.negative_log_likelihood == pytest.approx(2 * float(logits[0, 0]), rel=1e-6)
    assert wrong.geometric_mean_loss == pytest.approx(2 * float(logits[0, 0]), rel=1e-6)
    assert wrong.brier_score == pytest.approx(2.0)
    assert wrong.calibration_error == pytest.approx(1.0)


def test_half_precision_is_computed_in_double() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float16)
    labels = np.arange(50) % 6
    half, double = (evaluate(labels=labels, logits=logits.astype(t)) for t in ("f2", "f8"))
    assert half.negative_log_likelihood == double.negative_log_likelihood
    assert half.calibration_error == double.calibration_error


def test_log_probabilities() -> None:
    logits = np.array([[0.0, 700.0, -3.0]], dtype=np.float32)
    got = log_probabilities(logits, are_logits=True)
    np.testing.assert_allclose(got, log_softmax(logits.astype(float), axis=1), rtol=1e-14)
    probs = np.array([[0.25, 0.75, 0.0]])
    got = log_probabilities(probs, are_logits=False)
    assert got.tolist() == [[math.log(0.25), math.log(0.75), -math.inf]]
    assert got.dtype == np.float64


def test_8142_classes_in_more_than_one_chunk() -> None:
    classes, count = 8142, 2100  # more values than are looked at in one go
    generator = np.random.default_rng(0)
    logits = generator.standard_normal((count, classes), dtype=np.float32)
    labels = np.arange(count) * 7 % classes
    logits[np.arange(count), labels] += 3
    said = evaluate(Predictions(labels, logits))
    log_p, square, rank = [], [], []
    for row, label in zip(logits, labels, strict=True):
        powers = np.exp(row.astype(float) - row[label])
        log_p.append(-math.log(powers.sum()))
        square.append(float((powers**2).sum() / powers.sum() ** 2))
        rank.append(int((row > row[label]).sum()))
    mean = math.fsum(log_p) / count
    assert said.negative_log_likelihood == pytest.approx(-mean, rel=1e-9)
    assert said.geometric_mean_loss == pytest.approx(-mean, rel=1e-9)  # one image a class
    assert said.top5_accuracy == sum(r < 5 for r in rank) / count
    assert 0.2 < said.top5_accuracy < 0.99
    expected = sum(square) / count - 2 * sum(map(math.exp, log_p)) / count + 1
    assert said.brier_score == pytest.approx(expected, rel=1e-9)
    assert said.num_scored == count
    assert len(said.untestable) == classes - count


def test_a_brier_score_is_never_below_zero() -> None:
    for images, size in ((10, 25), (100, 30), (3000, 22)):  # sums that rounding takes below it
        labels = np.arange(images) % 3
        said = evaluate(labels=labels, logits=size * np.eye(3)[labels])
        assert said.brier_score is not None
        assert 0 <= said.brier_score < 1e-12


def test_logits_as_far_apart_as_doubles_go() -> None:
    logits = np.array([[1e308, -1e308], [-1e308, 1e308]])
    assert log_probabilities(logits, are_logits=True).tolist() == [[0, -np.inf], [-np.inf, 0]]
    said = certainty_of(Predictions([0, 0], logits=logits))
    assert said is not None
    assert (said.p_label.tolist(), said.p_top.tolist()) == ([1, 0], [1, 1])
