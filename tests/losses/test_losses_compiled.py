"""The losses under torch.compile, in one graph, beyond what the contract asks of every module."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from torch import Tensor

from everyclass.artifacts import ClassCounts
from everyclass.losses import (
    BalancedSoftmaxLoss,
    DeferredLoss,
    FocalLoss,
    GMLLoss,
    adjust_logits,
    balanced_softmax_loss,
    class_balanced_loss,
    focal_loss,
    gml_loss,
    label_aware_smoothing_loss,
    lade_loss,
    lade_regulariser,
    ldam_loss,
    logit_adjusted_loss,
)

COUNTS = [70_000, 0, 500, 20, 3]


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def compare(compiled, eager, dtype=torch.float32, *, sees_empty_class=False) -> None:
    for n in (6, 9):
        generator = torch.Generator().manual_seed(n)
        logits = torch.randn(n, 5, generator=generator).to(dtype).requires_grad_()
        labels = 2 * torch.randint(2, (n,), generator=generator)
        loss, expected = compiled(logits, labels), eager(logits, labels)
        assert loss.dtype == expected.dtype
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
        (got,) = torch.autograd.grad(loss, logits)
        torch.testing.assert_close(got, torch.autograd.grad(expected, logits)[0])
        assert sees_empty_class or (got[:, 1] == 0).all()


@pytest.mark.parametrize(
    ("loss", "counts"),
    [
        (gml_loss, torch.tensor(COUNTS)),
        (gml_loss, COUNTS),
        (gml_loss, np.array(COUNTS)),
        (gml_loss, ClassCounts.of(COUNTS)),
        (balanced_softmax_loss, torch.tensor(COUNTS)),
        (logit_adjusted_loss, torch.tensor(COUNTS)),
        (lade_loss, np.array(COUNTS)),
        (lade_regulariser, COUNTS),
    ],
    ids=["tensor", "list", "array", "ClassCounts", "balanced", "adjusted", "lade", "regulariser"],
)
def test_function_in_one_graph(loss, counts) -> None:
    def eager(logits: Tensor, labels: Tensor) -> Tensor:
        return loss(logits, labels, counts)

    compare(torch.compile(eager, fullgraph=True, backend="aot_eager"), eager)


@pytest.mark.parametrize("counts", [torch.tensor(COUNTS), COUNTS], ids=["tensor", "list"])
@pytest.mark.parametrize("loss", [ldam_loss, class_balanced_loss, label_aware_smoothing_loss])
def test_function_that_sees_classes_without_images_in_one_graph(loss, counts) -> None:
    def eager(logits: Tensor, labels: Tensor) -> Tensor:
        return loss(logits, labels, counts)

    compiled = torch.compile(eager, fullgraph=True, backend="aot_eager")
    compare(compiled, eager, sees_empty_class=True)


def test_deferred_loss_is_compiled_anew_when_it_begins() -> None:
    module = DeferredLoss(FocalLoss(), FocalLoss(gamma=3.0), start=0.5)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    for epoch in (1, 2):
        module.begin_epoch(epoch, 2)
        compare(compiled, module, sees_empty_class=True)


def test_settings_that_change_from_call_to_call() -> None:
    def eager(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
        return focal_loss(logits, labels, gamma=gamma)

    compiled = torch.compile(eager, fullgraph=True, backend="aot_eager")
    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    for gamma in (0.5, 1.0, 2.5, 0.0):
        torch.testing.assert_close(compiled(logits, labels, gamma), eager(logits, labels, gamma))


def test_adjusted_logits_in_one_graph() -> None:
    counts = torch.tensor([5, 3, 1])
    compiled = torch.compile(
        lambda logits: adjust_logits(logits, counts), fullgraph=True, backend="aot_eager"
    )
    logits = torch.randn(4, 3)
    torch.testing.assert_close(compiled(logits), adjust_logits(logits, counts))


@pytest.mark.parametrize(
    ("module", "dtype"),
    [
        (GMLLoss(COUNTS), torch.bfloat16),
        (GMLLoss(dict(zip("abcde", COUNTS, strict=True)), absent="all"), torch.float64),
    ],
    ids=["gml", "named"],
)
def test_gml_as_a_module_in_one_graph(module, dtype) -> None:
    compare(torch.compile(module, fullgraph=True, backend="aot_eager"), module, dtype)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler: g++")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # of torch's own modules
@pytest.mark.parametrize("module", [GMLLoss(COUNTS), BalancedSoftmaxLoss(COUNTS)])
def test_compiled_to_machine_code(module) -> None:
    compare(torch.compile(module, fullgraph=True), module)
