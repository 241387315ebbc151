"""Last layers of all sorts: found, proven, and replaced in the network's own class."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from everyclass import Features, Head, extract
from everyclass.errors import InputError
from everyclass.stages import Ensemble, fold_head

INPUTS = torch.randn(10, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(10) % 4
LOADER = [(INPUTS[:6], LABELS[:6]), (INPUTS[6:], LABELS[6:])]


class Net(nn.Module):
    """Trunk and ``fc``."""

    def __init__(self, fc: nn.Module, width: int = 5) -> None:
        super().__init__()
        self.trunk = nn.Linear(6, width)
        self.fc = fc

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.trunk(x).relu())
        return out


class Convolved(Net):
    """The last layer is a 1 × 1 convolution after pooling, as in BiT."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(5, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.trunk(x).relu()[:, :, None, None]).flatten(1)
        return out


class PerToken(Net):
    """The last layer is applied to every token and one is chosen, as in decoders."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__(nn.Linear(5, 4, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.stack([self.trunk(x + i).relu() for i in range(3)], dim=1)
        last = (x[:, 0] > 0).long() + 1
        out: Tensor = self.fc(tokens)[torch.arange(len(x)), last]
        return out


class Distilled(nn.Module):
    """Two last layers on different features, averaged, as in deit and levit."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(6, 3)
        self.head, self.head_dist = nn.Linear(5, 4), nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (self.head(self.a(x).relu()) + self.head_dist(self.b(x).relu())) / 2
        return out


class Normed(nn.Module):
    """A cosine layer with transposed weights, as long-tailed code has them."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(5, 4).uniform_(-1, 1))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * F.normalize(x) @ F.normalize(self.weight, dim=0)


class NormedLinear(nn.Linear):
    """A cosine layer that calls itself linear."""

    def forward(self, x: Tensor) -> Tensor:
        return 16 * F.linear(F.normalize(x), F.normalize(self.weight))


class Transposed(nn.Module):
    """A linear layer with transposed weights, as GPT-2's."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 4))
        self.bias = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


MODELS = {
    "linear": lambda: Net(nn.Linear(5, 4)),
    "no bias": lambda: Net(nn.Linear(5, 4, bias=False)),
    "square": lambda: Net(nn.Linear(4, 4), width=4),
    "convolution": Convolved,
    "per token": PerToken,
    "distilled": Distilled,
    "cosine": lambda: Net(Normed()),
    "scaled cosine": lambda: Net(Normed(20.0)),
    "cosine of nn.Linear": lambda: Net(NormedLinear(5, 4, bias=False)),
    "transposed": lambda: Net(Transposed()),
    "weight norm": lambda: Net(parametrizations.weight_norm(nn.Linear(5, 4))),
    "lazy": lambda: Net(nn.LazyLinear(4)),
}
COSINE = {"cosine": 1.0, "scaled cosine": 20.0, "cosine of nn.Linear": 16.0}


def made(name: str) -> nn.Module:
    torch.manual_seed(1)
    model: nn.Module = MODELS[name]()
    if name == "lazy":
        model(INPUTS)
    return model.eval()


def outputs(model: nn.Module) -> np.ndarray:
    with torch.no_grad():
        return model(INPUTS).float().numpy()  # type: ignore[no-any-return]


def other_head(found: Features, bias: bool = True) -> Head:
    draw = np.random.default_rng(0).normal
    assert found.head is not None
    offset = draw(size=4) if bias else np.zeros(4)
    return Head(draw(size=found.head.weight.shape), offset)


@pytest.mark.parametrize("name", MODELS)
def test_the_head_is_found_and_replaced(name: str) -> None:
    model = made(name)
    found = extract(model, LOADER)
    assert found.head is not None
    np.testing.assert_allclose(found.head.logits(found.features), outputs(model), atol=1e-5)
    assert found.head.kind == ("cosine" if name in COSINE else "linear")
    assert found.head.scale == pytest.approx(COSINE.get(name, 1.0))
    before = copy.deepcopy(model.state_dict())
    new = other_head(found)
    folded = fold_head(model, found.head, new)
    assert type(folded) is type(model)
    np.testing.assert_allclose(outputs(folded), new.logits(found.features), atol=1e-5)
    both = Ensemble(found.head, new, 1.5, 0.7)
    expected = both.logits(found.features)
    np.testing.assert_allclose(
        outputs(fold_head(model, found.head, both)), expected, rtol=1e-4, atol=1e-5
    )
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    "name", ["linear", "convolution", "per token", "distilled", "transposed", "lazy"]
)
def test_the_layer_keeps_its_class_and_names(name: str) -> None:
    model = made(name)
    found = extract(model, LOADER)
    assert found.head is not None
    new = other_head(found)
    folded = fold_head(model, found.head, new)
    assert [type(m) for m in folded.modules()] == [type(m) for m in model.modules()]
    again = made(name)
    again.load_state_dict(folded.state_dict())
    assert np.array_equal(outputs(again), outputs(folded))


