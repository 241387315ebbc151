"""Backbones and heads."""

from everyclass.nn.batch_norm_relu import BatchNormReLU
from everyclass.nn.class_means import ClassMeans
from everyclass.nn.classifier import BACKBONES, HEADS, Classifier, build_classifier
from everyclass.nn.experts import ExpertBackbone, ExpertHead, RoutedExpertHead
from everyclass.nn.feature_queue import FeatureQueue
from everyclass.nn.heads import (
    CosineHead,
    EnsembleHead,
    NearestMeanHead,
    ScaledLinear,
    head_of_module,
    module_of_head,
)
from everyclass.nn.projector import Projector
from everyclass.nn.resnet_cifar import ResNetCIFAR, resnet32, resnet32_experts, resnet32_wide
from everyclass.nn.timm_backbone import Preprocessing, TimmBackbone, timm_backbone

__all__ = [
    "BACKBONES",
    "HEADS",
    "BatchNormReLU",
    "ClassMeans",
    "Classifier",
    "CosineHead",
    "EnsembleHead",
    "ExpertBackbone",
    "ExpertHead",
    "FeatureQueue",
    "NearestMeanHead",
    "Preprocessing",
    "Projector",
    "ResNetCIFAR",
    "RoutedExpertHead",
    "ScaledLinear",
    "TimmBackbone",
    "build_classifier",
    "head_of_module",
    "module_of_head",
    "resnet32",
    "resnet32_experts",
    "resnet32_wide",
    "timm_backbone",
]
