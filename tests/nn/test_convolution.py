"""The compiled convolution against torch's in float64, and where it stands aside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from everyclass.nn import BatchNormReLU, Convolution, _kernels
from everyclass.nn._kernels import compiled_kernel


def drawn(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(memory_format=torch.channels_last)


def outcome(layer: nn.Conv2d, x: Tensor, upstream: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    y = layer(x)
    return [y.detach(), *torch.autograd.grad(y, [x, layer.weight], upstream)]


def exactly(layer: nn.Conv2d, x: Tensor, upstream: Tensor) -> list[Tensor]:
    stride = layer.stride[0]
    plain = nn.Conv2d(layer.in_channels, layer.out_channels, 3, stride, 1, bias=False).double()
    plain.load_state_dict({"weight": layer.weight.double()})
    return outcome(plain, x.double(), upstream.double())


CHANNELS = st.sampled_from(_kernels.CHANNELS)
SIDES = st.sampled_from([4, 8, 12])


@settings(max_examples=30)
@given(st.integers(1, 40), CHANNELS, CHANNELS, SIDES, SIDES, st.integers(0, 99))
def test_it_is_a_convolution(
    n: int, channels: int, out: int, height: int, width: int, seed: int
) -> None:
    x = drawn(n, channels, height, width, seed=seed) + 1
    upstream = drawn(n, out, height, width, seed=seed + 1)
    torch.manual_seed(seed)
    layer = Convolution(channels, out)
    for found, sure in zip(outcome(layer, x, upstream), exactly(layer, x, upstream), strict=True):
        assert found.dtype == torch.float32
        error = (found.double() - sure).norm() / sure.norm()
        assert error < 2e-5


def test_images_in_torchs_own_order_give_the_same() -> None:
    x, upstream = drawn(3, 16, 8, 8, seed=0), drawn(3, 32, 8, 8, seed=1)
    layer = Convolution(16, 32)
    last, first = outcome(layer, x, upstream), outcome(layer, x.contiguous(), upstream.contiguous())
    assert all(map(torch.equal, last, first))


def test_the_same_bits_every_time() -> None:
    x, upstream = drawn(50, 32, 16, 16, seed=0), drawn(50, 32, 16, 16, seed=1)
    layer = Convolution(32, 32)
    assert all(map(torch.equal, outcome(layer, x, upstream), outcome(layer, x, upstream)))


@pytest.mark.parametrize("case", ["evaluation", "stride", "odd sides", "channels", "float64"])
def test_elsewhere_it_is_exactly_torchs(case: str) -> None:
    channels = 20 if case == "channels" else 16
    side = 10 if case == "odd sides" else 8
    layer = Convolution(channels, 16, stride=2 if case == "stride" else 1)
    layer.train(case != "evaluation")
    plain = nn.Conv2d(channels, 16, 3, layer.stride, 1, bias=False)
    plain.load_state_dict(layer.state_dict())
    x = drawn(3, channels, side, side, seed=0)
    if case == "float64":
        layer, plain, x = layer.double(), plain.double(), x.double()
    assert torch.equal(layer(x), plain(x))


@pytest.mark.filterwarnings("ignore:.*(traced|Trace)")
def test_tracers_and_tensors_without_data_are_torchs() -> None:
    """The kernel would take an address for a size, or read where nothing is."""
    layer = nn.Sequential(Convolution(16, 16), BatchNormReLU(16))
    x = drawn(2, 16, 8, 8, seed=1)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert layer(mode.from_tensor(x)).shape == x.shape
    traced = torch.jit.trace(layer, x, check_trace=False)
    torch.testing.assert_close(traced(x), layer(x), rtol=1e-3, atol=1e-4)


NOTHING_THERE = """
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from everyclass.nn import BatchNormReLU, Convolution

real = [torch.nn.Sequential(Convolution(16, 16), BatchNormReLU(16)), BatchNormReLU(16)]
x = torch.randn(2, 16, 8, 8)
with FakeTensorMode(allow_non_fake_inputs=True):
    layers = [*real, Convolution(16, 16), BatchNormReLU(16)]
    for layer in layers:
        for images in (x, torch.randn(2, 16, 8, 8)):
            assert layer(images).shape == x.shape