@pytest.mark.parametrize("name", COSINE)
def test_a_cosine_layer_takes_a_cosine_head(name: str) -> None:
    model = made(name)
    found = extract(model, LOADER)
    assert found.head is not None
    weight = np.random.default_rng(0).normal(size=(4, 5))
    new = Head(weight, np.zeros(4), "cosine", found.head.scale)
    folded = fold_head(model, found.head, new)
    assert [type(m) for m in folded.modules()] == [type(m) for m in model.modules()]
    np.testing.assert_allclose(outputs(folded), new.logits(found.features), atol=1e-5)


def test_a_layer_that_computes_something_else_is_replaced() -> None:
    """As this library's own routed experts, whose weights are no head's."""
    from everyclass.nn import Classifier, RoutedExpertHead

    model = Classifier(nn.Linear(6, 6), RoutedExpertHead(2, 6, 4)).eval()
    draw = np.random.default_rng(0).normal
    old, new = (Head(draw(size=(4, 6)), np.zeros(4)) for _ in range(2))
    folded = fold_head(model, old, new)
    with torch.no_grad():
        expected = new.logits(model.backbone(INPUTS).numpy())
    np.testing.assert_allclose(outputs(folded), expected, atol=1e-5)


def test_the_ensemble_is_loaded_again() -> None:
    from everyclass.nn import EnsembleHead

    model = made("linear")
    found = extract(model, LOADER)
    assert found.head is not None
    folded = fold_head(model, found.head, Ensemble(found.head, other_head(found), 1.5, 0.7))
    again = made("linear")
    again.fc = EnsembleHead.empty(5, 4)
    again.load_state_dict(folded.state_dict())
    assert np.array_equal(outputs(again), outputs(folded))


def test_a_weight_that_another_layer_has_too_does_not_change_there() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(4, 6)
            self.fc = nn.Linear(6, 4, bias=False)
            self.fc.weight = self.table.weight

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.fc(x + self.table(x[:, 0].gt(0).long()))
            return out

    model = Tied().eval()
    found = extract(model, LOADER)
    assert found.head is not None
    new = other_head(found, bias=False)
    with pytest.warns(UserWarning, match="shares its weights with 'table'"):
        folded = fold_head(model, found.head, new)
    assert torch.equal(folded.table.weight, model.table.weight)
    np.testing.assert_allclose(outputs(folded), new.logits(found.features), atol=1e-5)


def test_a_bias_that_from_pretrained_would_lose() -> None:
    class Pretrained(Net):
        def save_pretrained(self) -> None: ...

    model = Pretrained(nn.Linear(5, 4, bias=False)).eval()
    found = extract(model, LOADER)
    assert found.head is not None
    with pytest.warns(UserWarning, match="from_pretrained would leave it out"):
        fold_head(model, found.head, other_head(found))
    folded = fold_head(model, found.head, other_head(found, bias=False))
    assert list(folded.state_dict()) == list(model.state_dict())


def test_of_two_layers_with_the_same_weights_one_is_named() -> None:
    class Copied(Net):
        def __init__(self) -> None:
            super().__init__(nn.Linear(5, 4))
            self.original = copy.deepcopy(self.fc)

    model = Copied().eval()
    found = extract(model, LOADER)
    assert found.head is not None
    new = other_head(found)
    with pytest.raises(InputError, match=r"2 layers \(fc, original\) .* layer='original'"):
        fold_head(model, found.head, new)
    folded = fold_head(model, found.head, new, layer="fc")
    np.testing.assert_allclose(outputs(folded), new.logits(found.features), atol=1e-5)


