"""Probabilities for a prior that is said, against posteriors that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import COUNTS, PRIOR, draw
from scipy import optimize
from scipy.special import log_softmax, softmax

from everyclass import ClassCounts, adjust
from everyclass.adjustment import as_shares, estimate_prior
from everyclass.errors import InputError
from everyclass.metrics import evaluate


def exact(sizes: list[int], seed: int, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The posterior of Gaussians under a prior, and labels."""
    logits, labels = draw(sizes, seed, wrong=np.log(shares) - np.log(PRIOR))
    return softmax(logits, axis=1), labels


@pytest.mark.parametrize("counts", [COUNTS, None])
def test_the_balanced_posterior_is_found(counts: np.ndarray | None) -> None:
    logits, labels = draw([500] * 8, seed=1, temperature=3.0)
    found = adjust(logits=logits, labels=labels, class_counts=counts, method="prior")
    expected, _ = exact([100] * 8, 2, np.full(8, 1 / 8))
    test, of_test = draw([100] * 8, seed=2, temperature=3.0)
    got = softmax(found.apply(test), axis=1)
    assert np.abs(got - expected).mean() < 0.015
    assert found.notes["temperature"] == pytest.approx(3.0, rel=0.15)
    assert np.ptp(found.scale) == 0
    before = evaluate(labels=of_test, logits=test)
    after = evaluate(labels=of_test, logits=found.apply(test))
    assert after.negative_log_likelihood < before.negative_log_likelihood
    assert after.calibration_error < before.calibration_error


def test_the_deployment_has_its_own() -> None:
    logits, labels = draw([500] * 8, seed=1, temperature=2.0)
    shares = np.array([1, 1, 1, 1, 1, 1, 5, 9]) / 20
    found = adjust(logits=logits, labels=labels, class_counts=COUNTS, method="prior", prior=shares)
    sizes = (2000 * shares).astype(int).tolist()
    test, of_test = draw(sizes, seed=2, temperature=2.0)
    expected, _ = exact(sizes, 2, shares)
    assert np.abs(softmax(found.apply(test), axis=1) - expected).mean() < 0.015
    assert evaluate(labels=of_test, logits=found.apply(test)).calibration_error < 0.03
    by_counts = ClassCounts((20 * shares).astype(int))
    same = adjust(
        logits=logits, labels=labels, class_counts=COUNTS, method="prior", prior=by_counts
    )
    np.testing.assert_allclose(same.bias, found.bias)


def test_a_prior_that_nobody_knows_is_estimated() -> None:
    logits, labels = draw([500] * 8, seed=1)
    shares = np.array([8, 1, 1, 1, 1, 1, 1, 6]) / 20
    unlabelled, _ = draw((4000 * shares).astype(int).tolist(), seed=3)
    found = adjust(
        logits=logits,
        labels=labels,
        class_counts=COUNTS,
        method="prior",
        prior="estimated",
        unlabelled=unlabelled,
    )
    np.testing.assert_allclose(found.notes["prior"], shares, atol=0.03)
    assert found.notes["estimated"]


@given(seed=st.integers(0, 2**32))
def test_em_finds_the_most_likely_shares(seed: int) -> None:
    """Against a general solver of: the largest mean log Σ_c q_c p_ic."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.normal(size=(30, 3))
    p = softmax(logits, axis=1)

    def loss(z: np.ndarray) -> float:
        return -np.log(p @ softmax(z)).mean()

    found = softmax(optimize.minimize(loss, np.zeros(3), bounds=[(-12, 12)] * 3).x)
    least = np.maximum(found, 1 / (2 * 30 * 3))
    shares = estimate_prior(logits, rounds=20_000, tolerance=1e-10)
    assert shares.sum() == pytest.approx(1)
    assert loss(np.log(shares)) <= loss(np.log(least / least.sum())) + 1e-5


def test_a_class_that_no_sample_looks_like_keeps_a_small_share() -> None:
    """An estimate of zero was refused as if the caller had said it."""
    logits, labels = draw([50] * 8, seed=1)
    alone = 900 * np.eye(8)[np.repeat([0, 1], 20)]
    shares = estimate_prior(alone)
    assert shares.sum() == pytest.approx(1)
    assert shares[2:] == pytest.approx(1 / (2 * 40 * 8), rel=0.02)
    found = adjust(
        logits=logits,
        labels=labels,
        class_counts=COUNTS,
        method="prior",
        prior="estimated",
        unlabelled=alone,
    )
    assert np.isfinite(found.bias).all()
    assert found.bias[2:].max() < found.bias[:2].min()


def test_shares_of_everything_that_counts() -> None:
    names = ("cat", "dog")
    for said in ([30, 10], np.array([0.75, 0.25]), ClassCounts([30, 10]), {"dog": 1, "cat": 3}):
        assert as_shares(said, 2, names).tolist() == [0.75, 0.25]
    for said in ({"dog": 0.25, "cat": 0.75}, {1: 0.25, 0: 0.75}):
        assert as_shares(said, 2, names).tolist() == [0.75, 0.25]
    assert as_shares({0: 0.2, 1: 0.3, 2: 0.5}, 3).tolist() == [0.2, 0.3, 0.5]
    with pytest.raises(InputError, match=r"prior does not fit .* missing cat, unknown lynx;"):
        as_shares({"dog": 1, "lynx": 3}, 2, names)
    with pytest.raises(InputError, match="prior does not fit the classes: missing 1, unknown 2;"):
        as_shares({0: 1, 2: 3}, 2)
    with pytest.raises(InputError, match="the classes: missing 1, unknown none;"):
        as_shares({0: 1, 2: 3}, 3)
    with pytest.raises(InputError, match=r"prior\[1\] is nan"):
        as_shares({0: 1.0, 1: float("nan")}, 2)


def test_a_shift_is_the_ratio_of_priors() -> None:
    logits, labels = draw([50] * 8, seed=1)
    balanced = adjust(logits=logits, labels=labels, class_counts=COUNTS, method="prior")
    shifted = adjust(
        logits=logits, labels=labels, class_counts=COUNTS, method="prior", prior=COUNTS
    )
    p = softmax(balanced.apply(logits), axis=1) * PRIOR
    np.testing.assert_allclose(
        log_softmax(shifted.apply(logits), axis=1), np.log(p / p.sum(axis=1, keepdims=True))
    )
