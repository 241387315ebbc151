"""A backbone and the last layer on top of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from everyclass.errors import InputError, first_line
from everyclass.nn._traced import is_traced
from everyclass.nn.backbones import BACKBONES, EXPERTS
from everyclass.nn.experts import ExpertHead, RoutedExpertHead
from everyclass.nn.heads import CosineHead, NearestMeanHead, ScaledLinear
from everyclass.nn.timm_backbone import build_timm_backbone, timm_experts
from everyclass.precision import full_precision

__all__ = ["HEADS", "Classifier", "build_classifier", "check_takes"]


def _linear(num_features: int, num_classes: int) -> nn.Linear:
    """A biased linear layer with Kaiming-normal weights, as in LDAM-DRW."""
    head = nn.Linear(num_features, num_classes)
    nn.init.kaiming_normal_(head.weight)
    return head


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
        """The head's logits of (n, d) features, under autocast too in the type of its weights.

        bfloat16 knows a logit of 15 to a sixteenth only, and what ties there goes to the class that
        comes first, which in long-tailed data is the larger one.
        """
        if is_traced(features):
            return self.head(features)
        device = features.device
        known = torch.amp.is_autocast_available(device.type)
        if not known or not torch.is_autocast_enabled(device.type):
            return self.head(features)
        weight = next((p for p in self.head.parameters() if p.is_floating_point()), None)
        with full_precision(device):
            return self.head(features.to(torch.float32 if weight is None else weight.dtype))


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
        seed: of the initialisation; torch's generator on the CPU and, where it is the default
            device, on CUDA are left as they were.
        head: one of ``HEADS``; "linear" is biased, with Kaiming-normal weights.
        weights: of a backbone of timm: "none", "pretrained", or a file.

    Raises:
        InputError: there is no such backbone or head, it has no weights of its own, or the head is
            of experts that the backbone does not have.

    Example:
        >>> model = build_classifier("resnet32", num_classes=100, seed=0)
        >>> sum(p.numel() for p in model.parameters())
        470004
    """
    if head not in HEADS:
        raise InputError(f"There is no head {head!r}; there are {', '.join(HEADS)}.")
    with _drawing_from(seed):
        trunk = _trunk(backbone, weights)
        _check_experts(backbone, trunk, head)
        return Classifier(trunk, HEADS[head](int(trunk.num_features), num_classes))  # type: ignore[arg-type]


@contextmanager
def _drawing_from(seed: int) -> Iterator[None]:
    """What is drawn in here comes from a seed.

    Put back afterwards are torch's generator on the CPU and, where CUDA is the default device, that
    device's. On another default device, such as "mps", torch seeds all generators and only that of
    the CPU is put back.
    """
    device = torch.get_default_device()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        # Not torch.manual_seed, which seeds the generators of all devices and nobody puts back.
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type != "cpu":  # of others only torch knows how
            torch.manual_seed(seed)
        yield


def _check_experts(backbone: str, trunk: nn.Module, head: str) -> None:
    """Refuse a head of experts on a backbone that has none, or another number of them."""
    wanted = re.match(r"(\d)-experts", head)
    there = getattr(trunk, "num_experts", None)
    if wanted and there != int(wanted[1]):
        raise InputError(
            f"The head {head} is for {wanted[1]} experts and the backbone {backbone} has "
            f"{there or 'none'}; take a backbone of {wanted[1]} experts, or the head linear."
        )


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
