"""A last layer as a scikit-learn classifier, which is served without torch and without us."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer

from everyclass.artifacts import Head, quoted, some
from everyclass.errors import InputError, InputTypeError

__all__ = ["sklearn_head"]


def sklearn_head(head: Head, *, class_names: Sequence[Any] | None = None) -> Any:
    """A fitted ``LogisticRegression`` with the weights of a head in ``coef_`` and ``intercept_``.

    Of a cosine head it is a pipeline that brings features to length one first. What comes out is
    scikit-learn's alone: pickled or exported, it needs nothing of this library.

    Args:
        head: linear or cosine; for the ensemble see :meth:`RescueResult.single_layer`.
        class_names: C different names in class order, or None for the numbers 0..C−1. Columns of
            ``predict_proba`` are in the order of ``classes_``, which scikit-learn wants sorted.

    Raises:
        InputError: names that are not one per class, or the same twice.
        InputTypeError: no head, such as an ensemble.

    Example:
        >>> head = Head(np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]), np.zeros(3))
        >>> classifier = sklearn_head(head, class_names=["cat", "dog", "lynx"])
        >>> classifier.predict([[2.0, 1.0]]).tolist()
        ['cat']
    """
    if not isinstance(head, Head):
        raise InputTypeError(
            f"A {type(head).__name__} is no head; of an ensemble take the nearest one: "
            "result.single_layer(train).head."
        )
    names = np.arange(head.num_classes) if class_names is None else np.array(class_names)
    if len(names) != head.num_classes:
        raise InputError(
            f"There are {len(names)} class_names for {head.num_classes} classes; give one each."
        )
    classes, order, times = np.unique(names, return_index=True, return_counts=True)
    if len(classes) < len(names):
        twice = some([quoted(str(name)) for name in classes[times > 1]])
        raise InputError(f"class_names has {twice} more than once; give each class its own.")
    weight = head.weight[order].astype(np.float64)
    bias = head.bias[order].astype(np.float64)
    if head.kind == "cosine":
        norms = np.linalg.norm(weight, axis=1, keepdims=True)
        weight = head.scale * weight / np.maximum(norms, 1e-12)  # zero stays zero, as in Head
    classifier = LogisticRegression()
    classifier.classes_ = classes
    # Of two classes scikit-learn keeps the difference alone, and takes its sigmoid.
    two = len(classes) == 2
    classifier.coef_ = weight[1:] - weight[:1] if two else weight
    classifier.intercept_ = bias[1:] - bias[:1] if two else bias
    classifier.n_features_in_ = head.num_features
    classifier.n_iter_ = np.array([0])
    if head.kind == "linear":
        return classifier
    scaled = make_pipeline(Normalizer(), classifier)
    assert isinstance(scaled, Pipeline)
    return scaled
