"""A backbone and the last layer on top of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from everyclass.errors import InputError
from everyclass.nn.experts import ExpertHead, RoutedExpertHead
from everyclass.nn.heads import CosineHead, NearestMeanHead, ScaledLinear
from everyclass.nn.mlp import mlp, mlp_experts
from everyclass.nn.resnet_cifar import resnet32, resnet32_experts, resnet32_wide

__all__ = ["BACKBONES", "HEADS", "Classifier", "build_classifier"]


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
    "mlp": mlp,
    **{f"mlp-{n}-experts": partial(mlp_experts, n) for n in EXPERTS},
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

    def train(self, mode: bool = True) -> Classifier:
        super().train(mode)
        if self._frozen:
            self.backbone.train(mode and self._shift_batch_norm)
        return self

    def forward(self, images: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._frozen):
            features = self.backbone(images)
        return self.head(features)


def build_classifier(
    backbone: str, num_classes: int, *, seed: int, head: str = "linear"
) -> Classifier:
    """Make a freshly initialised network, the same for the same seed.

    Args:
        backbone: one of ``BACKBONES``.
        num_classes: C.
        seed: of the initialisation; the global generators are left as they were.
        head: one of ``HEADS``; "linear" is biased, with Kaiming-normal weights.

    Raises:
        InputError: there is no such backbone or head.

    Example:
        >>> model = build_classifier("resnet32", num_classes=100, seed=0)
        >>> sum(p.numel() for p in model.parameters())
        470004
    """
    for name, kind, known in (("backbone", backbone, BACKBONES), ("head", head, HEADS)):
        if kind not in known:
            raise InputError(f"There is no {name} {kind!r}; there are {', '.join(known)}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk = BACKBONES[backbone]()
        return Classifier(trunk, HEADS[head](int(trunk.num_features), num_classes))  # type: ignore[arg-type]
