"""What flows between stages, and how each is saved: no torch in here."""

from everyclass.artifacts._archives import (
    load_safetensors,
    read_npz,
    save_safetensors,
    write_npz,
)
from everyclass.artifacts._checks import (
    are_other_numbers,
    as_array,
    as_floats,
    as_ids,
    as_labels,
    as_names,
    holds_names,
    names_in_order,
    stored_names,
)
from everyclass.artifacts._class_files import load_class_names
from everyclass.artifacts._configurations import alike
from everyclass.artifacts._files import (
    atomic_write,
    cache_folder,
    check_free,
    check_own,
    existing_file,
    json_text,
    plain_json,
    prepare_folder,
    read_json,
    remove_file,
    sha256_of,
    write_json,
    writing,
)
from everyclass.artifacts._folders import replaced_together
from everyclass.artifacts._locks import holding_lock_file
from everyclass.artifacts._memory import free_memory
from everyclass.artifacts._prediction_arrays import lacks_labels
from everyclass.artifacts._prediction_sources import RepeatedIds
from everyclass.artifacts._settings import check_choice, check_number, check_whole_number
from everyclass.artifacts._tables import check_csv_header
from everyclass.artifacts._text import (
    cells,
    did_you_mean,
    escaped,
    padded,
    printable,
    quoted,
    some,
)
from everyclass.artifacts.adjustment import Adjustment
from everyclass.artifacts.birth import birth_certificate
from everyclass.artifacts.class_counts import ClassCounts, Group, GroupRule
from everyclass.artifacts.class_diagnosis import (
    Calibration,
    Cause,
    ClassDiagnosis,
    ErrorExample,
    Reachable,
    Suspect,
)
from everyclass.artifacts.comparison import Comparison
from everyclass.artifacts.diagnosis import CAUSES, Diagnosis
from everyclass.artifacts.evaluation import Evaluation
from everyclass.artifacts.feature_folder import (
    FeatureFolder,
    is_feature_folder,
    remove_features,
    rows_per_chunk,
)
from everyclass.artifacts.features import Features
from everyclass.artifacts.head import Head, HeadKind
from everyclass.artifacts.prediction_stream import PredictionStream
from everyclass.artifacts.predictions import (
    LOGITS_ARE_PROBS,
    ONE_CLASS,
    Predictions,
    Scores,
    look_like_probs,
)
from everyclass.artifacts.run import TOLD_LATER, Run
from everyclass.artifacts.stored_features import StoredFeatures

__all__ = [
    "CAUSES",
    "LOGITS_ARE_PROBS",
    "ONE_CLASS",
    "TOLD_LATER",
    "Adjustment",
    "Calibration",
    "Cause",
    "ClassCounts",
    "ClassDiagnosis",
    "Comparison",
    "Diagnosis",
    "ErrorExample",
    "Evaluation",
    "FeatureFolder",
    "Features",
    "Group",
    "GroupRule",
    "Head",
    "HeadKind",
    "PredictionStream",
    "Predictions",
    "Reachable",
    "RepeatedIds",
    "Run",
    "Scores",
    "StoredFeatures",
    "Suspect",
    "alike",
    "are_other_numbers",
    "as_array",
    "as_floats",
    "as_ids",
    "as_labels",
    "as_names",
    "atomic_write",
    "birth_certificate",
    "cache_folder",
    "cells",
    "check_choice",
    "check_csv_header",
    "check_free",
    "check_number",
    "check_own",
    "check_whole_number",
    "did_you_mean",
    "escaped",
    "existing_file",
    "free_memory",
    "holding_lock_file",
    "holds_names",
    "is_feature_folder",
    "json_text",
    "lacks_labels",
    "load_class_names",
    "load_safetensors",
    "look_like_probs",
    "names_in_order",
    "padded",
    "plain_json",
    "prepare_folder",
    "printable",
    "quoted",
    "read_json",
    "read_npz",
    "remove_features",
    "remove_file",
    "replaced_together",
    "rows_per_chunk",
    "save_safetensors",
    "sha256_of",
    "some",
    "stored_names",
    "write_json",
    "write_npz",
    "writing",
]
