"""Heads that are computed from features, against loops over classes and images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from everyclass import Features, Head, get_method
from everyclass.errors import InputError
from everyclass.training import HeadRecipe

COUNTS = [6, 3, 1]
DRAW = np.random.default_rng(0)
OTHERS = DRAW.normal(size=(7, 4)).astype(np.float32)  # features of other images


def some_features(head: Head | None, views: int = 1) -> Features:
    labels = np.repeat([0, 1, 2], COUNTS)
    draw = np.random.default_rng(1)
    vectors = draw.normal(size=(views, len(labels), 4)) + 2 * labels[:, None] + 1
    return Features(vectors.astype(np.float32), labels, head)


def a_head(classes: int = 3) -> Head:
    draw = np.random.default_rng(2)
    lengths = np.arange(1, classes + 1)[:, None]
    return Head(lengths * draw.normal(size=(classes, 4)), draw.normal(size=classes))


def recipe_of(name: str) -> HeadRecipe:
    recipe = get_method(name)
    assert isinstance(recipe, HeadRecipe)
    return recipe


def said_by(module: nn.Module) -> np.ndarray:
    return module(torch.from_numpy(OTHERS)).detach().numpy()


@pytest.mark.parametrize(("given", "tau"), [({}, 1.0), ({"tau": 0.7}, 0.7), ({"tau": 0.0}, 0.0)])
def test_tau_norm_divides_weights_by_their_length_and_drops_the_bias(
    given: dict[str, float], tau: float
) -> None:
    head = a_head()
    found = said_by(recipe_of("tau-norm").fit(some_features(head), **given))
    for i, feature in enumerate(OTHERS):
        for c, weight in enumerate(head.weight):
            length = sum(float(w) ** 2 for w in weight) ** 0.5
            expected = sum(float(w) * float(x) for w, x in zip(weight, feature, strict=True))
            assert found[i, c] == pytest.approx(expected / length**tau, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("given", "tau"), [({}, 1.0), ({"tau": 0.5}, 0.5)])
def test_logit_adjustment_takes_the_log_frequency_from_each_logit(
    given: dict[str, float], tau: float
) -> None:
    head = a_head()
    found = said_by(recipe_of("logit-adjustment").fit(some_features(head), **given))
    for i, feature in enumerate(OTHERS):
        for c, n in enumerate(COUNTS):
            old = float(head.bias[c]) + float(head.weight[c].astype(float) @ feature)
            assert found[i, c] == pytest.approx(old - tau * np.log(n / 10), rel=1e-4, abs=1e-5)


def test_ncm_answers_with_the_nearest_mean_of_centred_images_of_length_one() -> None:
    """Of the first view; a class without images is at the centre."""
    train = some_features(a_head(classes=4), views=2)
    images = train.features[0].astype(float)
    centre = sum(images) / len(images)

    def at_length_one(x: np.ndarray) -> np.ndarray:
        return (x - centre) / np.linalg.norm(x - centre)

    found = said_by(recipe_of("ncm").fit(train))
    for i, feature in enumerate(OTHERS):
        for c in range(4):
            own = [at_length_one(x) for x, y in zip(images, train.labels, strict=True) if y == c]
            mean = sum(own) / len(own) if own else np.zeros(4)
            distance = sum((at_length_one(feature) - mean) ** 2)
            assert found[i, c] == pytest.approx(1 - distance, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", ["tau-norm", "logit-adjustment"])
def test_what_has_no_linear_head_is_refused(name: str) -> None:
    cosine = Head(a_head().weight, np.zeros(3), "cosine", 30.0)
    for head in (None, cosine):
        with pytest.raises(InputError, match="needs the network's own linear head"):
            recipe_of(name).fit(some_features(head))


def test_logit_adjustment_needs_images_of_every_class() -> None:
    with pytest.raises(InputError, match=r"needs training images of every class; .* has none"):
        recipe_of("logit-adjustment").fit(some_features(a_head(classes=4)))
