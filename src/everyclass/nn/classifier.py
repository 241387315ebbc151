"""A backbone and the last layer on top of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn

from everyclass.errors import InputError, first_line
from everyclass.nn.experts import ExpertHead, RoutedExpertHead
from everyclass.nn.heads import CosineHead, NearestMeanHead, ScaledLinear
from everyclass.nn.mlp import mlp, mlp_experts, mlp_fused_experts
from everyclass.nn.resnet_cifar import (
    resnet32,
    resnet32_experts,
    resnet32_fused_experts,
    resnet32_wide,
)
from everyclass.nn.timm_backbone import build_timm_backbone, timm_experts

__all__ = ["BACKBONES", "HEADS", "Classifier", "build_classifier", "check_takes"]


def _linear(num_features: int, num_classes: int) -> nn.Linear:
    """A biased linear layer with Kaiming-normal weights, as in LDAM-DRW."""
    head = nn.Linear(num_features, num_classes)
    nn.init.kaiming_normal_(head.weight)
    return head


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
HEADS: dict[str, Callable[[int, int], nn.Module]] = {
    "linear": _linear,
    "cosine": CosineHead,
    "scaled": ScaledLinear,
    "nearest-mean": NearestMeanHead,
    **{f"{n}-experts": partial(ExpertHead, n) for n in EXPERTS},
    **{f"{n}-experts-routed": partial(RoutedExpertHead, n) for n in EXPERTS},
}


class Classifier(nn.Module):
    """Logits = head(backbone(images)).

    Args:
        backbone: any module from images to (n, d) features.
        head: any module from (n, d) features to (n, C) logits.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self._frozen = False
        self._shift_batch_norm = False
        self._still: list[nn.Module] = []

    def freeze_backbone(self, *, shift_batch_norm: bool = False) -> None:
        """Train the head only.

        Args:
            shift_batch_norm: let batch norm compute with each batch's statistics and its running
                ones follow, as in the second stages of Decoupling and MiSLAS, whose batches are
                balanced; else it stays in eval mode and a view's features never change.
        """
        self.backbone.requires_grad_(False)
        self._frozen, self._shift_batch_norm = True, shift_batch_norm
        self.train(self.training)

    def keep_still(self, trained: Iterable[str]) -> None:
        """Keep batch norm in eval mode wherever nothing is trained.

        Args:
            trained: beginnings of the names of trained parameters.
        """
        beginnings = tuple(trained)
        self._still = [
            module
            for name, module in self.named_modules()
            if not any(True for _ in module.children())
            and not any(f"{name}.".startswith(b) or b.startswith(f"{name}.") for b in beginnings)
        ]
        self.train(self.training)

    def train(self, mode: bool = True) -> Classifier:
        super().train(mode)
        for module in self._still:
            module.eval()
        if self._frozen:
            self.backbone.train(mode and self._shift_batch_norm)
        return self

    def forward(self, images: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._frozen):
            features = self.backbone(images)
        return self.classify(features)

    @property
    def last_layer(self) -> nn.Module:
        """The head, or the last part of one that prepares the features first."""
        head = self.head
        return head[-1] if isinstance(head, nn.Sequential) else head

    def embed(self, images: Tensor) -> Tensor:
        """What the last layer sees: (n, d)."""
        features: Tensor = self.backbone(images)
        if isinstance(self.head, nn.Sequential):
            for part in list(self.head)[:-1]:
                features = part(features)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """The head's logits of (n, d) features, in float32 under autocast too.

        bfloat16 knows a logit of 15 to a sixteenth only, and what ties there goes to the class that
        comes first, which in long-tailed data is the larger one.
        """
        device = features.device.type
        if not torch.is_autocast_enabled(device):
            return self.head(features)
        with torch.autocast(device, enabled=False):
            return self.head(features.float())


def check_takes(model: nn.Module, height: int, width: int, name: str) -> None:
    """Refuse a network that cannot take pictures of this size, before anything is done with it.

    Args:
        model: in whichever mode, on the CPU.
        height, width: of the pictures.
        name: what to call the network.

    Raises:
        InputError: what it says to one of zeros.
    """
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, 3, height, width))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise InputError(
            f"{name} does not take pictures of {height} × {width} pixels "
            f"({first_line(error)}); name another size, by size=… behind the data, or another "
            "backbone."
        ) from error
    finally:
        model.train(training)


def build_classifier(
    backbone: str, num_classes: int, *, seed: int, head: str = "linear", weights: str = "none"
) -> Classifier:
    """Make a freshly initialised network, the same for the same seed.

    Args:
        backbone: one of ``BACKBONES``; or any name of timm, also with ``-E-experts`` behind a
            ResNet.
        num_classes: C.
        seed: of the initialisation; the global generators are left as they were.
        head: one of ``HEADS``; "linear" is biased, with Kaiming-normal weights.
        weights: of a backbone of timm: "none", "pretrained", or a file.

    Raises:
        InputError: there is no such backbone or head, or it has no weights of its own.

    Example:
        >>> model = build_classifier("resnet32", num_classes=100, seed=0)
        >>> sum(p.numel() for p in model.parameters())
        470004
    """
    if head not in HEADS:
        raise InputError(f"There is no head {head!r}; there are {', '.join(HEADS)}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk = _trunk(backbone, weights)
        return Classifier(trunk, HEADS[head](int(trunk.num_features), num_classes))  # type: ignore[arg-type]


def _trunk(backbone: str, weights: str) -> nn.Module:
    experts = re.fullmatch(r"(.+)-(\d)-experts", backbone)
    if backbone.endswith("-fused") and backbone not in BACKBONES:
        known = ", ".join(name for name in BACKBONES if name.endswith("-fused"))
        raise InputError(f"There is no backbone {backbone}; fused experts are there as {known}.")
    if backbone not in BACKBONES and not experts:
        return build_timm_backbone(backbone, weights)
    if weights != "none":
        raise InputError(
            f"{backbone} has no published weights; say weights='none' (--weights none)."
        )
    if backbone in BACKBONES:
        return BACKBONES[backbone]()
    assert experts is not None
    return timm_experts(experts[1], int(experts[2]))
