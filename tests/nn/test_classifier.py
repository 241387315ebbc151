"""A network whose backbone is frozen: only the head learns, and batch norm does as it is told."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from everyclass.errors import InputError
from everyclass.nn import Classifier, build_classifier


def a_network() -> Classifier:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    return Classifier(backbone, nn.Linear(4 * 6 * 6, 5))


def trained_once(model: Classifier, images: Tensor) -> dict[str, Tensor]:
    """The state after one step of training."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.train()
    model(images).square().sum().backward()
    optimizer.step()
    return {k: v.clone() for k, v in model.state_dict().items()}


@pytest.mark.parametrize("shift", [False, True])
def test_a_frozen_backbone_does_not_learn(shift: bool) -> None:
    torch.manual_seed(0)
    model, images = a_network(), torch.randn(8, 3, 8, 8) + 3
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.freeze_backbone(shift_batch_norm=shift)
    after = trained_once(model, images)
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    statistics = {f"backbone.1.{k}" for k in ("running_mean", "running_var", "num_batches_tracked")}
    assert changed == {"head.weight", "head.bias"} | (statistics if shift else set())
    model.eval()
    assert not any(module.training for module in model.modules())
    model.train()
    assert model.head.training
    assert model.backbone.training == shift


def test_freezing_keeps_the_mode() -> None:
    model = a_network().eval()
    model.freeze_backbone(shift_batch_norm=True)
    assert not any(module.training for module in model.modules())


def test_features_of_a_frozen_backbone_carry_no_graph() -> None:
    model = a_network()
    model.freeze_backbone()
    caught = []
    model.head.register_forward_hook(lambda _, inputs, __: caught.append(inputs[0]))
    assert model(torch.randn(2, 3, 8, 8)).requires_grad
    assert not caught[0].requires_grad
    with torch.no_grad():  # and what is switched off stays off
        assert not model(torch.randn(2, 3, 8, 8)).requires_grad


def test_a_head_is_built_by_name() -> None:
    linear = build_classifier("mlp", 4, seed=0)
    assert type(linear.head) is nn.Linear
    assert "scale" in build_classifier("mlp", 4, seed=0, head="scaled").head.state_dict()
    with pytest.raises(InputError, match="no head 'linaer'; there are linear, cosine, scaled"):
        build_classifier("mlp", 4, seed=0, head="linaer")
