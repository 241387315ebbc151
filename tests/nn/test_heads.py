"""Last layers as modules: each equals what the head or the ensemble computes from arrays."""

from __future__ import annotations

import copy
import pickle
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from everyclass import Ensemble, Head
from everyclass.nn import (
    Classifier,
    CosineHead,
    EnsembleHead,
    NearestMeanHead,
    ScaledLinear,
    head_of_module,
    module_of_head,
)

KINDS = ("linear", "cosine")


def a_head(seed: int, kind: str = "linear", classes: int = 5, width: int = 7) -> Head:
    generator = np.random.default_rng(seed)
    weight = generator.normal(size=(classes, width)).astype(np.float32)
    if kind == "cosine":
        return Head(weight, np.zeros(classes, dtype=np.float32), "cosine", 16.0)
    return Head(weight, generator.normal(size=classes).astype(np.float32))


def some_features(n: int = 11, width: int = 7) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(n, width)).astype(np.float32)


def slow_logits(head: Head, features: np.ndarray) -> np.ndarray:
    """Logits in float64, one number at a time."""
    out = np.empty((len(features), head.num_classes))
    for i, f in enumerate(features.astype(np.float64)):
        for c, w in enumerate(head.weight.astype(np.float64)):
            if head.kind == "cosine":
                out[i, c] = head.scale * (f @ w) / (np.linalg.norm(f) * np.linalg.norm(w))
            else:
                out[i, c] = f @ w
            out[i, c] += float(head.bias[c])
    return out


def slow_softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    e = np.exp(logits / temperature)
    return e / e.sum(axis=1, keepdims=True)


def test_cosine_head_is_a_scaled_cosine() -> None:
    torch.manual_seed(0)
    layer = CosineHead(7, 5, scale=16.0)
    head = head_of_module(layer)
    assert head is not None
    features = some_features()
    expected = slow_logits(head, features)
    assert np.allclose(layer(torch.from_numpy(features)).detach(), expected, atol=1e-4)
    assert np.abs(expected).max() <= 16.0
    # The length of a feature says nothing.
    longer = layer(torch.from_numpy(features * 100)).detach()
    assert np.allclose(longer, expected, atol=1e-3)


@pytest.mark.parametrize(("old_kind", "new_kind"), list(product(KINDS, KINDS)))
def test_ensemble_head_is_the_log_of_equation_11(old_kind: str, new_kind: str) -> None:
    old, new = a_head(1, old_kind), a_head(2, new_kind)
    features = some_features()
    layer = EnsembleHead(old, new, t_old=1.7, t_new=0.6).double()
    p = (
        slow_softmax(slow_logits(old, features), 1.7)
        + slow_softmax(slow_logits(new, features), 0.6)
    ) / 2
    said = layer(torch.from_numpy(features).double()).detach().numpy()
    np.testing.assert_allclose(said, np.log(p), rtol=1e-5, atol=1e-6)
    # Which are log-probabilities, and what the array form says.
    np.testing.assert_allclose(np.exp(said).sum(axis=1), 1, rtol=1e-12)
    from_arrays = Ensemble(old, new, 1.7, 0.6).logits(features)
    np.testing.assert_allclose(said, from_arrays, rtol=1e-4, atol=1e-5)


def test_ensemble_head_survives_huge_logits() -> None:
    old, new = a_head(1), a_head(2)
    layer = EnsembleHead(old, new, t_old=1.0, t_new=1.0)
    said = layer(torch.from_numpy(some_features()) * 1e4)
    assert torch.isfinite(said).all()
    assert (said <= 1e-6).all()


def test_ensemble_head_can_be_saved_copied_and_moved() -> None:
    layer = EnsembleHead(a_head(1), a_head(2, "cosine"), t_old=2.0, t_new=1.0)
    x = torch.from_numpy(some_features())
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x), layer(x))
    empty = EnsembleHead(a_head(3), a_head(4, "cosine"), t_old=1.0, t_new=1.0)
    empty.load_state_dict(layer.state_dict())
    assert torch.equal(empty(x), layer(x))
    assert layer.in_features == 7
    assert layer.out_features == 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_survives_the_way_through_a_module(kind: str) -> None:
    head = a_head(3, kind)
    module = module_of_head(head)
    assert isinstance(module, nn.Linear if kind == "linear" else CosineHead)
    back = head_of_module(module)
    assert back is not None
    assert (back.kind, back.scale) == (head.kind, head.scale)
    assert np.array_equal(back.weight, head.weight)
    assert np.array_equal(back.bias, head.bias)
    features = some_features()
    said = module(torch.from_numpy(features)).detach().numpy()
    np.testing.assert_allclose(said, head.logits(features), rtol=1e-5, atol=1e-5)


