"""Which images an epoch shows, and in what order: torch samplers that a seed determines."""

from everyclass.data.samplers.by_class import ClassBalanced, ProgressivelyBalanced, SquareRoot
from everyclass.data.samplers.class_aware import ClassAware
from everyclass.data.samplers.instance_balanced import InstanceBalanced
from everyclass.data.samplers.row_sampler import RowSampler

__all__ = [
    "ClassAware",
    "ClassBalanced",
    "InstanceBalanced",
    "ProgressivelyBalanced",
    "RowSampler",
    "SquareRoot",
]
