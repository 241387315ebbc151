"""A head served by scikit-learn alone."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import get_scorer

from everyclass import Head
from everyclass.errors import InputError, InputTypeError
from everyclass.integrations.sklearn_head import sklearn_head

FEATURES = np.random.default_rng(0).normal(size=(20, 5))


def a_head(classes: int, kind: Any) -> Head:
    draw = np.random.default_rng(1).normal
    return Head(draw(size=(classes, 5)), draw(size=classes), kind, 7.0 if kind == "cosine" else 1.0)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_it_says_what_the_head_says(kind: str, classes: int) -> None:
    head = a_head(classes, kind)
    names = ["ant", "bee", "cat"][:classes]
    served = sklearn_head(head, class_names=names)
    logits = head.logits(FEATURES)
    np.testing.assert_allclose(served.predict_proba(FEATURES), softmax(logits, axis=1), atol=1e-5)
    assert served.predict(FEATURES).tolist() == [names[c] for c in logits.argmax(1)]


@pytest.mark.parametrize("names", [["fox", "ant"], ["cat", "bee", "ant"], [30, 4, 5]])
def test_names_in_any_order(names: list[Any]) -> None:
    head = a_head(len(names), "linear")
    served = sklearn_head(head, class_names=names)
    logits = head.logits(FEATURES)
    assert served.predict(FEATURES).tolist() == [names[c] for c in logits.argmax(1)]
    assert served.classes_.tolist() == sorted(names)
    columns = [served.classes_.tolist().index(name) for name in names]
    said = served.predict_proba(FEATURES)[:, columns]
    np.testing.assert_allclose(said, softmax(logits, axis=1), atol=1e-5)
    truth = [names[c] for c in logits.argmax(1)]
    loss = -get_scorer("neg_log_loss")(served, FEATURES, truth)
    assert loss == pytest.approx(-np.log(softmax(logits, axis=1).max(axis=1)).mean(), rel=1e-4)


def test_a_class_whose_weights_are_zero() -> None:
    head = a_head(3, "cosine")
    weight = head.weight.copy()
    weight[1] = 0  # as of a class that was never trained
    head = Head(weight, head.bias, "cosine", 7.0)
    said = sklearn_head(head).predict_proba(np.vstack([FEATURES, np.zeros(5)]))
    logits = head.logits(np.vstack([FEATURES, np.zeros(5)]))
    np.testing.assert_allclose(said, softmax(logits, axis=1), atol=1e-5)


def test_it_is_served_without_torch_and_without_us(tmp_path: Path) -> None:
    served = sklearn_head(a_head(3, "cosine"))
    (tmp_path / "head.pkl").write_bytes(pickle.dumps(served))
    np.save(tmp_path / "x.npy", FEATURES)
    code = (
        "import pickle, sys, numpy as np\n"
        "said = pickle.load(open('head.pkl', 'rb')).predict(np.load('x.npy'))\n"
        "assert 'torch' not in sys.modules and 'everyclass' not in sys.modules\n"
        "print(said.tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(served.predict(FEATURES).tolist())


def test_making_it_needs_no_torch() -> None:
    code = "import sys, everyclass.integrations.sklearn_head; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_ensemble_is_no_head() -> None:
    with pytest.raises(InputTypeError, match=r"take the nearest one: result.single_layer"):
        sklearn_head(object())  # type: ignore[arg-type]


def test_names_for_other_classes() -> None:
    with pytest.raises(InputError, match="2 class_names for 3 classes"):
        sklearn_head(a_head(3, "linear"), class_names=["a", "b"])
    with pytest.raises(InputError, match="class_names has 'a' more than once"):
        sklearn_head(a_head(3, "linear"), class_names=["a", "b", "a"])
