"""Rescue the classes a classifier has given up on.

>>> import everyclass as ec
>>> ec.evaluate(labels=[0, 0, 1], predicted=[0, 0, 0]).lowest_recall
0.0

Names are imported when they are first used, so that what needs no torch does not load it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from everyclass import losses, zoo
    from everyclass.adjustment import adjust
    from everyclass.artifacts import (
        Adjustment,
        ClassCounts,
        Comparison,
        Diagnosis,
        Evaluation,
        FeatureFolder,
        Features,
        Head,
        Predictions,
        Run,
    )
    from everyclass.data import DataConfig, load_dataset, split
    from everyclass.errors import EveryclassError, GateFailedError, InputError
    from everyclass.integrations.sklearn import RescueClassifier
    from everyclass.losses import BalancedSoftmaxLoss, GMLLoss
    from everyclass.methods import get_method
    from everyclass.metrics import (
        EvaluationState,
        compare,
        compare_all,
        evaluate,
        gate,
        samples_needed,
        state_of_files,
    )
    from everyclass.reporting import report
    from everyclass.stages import (
        Ensemble,
        RescueResult,
        Retraining,
        Verdict,
        diagnose,
        extract,
        extract_into,
        pretrain,
        rescue,
        rescue_run,
    )

__version__ = "0.1.0"

# What is also there as an attribute, such as everyclass.data.
_ROOMS = (
    "adjustment",
    "artifacts",
    "bench",
    "data",
    "errors",
    "integrations",
    "losses",
    "methods",
    "metrics",
    "nn",
    "progress",
    "reporting",
    "stages",
    "training",
    "zoo",
)
_HOME = {
    "Adjustment": "artifacts",
    "BalancedSoftmaxLoss": "losses",
    "ClassCounts": "artifacts",
    "Comparison": "artifacts",
    "DataConfig": "data",
    "Diagnosis": "artifacts",
    "Ensemble": "stages",
    "Evaluation": "artifacts",
    "EvaluationState": "metrics",
    "EveryclassError": "errors",
    "FeatureFolder": "artifacts",
    "Features": "artifacts",
    "GMLLoss": "losses",
    "GateFailedError": "errors",
    "Head": "artifacts",
    "InputError": "errors",
    "Predictions": "artifacts",
    "RescueClassifier": "integrations.sklearn",
    "RescueResult": "stages",
    "Retraining": "stages",
    "Run": "artifacts",
    "Verdict": "stages",
    "adjust": "adjustment",
    "compare": "metrics",
    "compare_all": "metrics",
    "diagnose": "stages",
    "evaluate": "metrics",
    "extract": "stages",
    "extract_into": "stages",
    "gate": "metrics",
    "get_method": "methods",
    "load_dataset": "data",
    "pretrain": "stages",
    "report": "reporting",
    "rescue": "stages",
    "rescue_run": "stages",
    "samples_needed": "metrics",
    "split": "data",
    "state_of_files": "metrics",
}

__all__ = [
    "Adjustment",
    "BalancedSoftmaxLoss",
    "ClassCounts",
    "Comparison",
    "DataConfig",
    "Diagnosis",
    "Ensemble",
    "Evaluation",
    "EvaluationState",
    "EveryclassError",
    "FeatureFolder",
    "Features",
    "GMLLoss",
    "GateFailedError",
    "Head",
    "InputError",
    "Predictions",
    "RescueClassifier",
    "RescueResult",
    "Retraining",
    "Run",
    "Verdict",
    "adjust",
    "compare",
    "compare_all",
    "diagnose",
    "evaluate",
    "extract",
    "extract_into",
    "gate",
    "get_method",
    "load_dataset",
    "losses",
    "pretrain",
    "report",
    "rescue",
    "rescue_run",
    "samples_needed",
    "split",
    "state_of_files",
    "zoo",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"everyclass.{name}")
    if name not in _HOME:
        hint = ""
        if not name.startswith("_"):  # what tools ask every module for
            from everyclass.artifacts import did_you_mean

            hint = did_you_mean(name, [*__all__, *_ROOMS])
        raise AttributeError(f"module 'everyclass' has no attribute {name!r}{hint}")
    return getattr(importlib.import_module(f"everyclass.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
