"""The old head where there is only what it was trained on: who answers for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from everyclass import Features, Head, Retraining, evaluate, rescue
from everyclass.errors import InputError
from everyclass.integrations.sklearn import RescueClassifier
from everyclass.stages import retrain

COUNTS = np.round(np.geomspace(150, 6, 15)).astype(int)


def draw(seed: int) -> tuple[Features, Features]:
    """Training features of a long tail, and many balanced test features."""
    generator = np.random.default_rng(seed)
    means = generator.normal(size=(15, 8)) * 1.6
    parts = []
    for counts in (COUNTS, np.full(15, 300)):
        labels = np.repeat(np.arange(15), counts)
        parts.append(Features(means[labels] + generator.normal(size=(len(labels), 8)), labels))
    return parts[0], parts[1]


def discriminants(train: Features) -> Head:
    """Of classes that are thought to be equally frequent."""
    fitted = LinearDiscriminantAnalysis(priors=np.full(15, 1 / 15))
    fitted.fit(train.views[0], train.labels)
    return Head(fitted.coef_, fitted.intercept_)


def class_weighted(train: Features) -> Head:
    fitted = LogisticRegression(class_weight="balanced", max_iter=2000)
    fitted.fit(train.views[0], train.labels)
    return Head(fitted.coef_, fitted.intercept_)


def balanced_softmax(train: Features) -> Head:
    return retrain(train, Retraining(objective="balanced_softmax", penalty=1e-3))


def adjusted(train: Features) -> Head:
    plain = retrain(train, Retraining(objective="cross_entropy", penalty=1e-3))
    prior = (COUNTS / COUNTS.sum()).astype(np.float32)
    return Head(plain.weight, plain.bias - np.log(prior))


@pytest.mark.parametrize(
    ("kind", "seed"),
    [
        (discriminants, 1),
        (discriminants, 2),
        (discriminants, 5),
        (class_weighted, 5),
        (balanced_softmax, 2),
        (adjusted, 1),
    ],
)
def test_a_balanced_head_is_represented_by_a_balanced_one(
    kind: Callable[[Features], Head], seed: int
) -> None:
    """By a plain one its harmonic mean looked near to zero, and whatever came was recommended."""
    train, test = draw(seed)
    result = rescue(train.with_head(kind(train)), test=test)
    represented = result.candidates[0]["harmonic_mean"]
    assert represented == pytest.approx(result.evaluations["old"].harmonic_mean, abs=0.15)
    used = result.evaluations[result.verdict.use].harmonic_mean
    assert used >= result.evaluations["old"].harmonic_mean - 0.01


def test_a_plain_head_is_represented_by_a_plain_one() -> None:
    train, test = draw(5)
    plain = retrain(train, Retraining(objective="cross_entropy", penalty=1e-3))
    result = rescue(train.with_head(plain), test=test)
    assert result.candidates[0]["harmonic_mean"] < 0.1  # a class of six images is never right
    assert result.evaluations["old"].per_class_recall[-3:].min() < 0.5


@pytest.mark.parametrize("seed", [0, 1])
def test_out_of_fold_answers_speak_for_themselves(seed: int) -> None:
    train, test = draw(seed)
    classifier = RescueClassifier(LinearDiscriminantAnalysis(priors=np.full(15, 1 / 15)))
    classifier.fit(train.views[0], train.labels)
    result = classifier.result_
    inputs = np.log(np.maximum(classifier.estimator_.predict_proba(test.views[0]), 1e-12))
    honest = evaluate(labels=test.labels, predicted=inputs.argmax(axis=1)).harmonic_mean
    assert result.candidates[0]["harmonic_mean"] == pytest.approx(honest, abs=0.12)
    assert result.verdict.use == "old"


def test_what_needs_the_weights_is_not_tried_on_a_stand_ins_answers() -> None:
    train, _ = draw(5)
    known = train.with_head(discriminants(train))
    with pytest.raises(InputError, match=r"strategy tau_norm needs the weights .* \(--val\)"):
        rescue(known, strategy="tau_norm")
    tried = [each["name"] for each in rescue(known, strategy="offsets").candidates]
    assert "tau_norm" not in tried
    assert "bias" in tried
    held_out = rescue(known, strategy="tau_norm", old_saw_train=False)
    assert [each["name"] for each in held_out.candidates] == ["none", "tau_norm"]