# --- half precision, wrappers, modes --------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", [5, 700])
def test_half_precision(dtype: torch.dtype, width: int) -> None:
    torch.manual_seed(0)
    model = Net(nn.Linear(width, 4), width).eval().to(dtype)
    found = extract(model, LOADER)  # the loader's inputs are float32
    assert found.features.dtype == np.float32
    assert found.head is not None
    expected = model(INPUTS.to(dtype)).detach().float().numpy()
    np.testing.assert_allclose(found.head.logits(found.features), expected, rtol=0.05, atol=0.05)
    new = other_head(found)
    folded = fold_head(model, found.head, new)
    assert {p.dtype for p in folded.parameters()} == {dtype}
    assert folded(INPUTS.to(dtype)).dtype == dtype
    both = fold_head(model, found.head, Ensemble(found.head, new, 1.0, 1.0))
    assert bool(torch.isfinite(both(INPUTS.to(dtype))).all())


def test_autocast() -> None:
    model = made("linear")
    with torch.autocast("cpu", torch.bfloat16):
        found = extract(model, LOADER)
    np.testing.assert_allclose(found.features, extract(model, LOADER).features, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_nearly_a_linear_layer_is_none(dtype: torch.dtype) -> None:
    """The proof has the tolerance of rounding, no more: a small adapter is noticed."""

    class Adapted(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            delta = torch.ones_like(self.weight) * 0.3 * self.weight.abs().mean()
            return F.linear(x, self.weight + delta, self.bias)

    torch.manual_seed(0)
    model = Net(Adapted(500, 4), 500).eval().to(dtype)
    with pytest.raises(InputError, match=r"layer 'fc', a Adapted, which is no linear or cosine"):
        extract(model, LOADER)


def test_wrappers_are_seen_through() -> None:
    model = made("linear").train()
    expected = extract(model, LOADER)
    assert expected.head is not None
    wrapped: list[Any] = [
        torch.compile(model, backend="eager"),
        nn.DataParallel(model),
        torch.compile(nn.DataParallel(model), backend="eager"),
    ]
    for wrapper in wrapped:
        found = extract(wrapper, LOADER)
        assert np.array_equal(found.features, expected.features)
        folded = fold_head(wrapper, expected.head, other_head(expected))
        assert type(folded) is Net
    assert model.training


def test_a_network_that_was_compiled_in_place() -> None:
    model = made("linear")
    expected = extract(model, LOADER)
    model.compile(backend="eager")
    model(INPUTS[:6])
    assert np.array_equal(extract(model, LOADER).features, expected.features)


def test_distributed_data_parallel(tmp_path: Any) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/gloo", rank=0, world_size=1)
    try:
        model = made("linear")
        wrapped = nn.parallel.DistributedDataParallel(model)
        assert np.array_equal(extract(wrapped, LOADER).features, extract(model, LOADER).features)
    finally:
        dist.destroy_process_group()


def test_weights_that_are_spread_over_processes(tmp_path: Any) -> None:
    import torch.distributed as dist
    from torch.distributed.fsdp import fully_shard

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/gloo", rank=0, world_size=1)
    try:
        mesh = dist.device_mesh.init_device_mesh("cpu", (1,))
        model = fully_shard(made("linear"), mesh=mesh)
        with pytest.raises(InputError, match="weights are spread over processes"):
            extract(model, LOADER)
    finally:
        dist.destroy_process_group()


def test_weights_on_no_device() -> None:
    with pytest.raises(InputError, match="device 'meta', which holds no numbers; load them"):
        extract(Net(nn.Linear(5, 4)).to("meta"), LOADER)


def test_what_is_cached_in_eval_mode_does_not_outlive_it() -> None:
    """Some networks cache what they compute in eval mode, and drop it in ``train``."""

    class Caching(Net):
        cached: Tensor | None = None

        def train(self, mode: bool = True) -> Caching:
            super().train(mode)
            self.cached = None if mode else self.cached
            return self

        def forward(self, x: Tensor) -> Tensor:
            if self.training or self.cached is None:
                self.cached = self.trunk.weight.sum()
            out: Tensor = self.fc(self.trunk(x) + self.cached)
            return out

    model = Caching(nn.Linear(5, 4)).train()
    extract(model, LOADER)
    assert model.cached is None
    model.eval()
    extract(model, LOADER)
    model.fc(model.trunk(INPUTS) + model.cached).sum().backward()  # and can be learned from
