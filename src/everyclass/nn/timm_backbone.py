"""Any network of timm as a backbone: with fresh weights, published ones, or those of a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from everyclass.artifacts import did_you_mean, existing_file, load_safetensors
from everyclass.errors import (
    FileFormatError,
    InputError,
    MissingFileError,
    MissingLibraryError,
    first_line,
)
from everyclass.nn.backbones import BACKBONES
from everyclass.nn.experts import ExpertBackbone

__all__ = ["Preprocessing", "TimmBackbone", "build_timm_backbone", "timm_experts"]

EXPERT_CHANNELS = (64, 128, 192, 384)  # RIDE narrows what every expert has of its own


@dataclass(frozen=True)
class Preprocessing:
    """How pictures are prepared for a network with published weights.

    Attributes:
        size: pixels of the square's side.
        share: of the picture's shorter side that the centred square has.
        resample: "bilinear" or "bicubic".
        mean, std: per channel, of pixel values in 0..1.
    """

    size: int
    share: float
    resample: Literal["bilinear", "bicubic"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class TimmBackbone(nn.Module):
    """A network of timm without its last layer.

    Args:
        network: made with ``num_classes=0``.
        num_features: d.

    Shape:
        (n, 3, h, w) → (n, d).
    """

    def __init__(self, network: nn.Module, num_features: int) -> None:
        super().__init__()
        self.network = network
        self.num_features = num_features

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    @property
    def preprocessing(self) -> Preprocessing:
        """What the weights of this name were trained and judged on."""
        import timm

        said: dict[str, Any] = timm.data.resolve_model_data_config(self.network)
        return Preprocessing(
            size=said["input_size"][1],
            share=said["crop_pct"],
            resample="bicubic" if said["interpolation"] == "bicubic" else "bilinear",
            mean=tuple(said["mean"]),
            std=tuple(said["std"]),
        )


def build_timm_backbone(name: str, weights: str = "none") -> TimmBackbone:
    """Make a backbone.

    Args:
        name: what timm calls the network, such as ``resnet50`` or ``resnet152.tv_in1k``.
        weights: "none" for fresh ones; "pretrained" for those that timm downloads or has; else a
            ``.safetensors``, ``.pth`` or ``.pt`` file with a state dict of that network, whose last
            layer is left out.

    Raises:
        InputError: timm has no such network or no weights for it.
        MissingLibraryError: timm is not installed.
        MissingFileError: there is no file of that name, or the weights cannot be downloaded.
        FileFormatError: the file does not fit the network.
    """
    timm = _timm(name)
    try:
        network = timm.create_model(name, num_classes=0, pretrained=weights == "pretrained")
    except RuntimeError as error:
        raise InputError(f"timm has no such weights: {first_line(error)}.") from error
    except Exception as error:
        if weights != "pretrained":
            raise
        raise MissingFileError(
            f"The weights of {name} cannot be downloaded ({first_line(error)}); name a file of "
            "them with weights=FILE (--weights FILE)."
        ) from error
    if weights not in ("none", "pretrained"):
        _fill(network, Path(weights), name)
    width = getattr(network, "head_hidden_size", None) or network.num_features
    return TimmBackbone(network, int(width))


def timm_experts(name: str, num_experts: int) -> ExpertBackbone:
    """Experts over the first half of a ResNet: what RIDE has on ImageNet-LT.

    Stem and the first two stages are shared; each expert has the other two, narrowed to 192 and
    384 channels (times four at their end).

    Args:
        name: a ResNet of timm, such as ``resnext50_32x4d``.
        num_experts: E.

    Raises:
        InputError: timm has no such network, or it is no ResNet.
        MissingLibraryError: timm is not installed.
    """
    timm = _timm(name)

    def narrow() -> Any:
        return timm.create_model(name, num_classes=0, channels=EXPERT_CHANNELS)

    def branch() -> nn.Sequential:
        own = narrow()
        return nn.Sequential(own.layer3, own.layer4, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    try:
        shared = narrow()
        stem = (shared.conv1, shared.bn1, shared.act1, shared.maxpool)
        trunk = nn.Sequential(*stem, shared.layer1, shared.layer2)
        return ExpertBackbone(trunk, branch, num_experts, width=int(shared.num_features))
    except (TypeError, AttributeError) as error:
        raise InputError(f"{name} cannot be split into experts; take a ResNet of timm.") from error


def _timm(name: str) -> Any:
    known = ", ".join(BACKBONES)
    try:
        import timm
    except ImportError as error:
        library = f"timm (there is no backbone {name!r} without it; there are {known})"
        raise MissingLibraryError(library, "timm") from error
    if not timm.is_model(name):
        hint = did_you_mean(name, timm.list_models())
        raise InputError(
            f"There is no backbone {name!r}; there are {known}, and all that timm has, which is "
            f"not this one{hint}"
        )
    return timm


def _fill(network: nn.Module, path: Path, name: str) -> None:
    """Load a state dict; everything but a last layer must fit."""
    path = existing_file(path, "file of weights")
    if path.suffix == ".safetensors":
        arrays, _ = load_safetensors(path, "file of weights")
        state: Any = {key: torch.from_numpy(array.copy()) for key, array in arrays.items()}
    else:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # of many types, for what is no file of tensors
            raise FileFormatError(f"{path} is no file of weights: {first_line(error)}.") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    state = {str(key).removeprefix("module."): value for key, value in state.items()}
    last = getattr(network, "default_cfg", {}).get("classifier", "fc")
    last = (last,) if isinstance(last, str) else tuple(last)
    state = {key: value for key, value in state.items() if not key.startswith(last)}
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise FileFormatError(f"{path} does not fit {name}: {reason}") from error
