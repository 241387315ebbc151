"""Last layers as modules: each equals what the head or the ensemble computes from arrays."""

from __future__ import annotations

import copy
import pickle
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from everyclass import Ensemble, Features, Head
from everyclass.errors import InputError
from everyclass.methods import ncm
from everyclass.nn import (
    Classifier,
    CosineHead,
    EnsembleHead,
    ExpertHead,
    NearestMeanHead,
    RoutedExpertHead,
    ScaledLinear,
    head_of_module,
    module_of_head,
    proven_head,
)
from everyclass.stages import fold_head

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


def test_under_autocast_in_float16_an_ensemble_has_no_infinity() -> None:
    features = torch.from_numpy(some_features())
    features *= 300 / features.norm(dim=1, keepdim=True)
    for kind in KINDS:
        layer = EnsembleHead(a_head(1), a_head(2, kind), t_old=0.1, t_new=0.1)
        with torch.autocast("cpu", torch.float16):
            found = layer(features.half())
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, layer(features), rtol=1e-2, atol=1.0)
        assert layer.half()(features.half()).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_features_of_zeros_are_a_number_in_every_precision(dtype: torch.dtype) -> None:
    nothing = torch.zeros(2, 7, dtype=dtype)
    nearest = NearestMeanHead(7, 5)
    nearest.set_means(torch.zeros(7), torch.ones(5, 7))
    ensemble = EnsembleHead(a_head(1), a_head(2, "cosine"), t_old=1.0, t_new=1.0)
    for layer in (CosineHead(7, 5), ensemble, nearest):
        found = layer.to(dtype)(nothing)
        assert found.dtype == dtype
        assert found.isfinite().all()


def test_heads_compute_shapes_without_values() -> None:
    features = torch.zeros(3, 8, device="meta")
    ensemble = EnsembleHead(a_head(1, width=8), a_head(2, "cosine", width=8), 1.0, 1.0)
    heads = [
        CosineHead(8, 5),
        ensemble,
        NearestMeanHead(8, 5),
        ExpertHead(2, 8, 5),
        RoutedExpertHead(2, 8, 5),
    ]
    for head in heads:
        assert head.to("meta")(features).shape == (3, 5)
        assert Classifier(nn.Identity(), head)(features).shape == (3, 5)


@pytest.mark.parametrize("kind", KINDS)
def test_making_a_module_of_a_head_draws_nothing(kind: str) -> None:
    before = torch.get_rng_state()
    module_of_head(a_head(1, kind))
    routed = RoutedExpertHead(2, 8, 5)
    between = torch.get_rng_state()
    assert routed.of_all().weight is routed.weight
    assert torch.equal(torch.get_rng_state(), between)
    torch.set_rng_state(before)
    module_of_head(a_head(1, kind))
    assert torch.equal(torch.get_rng_state(), before)


def test_another_default_device_does_not_matter() -> None:
    layer = ExpertHead(2, 8, 5)
    plain = nn.Linear(7, 5, bias=False)
    inputs = torch.from_numpy(some_features())
    with torch.device("meta"):  # as torch.set_default_device does
        assert EnsembleHead.empty(7, 5, cosine=(True, False)).weight.device.type == "cpu"
        assert head_of_module(layer) is not None
        assert isinstance(ncm.fit(Features(inputs.numpy(), [0, 1, 2, 3] * 2 + [4] * 3)), nn.Module)
        assert proven_head(Matrix(plain.weight), inputs, inputs @ plain.weight.T) is not None


class Matrix(nn.Module):
    """A layer of somebody else's."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight


def test_networks_with_our_heads_are_traced_by_fx() -> None:
    network = nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 5)).eval()
    old = head_of_module(network[2])
    assert old is not None
    both = Ensemble(old, a_head(2, "cosine"), 1.2, 0.8)
    images = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    traced = [fold_head(network, old, both)]
    for head in (CosineHead(6, 5), ExpertHead(2, 6, 5), EnsembleHead.empty(6, 5)):
        traced += [nn.Sequential(head), Classifier(nn.Identity(), head)]
    for model in traced:
        graph = torch.fx.symbolic_trace(model)
        torch.testing.assert_close(graph(images), model(images))


def test_no_row_proves_nothing() -> None:
    layer = nn.Linear(7, 5)
    with pytest.raises(InputError, match="No row has gone through the last layer"):
        proven_head(layer, torch.zeros(0, 7), torch.zeros(0, 5))


def test_a_state_is_not_loaded_into_a_head_that_was_set_up_otherwise(tmp_path: Path) -> None:
    def ensemble(cosine: bool) -> EnsembleHead:
        return EnsembleHead.empty(4, 3, cosine=(False, cosine))

    for made, other, said in (
        (CosineHead(4, 3, scale=16), CosineHead(4, 3), "scale is 16.0 in the state and 30.0 in"),
        (ExpertHead(2, 4, 3, scale=16), ExpertHead(2, 4, 3), "scale is 16.0 in the state"),
        (ensemble(True), ensemble(False), r"cosine is \(False, True\) in the state"),
    ):
        model, others = Classifier(nn.Identity(), made), Classifier(nn.Identity(), other)
        torch.save(model.state_dict(), tmp_path / "state.pt")
        state = torch.load(tmp_path / "state.pt", weights_only=True)
        for strict in (True, False):
            with pytest.raises(RuntimeError, match=f"head.{said}"):
                others.load_state_dict(state, strict=strict)
        model.load_state_dict(state)
        others.load_state_dict(dict(state))  # of which nothing is known but the weights
        assert list(state) == [f"head.{name}" for name, _ in made.named_parameters()]
