"""Temperatures: eqs. 12 and 13, and the ensemble that they are for: eq. 11."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, logsumexp, softmax

from everyclass import Ensemble, Head
from everyclass.adjustment import match_confidence, mean_confidence
from everyclass.adjustment.temperature import LARGEST_TEMPERATURE
from everyclass.errors import InputError, InputTypeError
from everyclass.stages import ensemble_log_probabilities, fit_temperature


def calibrated(n: int = 8_000, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from their softmax: at temperature 1 they are right."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=2, size=(n, classes))
    drawn = logits + generator.gumbel(size=logits.shape)
    return logits, drawn.argmax(axis=1)


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5, 8.0])
def test_a_known_temperature_is_found(true: float) -> None:
    logits, labels = calibrated()
    found = fit_temperature(logits * true, labels, balanced=False)
    assert found == pytest.approx(true, rel=0.05)


def test_balanced_weighs_classes_alike() -> None:
    """A frequent class that needs 4 and a rare one that needs 1: the mean of classes decides."""
    logits, labels = calibrated(classes=2)
    frequent, rare = labels == 0, labels == 1
    sharp = np.where(frequent[:, None], 4 * logits, logits)
    rows = np.concatenate([np.flatnonzero(frequent), np.flatnonzero(rare)[:300]])
    by_image = fit_temperature(sharp[rows], labels[rows], balanced=False)
    by_class = fit_temperature(sharp[rows], labels[rows])
    # Against a search over a grid of the definition.
    grid = np.geomspace(0.5, 5, 400)
    log_p = [log_softmax(sharp[rows] / t, axis=1)[np.arange(len(rows)), labels[rows]] for t in grid]
    is_rare = labels[rows] == 1
    expected = grid[np.argmin([-(lp[~is_rare].mean() + lp[is_rare].mean()) for lp in log_p])]
    assert by_class == pytest.approx(expected, rel=0.01)
    assert by_class < by_image - 0.1


def test_it_stays_one_where_no_other_is_better() -> None:
    # One image right and one wrong by the same margin would be served best by no confidence at
    # all; right by logit(p) exactly as often as p says, nothing is.
    margin = np.log(3)
    logits = np.array([[margin, 0.0]] * 4)
    labels = np.array([0, 0, 0, 1])
    assert fit_temperature(logits, labels, balanced=False) == pytest.approx(1, abs=1e-3)
    # Where the temperature changes nothing it stays exactly 1.
    assert fit_temperature(np.zeros((4, 2)), labels) == 1.0


@pytest.mark.parametrize(("right", "bound"), [(True, 1 / 20), (False, 20.0)])
def test_it_stays_within_its_bounds(right: bool, bound: float) -> None:
    logits = np.array([[1.0, 0.0], [0.0, 1.0]])
    labels = np.array([0, 1]) if right else np.array([1, 0])
    assert fit_temperature(logits, labels) == pytest.approx(bound, rel=1e-2)


@given(data=st.data())
def test_no_temperature_is_better_than_the_one_found(data: st.DataObject) -> None:
    seed, scale = data.draw(st.integers(0, 10**6)), data.draw(st.floats(0.05, 30))
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=scale, size=(50, 3))
    labels = np.where(generator.random(50) < 0.6, logits.argmax(axis=1), generator.integers(3))

    def loss(t: float) -> float:
        log_p = log_softmax(logits / t, axis=1)[np.arange(50), labels]
        return -float(np.mean([log_p[labels == c].mean() for c in np.unique(labels)]))

    found = fit_temperature(logits, labels)
    assert loss(found) <= min(map(loss, np.geomspace(1 / 20, 20, 60))) + 1e-4


@pytest.mark.parametrize(
    ("logits", "labels", "error"),
    [
        ([[1.0, 0.0]], [2], InputError),
        ([[1.0, 0.0]], [0, 1], InputError),
        ([[np.nan, 0.0]], [0], InputError),
        ([[1.0, 0.0]], [0.0], InputTypeError),
        (np.zeros((0, 2)), [], InputError),
    ],
)
def test_what_cannot_be_fitted_is_refused(logits, labels, error) -> None:
    with pytest.raises(error):
        fit_temperature(logits, labels)


# --- confidence -----------------------------------------------------------------------------------


def test_mean_confidence_is_what_it_says() -> None:
    logits, _ = calibrated(50)
    expected = softmax(logits / 1.7, axis=1).max(axis=1).mean()
    assert mean_confidence(logits, 1.7) == pytest.approx(expected)


def test_half_precision_is_scaled_in_double() -> None:
    """A logit over 1/20, or just another temperature, does not fit or shift a float16."""
    logits = (400 * calibrated(300)[0]).astype(np.float16)
    logits[0, 0] = 60000
    double = logits.astype(np.float64)
    assert mean_confidence(logits, 0.05) == mean_confidence(double, 0.05)
    assert mean_confidence(logits, 7.3) == mean_confidence(double, 7.3)
    small = calibrated(300)[0].astype(np.float16)
    assert match_confidence(small, 0.6) == match_confidence(small.astype(np.float64), 0.6)


@pytest.mark.parametrize("target", [0.3, 0.5, 0.7, 0.9, 0.97])
def test_a_confidence_is_met(target: float) -> None:
    logits, _ = calibrated(300)
    t = match_confidence(logits, target)
    assert mean_confidence(logits, t) == pytest.approx(target, abs=1e-3)


def test_a_confidence_out_of_reach_gives_the_nearer_bound() -> None:
    logits, _ = calibrated(300)
    assert match_confidence(logits, 0.1) == LARGEST_TEMPERATURE
    assert match_confidence(logits, 1.0) == pytest.approx(1 / LARGEST_TEMPERATURE)


# --- the ensemble ---------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 10**6),
    t_old=st.floats(0.05, 20),
    t_new=st.floats(0.05, 20),
    scale=st.sampled_from([0.1, 5.0, 1e3]),
)
def test_ensemble_is_equation_11(seed: int, t_old: float, t_new: float, scale: float) -> None:
    generator = np.random.default_rng(seed)
    old, new = generator.normal(scale=scale, size=(2, 6, 4)).astype(np.float32)
    said = ensemble_log_probabilities(old, new, t_old, t_new)
    pairs = ((old, t_old), (new, t_new))
    p = np.mean([softmax(o.astype(float) / t, axis=1) for o, t in pairs], axis=0)
    assert said.dtype == np.float64
    np.testing.assert_allclose(np.exp(said), p, rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(logsumexp(said, axis=1), 0, atol=1e-9)


def test_two_equal_heads_make_no_other_classifier() -> None:
    head = Head(np.random.default_rng(0).normal(size=(4, 3)), np.zeros(4))
    features = np.random.default_rng(1).normal(size=(10, 3))
    said = Ensemble(head, head, 1.0, 1.0).logits(features)
    np.testing.assert_allclose(
        said, log_softmax(head.logits(features).astype(float), axis=1), atol=1e-6
    )


def test_the_surer_one_is_followed() -> None:
    old, new = Head([[1.0], [0.0]], [0.0, 0.0]), Head([[0.0], [1.0]], [0.0, 0.0])
    feature = np.array([[1.0]])
    assert Ensemble(old, new, t_old=0.5, t_new=1.0).logits(feature).argmax() == 0
    assert Ensemble(old, new, t_old=1.0, t_new=0.5).logits(feature).argmax() == 1
