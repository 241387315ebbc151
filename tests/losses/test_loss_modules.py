"""What every loss module takes and says alike, and that autocast narrows none of them."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor, nn

from everyclass import losses
from everyclass.errors import InputError
from everyclass.losses import (
    DeferredLoss,
    DistillationLoss,
    DiVELoss,
    GMLLoss,
    LDAMLoss,
    PaCoLoss,
    RIDELoss,
    SHIKELoss,
    von_mises_fisher_logits,
)
from everyclass.processes import group_of

COUNTS = [70_000, 1, 500, 20]
MODULES = [
    getattr(losses, name)
    for name in losses.__all__
    if name.endswith("Loss") and getattr(losses, name) is not DeferredLoss
]


def build(module: type[nn.Module], **settings: object) -> nn.Module:
    counted = "class_counts" in inspect.signature(module).parameters
    return module(*([COUNTS] if counted else []), **settings)


@pytest.mark.parametrize("module", MODULES)
def test_settings_are_named_and_counts_are_not(module) -> None:
    for name, parameter in inspect.signature(module).parameters.items():
        by_place = parameter.kind is not inspect.Parameter.KEYWORD_ONLY
        assert by_place == (name == "class_counts"), name


@pytest.mark.parametrize("module", MODULES)
def test_whose_batches_are_one_is_said_at_the_beginning(module, monkeypatch) -> None:
    assert build(module).sync
    assert build(module).process_group is None
    assert "sync" not in repr(build(module))
    alone = build(module, sync=False)
    assert "sync=False" in repr(alone)
    monkeypatch.setattr("everyclass.processes._is_started", lambda: True)
    assert group_of(alone) is None  # without asking how many there are
    assert build(module, process_group="some of them").process_group == "some of them"


def test_repr_names_settings_and_no_arrays() -> None:
    """Runs know their loss by it: see ``benchmarks/write_recipes.py``."""
    assert repr(LDAMLoss(COUNTS, weight=torch.ones(4))) == (
        "LDAMLoss(num_classes=4, max_margin=0.5, scale=30.0, reduction='mean', ignore_index=-100)"
    )


def every_loss(x: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The losses of random logits, features and teachers, all made of ``x``: (n, C)."""
    shorter = nn.functional.normalize(x[:, :3], dim=1)
    direction = nn.functional.normalize(x.repeat(1, 5), dim=1)
    images = {"anchors": shorter, "others": shorter.flip(0), "other_labels": labels}
    found = {
        module.__name__: build(module)(x, labels)
        for module in MODULES
        if module not in (DistillationLoss, DiVELoss, PaCoLoss, RIDELoss, SHIKELoss)
    }
    experts = torch.stack([x, x.flip(0)])
    return found | {
        "DistillationLoss": DistillationLoss()(x, x.flip(0)),
        "DiVELoss": DiVELoss(COUNTS)(x, labels, x.flip(0)),
        "PaCoLoss": PaCoLoss(COUNTS)(x, labels, **images),
        "RIDELoss": RIDELoss(COUNTS, reweight=True)(experts, labels),
        "SHIKELoss": SHIKELoss()(experts, labels),
        "ProCo": von_mises_fisher_logits(direction, 0.9 * direction).sum(),
    }


def test_autocast_narrows_no_loss_and_no_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(7, 4, generator=generator).requires_grad_()
    labels = torch.tensor([0, 3, 2, 0, 3, 1, 0])
    expected = every_loss(x, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = every_loss(x, labels)
    assert {module.__name__ for module in MODULES} <= set(got)
    for name, loss in got.items():
        assert loss.dtype == expected[name].dtype
        torch.testing.assert_close(loss, expected[name], rtol=1e-6, atol=1e-6, msg=name)
        gradients = [torch.autograd.grad(each, x)[0] for each in (loss, expected[name])]
        torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # of torch's own modules
@pytest.mark.parametrize("absent", ["present", "all"])
@pytest.mark.parametrize("reweight", [True, False])
def test_gml_in_torch_func_is_its_definition(absent, reweight) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(7, 4, generator=generator, dtype=torch.float64).requires_grad_()
    labels = torch.tensor([0, 2, 2, 0, 2, 1, 0])
    loss_fn = GMLLoss(COUNTS, absent=absent, reweight=reweight)

    def definition(logits: Tensor) -> Tensor:
        counts = torch.tensor(COUNTS, dtype=torch.float64)
        p = torch.softmax(logits + counts.log() if reweight else logits, 1)
        terms = [-p[labels == c, c].mean().log() for c in (0, 1, 2)]
        return torch.stack(terms).sum() / (4 if absent == "all" else 3)

    (expected,) = torch.autograd.grad(loss_fn(x, labels), x)
    logits = x.detach()
    for transform in (torch.func.grad, torch.func.jacrev, torch.func.jacfwd, torch.func.hessian):
        torch.testing.assert_close(
            transform(lambda z: loss_fn(z, labels))(logits), transform(definition)(logits)
        )
    found, value = torch.func.grad_and_value(lambda z: loss_fn(z, labels))(logits)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(value, loss_fn(logits, labels))
    both = torch.stack([logits, logits.flip(1)])
    each = torch.func.vmap(torch.func.grad(lambda z: loss_fn(z, labels)))(both)
    torch.testing.assert_close(each[0], expected)


OF_LOGITS_AND_LABELS = [
    module
    for module in MODULES
    if list(inspect.signature(module.forward).parameters) == ["self", "logits", "labels"]
]


@pytest.mark.parametrize("module", OF_LOGITS_AND_LABELS)
def test_gradients_of_single_images_by_vmap_are_those_of_a_loop(module) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 2, 3, 0, 1])
    gradient = torch.func.grad(lambda z, y: loss_fn(z[None], y[None]))
    loss_fn = build(module)
    each = torch.func.vmap(gradient)(logits, labels)
    expected = torch.stack([gradient(*one) for one in zip(logits, labels, strict=True)])
    torch.testing.assert_close(each, expected)


def test_torch_func_says_what_is_wrong_with_labels() -> None:
    loss_fn = GMLLoss([3, 0])
    with pytest.raises(InputError, match=r"labels\[0\] is class 1, which has no"):
        torch.func.grad(lambda z: loss_fn(z, torch.tensor([1])))(torch.zeros(1, 2))
