"""The fused layer against torch's three layers in float64, and without a compiler."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from everyclass.nn import BatchNormReLU
from everyclass.nn._kernels import CHANNELS


def inputs(
    channels: int, *, shortcut: bool, dtype: torch.dtype = torch.bfloat16, mean: float = 1
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(channels)
    shape = (6, channels, 9, 13)  # rows that fill no block of the kernel
    made = [torch.randn(shape, generator=generator) * 2 + mean for _ in range(1 + shortcut)]
    return [m.to(dtype, memory_format=torch.channels_last) for m in made]


def layer(channels: int) -> BatchNormReLU:
    generator = torch.Generator().manual_seed(1)
    made = BatchNormReLU(channels)
    with torch.no_grad():
        made.weight.uniform_(0.5, 2, generator=generator)
        made.bias.normal_(generator=generator)
    return made


def outcome(norm: nn.Module, values: list[Tensor], upstream: Tensor) -> list[Tensor]:
    leaves = [v.clone().requires_grad_() for v in values]
    y = norm(*leaves)
    wanted = [*leaves, *norm.parameters()]
    return [y.detach(), *torch.autograd.grad(y, wanted, upstream.to(y.dtype))]


@pytest.mark.parametrize("channels", [*CHANNELS, 20])
@pytest.mark.parametrize("shortcut", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 2e-2), (torch.float32, 1e-5)])
def test_it_is_batch_norm_plus_shortcut_then_relu(
    channels: int, shortcut: bool, dtype: torch.dtype, tolerance: float
) -> None:
    values = inputs(channels, shortcut=shortcut, dtype=dtype)
    norm = layer(channels)
    exact = copy.deepcopy(norm).double()
    sure = exact(*[v.double() for v in values]).detach()
    exact.load_state_dict({k: v.double() for k, v in norm.state_dict().items()})
    # Where rounding decides whether ReLU passes, the two may differ: no gradient comes from there.
    upstream = torch.randn(sure.shape, dtype=torch.float64) * ((sure == 0) | (sure > 0.05))
    found = outcome(norm, values, upstream)
    expected = outcome(exact, [v.double() for v in values], upstream)
    for a, b in zip(found, expected, strict=True):
        scale = float(b.abs().max())
        torch.testing.assert_close(a.double(), b, rtol=tolerance, atol=tolerance * scale)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(
            getattr(norm, name).double(), getattr(exact, name), rtol=1e-4, atol=1e-5
        )
    assert int(norm.num_batches_tracked) == 1


def test_a_mean_far_from_zero_costs_no_digits() -> None:
    values = inputs(16, shortcut=False, dtype=torch.float32, mean=3000)
    found = layer(16)(*values)
    sure = layer(16).double()(*[v.double() for v in values])
    torch.testing.assert_close(found.double(), sure, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_no_number_stays_visible(dtype: torch.dtype) -> None:
    values = inputs(16, shortcut=False, dtype=dtype)
    for wrong in (torch.nan, torch.inf):
        values[0][1, 3, 0, 0] = wrong
        norm = layer(16)
        assert norm(*values)[:, 3].isnan().all()
        assert norm.running_var[3].isnan()


def test_evaluation_in_float32_and_float64_are_exactly_torchs() -> None:
    norm = layer(16)
    plain = nn.BatchNorm2d(16)
    plain.load_state_dict(norm.state_dict())
    for training, dtype in ((False, torch.float32), (True, torch.float64)):
        norm.train(training).to(dtype)
        plain.train(training).to(dtype)
        x, shortcut = (v.to(dtype) for v in inputs(16, shortcut=True))
        assert torch.equal(norm(x, shortcut), torch.relu(plain(x) + shortcut))


@pytest.mark.parametrize("channels", [*CHANNELS, 20])
@pytest.mark.parametrize("shortcut", [False, True])
@torch.no_grad()
def test_evaluation_in_bfloat16_is_as_near_to_the_truth_as_torchs(
    channels: int, shortcut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    norm = layer(channels)
    norm(*inputs(channels, shortcut=shortcut, dtype=torch.float32))  # statistics of its own
    norm.eval()
    values = inputs(channels, shortcut=shortcut)
    sure = copy.deepcopy(norm).double()(*[v.double() for v in values])
    found = norm(*values)
    monkeypatch.setattr("everyclass.nn.batch_norm_relu.compiled_kernel", lambda source: None)
    plain = norm(*values)
    assert found.dtype == plain.dtype == torch.bfloat16
    assert (found - sure).abs().mean() <= 1.01 * (plain - sure).abs().mean()


def test_gradients_pass_in_evaluation() -> None:
    values = inputs(16, shortcut=True)
    norm = layer(16).eval()
    plain = nn.BatchNorm2d(16)
    plain.load_state_dict(norm.state_dict())
    leaf = values[0].clone().requires_grad_()
    (found,) = torch.autograd.grad(norm(leaf, values[1]).sum(), leaf)
    (sure,) = torch.autograd.grad(torch.relu(plain.eval()(leaf) + values[1]).sum(), leaf)
    assert torch.equal(found, sure)


def test_without_a_compiler_it_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = inputs(16, shortcut=True)
    upstream = (layer(16)(*values) > 0.05).float()
    monkeypatch.setattr("everyclass.nn.batch_norm_relu.compiled_kernel", lambda source: None)
    upstream *= (layer(16)(*values) > 0.05).float()  # where both let the gradient pass
    monkeypatch.undo()
    with_kernel = outcome(layer(16), values, upstream)
    monkeypatch.setattr("everyclass.nn.batch_norm_relu.compiled_kernel", lambda source: None)
    without = outcome(layer(16), values, upstream)
    for a, b in zip(with_kernel, without, strict=True):
        torch.testing.assert_close(a, b, rtol=5e-2, atol=5e-2 * float(b.abs().max()))


# --- what the kernel must not be given ------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@torch.no_grad()
def test_a_layer_in_bfloat16_is_torchs(training: bool) -> None:
    norm, plain = layer(64).bfloat16(), nn.BatchNorm2d(64).bfloat16()
    plain.load_state_dict(norm.state_dict())
    x, shortcut = inputs(64, shortcut=True)
    found, sure = norm.train(training)(x, shortcut), plain.train(training)(x)
    assert torch.equal(found, torch.relu(sure + shortcut))


@pytest.mark.parametrize("name", ["weight", "bias", "running_mean", "running_var"])
@torch.no_grad()
def test_parameters_and_statistics_of_two_types_are_refused_as_torch_does(name: str) -> None:
    norm = layer(64).eval()
    getattr(norm, name).data = getattr(norm, name).data.bfloat16()
    with pytest.raises(RuntimeError, match=r"scalar type|mixed dtype"):
        norm(*inputs(64, shortcut=True))


LAYERS: dict[str, dict[str, Any]] = {
    "parameters": {"affine": False},
    "momentum": {"momentum": None},
    "running statistics": {"track_running_stats": False},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("lacks", LAYERS)
@torch.no_grad()
def test_a_layer_that_lacks_something_is_torchs(
    lacks: str, training: bool, dtype: torch.dtype
) -> None:
    norm, plain = (
        kind(16, **LAYERS[lacks]).train(training) for kind in (BatchNormReLU, nn.BatchNorm2d)
    )
    x, shortcut = inputs(16, shortcut=True, dtype=dtype)
    for _ in range(2):  # momentum None is the mean of all batches
        assert torch.equal(norm(x, shortcut), torch.relu(plain(x) + shortcut))
    assert all(map(torch.equal, norm.state_dict().values(), plain.state_dict().values()))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(16, 1, 1), (1, 16, 9, 13), (6, 16, 9, 1), ()])
@torch.no_grad()
def test_a_shortcut_that_torch_broadcasts_is_torchs(shape: tuple[int, ...], training: bool) -> None:
    norm, plain = layer(16).train(training), nn.BatchNorm2d(16).train(training)
    plain.load_state_dict(norm.state_dict())
    x = inputs(16, shortcut=False)[0]
    shortcut = torch.randn(shape, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert torch.equal(norm(x, shortcut), torch.relu(plain(x) + shortcut))


@pytest.mark.parametrize("training", [True, False])
def test_an_empty_batch_is_torchs(training: bool) -> None:
    norm = layer(16).train(training)
    x = torch.zeros(0, 16, 8, 8, dtype=torch.bfloat16, requires_grad=training)
    with torch.set_grad_enabled(training):
        y = norm(x, x)
    assert y.shape == x.shape
    if training:
        y.sum().backward()
        assert norm.weight.grad is not None
        assert not norm.weight.grad.any()


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((1, 16, 1, 1), "Expected more than 1 value per channel"),
        ((16, 8, 8), "expected 4D input"),
        ((2, 32, 8, 8), "running_mean should contain 32 elements"),
    ],
)
def test_what_torch_refuses_is_refused(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises((RuntimeError, ValueError), match=said):
        layer(16)(torch.zeros(shape))
