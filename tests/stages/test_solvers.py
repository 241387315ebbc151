"""Fitting heads: against scikit-learn, and against what must not matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gaussians import Gaussians, long_tail
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from everyclass import Features, Retraining
from everyclass.errors import InputError, RunFailedError
from everyclass.stages import MinibatchSettings, Objective, retrain
from everyclass.stages.retraining.exact_solver import fit_exact
from everyclass.stages.retraining.minibatch_solver import fit_minibatches
from everyclass.stages.retraining.standardised import Standardised, standardise

COUNTS = long_tail(6, 150, 6)


def a_set(views: int = 1, seed: int = 1) -> Features:
    return Gaussians(6, 8).draw(COUNTS, seed=seed, views=views)


def objective_of(train: Features, name: str = "gml", reweight: bool = True) -> Objective:
    counts = torch.from_numpy(train.class_counts.counts.copy()).float()
    return Objective(name, counts, reweight)  # type: ignore[arg-type]


def a_start() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 8, generator=generator), torch.randn(6, generator=generator)


def total(data: Standardised, objective: Objective, penalty: float, weight, bias) -> float:
    """The penalised objective in float64."""
    wide = Objective(objective.name, objective.counts.double(), objective.reweight)
    logits = data.features.double() @ weight.double().T + bias.double()
    value, _ = wide.value_and_gradient(logits, data.labels)
    return float(value + penalty / 2 * weight.double().square().sum())


# --- standardising --------------------------------------------------------------------------------


def test_columns_have_mean_zero_and_variance_one() -> None:
    train = a_set(views=3)
    data = standardise(train.views * 7 + 100, train.labels)
    expected = StandardScaler().fit_transform((train.views * 7 + 100).reshape(-1, 8))
    np.testing.assert_allclose(data.features, expected, atol=1e-3)
    assert data.labels.tolist() == train.labels.tolist() * 3


def test_a_folded_head_gives_the_same_logits_on_the_features_as_they_are() -> None:
    train = a_set()
    shift = np.linspace(-5, 5, 8, dtype=np.float32)
    features = train.features * np.geomspace(0.1, 100, 8, dtype=np.float32) + shift
    data = standardise(features[None], train.labels)
    weight, bias = a_start()
    direct = data.features.double() @ weight.double().T + bias.double()
    np.testing.assert_allclose(data.head(weight, bias).logits(features), direct, atol=2e-3)


@pytest.mark.parametrize("constant", [0.0, 1e-30, 0.1, -3e4])
def test_a_constant_column_is_left_out(constant: float) -> None:
    train = a_set()
    features = np.concatenate(
        [train.features, np.full((len(train), 1), constant, dtype=np.float32)], axis=1
    )
    data = standardise(features[None], train.labels)
    assert not data.features[:, 8].any()
    head = retrain(Features(features, train.labels), Retraining(penalty=1e-2))
    without = retrain(train, Retraining(penalty=1e-2))
    assert not head.weight[:, 8].any()
    np.testing.assert_allclose(head.logits(features), without.logits(train.features), atol=2e-2)


def test_a_scaled_backbone_gives_the_same_classifier() -> None:
    train = a_set()
    scaled = Features(train.features * 1000 + 5, train.labels)
    settings = Retraining(penalty=1e-3)
    a, b = retrain(train, settings), retrain(scaled, settings)
    np.testing.assert_allclose(
        a.logits(train.features), b.logits(scaled.features), atol=0.02 * np.abs(a.weight).max()
    )


# --- the exact solver -----------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [1e-1, 1e-2, 1e-3, 1e-4])
def test_cross_entropy_reaches_scikit_learns_objective(penalty: float) -> None:
    train = a_set()
    data = standardise(train.views, train.labels)
    objective = objective_of(train, "cross_entropy")
    ours = total(data, objective, penalty, *fit_exact(data, objective, penalty))
    reference = LogisticRegression(C=1 / (penalty * len(train)), tol=1e-10, max_iter=10_000)
    reference.fit(data.features.double().numpy(), train.labels)
    weight, bias = torch.from_numpy(reference.coef_), torch.from_numpy(reference.intercept_)
    theirs = total(data, objective, penalty, weight, bias)
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_gml_ends_where_the_gradient_is_zero() -> None:
    train = a_set(views=2)
    data = standardise(train.views, train.labels)
    objective = objective_of(train)
    weight, bias = fit_exact(data, objective, 1e-2)
    weight, bias = weight.double().requires_grad_(), bias.double().requires_grad_()
    logits = data.features.double() @ weight.T + bias + objective.counts.double().log()
    p = logits.softmax(dim=1)[torch.arange(len(data.labels)), data.labels]
    means = torch.stack([p[data.labels == c].mean() for c in range(6)])
    loss = -means.log().mean() + 1e-2 / 2 * weight.square().sum()
    for gradient in torch.autograd.grad(loss, [weight, bias]):
        assert gradient.abs().max() < 1e-4


def test_no_step_away_is_better() -> None:
    train = a_set()
    data = standardise(train.views, train.labels)
    objective = objective_of(train)
    weight, bias = fit_exact(data, objective, 1e-2)
    best = total(data, objective, 1e-2, weight, bias)
    generator = torch.Generator().manual_seed(0)
    for size in (1e-3, 1e-2, 1e-1, 1.0):
        step = size * torch.randn(weight.shape, generator=generator)
        assert total(data, objective, 1e-2, weight + step, bias) > best


def test_the_start_does_not_matter() -> None:
    train = a_set()
    data = standardise(train.views, train.labels)
    objective = objective_of(train, "balanced_softmax")
    a = fit_exact(data, objective, 1e-2)
    b = fit_exact(data, objective, 1e-2, start=a_start())
    torch.testing.assert_close(a[0], b[0], atol=2e-3, rtol=0)


def test_a_stronger_penalty_gives_smaller_weights() -> None:
    train = a_set()
    sizes = [np.abs(retrain(train, Retraining(penalty=p)).weight).sum() for p in (1e-4, 1e-2, 1)]
    assert sizes == sorted(sizes, reverse=True)


def test_the_bias_carries_no_penalty() -> None:
    """With weights pressed to zero the head is left with the class frequencies."""
    train = a_set()
    head = retrain(train, Retraining("cross_entropy", penalty=100.0))
    p = np.exp(head.bias - head.bias.max())
    np.testing.assert_allclose(p / p.sum(), np.array(COUNTS) / sum(COUNTS), atol=2e-3)


def test_re_weighting_is_a_shift_of_the_bias() -> None:
    """docs/explanation/gml.md: eq. 3 changes no weight of a head whose bias is free."""
    train = a_set()
    with_it, without = (
        retrain(train, Retraining(penalty=1e-2, reweight=reweight)).logits(train.features)
        for reweight in (True, False)
    )
    shifted = without - np.log(COUNTS)
    np.testing.assert_allclose(
        with_it - with_it.mean(axis=1, keepdims=True),
        shifted - shifted.mean(axis=1, keepdims=True),
        atol=0.02,
    )


# --- mini-batches ---------------------------------------------------------------------------------

SETTINGS = MinibatchSettings(epochs=15, batch_size=64, learning_rate=0.05)


@pytest.mark.parametrize(
    ("name", "running"),
    [
        ("gml", False),
        ("gml", True),
        ("cross_entropy", False),
        ("class_weighted", False),
        ("smoothing", False),
    ],
)
def test_mini_batches_come_close_to_the_exact_minimum(name: str, running: bool) -> None:
    train = a_set(views=2)
    data = standardise(train.views, train.labels)
    objective = objective_of(train, name)
    settings = MinibatchSettings(40, 64, 0.05)
    at_start = total(data, objective, 1e-2, torch.zeros(6, 8), torch.zeros(6))
    found = fit_minibatches(data, objective, 1e-2, settings, running=running)
    reached = total(data, objective, 1e-2, *found)
    best = total(data, objective, 1e-2, *fit_exact(data, objective, 1e-2))
    # The class means of a batch are biased estimates; running ones are not.
    share = 0.1 if name == "gml" and not running else 0.03
    assert best <= reached < best + share * (at_start - best)


def test_mini_batches_are_the_same_for_the_same_seed() -> None:
    train = a_set()
    data = standardise(train.views, train.labels)
    heads = [
        fit_minibatches(data, objective_of(train), 1e-3, MinibatchSettings(2, 32), seed=s)
        for s in (4, 4, 5)
    ]
    assert torch.equal(heads[0][0], heads[1][0])
    assert torch.equal(heads[0][1], heads[1][1])
    assert not torch.equal(heads[0][0], heads[2][0])


def test_mini_batches_leave_the_global_generator_alone() -> None:
    train = a_set()
    before = torch.get_rng_state()
    retrain(train, Retraining(solver="minibatch", penalty=1e-3, minibatch=SETTINGS))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_larger_than_the_set_is_the_set() -> None:
    train = a_set()
    data = standardise(train.views, train.labels)
    small, large = (
        fit_minibatches(data, objective_of(train), 1e-3, MinibatchSettings(3, size))
        for size in (len(train), 100_000)
    )
    assert torch.equal(small[0], large[0])


def test_steps_are_those_of_torch() -> None:
    """One epoch of four batches against torch.optim.SGD with its own cosine schedule."""
    train = Gaussians(3, 4).draw([16, 12, 4], seed=0)
    data = standardise(train.views, train.labels)
    objective = objective_of(train)
    weight, bias = fit_minibatches(data, objective, 0.3, MinibatchSettings(1, 8, 0.2), seed=9)

    w, b = torch.zeros(3, 4, requires_grad=True), torch.zeros(3, requires_grad=True)
    groups = [{"params": [w], "weight_decay": 0.3}, {"params": [b]}]
    optimizer = torch.optim.SGD(groups, lr=0.2, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
    for rows in torch.randperm(32, generator=torch.Generator().manual_seed(9)).split(8):
        logits = data.features[rows] @ w.T + b + objective.counts.log()
        p = logits.softmax(dim=1)[torch.arange(8), data.labels[rows]]
        here = data.labels[rows].unique()
        means = torch.stack([p[data.labels[rows] == c].mean() for c in here])
        optimizer.zero_grad()
        (-means.log().mean()).backward()
        optimizer.step()
        schedule.step()
    torch.testing.assert_close(weight, w.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(bias, b.detach(), rtol=1e-4, atol=1e-6)


def test_resampling_shows_classes_alike() -> None:
    """Re-sampled cross entropy with tiny weights is left with no preference for large classes."""
    train = a_set()
    settings = Retraining(
        "cross_entropy",
        resample=True,
        solver="minibatch",
        penalty=100.0,
        minibatch=MinibatchSettings(epochs=60, batch_size=64, learning_rate=0.005),
    )
    p = np.exp(retrain(train, settings).bias.astype(np.float64))
    plain = np.exp(
        retrain(
            train,
            Retraining(
                "cross_entropy",
                solver="minibatch",
                penalty=100.0,
                minibatch=MinibatchSettings(epochs=60, batch_size=64, learning_rate=0.005),
            ),
        ).bias.astype(np.float64)
    )
    assert p.max() / p.min() < 1.6
    assert plain.max() / plain.min() > 4


def test_a_diverging_fit_fails() -> None:
    train = a_set()
    settings = Retraining(
        solver="minibatch", penalty=10.0, minibatch=MinibatchSettings(20, 32, learning_rate=1e6)
    )
    with pytest.raises(RunFailedError, match="Retraining diverged; lower the learning rate"):
        retrain(train, settings)


@pytest.mark.parametrize("running", [False, True])
def test_bfloat16_products_lose_nothing(running: bool) -> None:
    train, test = a_set(), Gaussians(6, 8).draw([200] * 6, seed=2)
    solver = "running" if running else "minibatch"
    heads = [
        retrain(train, Retraining(solver=solver, penalty=1e-2, minibatch=settings))  # type: ignore[arg-type]
        for settings in (
            MinibatchSettings(15, 64, 0.05),
            MinibatchSettings(15, 64, 0.05, precision="bf16"),
        )
    ]
    assert all(head.weight.dtype == np.float32 for head in heads)
    said = [head.logits(test.features) for head in heads]
    np.testing.assert_allclose(said[1], said[0], atol=0.05 * np.abs(said[0]).max())
    accuracy = [np.mean(each.argmax(axis=1) == test.labels) for each in said]
    assert abs(accuracy[1] - accuracy[0]) < 0.01


def test_a_precision_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="fp32 or bf16; got 'fp8'"):
        MinibatchSettings(precision="fp8")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": 0}, "epochs must be a whole number from 1; got 0"),
        ({"epochs": 2.5}, "epochs must be a whole number from 1; got 2.5"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1; got 0"),
        ({"batch_size": -512}, "batch_size must be a whole number from 1; got -512"),
        ({"learning_rate": 0.0}, "learning_rate must be a number above 0; got 0.0"),
        ({"learning_rate": -0.1}, "learning_rate must be a number above 0; got -0.1"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number above 0; got nan"),
        ({"learning_rate": float("inf")}, "learning_rate must be a number above 0; got inf"),
        ({"momentum": 1.0}, "momentum must be from 0 to below 1; got 1.0"),
        ({"momentum": -0.9}, "momentum must be from 0 to below 1; got -0.9"),
        ({"momentum": float("nan")}, "momentum must be from 0 to below 1; got nan"),
    ],
)
def test_mini_batches_that_cannot_be_are_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        MinibatchSettings(**wrong)  # type: ignore[arg-type]


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"objective": "focal"},
            r"objective must be one of gml, .*balanced_softmax.*; got 'focal'",
        ),
        ({"solver": "adam"}, "solver must be one of exact, minibatch, running; got 'adam'"),
        ({"penalty": -1.0}, "penalty must be at least 0 and finite; got -1"),
        ({"penalty": float("nan")}, "penalty must be at least 0 and finite; got nan"),
        ({"penalty": float("inf")}, "penalty must be at least 0 and finite; got inf"),
        ({"resample": True}, "Re-sampling needs mini-batches"),
        ({"gml_weight": -1.0}, "weight of GML must be at least 0 and finite; got -1.0"),
        ({"gml_weight": float("nan")}, "weight of GML must be at least 0 and finite; got nan"),
        ({"gml_weight": float("inf")}, "weight of GML must be at least 0 and finite; got inf"),
        ({"smoothing": (0.4, 1.1)}, "each from 0 to 1; got \\(0.4, 1.1\\)"),
        ({"smoothing": (0.4,)}, "of the largest and of the smallest class"),
        (
            {"minibatch": MinibatchSettings(precision="bf16")},
            "bf16 goes with the solvers minibatch",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Retraining(**wrong)  # type: ignore[arg-type]


def test_a_class_without_images_is_named() -> None:
    train = Features(np.eye(4), [0, 0, 1, 1], class_names=("cat", "dog", "lynx"))
    with pytest.raises(InputError, match=r"no training image of 'lynx' \(class 2\)"):
        retrain(train, Retraining(penalty=1e-3))
