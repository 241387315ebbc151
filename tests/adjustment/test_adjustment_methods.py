"""Every way of adjusting: a contract over all of them, and what each one is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import COUNTS, PRIOR, draw, held_out
from scipy import optimize, stats
from scipy.special import log_softmax, softmax

from everyclass.adjustment import METHODS, ClassObjective, HeldOut, fit_temperature
from everyclass.adjustment.drops import nearest_in_ball
from everyclass.artifacts import Head
from everyclass.metrics import per_class_recall

GOAL = ClassObjective("harmonic_mean")
TEST = draw([400] * 8, seed=99)
WEIGHT = np.random.default_rng(3).normal(size=(8, 6))
HEAD = Head(WEIGHT, np.log(PRIOR))
WITH_COUNTS = [name for name in METHODS if name != "tau_norm"]


def harmonic(logits: np.ndarray, labels: np.ndarray) -> float:
    recall = per_class_recall(labels, logits.argmax(axis=1), logits.shape[1])
    return float(stats.hmean(np.maximum(recall, 1e-3)))


def slow_soft_recall(samples: HeldOut, scale: np.ndarray, bias: np.ndarray) -> list:
    t = fit_temperature(samples.logits, samples.labels)
    found = []
    for c in range(samples.num_classes):
        rows = np.flatnonzero(samples.labels == c)
        if len(rows):
            p = [softmax((scale * samples.logits[i] + bias) / (0.5 * t))[c] for i in rows]
            found.append((0.5 + sum(p)) / (len(rows) + 1))
    return found


@given(seed=st.integers(0, 2**32))
def test_soft_recall_is_its_definition(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, size=15)
    samples = HeldOut(3 * generator.normal(size=(15, 5)), labels)  # class 4 has no sample
    scale, bias = np.exp(generator.normal(size=5)), generator.normal(size=5)
    expected = slow_soft_recall(samples, scale, bias)
    np.testing.assert_allclose(samples.soft_recall(scale, bias), expected, rtol=1e-9)


@given(seed=st.integers(0, 2**32), name=st.sampled_from(["harmonic_mean", "lowest_recall"]))
def test_gradients_with_respect_to_scale_and_bias(seed: int, name: str) -> None:
    generator = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(3), generator.integers(0, 3, size=12)])
    samples = HeldOut(2 * generator.normal(size=(15, 4)), labels)
    goal = ClassObjective(name)  # type: ignore[arg-type]
    at = np.concatenate([np.exp(0.3 * generator.normal(size=4)), generator.normal(size=4)])

    def value(parameters: np.ndarray) -> float:
        return samples.objective(goal, parameters[:4], parameters[4:])[0]

    _, by_scale, by_bias = samples.objective(goal, at[:4], at[4:])
    expected = optimize.approx_fprime(at, value, 1e-6)
    np.testing.assert_allclose(np.append(by_scale, by_bias), expected, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("name", METHODS)
def test_the_worst_classes_are_lifted_on_new_samples(name: str) -> None:
    samples = replace(held_out([60] * 8), head=HEAD)
    adjustment = METHODS[name].fit(samples, GOAL)
    assert adjustment.method == name
    assert adjustment.num_classes == 8
    before, after = harmonic(*TEST), harmonic(adjustment.apply(TEST[0]), TEST[1])
    if name != "tau_norm":  # these logits are not the head's
        assert after > before + 0.1


@pytest.mark.parametrize("name", METHODS)
def test_single_precision_is_enough(name: str) -> None:
    samples = replace(held_out([60] * 8), head=HEAD)
    single = replace(samples, logits=samples.logits.astype(np.float32))
    found = [METHODS[name].fit(each, GOAL).apply(TEST[0]) for each in (samples, single)]
    assert (found[0].argmax(axis=1) != found[1].argmax(axis=1)).mean() < 0.01


@pytest.mark.parametrize("name", METHODS)
def test_settings_are_those_that_fit_takes(name: str) -> None:
    method = METHODS[name]
    samples = replace(held_out([20] * 8), head=HEAD)
    for setting in method.settings:
        notes = method.fit(samples, GOAL, **setting).notes
        assert {key: notes[key] for key in setting} == setting


@pytest.mark.parametrize("name", ["bias", "drops", "linear_ascent"])
def test_a_class_with_too_few_samples_stays_on_the_line_of_the_shares(name: str) -> None:
    sizes = [40, 40, 40, 0, 40, 40, 2, 40]
    with_line = METHODS[name].fit(held_out(sizes), GOAL)
    tau = {"bias": lambda: with_line.notes["tau"]}.get(
        name, lambda: METHODS["additive"].fit(held_out(sizes), GOAL).notes["tau"]
    )()
    line = -tau * (np.log(PRIOR) - np.log(PRIOR).mean())
    np.testing.assert_allclose(with_line.bias[[3, 6]], line[[3, 6]], rtol=1e-6)
    assert np.abs(with_line.bias - line).max() > 0.01
    without = METHODS[name].fit(held_out(sizes, counts=False), GOAL)
    assert without.bias[[3, 6]].tolist() == [0.0, 0.0]


def test_without_counts_biases_find_what_the_counts_would_say() -> None:
    adjustment = METHODS["bias"].fit(held_out([150] * 8, counts=False), GOAL, penalty=0.1)
    assert harmonic(adjustment.apply(TEST[0]), TEST[1]) > harmonic(*TEST) + 0.1
    assert stats.spearmanr(adjustment.bias, -COUNTS).statistic > 0.9


def test_additive_is_exact_where_the_logits_are() -> None:
    """Calibrated logits of a known prior: τ = 1 makes them the posterior of the uniform one."""
    for temperature in (1.0, 3.0):
        samples = held_out([400] * 8, temperature=temperature)
        adjustment = METHODS["additive"].fit(samples, ClassObjective("geometric_mean"))
        assert adjustment.notes["tau"] == pytest.approx(temperature, rel=0.2)
        line = -adjustment.notes["tau"] * np.log(PRIOR)
        assert np.ptp(adjustment.bias - line) < 1e-9


def test_multiplicative_is_what_it_says() -> None:
    samples = held_out([100] * 8)
    adjustment = METHODS["multiplicative"].fit(samples, GOAL)
    gamma, tau = adjustment.notes["gamma"], adjustment.notes["tau"]
    said = (PRIOR / PRIOR.max()) ** gamma * TEST[0] - tau * np.log(PRIOR)
    assert np.array_equal(said.argmax(axis=1), adjustment.apply(TEST[0]).argmax(axis=1))


def test_a_factor_is_found() -> None:
    """Logits of the rare classes shrunk by their share to the power ¼: γ undoes it."""
    samples = held_out([300] * 8)
    shrunk = replace(samples, logits=samples.logits * (PRIOR / PRIOR.max()) ** 0.25)
    adjustment = METHODS["multiplicative"].fit(shrunk, GOAL)
    assert adjustment.notes["gamma"] < -0.1
    plain = METHODS["additive"].fit(shrunk, GOAL)
    test = TEST[0] * (PRIOR / PRIOR.max()) ** 0.25
    assert harmonic(adjustment.apply(test), TEST[1]) >= harmonic(plain.apply(test), TEST[1]) - 0.01


def test_tau_norm_is_division_by_length_and_no_bias() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(240, 6))
    labels = np.repeat(np.arange(8), 30)
    samples = HeldOut(HEAD.logits(features), labels, head=HEAD)
    adjustment = METHODS["tau_norm"].fit(samples, GOAL)
    lengths = np.linalg.norm(HEAD.weight, axis=1)
    expected = features @ (HEAD.weight / lengths[:, None] ** adjustment.notes["tau"]).T
    got = adjustment.apply(samples.logits)
    np.testing.assert_allclose(got / got[0, 0], expected / expected[0, 0], rtol=2e-3, atol=2e-3)


def test_a_row_of_zeros_tears_no_scales_apart() -> None:
    """The lengths of the other rows are what is wrong with this head, and τ = 1 mends it."""
    generator = np.random.default_rng(0)
    directions = np.linalg.qr(generator.normal(size=(8, 8)))[0]
    labels = np.repeat(np.arange(8), 30)
    features = directions[labels] + 0.3 * generator.normal(size=(240, 8))
    lengths = np.append(np.geomspace(4, 1, 7), 0)
    head = Head(directions * lengths[:, None], np.zeros(8))
    found = METHODS["tau_norm"].fit(HeldOut(head.logits(features), labels, head=head), GOAL)
    assert found.notes["tau"] == pytest.approx(1, abs=0.2)
    assert found.scale[:7].min() > 0.01


@given(
    log_weights=st.lists(st.floats(-3, 3), min_size=2, max_size=6),
    radius=st.sampled_from([0.0, 0.05, 0.3, 2.0]),
)
def test_the_nearest_prior_in_the_ball(log_weights: list[float], radius: float) -> None:
    """Against a general solver of: least KL(q ‖ w) with KL(q ‖ uniform) ≤ δ."""
    w = log_softmax(np.array(log_weights))
    log_q = nearest_in_ball(w, radius)
    q, k = np.exp(log_q), len(w)
    assert q.sum() == pytest.approx(1)
    assert (q * (log_q + np.log(k))).sum() <= radius + 1e-6
    if radius == 0:
        np.testing.assert_allclose(q, 1 / k)
        return
    found = optimize.minimize(
        lambda z: (softmax(z) * (log_softmax(z) - w)).sum(),
        0.5 * w,
        constraints={
            "type": "ineq",
            "fun": lambda z: radius - (softmax(z) * (log_softmax(z) + np.log(k))).sum(),
        },
    )
    assert (q * (log_q - w)).sum() <= found.fun + 1e-4


def test_a_wider_ball_raises_the_lowest_soft_recall() -> None:
    samples = held_out([100] * 8)
    ones = np.ones(8)
    lowest = [
        samples.soft_recall(ones, METHODS["drops"].fit(samples, GOAL, radius=r).bias).min()
        for r in (0.0, 0.02, 0.3)
    ]
    assert lowest[0] < lowest[1] < lowest[2] + 1e-3


def test_ascent_begins_at_the_additive_adjustment_and_climbs() -> None:
    samples = held_out([100] * 8)
    ones = np.ones(8)
    start = METHODS["linear_ascent"].fit(samples, GOAL, rounds=0)
    np.testing.assert_allclose(start.bias, METHODS["additive"].fit(samples, GOAL).bias)
    later = METHODS["linear_ascent"].fit(samples, GOAL, rounds=15)
    lowest = [samples.soft_recall(ones, each.bias).min() for each in (start, later)]
    assert lowest[1] > lowest[0]


@pytest.mark.parametrize("name", METHODS)
def test_perfect_and_hopeless_logits(name: str) -> None:
    labels = np.repeat(np.arange(8), 5)
    for sign in (50.0, -50.0, 0.0):
        samples = HeldOut(sign * np.eye(8)[labels], labels, np.log(PRIOR), HEAD)
        adjustment = METHODS[name].fit(samples, GOAL)
        assert np.isfinite(adjustment.bias).all()
        assert np.isfinite(adjustment.scale).all()
        if sign > 0:
            assert (adjustment.apply(samples.logits).argmax(axis=1) == labels).all()
