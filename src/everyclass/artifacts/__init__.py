"""What flows between stages, and how each is saved: no torch in here."""

from everyclass.artifacts._checks import (
    as_array,
    as_floats,
    as_ids,
    as_labels,
    as_names,
    stored_names,
)
from everyclass.artifacts._files import (
    atomic_write,
    existing_file,
    load_safetensors,
    plain_json,
    prepare_folder,
    read_json,
    read_npz,
    save_safetensors,
    write_json,
    write_npz,
)
from everyclass.artifacts._folders import replaced_together
from everyclass.artifacts.class_counts import ClassCounts, Group, GroupRule
from everyclass.artifacts.comparison import Comparison
from everyclass.artifacts.evaluation import Evaluation
from everyclass.artifacts.features import Features
from everyclass.artifacts.head import Head, HeadKind
from everyclass.artifacts.predictions import Predictions, Scores
from everyclass.artifacts.run import Run, birth_certificate

__all__ = [
    "ClassCounts",
    "Comparison",
    "Evaluation",
    "Features",
    "Group",
    "GroupRule",
    "Head",
    "HeadKind",
    "Predictions",
    "Run",
    "Scores",
    "as_array",
    "as_floats",
    "as_ids",
    "as_labels",
    "as_names",
    "atomic_write",
    "birth_certificate",
    "existing_file",
    "load_safetensors",
    "plain_json",
    "prepare_folder",
    "read_json",
    "read_npz",
    "replaced_together",
    "save_safetensors",
    "stored_names",
    "write_json",
    "write_npz",
]
