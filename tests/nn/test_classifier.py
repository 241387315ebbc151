"""A network whose backbone is frozen: only the head learns, and batch norm does as it is told."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor, nn

from everyclass.errors import InputError, MissingLibraryError
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("head", ["linear", "cosine", "nearest-mean"])
def test_under_autocast_the_head_computes_in_its_own_precision(
    head: str, dtype: torch.dtype
) -> None:
    model = build_classifier("mlp", 3, seed=0, head=head).to(dtype)
    features = torch.randn(4, 64).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = model.classify(features)
        if dtype != torch.float64:  # in which autocast computes nothing
            assert model(torch.randn(2, 3, 8, 8, dtype=dtype)).dtype == dtype
    assert torch.equal(found, model.head(features.to(dtype)))


def test_building_a_network_touches_no_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_rng_state()
    expected = build_classifier("mlp", 3, seed=5).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _: pytest.fail("of a GPU"))
    found = build_classifier("mlp", 3, seed=5).state_dict()
    assert all(map(torch.equal, expected.values(), found.values()))


@pytest.mark.parametrize(
    ("backbone", "head", "said"),
    [
        ("mlp", "3-experts", "for 3 experts and the backbone mlp has none"),
        ("mlp-2-experts", "3-experts", "for 3 experts and the backbone mlp-2-experts has 2"),
        ("mlp-2-experts", "4-experts-routed", "for 4 experts and the backbone mlp-2-experts has 2"),
    ],
)
def test_a_head_of_experts_needs_their_backbone(backbone: str, head: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        build_classifier(backbone, 10, seed=0, head=head)


def test_without_timm_its_backbones_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    for name in ("resnet50", "resnet50-2-experts"):
        with pytest.raises(MissingLibraryError) as caught:
            build_classifier(name, 3, seed=0)
        said = str(caught.value)
        assert "timm (there is no backbone 'resnet50' without it; there are resnet32," in said
        assert said.endswith("pip install timm")
