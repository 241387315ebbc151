"""A scikit-learn classifier in which every class counts, and scores of the worst classes."""

from __future__ import annotations

import warnings
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import make_scorer
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import (
    assert_all_finite,
    check_consistent_length,
    check_random_state,
    get_tags,
    indexable,
)
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from everyclass.artifacts import Features, Head, quoted, some
from everyclass.errors import InputError, first_line
from everyclass.metrics import geometric_mean, harmonic_mean, log_probabilities, per_class_recall
from everyclass.stages import RescueResult, Retraining, ensemble_log_probabilities, rescue

__all__ = [
    "RescueClassifier",
    "geometric_mean_score",
    "geometric_mean_scorer",
    "harmonic_mean_score",
    "harmonic_mean_scorer",
    "lowest_recall_score",
    "lowest_recall_scorer",
]

Use = Literal["verdict", "old", "retrained", "ensemble"]
FOLDS = 5
SMALLEST_PROBABILITY = 1e-6


class RescueClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A linear classifier, or one on top of another classifier, retrained with GML.

    Without ``estimator`` it is a last layer on the features themselves: a softmax classifier is the
    old one, a head fitted to the geometric mean loss the retrained one. With ``estimator`` that one
    is the old classifier, and the new head works on its log-probabilities, taken from images that
    each copy was not fitted to. Either way ``use`` says which of old, retrained and ensemble
    predicts; by default the verdict of the rescue does, which may be the old one.

    The exact objective is minimised, so a fit is deterministic and depends on no learning rate.

    Args:
        estimator: any classifier with ``predict_proba``, or None. It is given X and the classes as
            they came, so it may be a pipeline that takes tables or texts, and its ``class_weight``
            goes by the classes' own names; one that takes only 0..C − 1 needs them so here too.
        use: "verdict", "old", "retrained" or "ensemble".
        penalty: on the squared weights of the new head; None chooses it by cross-fitting.
        random_state: of the folds: a whole number, a ``RandomState``, or None for NumPy's own.

    Attributes:
        classes_: (C,) the classes as they were given, sorted.
        result_: everything that the rescue found: heads, temperatures, ``result_.verdict``.
        used_: which classifier predicts.
        estimator_: the base classifier fitted to all samples, where there is one.
        n_features_in_, feature_names_in_: of the samples, as in scikit-learn.

    Example:
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> y = np.repeat(["cat", "dog", "lynx"], [200, 50, 10])
        >>> X = generator.normal(size=(260, 5))
        >>> X[:, 0] += 3 * (y == "cat") - 3 * (y == "lynx")
        >>> classifier = RescueClassifier().fit(X, y)
        >>> classifier.predict(X[:1]).tolist()
        ['cat']
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        use: Use = "verdict",
        penalty: float | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.estimator = estimator
        self.use = use
        self.penalty = penalty
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> RescueClassifier:  # noqa: N803
        """Fit both classifiers and decide which one predicts.

        Args:
            X: (n, d) finite numbers; with ``estimator``, whatever that takes.
            y: (n,) classes: numbers or strings.

        Raises:
            InputError: one class only, or only one sample of each; an unknown ``use``; an estimator
                without ``predict_proba``, or one that refuses a fold that lacks a class.
        """
        if self.use not in get_args(Use):
            raise InputError(
                f"use must be one of {', '.join(map(repr, get_args(Use)))}; got {self.use!r}."
            )
        if self.estimator is None:
            X, y = validate_data(self, X, y, dtype=np.float64)
        else:  # which takes X as it is: a table, texts, a sparse matrix
            self._check_estimator()
            y = validate_data(self, "no_validation", y)
            X = self._as_it_is(X, reset=True)
            check_consistent_length(X, y)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError("The samples are all of one class; a classifier needs two.")
        counts = np.bincount(labels)
        if counts.max() < 2:
            raise InputError(
                f"Each of the {len(self.classes_)} classes has one sample, so that none can be "
                "held out to judge by; a class needs two at least."
            )
        self.__dict__.pop("estimator_", None)  # of an earlier fit
        head = None
        seed = self._seed()
        if self.estimator is None:
            inputs = X
        else:
            inputs = self._out_of_fold(X, y, labels, seed)
            self.estimator_ = clone(self.estimator).fit(X, y)
            identity = np.eye(len(self.classes_), dtype=np.float32)
            head = Head(identity, np.zeros_like(identity[0]))
        names = tuple(map(str, self.classes_))
        self.result_: RescueResult = rescue(
            Features(inputs, labels, head, names if len(set(names)) == len(names) else None),
            retraining=Retraining(penalty=self.penalty),
            old_saw_train=self.estimator is None,  # whose answers here are out-of-fold
            seed=seed,
        )
        self.used_ = self.result_.verdict.use if self.use == "verdict" else self.use
        return self

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Logits: (n, C), or for two classes (n,), the second one's less the first one's."""
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Probabilities: (n, C)."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Logarithms of the probabilities: (n, C)."""
        return log_probabilities(self._logits(X), are_logits=True)

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """The most probable class of each sample: (n,)."""
        best = self._logits(X).argmax(axis=1)
        return self.classes_[best]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            tags.input_tags = get_tags(self.estimator).input_tags
        return tags

    def _as_it_is(self, X: Any, *, reset: bool) -> Any:  # noqa: N803
        """X for the estimator; of an array of numbers it is checked that it has rows."""
        if isinstance(X, np.ndarray) and X.dtype.kind in "biuf":
            return validate_data(self, X, reset=reset, dtype=None, ensure_all_finite=False)
        return validate_data(self, X, reset=reset, skip_check_array=True)

    def _check_estimator(self) -> None:
        if not hasattr(self.estimator, "predict_proba"):
            raise InputError(
                f"The estimator, a {type(self.estimator).__name__}, has no predict_proba; wrap it: "
                "CalibratedClassifierCV(estimator)."
            )

    def _seed(self) -> int:
        """A whole number as it is; else one that is drawn."""
        generator = check_random_state(self.random_state)
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(generator.randint(2**31))

    def _out_of_fold(
        self,
        X: Any,  # noqa: N803
        y: npt.NDArray[Any],
        labels: npt.NDArray[np.intp],
        seed: int,
    ) -> npt.NDArray[np.float64]:
        """Log-probabilities of each sample from a copy that was fitted to others.

        cross_val_predict would fit the copies to 0..C−1, which ``class_weight`` does not know.
        """
        folds = max(2, min(FOLDS, int(np.bincount(labels).max())))
        splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():  # of a class smaller than the folds: rescues are for these
            warnings.filterwarnings("ignore", message="The least populated class")
            parts = list(splitter.split(labels, labels))
        X, y = indexable(X, y)
        found = np.empty((len(labels), len(self.classes_)))
        for fold, (train, test) in enumerate(parts, start=1):
            copy = clone(self.estimator)
            part = _safe_split(copy, X, y, train)
            try:
                copy.fit(*part)
            except ValueError as error:
                missing = np.setdiff1d(self.classes_, part[1])
                if not len(missing):
                    raise  # for a reason that has nothing to do with the folds
                named = some([quoted(str(name)) for name in missing])
                raise InputError(
                    f"The estimator, a {type(copy).__name__}, cannot be fitted to fold {fold} of "
                    f"{folds} ({first_line(error)}), perhaps because it has no sample of {named}; "
                    "give such classes more samples, or take an estimator that does without."
                ) from error
            found[test] = self._of_each_class(copy, _safe_split(copy, X, y, test, train)[0])
        return found

    def _of_each_class(self, fitted: Any, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Log-probabilities by a fitted estimator; the smallest of classes that it has not seen."""
        probabilities = fitted.predict_proba(X)
        found = np.zeros((len(probabilities), len(self.classes_)))
        found[:, np.searchsorted(self.classes_, fitted.classes_)] = probabilities
        return np.log(np.clip(found, SMALLEST_PROBABILITY, 1))

    def _logits(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        check_is_fitted(self)
        if not hasattr(self, "estimator_"):  # whatever the parameter says by now
            inputs = validate_data(self, X, dtype=np.float64, reset=False)
        else:
            X = self._as_it_is(X, reset=False)
            inputs = self._of_each_class(self.estimator_, X)
        found = self.result_
        if self.used_ == "old":
            return _product(found.old, inputs)
        new = _product(found.retrained, inputs)
        if self.used_ == "retrained":
            return new
        both = found.ensemble
        return ensemble_log_probabilities(_product(found.old, inputs), new, both.t_old, both.t_new)


def _product(head: Head, inputs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Logits in float64, so that a sample's do not depend on the others in its batch."""
    return inputs @ head.weight.astype(np.float64).T + head.bias


def _recalls(y_true: Any, y_pred: Any) -> npt.NDArray[np.float64]:
    """Recall of each class of ``y_true``."""
    try:
        check_consistent_length(y_true, y_pred)
        truth, said = column_or_1d(y_true), column_or_1d(y_pred)
        for each in (truth, said):
            assert_all_finite(each)
        classes = unique_labels(truth, said)
    except (TypeError, ValueError) as error:  # a TypeError of objects that cannot be sorted
        raise InputError(
            f"y_true and y_pred must be (n,) classes of one kind: {first_line(error)}."
        ) from error
    if not len(classes):
        raise InputError("y_true and y_pred are empty; there is no recall of nothing.")
    labels, predicted = (np.searchsorted(classes, each) for each in (truth, said))
    recalls = per_class_recall(labels, predicted, len(classes))
    return recalls[~np.isnan(recalls)]


def harmonic_mean_score(y_true: Any, y_pred: Any) -> float:
    """Harmonic mean of the recall of each class, none of which counts less than 0.001.

    Args:
        y_true, y_pred: (n,) classes: numbers or strings.

    Raises:
        InputError: they are no classes, such as continuous numbers, NaN, or numbers and strings.

    Example:
        >>> round(harmonic_mean_score(["a", "a", "b"], ["a", "b", "b"]), 3)
        0.667
    """
    return harmonic_mean(_recalls(y_true, y_pred))


def geometric_mean_score(y_true: Any, y_pred: Any) -> float:
    """Geometric mean of the recall of each class, none of which counts less than 0.001.

    Args:
        y_true, y_pred: (n,) classes: numbers or strings.

    Raises:
        InputError: they are no classes, such as continuous numbers, NaN, or numbers and strings.

    Example:
        >>> round(geometric_mean_score(["a", "a", "b"], ["a", "b", "b"]), 3)
        0.707
    """
    return geometric_mean(_recalls(y_true, y_pred))


def lowest_recall_score(y_true: Any, y_pred: Any) -> float:
    """Recall of the worst class.

    Args:
        y_true, y_pred: (n,) classes: numbers or strings.

    Raises:
        InputError: they are no classes, such as continuous numbers, NaN, or numbers and strings.

    Example:
        >>> lowest_recall_score(["a", "a", "b"], ["a", "b", "b"])
        0.5
    """
    return float(_recalls(y_true, y_pred).min())


harmonic_mean_scorer = make_scorer(harmonic_mean_score)
"""For ``scoring=`` of ``cross_val_score`` and ``GridSearchCV``."""
geometric_mean_scorer = make_scorer(geometric_mean_score)
"""For ``scoring=`` of ``cross_val_score`` and ``GridSearchCV``."""
lowest_recall_scorer = make_scorer(lowest_recall_score)
"""For ``scoring=`` of ``cross_val_score`` and ``GridSearchCV``."""
