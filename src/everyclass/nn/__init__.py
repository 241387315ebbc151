"""Backbones and heads."""

from everyclass.nn.backbones import BACKBONES
from everyclass.nn.batch_norm_relu import BatchNormReLU
from everyclass.nn.class_means import ClassMeans
from everyclass.nn.classifier import HEADS, Classifier, build_classifier, check_takes
from everyclass.nn.convolution import Convolution
from everyclass.nn.ensemble_head import EnsembleHead, EnsembleOfMeans, log_mean_of_softmaxes
from everyclass.nn.experts import ExpertBackbone, ExpertHead, RoutedExpertHead
from everyclass.nn.feature_queue import FeatureQueue
from everyclass.nn.fused_experts import FusedExpertBackbone
from everyclass.nn.heads import (
    CentredUnit,
    CosineHead,
    NearestMeanHead,
    ScaledLinear,
    head_of_module,
    module_of_head,
)
from everyclass.nn.last_layers import (
    as_convolution,
    could_be_last,
    proven_head,
    unwrapped,
    weight_rows,
    with_head,
)
from everyclass.nn.outputs import has_logits, logits_of
from everyclass.nn.projector import Projector
from everyclass.nn.resnet_cifar import (
    ResNetCIFAR,
    resnet32,
    resnet32_experts,
    resnet32_fused_experts,
    resnet32_wide,
)
from everyclass.nn.timm_backbone import Preprocessing, TimmBackbone, build_timm_backbone

__all__ = [
    "BACKBONES",
    "HEADS",
    "BatchNormReLU",
    "CentredUnit",
    "ClassMeans",
    "Classifier",
    "Convolution",
    "CosineHead",
    "EnsembleHead",
    "EnsembleOfMeans",
    "ExpertBackbone",
    "ExpertHead",
    "FeatureQueue",
    "FusedExpertBackbone",
    "NearestMeanHead",
    "Preprocessing",
    "Projector",
    "ResNetCIFAR",
    "RoutedExpertHead",
    "ScaledLinear",
    "TimmBackbone",
    "as_convolution",
    "build_classifier",
    "build_timm_backbone",
    "check_takes",
    "could_be_last",
    "has_logits",
    "head_of_module",
    "log_mean_of_softmaxes",
    "logits_of",
    "module_of_head",
    "proven_head",
    "resnet32",
    "resnet32_experts",
    "resnet32_fused_experts",
    "resnet32_wide",
    "unwrapped",
    "weight_rows",
    "with_head",
]