"""


def test_layers_that_a_mode_imitates_reach_no_kernel() -> None:
    """In a process of its own: the kernels wrote to address 0, which ends the process."""
    ended = subprocess.run([sys.executable, "-c", NOTHING_THERE], capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()


def test_under_autocast_it_is_bfloat16() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert Convolution(16, 16)(drawn(1, 16, 8, 8, seed=0)).dtype == torch.bfloat16


def test_without_a_compiler_it_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, upstream = drawn(5, 24, 8, 8, seed=0), drawn(5, 48, 8, 8, seed=1)
    layer = Convolution(24, 48)
    with_kernel = outcome(layer, x, upstream)
    monkeypatch.setattr("everyclass.nn.convolution.compiled_kernel", lambda source: None)
    for a, b in zip(with_kernel, outcome(layer, x, upstream), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))


def test_a_frozen_layer_passes_its_gradient_on() -> None:
    layer = Convolution(16, 16).requires_grad_(False)
    x = drawn(2, 16, 8, 8, seed=0).requires_grad_()
    layer(x).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is None


def test_it_is_compiled_and_used(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which(os.environ.get("CC", "cc").split()[0]) is None:
        pytest.skip("there is no C compiler")
    for room, layer in (
        ("convolution", Convolution(16, 16)),
        ("batch_norm_relu", BatchNormReLU(16)),
    ):
        kernels: list[object] = []

        def asked(source: Path, kernels: list[object] = kernels) -> object:
            kernels.append(compiled_kernel(source))
            return kernels[-1]

        monkeypatch.setattr(f"everyclass.nn.{room}.compiled_kernel", asked)
        layer(drawn(2, 16, 8, 8, seed=0)).sum().backward()
        assert kernels
        assert None not in kernels


@pytest.mark.parametrize("threads", ["1", "4"])
def test_any_number_of_threads_gives_the_gradients_of_float64(threads: str) -> None:
    """Also where there are fewer than were asked for."""
    # glibc fills what it hands out with huge numbers: memory that nobody has written is seen.
    environment = {**os.environ, "OMP_NUM_THREADS": "4", "OMP_THREAD_LIMIT": threads}
    environment["MALLOC_PERTURB_"] = "128"
    done = subprocess.run(
        [sys.executable, "-c", GRADIENTS], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    errors = [float(word) for word in done.stdout.split()]
    assert len(errors) == 5
    assert max(errors) < 2e-5


GRADIENTS = """
import copy
import torch
from everyclass.nn import BatchNormReLU, Convolution

torch.set_num_threads(4)
torch.manual_seed(0)


def gradients(layers, x, upstream):
    x = x.clone().requires_grad_()
    y = layers(x)
    return [y, *torch.autograd.grad(y, [x, *layers.parameters()], upstream)]


layers = torch.nn.Sequential(Convolution(16, 16), BatchNormReLU(16))
exact = copy.deepcopy(layers).double()
x = torch.randn(60, 16, 16, 16).to(memory_format=torch.channels_last)
# Where rounding decides whether ReLU passes, no gradient comes from.
upstream = torch.randn(60, 16, 16, 16) * (copy.deepcopy(exact)(x.double()).abs() > 1e-3)
found = gradients(layers, x, upstream)
sure = gradients(exact, x.double(), upstream.double())
for a, b in zip(found, sure, strict=True):
    print(float((a.double() - b).norm() / b.norm()))
"""


@pytest.mark.parametrize("shape", [(2, 48, 8, 8), (2, 24, 8, 8)])
def test_another_number_of_channels_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(RuntimeError, match="to have 32 channels"):
        Convolution(32, 16)(torch.zeros(shape))


def test_a_single_image_and_none_at_all_are_torchs() -> None:
    layer = Convolution(16, 32)
    image = drawn(1, 16, 8, 8, seed=0)
    torch.testing.assert_close(layer(image[0]), layer(image)[0], rtol=1e-4, atol=1e-4)
    none = layer(image[:0])
    assert none.shape == (0, 32, 8, 8)
    none.sum().backward()
    assert layer.weight.grad is not None
    assert not layer.weight.grad.any()


@pytest.mark.parametrize("make", [lambda: Convolution(16, 16), lambda: BatchNormReLU(16)])
def test_torch_func_goes_through_layers_with_kernels(make: Callable[[], nn.Module]) -> None:
    layer = make()
    parameters = {name: p.detach() for name, p in layer.named_parameters()}
    buffers = {name: values.clone() for name, values in layer.named_buffers()}
    x = torch.randn(3, 16, 8, 8, generator=torch.Generator().manual_seed(0))

    def loss(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, (parameters, buffers), (x,)).square().sum()

    found = torch.func.grad(loss)(parameters, buffers, x)
    usual = torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))
    for (name, gradient), expected in zip(found.items(), usual, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-2, msg=name)


@pytest.mark.parametrize("default", ["bfloat16", "float64", "meta"])
def test_kernels_do_not_ask_for_what_is_torchs_default(default: str) -> None:
    """They write float32 into memory of the CPU, whatever a user makes new tensors of."""
    layer, x = nn.Sequential(Convolution(16, 16), BatchNormReLU(16)), drawn(2, 16, 8, 8, seed=0)
    upstream = drawn(2, 16, 8, 8, seed=1)
    expected = torch.autograd.grad(layer(x), list(layer.parameters()), upstream)
    was = torch.get_default_dtype()
    try:
        if default == "meta":
            torch.set_default_device("meta")
        else:
            torch.set_default_dtype(getattr(torch, default))
        found = torch.autograd.grad(layer(x), list(layer.parameters()), upstream)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(was)
    assert all(map(torch.equal, found, expected))
