"""Handing back a network of the user's own: same type, same names, new last layer."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from gaussians import Gaussians
from torch import Tensor, nn

from everyclass import Features, Head, RescueResult, Retraining, extract, rescue
from everyclass.errors import InputError
from everyclass.nn import Classifier, CosineHead, EnsembleHead
from everyclass.stages import fold_head

CLASSES = Gaussians(4, 6, spread=0.8)


class Network(nn.Module):
    """What a user has: a class of their own, the last layer deep inside."""

    def __init__(self, head: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.ReLU())
        self.tail = nn.ModuleDict({"classifier": head or nn.Linear(9, 4)})

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.tail["classifier"](self.trunk(x))
        return out


def loader_of(images: Features) -> list[tuple[Tensor, Tensor]]:
    return [(torch.from_numpy(images.features), torch.from_numpy(images.labels))]


def rescue_of(model: nn.Module) -> tuple[RescueResult, Features]:
    train = extract(model, loader_of(CLASSES.draw([80, 30, 12, 6], seed=1)))
    val = extract(model, loader_of(CLASSES.draw([20] * 4, seed=2)))
    return rescue(train, val=val, retraining=Retraining(penalty=1e-2)), val


@pytest.fixture(scope="module")
def model() -> Network:
    return Network().eval()


@pytest.fixture(scope="module")
def rescued(model: Network) -> tuple[RescueResult, Features]:
    return rescue_of(model)


INPUTS = torch.from_numpy(CLASSES.draw([5] * 4, seed=3).features)


def outputs(model: nn.Module) -> np.ndarray:
    with torch.no_grad():
        return model(INPUTS).numpy()  # type: ignore[no-any-return]


def features_of(model: Network) -> np.ndarray:
    with torch.no_grad():
        return model.trunk(INPUTS).numpy()  # type: ignore[no-any-return]


def test_the_retrained_head_takes_the_old_ones_place(
    model: Network, rescued: tuple[RescueResult, Features]
) -> None:
    result, _ = rescued
    before = copy.deepcopy(model.state_dict())
    new = result.to_module(model, "retrained")
    assert type(new) is Network
    assert list(new.state_dict()) == list(model.state_dict())
    expected = result.retrained.logits(features_of(model))
    np.testing.assert_allclose(outputs(new), expected, rtol=1e-4, atol=1e-5)
    for name, tensor in new.state_dict().items():  # and nothing but the head has changed
        assert torch.equal(tensor, before[name]) == (not name.startswith("tail.classifier."))


def test_the_original_stays_as_it_was(
    model: Network, rescued: tuple[RescueResult, Features]
) -> None:
    before = copy.deepcopy(model.state_dict())
    layer = model.tail["classifier"]
    for which in ("old", "retrained", "ensemble"):
        new = rescued[0].to_module(model, which)  # type: ignore[arg-type]
        with torch.no_grad():
            for parameter in new.parameters():
                parameter.zero_()
    assert model.tail["classifier"] is layer
    assert all(torch.equal(model.state_dict()[k], before[k]) for k in before)


def test_the_ensemble_is_one_layer(model: Network, rescued: tuple[RescueResult, Features]) -> None:
    result, _ = rescued
    new = result.to_module(model, "ensemble")
    assert type(new) is Network
    assert isinstance(new.tail["classifier"], EnsembleHead)
    expected = result.ensemble.logits(features_of(model))
    np.testing.assert_allclose(outputs(new), expected, rtol=1e-4, atol=1e-5)


def test_the_old_one_is_a_copy(model: Network, rescued: tuple[RescueResult, Features]) -> None:
    new = rescued[0].to_module(model, "old")
    assert new is not model
    assert np.array_equal(outputs(new), outputs(model))


def test_by_default_the_recommended_one(
    model: Network, rescued: tuple[RescueResult, Features]
) -> None:
    result, _ = rescued
    assert np.array_equal(
        outputs(result.to_module(model)), outputs(result.to_module(model, result.verdict.use))
    )


def test_the_predictions_of_the_module_are_those_that_were_judged(
    model: Network, rescued: tuple[RescueResult, Features]
) -> None:
    result, val = rescued
    images = torch.from_numpy(CLASSES.draw([20] * 4, seed=2).features)
    for which in ("old", "retrained", "ensemble"):
        with torch.no_grad():
            said = result.to_module(model, which)(images)  # type: ignore[arg-type]
        assert said.argmax(dim=1).tolist() == result.predict(val, which).top.tolist()  # type: ignore[arg-type]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("which", ["retrained", "ensemble"])
def test_mode_and_type_are_kept(
    which: str, training: bool, rescued: tuple[RescueResult, Features]
) -> None:
    model = Network().train(training).double()
    new = rescued[0].to_module(model, which)  # type: ignore[arg-type]
    assert {m.training for m in new.modules()} == {training}
    assert {p.dtype for p in new.parameters()} == {torch.float64}


def test_the_new_layer_can_be_trained(
    model: Network, rescued: tuple[RescueResult, Features]
) -> None:
    for which in ("retrained", "ensemble"):
        new = rescued[0].to_module(model, which)  # type: ignore[arg-type]
        new(INPUTS).square().sum().backward()
        layer = new.tail["classifier"]  # type: ignore[index]
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())


def test_a_layer_without_bias() -> None:
    model = Network(nn.Linear(9, 4, bias=False)).eval()
    result, _ = rescue_of(model)
    assert list(result.to_module(model, "old").state_dict()) == list(model.state_dict())
    new = result.to_module(model, "retrained")
    expected = result.retrained.logits(features_of(model))
    np.testing.assert_allclose(outputs(new), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("which", ["old", "retrained", "ensemble"])
def test_a_cosine_layer(which: str) -> None:
    torch.manual_seed(1)
    model = Network(CosineHead(9, 4, scale=8.0)).eval()
    result, _ = rescue_of(model)
    assert result.old.kind == "cosine"
    new = result.to_module(model, which)  # type: ignore[arg-type]
    expected = result.classifier(which).logits(features_of(model))  # type: ignore[arg-type]
    np.testing.assert_allclose(outputs(new), expected, rtol=1e-4, atol=1e-5)


def test_a_cosine_layer_with_an_offset_per_class() -> None:
    torch.manual_seed(1)
    model = Network(CosineHead(9, 4, scale=8.0)).eval()
    train = extract(model, loader_of(CLASSES.draw([80, 30, 12, 6], seed=1)))
    val = extract(model, loader_of(CLASSES.draw([20] * 4, seed=2)))
    result = rescue(train, val=val, strategy="bias")
    new = result.to_module(model, "retrained")
    expected = result.retrained.logits(features_of(model))
    assert result.retrained.bias.any()
    np.testing.assert_allclose(outputs(new), expected, rtol=1e-4, atol=1e-4)
    again = extract(new, loader_of(CLASSES.draw([20] * 4, seed=2)))  # which finds the layer
    assert again.head is not None
    np.testing.assert_allclose(again.head.bias, result.retrained.bias, rtol=1e-6)


def test_a_network_that_is_nothing_but_its_last_layer() -> None:
    layer = nn.Linear(6, 4)
    result, _ = rescue_of(layer)
    new = result.to_module(layer, "retrained")
    assert type(new) is nn.Linear
    expected = result.retrained.logits(INPUTS.numpy())
    np.testing.assert_allclose(outputs(new), expected, rtol=1e-4, atol=1e-5)


def test_tied_weights_are_untied_and_that_is_said() -> None:
    model = Network().eval()
    model.words = nn.Embedding(4, 9)
    model.words.weight = model.tail["classifier"].weight
    result, _ = rescue_of(model)
    with pytest.warns(UserWarning, match="shares its weights with 'words'.* untie them there"):
        new = result.to_module(model, "retrained")
    assert torch.equal(new.words.weight, model.words.weight)
    assert not torch.equal(new.words.weight, new.tail["classifier"].weight)
    np.testing.assert_allclose(
        outputs(new), result.retrained.logits(features_of(model)), rtol=1e-4, atol=1e-5
    )


class Named(Network):
    """A last layer with two names, of which ``forward`` takes the second."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = nn.Sequential(nn.Dropout(), self.tail["classifier"])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.answer(self.trunk(x))
        return out


