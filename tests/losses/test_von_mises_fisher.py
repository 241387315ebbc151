"""Bessel functions against SciPy's; the closed form of ProCo against drawn directions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import ive
from scipy.stats import vonmises_fisher
from torch import Tensor

from everyclass.errors import InputError
from everyclass.losses import log_bessel, von_mises_fisher_logits


@pytest.mark.parametrize(("order", "tolerance"), [(7, 1e-5), (15, 1e-6), (63, 2e-9), (255, 1e-11)])
def test_the_bessel_function_is_scipys(order: float, tolerance: float) -> None:
    x = torch.logspace(0, 5, 300, dtype=torch.float64)
    with np.errstate(divide="ignore"):
        expected = np.log(ive(order, x.numpy())) + x.numpy()
    known = np.isfinite(expected)  # SciPy's underflows for small x
    assert known.sum() > 150
    got = log_bessel(order, x).numpy()
    np.testing.assert_allclose(got[known], expected[known], rtol=tolerance, atol=tolerance)


def test_its_slope_is_the_ratio_of_bessel_functions() -> None:
    x = torch.logspace(1, 4, 50, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad((log_bessel(63, x) - 63 * x.log()).sum(), x)
    values = x.detach().numpy()
    np.testing.assert_allclose(slope.numpy(), ive(64, values) / ive(63, values), rtol=1e-8)


def test_logits_are_the_expected_contrast() -> None:
    """E exp(v · v' / T) from 200,000 draws of v' by SciPy."""
    p, t = 16, 0.5
    generator = torch.Generator().manual_seed(0)
    v = F.normalize(torch.randn(4, p, generator=generator, dtype=torch.float64))
    lengths = torch.tensor([0.3, 0.6, 0.9])[:, None]
    means = lengths * F.normalize(torch.randn(3, p, generator=generator, dtype=torch.float64))
    got = von_mises_fisher_logits(v, means, temperature=t)
    for c, mean in enumerate(means.numpy()):
        r = np.linalg.norm(mean)
        drawn = vonmises_fisher(mean / r, p * r / (1 - r**2)).rvs(200_000, random_state=0)
        expected = np.log(np.exp(drawn @ v.numpy().T / t).mean(axis=0))
        np.testing.assert_allclose(got[:, c].numpy(), expected, atol=0.03)


def a_problem(seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    v = F.normalize(torch.randn(3, 20, generator=generator, dtype=torch.float64))
    means = 0.7 * F.normalize(torch.randn(4, 20, generator=generator, dtype=torch.float64))
    return v.requires_grad_(), means


def test_gradcheck() -> None:
    v, means = a_problem()
    assert torch.autograd.gradcheck(lambda x: von_mises_fisher_logits(x, means), v)


def test_images_and_classes_keep_their_places_and_no_axis_is_special() -> None:
    v, means = a_problem()
    expected = von_mises_fisher_logits(v, means)
    images, classes = torch.tensor([2, 0, 1]), torch.tensor([2, 0, 3, 1])
    got = von_mises_fisher_logits(v[images], means[classes])
    torch.testing.assert_close(got, expected[images][:, classes])
    generator = torch.Generator().manual_seed(2)
    turn = torch.linalg.qr(torch.randn(20, 20, generator=generator, dtype=torch.float64)).Q
    torch.testing.assert_close(von_mises_fisher_logits(v @ turn, means @ turn), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_whatever_it_is_given_it_computes_in_float64(dtype: torch.dtype) -> None:
    v, means = (x.detach().to(dtype) for x in a_problem())
    logits = von_mises_fisher_logits(v.requires_grad_(), means)
    assert logits.dtype == torch.float64
    assert torch.equal(logits, von_mises_fisher_logits(v.double(), means.double()))
    (gradient,) = torch.autograd.grad(logits.logsumexp(dim=1).sum(), v)
    assert gradient.dtype == dtype
    assert gradient.isfinite().all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("temperature", [1e-4, 1e4, 0.51 / 14])
def test_logits_of_any_size_are_finite(temperature: float, sign: float) -> None:
    """Up to 10,000, and where v / T lies opposite to κμ and is as long: 20 · 0.7 / (1 − 0.7²)."""
    v, _ = a_problem()
    logits = von_mises_fisher_logits(v, sign * 0.7 * v.detach(), temperature=temperature)
    (gradient,) = torch.autograd.grad(logits.logsumexp(dim=1).sum(), v)
    assert logits.isfinite().all()
    assert gradient.isfinite().all()


def test_in_one_graph() -> None:
    v, means = a_problem()
    torch.compiler.reset()
    compiled = torch.compile(von_mises_fisher_logits, fullgraph=True, backend="aot_eager")
    one, other = compiled(v, means), von_mises_fisher_logits(v, means)
    torch.testing.assert_close(one, other)
    gradients = [torch.autograd.grad(logits.square().sum(), v)[0] for logits in (one, other)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("length", [0.0, 1e-6, 0.999999, 1.0, 1.00001])
def test_any_length_of_the_mean_gives_finite_logits(length: float) -> None:
    v = F.one_hot(torch.arange(3), 32).float().requires_grad_()
    logits = von_mises_fisher_logits(v, length * v.detach())
    assert logits.isfinite().all()
    logits.square().sum().backward()
    assert v.grad is not None
    assert v.grad.isfinite().all()


def test_bad_input_is_refused() -> None:
    for v, means, got in (
        (torch.zeros(2, 8), torch.zeros(3, 8), r"shape \(2, 8\) and shape \(3, 8\)"),
        (torch.zeros(2, 16), torch.zeros(3, 17), r"shape \(2, 16\) and shape \(3, 17\)"),
        (torch.zeros(2, 16), torch.zeros(16), r"shape \(2, 16\) and shape \(16,\)"),
        (torch.zeros(2, 16).tolist(), torch.zeros(3, 16), r"list and shape \(3, 16\)"),
    ):
        with pytest.raises(InputError, match=rf"one \(C, p\), p ≥ 16; got {got}\."):
            von_mises_fisher_logits(v, means)
    with pytest.raises(InputError, match=r"^temperature must be above 0; got 0\.0\.$"):
        von_mises_fisher_logits(torch.zeros(2, 16), torch.zeros(3, 16), temperature=0.0)
    with pytest.raises(InputError, match="order must be 7 or more"):
        log_bessel(2, torch.ones(1))
