"""The scikit-learn classifier under scikit-learn's own checks, and in its company."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.sparse import coo_array
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances, recall_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from everyclass import RescueResult
from everyclass.artifacts import read_json
from everyclass.errors import InputError
from everyclass.integrations.sklearn import (
    RescueClassifier,
    geometric_mean_score,
    harmonic_mean_score,
    harmonic_mean_scorer,
    lowest_recall_score,
    lowest_recall_scorer,
)
from few_penalties import few_penalties


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with few_penalties():
        yield


@parametrize_with_checks(
    [
        RescueClassifier(use="ensemble"),
        RescueClassifier(LogisticRegression(), use="retrained", penalty=0.01),
    ]
)
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def digits(rarest: int = 12) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Digits with fewer images the larger the digit, named by words."""
    X, y = load_digits(return_X_y=True)
    counts = np.geomspace(120, rarest, 10).astype(int)
    rows = np.concatenate([np.flatnonzero(y == c)[:n] for c, n in enumerate(counts)])
    return X[rows], np.array([f"digit {c}" for c in y[rows]])


def out_of_fold(rescued: RescueClassifier) -> float:
    """The accuracy of the other classifier's copies on samples that they were not fitted to."""
    return float(rescued.result_.candidates[0]["accuracy"])


def test_it_lifts_the_worst_class() -> None:
    X, y = digits()
    rest_X, rest_y = load_digits(return_X_y=True)
    rest_X, rest_y = rest_X[1000:], np.array([f"digit {c}" for c in rest_y[1000:]])
    old, new = (RescueClassifier(use=use).fit(X, y).predict(rest_X) for use in ("old", "retrained"))
    assert harmonic_mean_score(rest_y, new) > harmonic_mean_score(rest_y, old)
    assert set(np.unique(new)) == set(np.unique(y))