def test_a_layer_without_bias_has_a_bias_of_zero() -> None:
    layer = nn.Linear(7, 5, bias=False)
    head = head_of_module(layer)
    assert head is not None
    assert not head.bias.any()
    assert np.array_equal(head.weight, layer.weight.detach().numpy())


def test_half_precision_layers_are_read_exactly() -> None:
    layer = nn.Linear(7, 5).bfloat16()
    head = head_of_module(layer)
    assert head is not None
    assert head.weight.dtype == np.float32
    assert torch.equal(torch.from_numpy(head.weight).bfloat16(), layer.weight)


@pytest.mark.parametrize("module", [nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Embedding(5, 7)])
def test_other_layers_are_no_heads(module: nn.Module) -> None:
    assert head_of_module(module) is None


def test_a_cosine_head_has_a_bias_where_offsets_left_one() -> None:
    plain, shifted = a_head(3, "cosine"), a_head(3, "cosine")
    assert "bias" not in module_of_head(plain).state_dict()
    shifted = Head(shifted.weight, np.arange(5.0), "cosine", shifted.scale)
    module = module_of_head(shifted)
    features = some_features()
    said = module(torch.from_numpy(features)).detach().numpy()
    np.testing.assert_allclose(said, slow_logits(shifted, features), rtol=1e-5, atol=1e-4)
    back = head_of_module(module)
    assert back is not None
    assert np.array_equal(back.bias, shifted.bias)


def test_a_scaled_layer_is_a_linear_head_with_longer_rows() -> None:
    torch.manual_seed(0)
    layer = ScaledLinear(7, 5)
    features = torch.from_numpy(some_features())
    plain = nn.Linear(7, 5)
    plain.load_state_dict({k: v for k, v in layer.state_dict().items() if k != "scale"})
    assert torch.equal(layer(features), plain(features))  # scales are one at first
    with torch.no_grad():
        layer.scale.copy_(torch.tensor([0.5, 1.0, 2.0, -1.0, 0.0]))
    head = head_of_module(layer)
    assert head is not None
    assert head.kind == "linear"
    np.testing.assert_allclose(
        layer(features).detach().numpy(), head.logits(features.numpy()), atol=1e-5
    )
    expected = plain(features) * layer.scale
    torch.testing.assert_close(layer(features), expected)  # the bias is scaled too


def test_the_nearest_mean_is_nearest() -> None:
    generator = np.random.default_rng(1)
    layer = NearestMeanHead(7, 5)
    centre, means = generator.normal(size=7), generator.normal(size=(5, 7))
    layer.set_means(torch.from_numpy(centre), torch.from_numpy(means))
    features = some_features()
    logits = layer(torch.from_numpy(features)).detach().numpy()
    for feature, row in zip(features, logits, strict=True):
        normed = (feature - centre) / np.linalg.norm(feature - centre)
        distances = [float(((normed - mean) ** 2).sum()) for mean in means]
        np.testing.assert_allclose(1 - row, distances, rtol=1e-4, atol=1e-5)


def test_the_nearest_mean_is_a_linear_head_of_what_it_is_nearest_to() -> None:
    model = Classifier(nn.Linear(3, 7), NearestMeanHead(7, 5)).eval()
    draw = torch.Generator().manual_seed(0)
    model.head.set_means(torch.randn(7, generator=draw), torch.randn(5, 7, generator=draw))
    images = torch.randn(6, 3, generator=draw)
    head = head_of_module(model.last_layer)
    assert head is not None
    with torch.no_grad():
        np.testing.assert_allclose(
            head.logits(model.embed(images).numpy()), model(images).numpy(), atol=1e-5
        )
