"""The losses under torch.compile, in one graph."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from torch import Tensor

from everyclass.artifacts import ClassCounts
from everyclass.losses import BalancedSoftmaxLoss, GMLLoss, balanced_softmax_loss, gml_loss

COUNTS = [70_000, 0, 500, 20, 3]


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def compare(compiled, eager, dtype=torch.float32) -> None:
    for n in (6, 9):
        generator = torch.Generator().manual_seed(n)
        logits = torch.randn(n, 5, generator=generator).to(dtype).requires_grad_()
        labels = 2 * torch.randint(2, (n,), generator=generator)
        loss, expected = compiled(logits, labels), eager(logits, labels)
        assert loss.dtype == expected.dtype
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
        (got,) = torch.autograd.grad(loss, logits)
        torch.testing.assert_close(got, torch.autograd.grad(expected, logits)[0])
        assert (got[:, 1] == 0).all()


@pytest.mark.parametrize(
    ("loss", "counts"),
    [
        (gml_loss, torch.tensor(COUNTS)),
        (gml_loss, COUNTS),
        (gml_loss, np.array(COUNTS)),
        (gml_loss, ClassCounts.of(COUNTS)),
        (balanced_softmax_loss, torch.tensor(COUNTS)),
    ],
    ids=["tensor", "list", "array", "ClassCounts", "balanced"],
)
def test_function_in_one_graph(loss, counts) -> None:
    def eager(logits: Tensor, labels: Tensor) -> Tensor:
        return loss(logits, labels, counts)

    compare(torch.compile(eager, fullgraph=True, backend="aot_eager"), eager)


@pytest.mark.parametrize(
    ("module", "dtype"),
    [
        (GMLLoss(COUNTS), torch.bfloat16),
        (GMLLoss(dict(zip("abcde", COUNTS, strict=True)), absent="all"), torch.float64),
        (BalancedSoftmaxLoss(COUNTS, weight=torch.rand(5)), torch.bfloat16),
    ],
    ids=["gml", "named", "balanced"],
)
def test_module_in_one_graph(module, dtype) -> None:
    compare(torch.compile(module, fullgraph=True, backend="aot_eager"), module, dtype)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler: g++")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # of torch's own modules
@pytest.mark.parametrize("module", [GMLLoss(COUNTS), BalancedSoftmaxLoss(COUNTS)])
def test_compiled_to_machine_code(module) -> None:
    compare(torch.compile(module, fullgraph=True), module)
