"""Backbones and heads."""

from everyclass.nn.batch_norm_relu import BatchNormReLU
from everyclass.nn.classifier import BACKBONES, Classifier, build_classifier
from everyclass.nn.heads import CosineHead, EnsembleHead, head_of_module, module_of_head
from everyclass.nn.resnet_cifar import ResNetCIFAR, resnet32

__all__ = [
    "BACKBONES",
    "BatchNormReLU",
    "Classifier",
    "CosineHead",
    "EnsembleHead",
    "ResNetCIFAR",
    "build_classifier",
    "head_of_module",
    "module_of_head",
    "resnet32",
]
