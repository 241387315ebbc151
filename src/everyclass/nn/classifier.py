"""A backbone and the last layer on top of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from everyclass.errors import InputError
from everyclass.nn.mlp import mlp
from everyclass.nn.resnet_cifar import resnet32

__all__ = ["BACKBONES", "Classifier", "build_classifier"]


BACKBONES: dict[str, Callable[[], nn.Module]] = {"resnet32": resnet32, "mlp": mlp}


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

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images))


def build_classifier(backbone: str, num_classes: int, *, seed: int) -> Classifier:
    """Make a freshly initialised network, the same for the same seed.

    The classifier is a biased linear layer with Kaiming-normal weights, as in LDAM-DRW.

    Args:
        backbone: one of ``BACKBONES``.
        num_classes: C.
        seed: of the initialisation; the global generators are left as they were.

    Raises:
        InputError: there is no such backbone.

    Example:
        >>> model = build_classifier("resnet32", num_classes=100, seed=0)
        >>> sum(p.numel() for p in model.parameters())
        470004
    """
    if backbone not in BACKBONES:
        raise InputError(f"There is no backbone {backbone!r}; there are {', '.join(BACKBONES)}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk = BACKBONES[backbone]()
        head = nn.Linear(int(trunk.num_features), num_classes)  # type: ignore[arg-type]
        nn.init.kaiming_normal_(head.weight)
        return Classifier(trunk, head)
