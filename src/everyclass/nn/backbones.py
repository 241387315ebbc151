"""The backbones that this library has itself, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from everyclass.nn.mlp import mlp, mlp_experts, mlp_fused_experts
from everyclass.nn.resnet_cifar import (
    resnet32,
    resnet32_experts,
    resnet32_fused_experts,
    resnet32_wide,
)

__all__ = ["BACKBONES", "EXPERTS"]

EXPERTS = (2, 3, 4, 6)

BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "resnet32": resnet32,
    "resnet32-wide": resnet32_wide,
    **{f"resnet32-{n}-experts": partial(resnet32_experts, n) for n in EXPERTS},
    "resnet32-3-experts-fused": resnet32_fused_experts,
    "mlp": mlp,
    **{f"mlp-{n}-experts": partial(mlp_experts, n) for n in EXPERTS},
    "mlp-3-experts-fused": mlp_fused_experts,
}
