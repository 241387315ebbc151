"""The fused layer against torch's three layers in float64, and without a compiler."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from everyclass.nn import BatchNormReLU
from everyclass.nn._kernels import CHANNELS, compiled_kernel


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
    values[0][0, 3, 0, 0] = torch.nan
    assert layer(16)(*values)[:, 3].isnan().all()


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


def test_a_compiler_that_fails_means_no_kernel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    broken = tmp_path / "broken.c"
    broken.write_text("this is no C\n")
    assert compiled_kernel(broken) is None
    assert not list(tmp_path.rglob("*.so"))
    monkeypatch.setenv("CC", "no-such-compiler")
    fine = tmp_path / "fine.c"
    fine.write_text("int one(void) { return 1; }\n")
    assert compiled_kernel(fine) is None