def test_on_top_of_another_classifier() -> None:
    X, y = digits()
    forest = RandomForestClassifier(30, random_state=0)
    classifier = RescueClassifier(forest, use="retrained").fit(X, y)
    probabilities = classifier.predict_proba(X)
    assert probabilities.shape == (len(X), 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    old = RescueClassifier(forest, use="old").fit(X, y)
    assert (old.predict(X) == old.classes_[old.estimator_.predict_proba(X).argmax(1)]).all()


def test_the_other_classifier_is_given_tables_and_texts_as_they_are() -> None:
    pandas = pytest.importorskip("pandas")
    X, y = digits()
    table = pandas.DataFrame({"ink": X.sum(axis=1), "place": X[:, 20], "of": y})
    table["shade"] = np.where(X[:, 20] > 4, "dark", "light")
    columns = ColumnTransformer([("one", OneHotEncoder(), ["shade"])], remainder=StandardScaler())
    on_tables = RescueClassifier(make_pipeline(columns, LogisticRegression(max_iter=1000)))
    on_tables.fit(table.drop(columns="of"), table["of"])
    assert on_tables.feature_names_in_.tolist() == ["ink", "place", "shade"]
    assert on_tables.predict(table.drop(columns="of")[:3]).shape == (3,)

    texts = [" ".join(["dark" if pixel > 4 else "light" for pixel in row[:30:3]]) for row in X]
    words = CountVectorizer(ngram_range=(3, 3))
    on_texts = RescueClassifier(make_pipeline(words, LogisticRegression(max_iter=1000)))
    assert on_texts.fit(texts, y).predict_proba(texts[:3]).shape == (3, 10)


@pytest.mark.parametrize("called", [np.array([1, 2, 3]), np.array(["cat", "dog", "lynx"])])
def test_the_other_classifier_is_given_the_classes_as_they_are(called: Any) -> None:
    labels = np.repeat([0, 1, 2], [150, 60, 30])
    X = np.random.default_rng(0).normal(size=(240, 4)) + 1.2 * np.eye(3, 4)[labels]
    y = called[labels]
    # Of 0..2 the weight would be another class's; and names would be none of theirs.
    weighted = LogisticRegression(class_weight=dict(zip(called.tolist(), (1, 50, 1), strict=True)))
    alone = weighted.fit(X, y).predict(X)
    rescued = RescueClassifier(weighted, use="old", penalty=0.01).fit(X, y)
    assert (rescued.predict(X) == alone).all()
    assert rescued.estimator_.classes_.tolist() == called.tolist()
    # And so were the copies, whose answers out of fold are judged.
    assert out_of_fold(rescued) == pytest.approx((alone == y).mean(), abs=0.05)


def test_the_other_classifier_may_take_sparse_matrices_and_distances() -> None:
    X, y = digits()
    logistic = RescueClassifier(LogisticRegression(max_iter=1000), use="retrained", penalty=0.01)
    dense, sparse = (clone(logistic).fit(given, y).predict(given) for given in (X, coo_array(X)))
    assert (sparse == dense).mean() > 0.99
    nearest = KNeighborsClassifier(metric="precomputed")
    rescued = RescueClassifier(nearest, penalty=0.01).fit(pairwise_distances(X), y)
    assert out_of_fold(rescued) > 0.8


def test_a_class_that_a_fold_lacks() -> None:
    X, y = digits()
    rows = np.append(np.flatnonzero(y != "digit 4"), np.flatnonzero(y == "digit 4")[:1])
    rescued = RescueClassifier(LogisticRegression(max_iter=1000), penalty=0.01)
    rescued.fit(X[rows], y[rows])
    assert out_of_fold(rescued) > 0.8  # in the fold without it no answer went to a neighbour
    assert rescued.predict_proba(X).shape == (len(X), 10)


def test_another_classifier_without_probabilities() -> None:
    X, y = digits()
    with pytest.raises(InputError, match=r"LinearSVC, has no predict_proba; wrap it: Calibrated"):
        RescueClassifier(LinearSVC()).fit(X, y)


def test_in_the_company_of_scikit_learn() -> None:
    X, y = digits(rarest=20)
    piped = make_pipeline(StandardScaler(), RescueClassifier(penalty=0.01))
    assert cross_val_score(piped, X, y, cv=2, scoring=lowest_recall_scorer).shape == (2,)
    grid = {"rescueclassifier__penalty": [0.1, 0.01]}
    search = GridSearchCV(piped, grid, cv=2, scoring=harmonic_mean_scorer, refit=False).fit(X, y)
    assert search.best_params_.keys() == grid.keys()
    calibrated = CalibratedClassifierCV(piped, cv=2).fit(X, y)
    assert calibrated.predict_proba(X).shape == (len(X), 10)


def test_random_states_of_every_kind(tmp_path: Path) -> None:
    X, y = digits()

    def fitted(random_state: Any) -> RescueResult:
        # A fixed penalty, so that only the folds of the other classifier depend on the seed.
        classifier = RescueClassifier(
            LogisticRegression(max_iter=50, tol=1), penalty=0.01, random_state=random_state
        )
        return classifier.fit(X[:, ::4], y).result_

    first, again, other = (fitted(np.random.RandomState(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first.retrained.weight, again.retrained.weight)
    assert not np.array_equal(first.retrained.weight, other.retrained.weight)
    assert fitted(np.int64(3)).settings["seed"] == 3
    assert isinstance(fitted(None).settings["seed"], int)
    first.save(tmp_path)
    assert read_json(tmp_path / "result.json")["settings"]["seed"] == first.settings["seed"]
    with pytest.raises(ValueError, match="'five' cannot be used to seed"):
        fitted("five")


def test_tables_keep_their_names() -> None:
    pandas = pytest.importorskip("pandas")
    X, y = digits()
    table = pandas.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    classifier = RescueClassifier(penalty=0.01).fit(table, pandas.Series(y))
    assert classifier.feature_names_in_[3] == "pixel 3"
    assert (classifier.predict(table) == RescueClassifier(penalty=0.01).fit(X, y).predict(X)).all()


def test_tables_of_polars_too() -> None:
    polars = pytest.importorskip("polars")
    X, y = digits()
    table = polars.DataFrame({f"pixel {i}": X[:, i] for i in range(64)})
    classifier = RescueClassifier(penalty=0.01).fit(table, polars.Series(y))
    assert classifier.feature_names_in_[3] == "pixel 3"
    assert (classifier.predict(table) == RescueClassifier(penalty=0.01).fit(X, y).predict(X)).all()
    with pytest.raises(ValueError, match="feature names"):
        classifier.predict(table.rename({"pixel 3": "another"}))


def test_it_is_at_the_top_of_the_package() -> None:
    import everyclass

    assert everyclass.RescueClassifier is RescueClassifier


def test_scores_are_those_of_scikit_learns_recalls() -> None:
    generator = np.random.default_rng(0)
    truth, said = generator.choice(["a", "b", "c", "d"], (2, 200))
    recalls = recall_score(truth, said, average=None)
    assert lowest_recall_score(truth, said) == pytest.approx(recalls.min())
    assert harmonic_mean_score(truth, said) == pytest.approx(4 / (1 / recalls).sum())
    assert geometric_mean_score(truth, said) == pytest.approx(recalls.prod() ** 0.25)
    assert lowest_recall_score(["a", "b"], ["a", "z"]) == 0


@pytest.mark.parametrize(
    ("truth", "said", "why"),
    [
        ([0, 1, 2], ["0", "1", "2"], "string and number"),
        ([0.5, 0.7, 0.1], [0, 1, 1], "Mix type of y not allowed"),
        ([0.5, 0.7], [0.5, 0.7], "Unknown label type"),
        ([0, 1, np.nan], [0, 1, 1], "NaN"),
        (["a", None], ["a", "b"], "not supported between"),
        ([0, 1], [0, 1, 1], "inconsistent numbers of samples"),
        ([[0, 1], [1, 0]], [[0, 1], [1, 0]], "1d array"),
        ([], [], "are empty"),
    ],
)
def test_scores_of_what_is_no_class_are_refused(truth: Any, said: Any, why: str) -> None:
    for score in (lowest_recall_score, harmonic_mean_score, geometric_mean_score):
        with pytest.raises(InputError, match=why):
            score(truth, said)


def test_two_classes_of_which_one_has_a_single_sample() -> None:
    X = np.random.default_rng(0).normal(size=(21, 3))
    y = ["a"] * 20 + ["b"]
    forest = RescueClassifier(RandomForestClassifier(5, random_state=0), penalty=0.01).fit(X, y)
    assert forest.predict_proba(X).shape == (21, 2)
    said = (
        r"fitted to fold \d of 5 \(.*one class.*\), perhaps because it has no sample of 'b'; give"
    )
    with pytest.raises(InputError, match=said):
        RescueClassifier(LogisticRegression()).fit(X, y)


class Exacting(LogisticRegression):
    """Wants all three classes, as some estimators do; or fails for a reason of its own."""

    def fit(self, X: Any, y: Any) -> Any:  # noqa: N803
        if len(np.unique(y)) < 3:
            if self.max_iter == 2:
                raise MemoryError
            raise ValueError("where is the third?\nTraceback")
        if self.max_iter == 1:
            raise ValueError("its own reason")
        return super().fit(X, y)


def test_a_fold_that_an_estimator_cannot_be_fitted_to() -> None:
    X = np.random.default_rng(0).normal(size=(31, 3))
    y = ["a"] * 15 + ["b"] * 15 + ["c"]
    said = r"Exacting, cannot be fitted to fold \d of 5 \(where is the third\?\), perhaps .* 'c';"
    with pytest.raises(InputError, match=said):
        RescueClassifier(Exacting()).fit(X, y)
    with pytest.raises(MemoryError):
        RescueClassifier(Exacting(max_iter=2)).fit(X, y)
    with pytest.raises(ValueError, match=r"^its own reason"):
        RescueClassifier(Exacting(max_iter=1)).fit(X, ["a", "b", "c"] * 10 + ["a"])


def test_it_predicts_by_what_was_fitted() -> None:
    X, y = digits()
    on_another = RescueClassifier(LogisticRegression(tol=1), penalty=0.01).fit(X, y)
    expected = on_another.predict_proba(X)
    on_another.set_params(estimator=None)
    assert np.array_equal(on_another.predict_proba(X), expected)
    alone = RescueClassifier(penalty=0.01).fit(X, y).predict_proba(X)
    assert np.array_equal(on_another.fit(X, y).predict_proba(X), alone)
    assert not hasattr(on_another, "estimator_")


def test_bad_input_is_refused() -> None:
    X, y = digits()
    with pytest.raises(InputError, match="use must be one of"):
        RescueClassifier(use="newest").fit(X, y)
    with pytest.raises(InputError, match="all of one class"):
        RescueClassifier().fit(X, np.zeros(len(X)))
    for estimator in (None, LogisticRegression()):
        with pytest.raises(InputError, match="Each of the 4 classes has one sample"):
            RescueClassifier(estimator).fit(X[:4], np.arange(4))
    with pytest.raises(ValueError, match="NaN"):
        RescueClassifier().fit(np.where(X == 3, np.nan, X), y)