@pytest.mark.parametrize("which", ["retrained", "ensemble"])
def test_a_layer_is_replaced_under_all_of_its_names(which: Any) -> None:
    model = Named().eval()
    result, _ = rescue_of(model)
    new = result.to_module(model, which)
    expected = result.classifier(which).logits(features_of(model))
    np.testing.assert_allclose(outputs(new), expected, rtol=1e-4, atol=1e-5)
    assert new.answer[1] is new.tail["classifier"]


class Scaled(nn.Linear):
    """A layer of a user's own that holds another one, which shares nothing with others."""

    def __init__(self) -> None:
        super().__init__(9, 4)
        self.before = nn.LayerNorm(9, elementwise_affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


def test_a_layer_with_layers_in_it_keeps_its_type() -> None:
    model = Network(Scaled()).eval()
    result, _ = rescue_of(model)
    assert type(result.to_module(model, "retrained").tail["classifier"]) is Scaled


def test_another_network_is_refused(rescued: tuple[RescueResult, Features]) -> None:
    torch.manual_seed(5)
    for other in (Network(nn.Linear(9, 4)), Network(nn.Linear(9, 5)), nn.Sequential(nn.ReLU())):
        with pytest.raises(InputError, match="no layer with the old head's weights; pass"):
            rescued[0].to_module(other)


def test_two_layers_of_the_same_weights_are_named() -> None:
    layer = nn.Linear(4, 4)
    model = nn.Sequential(layer, nn.ReLU(), copy.deepcopy(layer))
    head = Head(layer.weight.detach().numpy(), layer.bias.detach().numpy())
    with pytest.raises(InputError, match=r"has 2 layers \(0, 2\) with the old head's weights"):
        fold_head(model, head, head)


def test_a_layer_that_is_named_has_to_be_one_of_them(
    model: Network, rescued: tuple[RescueResult, Features]
) -> None:
    with pytest.raises(
        InputError,
        match=r"No layer 'tail.clasifier' has .* did you mean 'tail.classifier'\? Those that have",
    ):
        rescued[0].to_module(model, layer="tail.clasifier")
    with pytest.raises(InputError, match=r"No layer 'trunk.0' has .* them: 'tail.classifier'\."):
        rescued[0].to_module(model, layer="trunk.0")  # there, and of other weights
    named = rescued[0].to_module(model, "retrained", layer="tail.classifier")
    assert np.array_equal(outputs(named), outputs(rescued[0].to_module(model, "retrained")))
    layer = nn.Linear(4, 4)
    twice = nn.Sequential(layer, nn.ReLU(), copy.deepcopy(layer))
    head = Head(layer.weight.detach().numpy(), layer.bias.detach().numpy())
    with pytest.raises(InputError, match=r"No layer 'last' has .* them: '0', '2'\."):
        fold_head(twice, head, head, layer="last")


def test_this_librarys_own_networks() -> None:
    torch.manual_seed(0)
    model = Classifier(nn.Linear(6, 5), nn.Linear(5, 4)).eval()
    result, _ = rescue_of(model)
    new = result.to_module(model, "ensemble")
    assert isinstance(new, Classifier)
    assert isinstance(new.head, EnsembleHead)
