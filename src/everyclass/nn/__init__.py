"""Backbones and heads."""

from everyclass.nn.batch_norm_relu import BatchNormReLU
from everyclass.nn.classifier import BACKBONES, HEADS, Classifier, build_classifier
from everyclass.nn.heads import (
    CosineHead,
    EnsembleHead,
    NearestMeanHead,
    ScaledLinear,
    head_of_module,
    module_of_head,
)
from everyclass.nn.resnet_cifar import ResNetCIFAR, resnet32, resnet32_wide

__all__ = [
    "BACKBONES",
    "HEADS",
    "BatchNormReLU",
    "Classifier",
    "CosineHead",
    "EnsembleHead",
    "NearestMeanHead",
    "ResNetCIFAR",
    "ScaledLinear",
    "build_classifier",
    "head_of_module",
    "module_of_head",
    "resnet32",
    "resnet32_wide",
]
