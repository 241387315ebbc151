"""The losses inside skorch and Keras 3 on torch."""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from everyclass.errors import MissingLibraryError
from everyclass.losses import GMLLoss, gml_loss

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore")]


def digits() -> tuple[Any, Any, list[int]]:
    X, y = load_digits(return_X_y=True)
    X, y = (X[:600] / 16).astype(np.float32), y[:600].astype(np.int64)
    return X, y, np.bincount(y).tolist()


def test_skorch() -> None:
    skorch = pytest.importorskip("skorch")
    X, y, counts = digits()
    torch.manual_seed(0)
    net = skorch.NeuralNetClassifier(
        nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
        criterion=GMLLoss,
        criterion__class_counts=counts,
        predict_nonlinearity=lambda logits: logits.softmax(dim=1),
        optimizer=torch.optim.Adam,
        lr=0.01,
        max_epochs=10,
        verbose=0,
    ).fit(X, y)
    probabilities = net.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (net.predict(X) == y).mean() > 0.9


def test_keras(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if os.environ.get("KERAS_BACKEND") != "torch":
        pytest.skip("KERAS_BACKEND is not torch")
    pytest.importorskip("keras")
    import keras

    from everyclass.errors import InputError
    from everyclass.integrations.keras import KerasLoss

    X, y, counts = digits()
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((64,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)]
    )
    loss = KerasLoss(GMLLoss(counts))
    model.compile(keras.optimizers.Adam(0.01), loss=loss, metrics=["accuracy"])
    before = model.evaluate(X, y, batch_size=600, verbose=0)[0]
    logits = torch.as_tensor(model.predict(X, verbose=0))
    assert before == pytest.approx(float(gml_loss(logits, torch.tensor(y), counts)), rel=1e-4)
    model.fit(X, y, epochs=10, verbose=0)
    assert (model.predict(X, verbose=0).argmax(1) == y).mean() > 0.9
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert np.array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    with pytest.raises(InputError, match="take no sample_weight or class_weight"):
        model.fit(X, y, sample_weight=np.ones(len(y)), verbose=0)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match="Keras runs on jax"):
        KerasLoss(GMLLoss(counts))


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("keras", "KERAS_BACKEND=torch, which is not installed: pip install keras"),
        (
            "tensorflow",
            "KERAS_BACKEND=torch before keras is imported, which else takes tensorflow,",
        ),
    ],
)
def test_keras_without_itself_or_without_its_backend(
    missing: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from everyclass import integrations

    class Finder:
        """Finds a keras that cannot be imported."""

        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name == "keras":
                raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    for loaded in ("keras", "everyclass.integrations.keras"):
        monkeypatch.delitem(sys.modules, loaded, raising=False)
    monkeypatch.delattr(integrations, "keras", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    assert not hasattr(integrations, "keras")
    with pytest.raises(AttributeError, match=re.escape(said)):
        _ = integrations.keras
    with pytest.raises(MissingLibraryError, match=re.escape(said)):
        importlib.import_module("everyclass.integrations.keras")
