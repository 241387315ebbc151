"""Backbones and heads."""

from everyclass.nn.classifier import BACKBONES, Classifier, build_classifier
from everyclass.nn.resnet_cifar import ResNetCIFAR, resnet32

__all__ = ["BACKBONES", "Classifier", "ResNetCIFAR", "build_classifier", "resnet32"]
