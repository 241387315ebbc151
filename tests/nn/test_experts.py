"""Experts: features side by side, and a head that is linear on them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from everyclass.errors import InputError
from everyclass.nn import (
    ExpertHead,
    FusedExpertBackbone,
    RoutedExpertHead,
    build_classifier,
    head_of_module,
)


@pytest.mark.parametrize(("count", "millions"), [(2, 0.53), (3, 0.78), (4, 1.04), (6, 1.54)])
def test_sizes_are_the_published_ones(count: int, millions: float) -> None:
    model = build_classifier(f"resnet32-{count}-experts", 100, seed=0, head=f"{count}-experts")
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.006)


def test_logits_are_the_mean_of_cosines() -> None:
    model = build_classifier("mlp-3-experts", 5, seed=0, head="3-experts").eval()
    images = torch.randn(4, 3, 8, 8)
    shared = model.backbone.trunk(images)
    cosines = [
        F.cosine_similarity(branch(shared)[:, None], weight[None], dim=2)
        for branch, weight in zip(model.backbone.branches, model.head.weight, strict=True)
    ]
    torch.testing.assert_close(model(images), 30 * sum(cosines) / 3)
    features = model.backbone(images)
    torch.testing.assert_close(model.head.expert_logits(features), 30 * torch.stack(cosines))


@pytest.mark.parametrize("head", ["2-experts", "2-experts-routed"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_in_another_precision_answers_in_it(head: str, dtype: torch.dtype) -> None:
    model = build_classifier("mlp-2-experts", 5, seed=0, head=head).eval()
    images = torch.randn(4, 3, 8, 8)
    logits = model(images)
    found = model.to(dtype)(images.to(dtype))
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float64 else 0.5  # cosines times 30
    torch.testing.assert_close(found.float(), logits, rtol=0, atol=tolerance)
    if dtype == torch.float64:
        assert model.backbone(images.double()).dtype == dtype


def test_the_mean_of_cosine_heads_is_a_linear_head() -> None:
    model = build_classifier("mlp-4-experts", 5, seed=0, head="4-experts").eval()
    features = model.backbone(torch.randn(6, 3, 8, 8))
    head = head_of_module(model.head)
    assert head is not None
    logits = F.linear(features, torch.from_numpy(head.weight), torch.from_numpy(head.bias))
    torch.testing.assert_close(logits, model.head(features))


def test_fused_experts_are_of_the_published_size() -> None:
    model = build_classifier("resnet32-3-experts-fused", 100, seed=0, head="3-experts")
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(1.25, abs=0.005)


def test_each_fused_expert_multiplies_its_own_depth() -> None:
    network = build_classifier("resnet32-3-experts-fused", 5, seed=0, head="3-experts").backbone
    network.eval()
    images = torch.randn(2, 3, 32, 32)
    first = network.first(images)
    second = network.second(first)
    assert network.depths == (1, 2, 1)
    features = network(images).unflatten(1, (3, 64)).unbind(1)
    for expert, own in enumerate(features):
        shallow = network.shallow[expert](second if expert == 1 else first)
        product = (network.branches[expert](second) * shallow).mean(dim=(2, 3))
        torch.testing.assert_close(own, F.normalize(product))


def test_each_fused_expert_needs_all_its_parts() -> None:
    part = torch.nn.Identity()
    common = {"branches": [part], "pool": part, "width": 1}
    with pytest.raises(InputError, match="Each depth must be 1 or 2"):
        FusedExpertBackbone(part, part, shallow=[part], depths=(3,), **common)
    with pytest.raises(InputError, match="1 branches, 2 factors and 2 depths"):
        FusedExpertBackbone(part, part, shallow=[part, part], depths=(1, 2), **common)
    with pytest.raises(InputError, match="fused experts are there as resnet32-3-experts-fused"):
        build_classifier("resnet50-3-experts-fused", 5, seed=0)


def test_routers_ask_experts_in_turn() -> None:
    """Against a loop over samples that stops where the router says so."""
    torch.manual_seed(0)
    model = build_classifier("mlp-4-experts", 5, seed=0, head="4-experts-routed").eval()
    head = model.head
    with torch.no_grad():
        head.router.weight.copy_(torch.randn_like(head.router.weight))
    features = model.backbone(torch.randn(64, 3, 8, 8))
    logits = head.expert_logits(features)
    asked = []
    for i, feature in enumerate(features):
        step = 0
        while step < 3:
            mean = logits[: step + 1, i].mean(dim=0)
            own = feature[32 * step : 32 * (step + 1)]
            seen = torch.cat([head.hidden[step](own).relu(), mean.sort(descending=True).values])
            if head.router(seen) <= 0:
                break
            step += 1
        torch.testing.assert_close(head(features)[i], logits[: step + 1, i].mean(dim=0))
        asked.append(step + 1)
    assert set(asked) == {1, 2, 3, 4}
    assert head_of_module(head) is None  # depends on the sample, so is no linear layer


def test_what_no_experts_can_share_is_refused() -> None:
    for experts, width in ((3, 64), (0, 64), (3, 0)):
        with pytest.raises(InputError, match=f"got {width} features for {experts} experts"):
            ExpertHead(experts, width, 5)
    with pytest.raises(InputError, match="chooses among 2 experts or more; got 1"):
        RoutedExpertHead(1, 64, 5)
